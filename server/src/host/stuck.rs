//! A thread that does not come out of a room's turn, because its game has an endless loop, is given up:
//! that room ends as failed, another thread takes the place of the first, and the others' rooms come back
//! there from what is stored, for their clients who come back by themselves.
//!
//! No code can be stopped from outside. The thread goes on for as long as the game does; what it does then
//! counts for nothing, and it ends as soon as it comes out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::marks::Trouble;
use super::pulse::{Pulse, Watch};
use super::{Command, Hosts, Start, way};
use crate::directory::Directory;
use crate::key::RoomKey;

/// How often threads are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Starts the thread that takes the place of one that was given up.
pub(crate) type StartThread = Arc<dyn Fn(Start) -> std::io::Result<()> + Send + Sync>;

impl Hosts {
    /// Watches the threads until the server goes down.
    pub(crate) async fn watch_threads(&self, start: StartThread, mut stop: watch::Receiver<bool>) {
        let stuck_ms = self.house.config.turn_max_ms;
        if stuck_ms == 0 {
            return;
        }
        let looks = stuck_ms.div_ceil(LOOK_EVERY.as_millis() as u64);
        let looks = u32::try_from(looks).unwrap_or(u32::MAX);
        let mut watches: Vec<Watch> = self.ways.0.iter().map(|_| Watch::default()).collect();
        let mut step = interval(LOOK_EVERY);
        step.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = step.tick() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            for (thread, watch) in watches.iter_mut().enumerate() {
                let pulse = self.ways.way(thread).pulse.clone();
                if let Some(room) = watch.look(&pulse, looks) {
                    self.give_up(thread, &pulse, &room, &start);
                    // The turns of the one in its place are numbered from the beginning.
                    *watch = Watch::default();
                }
            }
        }
    }

    fn give_up(&self, thread: usize, pulse: &Arc<Pulse>, room: &RoomKey, start: &StartThread) {
        let (house, within_ms) = (&self.house, self.house.config.turn_max_ms);
        // First: from here on the thread writes and lists nothing.
        pulse.give_up();
        let (way, commands) = way();
        let begun = Start {
            house: house.clone(),
            number: thread,
            ways: self.ways.clone(),
            pulse: way.pulse.clone(),
            commands,
        };
        tracing::error!(
            %room, thread, turn_max_ms = within_ms,
            "a room's turn does not end: its game may have an endless loop. The room has ended; the \
             thread is given up, and its other rooms come back on another one"
        );
        let why = format!("a turn of the game took more than {within_ms} ms");
        house.marks.failed(room, Trouble::Stuck(why), Instant::now());
        house.wakes.stuck(room);
        house.metrics.rooms_failed.up();
        house.metrics.threads_given_up.up();
        house.loads.set(thread, 0);
        *self.ways.way(thread) = way;
        if let Err(error) = start(begun) {
            tracing::error!(%error, thread, "no thread could be started in its place");
        }
        if *self.stop.borrow() {
            // It may have been told to the old one.
            let _ = self.ways.to(thread).try_send(Command::Stop);
        }
        // Last: whoever comes now finds the new thread.
        let rooms = house.directory.abandon(thread);
        rooms.iter().for_each(|room| house.wakes.released(room));
    }
}
