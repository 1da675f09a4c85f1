//! Rooms that nobody is in, and of which an alarm is due: found in the store, and loaded for it.
//!
//! A loaded room sees to its own alarms. So a room that is found where it is due is left alone while its
//! thread has it, and looked at again when that lets it go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::sleep;

use super::{Command, Hosts, unix_ms};
use crate::directory::{Directory, Owner};
use crate::key::RoomKey;
use crate::store::{DueAlarms, StoreError};

/// Rooms that are awake at once because an alarm woke them: so that a start with very many that are overdue
/// leaves room for those who play.
pub(crate) const WAKES_AT_ONCE: usize = 64;

/// How long a woken room of a realtime game stays, and for how soon an alarm or a timer one of a turn-based
/// game does, in milliseconds.
pub(super) const WOKEN_GRACE_MS: u64 = 1_000;

/// How long a woken room stays at most while nobody comes, in milliseconds. Others wait for its place.
pub(super) const WOKEN_MAX_MS: u64 = 10_000;

/// Rooms that are read from the store at once.
const PAGE: usize = 256;

/// How often to look at least: somebody may have set the wall clock.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long a room that could not be woken is left alone.
const STUCK_FOR: Duration = Duration::from_secs(60);
/// How long to wait when the server is full, or its store cannot be read.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What the threads tell whoever wakes rooms.
#[derive(Default)]
pub(crate) struct Wakes {
    state: Mutex<State>,
    /// A room that is due is on no thread any more.
    free: Notify,
}

#[derive(Default)]
struct State {
    /// Rooms that were due and on a thread.
    held: BTreeSet<RoomKey>,
    /// Rooms that could not be loaded, or failed, and when: they are left alone for a while.
    stuck: BTreeMap<RoomKey, Instant>,
}

impl Wakes {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The room is on no thread any more.
    pub(super) fn released(&self, key: &RoomKey) {
        if self.state().held.remove(key) {
            self.free.notify_one();
        }
    }

    /// The room cannot be woken for now.
    pub(super) fn stuck(&self, key: &RoomKey) {
        self.state().stuck.insert(key.clone(), Instant::now());
    }

    fn is_stuck(&self, key: &RoomKey, now: Instant) -> bool {
        let mut state = self.state();
        if state.stuck.get(key).is_some_and(|since| now < *since + STUCK_FOR) {
            return true;
        }
        state.stuck.remove(key);
        false
    }

    /// The room was loaded.
    pub(super) fn loaded(&self, key: &RoomKey) {
        self.state().stuck.remove(key);
    }
}

impl Hosts {
    /// Wakes rooms until the server goes down.
    pub(crate) async fn wake(&self, mut stop: watch::Receiver<bool>) {
        if !self.house.games.values().any(|hosted| hosted.template.has_alarms()) {
            return;
        }
        let places = Arc::new(Semaphore::new(WAKES_AT_ONCE));
        let waking = async {
            tokio::join!(self.wake_unsettled(&places), self.wake_due(&places));
        };
        tokio::select! {
            () = waking => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// After a crash: what rooms are to be woken for may stand in their journals alone.
    async fn wake_unsettled(&self, places: &Arc<Semaphore>) {
        let store = self.house.store.clone();
        let rooms = loop {
            let store = store.clone();
            match self.read(move || store.unsettled()).await {
                Some(rooms) => break rooms,
                None => sleep(AGAIN_AFTER).await,
            }
        };
        for key in rooms {
            while !self.wake_room(&key, places).await {
                sleep(AGAIN_AFTER).await;
            }
        }
    }

    async fn wake_due(&self, places: &Arc<Semaphore>) {
        loop {
            let wait = self.look(places).await;
            tokio::select! {
                () = sleep(wait) => {}
                () = self.house.store.earlier_alarm() => {}
                () = self.house.wakes.free.notified() => {}
            }
        }
    }

    /// Wakes all that are due. Gives the time until the next one is.
    async fn look(&self, places: &Arc<Semaphore>) -> Duration {
        let mut after = None;
        loop {
            let (store, from) = (self.house.store.clone(), after.clone());
            let read = self.read(move || store.due_alarms(unix_ms(), from.as_ref(), PAGE)).await;
            let Some(DueAlarms { rooms, more, next_unix_ms }) = read else { return AGAIN_AFTER };
            after = rooms.last().cloned().or(after);
            for (_, key) in &rooms {
                if !self.wake_room(key, places).await {
                    return AGAIN_AFTER;
                }
            }
            if !more || rooms.is_empty() {
                let left_ms = next_unix_ms.map(|next| next.saturating_sub(unix_ms()));
                return left_ms.map_or(LOOK_EVERY, Duration::from_millis).min(LOOK_EVERY);
            }
        }
    }

    /// Has a room loaded, if it is not. False when the server is full.
    async fn wake_room(&self, key: &RoomKey, places: &Arc<Semaphore>) -> bool {
        let house = &self.house;
        let has_alarms = house.games.get(&key.game).is_some_and(|of| of.template.has_alarms());
        if !has_alarms || house.wakes.is_stuck(key, Instant::now()) {
            return true;
        }
        let permit = places.clone().acquire_owned().await;
        let permit = permit.expect("nobody closes it");
        // Before it is looked for: who lets it go meanwhile says so.
        house.wakes.state().held.insert(key.clone());
        match house.directory.wake(key) {
            Ok(None) => true,
            Ok(Some((Owner::Thread(thread), ticket))) => {
                house.wakes.state().held.remove(key);
                let wake = Command::Wake { key: key.clone(), permit, ticket };
                // A thread that takes nothing any more goes down.
                let _ = self.ways.to(thread).send(wake).await;
                true
            }
            Err(_) => {
                house.wakes.state().held.remove(key);
                false
            }
        }
    }

    /// Reads the store beside the edge's other work. None when it cannot be read.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(found)) => Some(found),
            Ok(Err(error)) => {
                tracing::warn!(%error, "alarms cannot be read");
                None
            }
            Err(error) => {
                tracing::error!(%error, "reading alarms failed");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_that_could_not_be_woken_is_left_alone_for_a_while() {
        let (wakes, key) = (Wakes::default(), RoomKey::parse("chess/m").unwrap());
        wakes.stuck(&key);
        let now = Instant::now();
        assert!(wakes.is_stuck(&key, now));
        assert!(!wakes.is_stuck(&key, now + STUCK_FOR));
        assert!(wakes.state().stuck.is_empty());
        wakes.stuck(&key);
        wakes.loaded(&key);
        assert!(!wakes.is_stuck(&key, now));
    }
}
