//! Rooms that come from other host threads, and that go to them.

use std::rc::Rc;
use std::time::Instant;

use tokio::sync::mpsc;

use referee_protocol::{Code, LinkId, Refusal};

use super::{Command, Place, Thread, Watched};
use crate::directory::Directory;
use crate::host::line::Line;
use crate::host::live::Live;
use crate::host::live::migrate::{Landed, Migrant, ReadHalf};
use crate::host::load::{self, Cost};
use crate::key::RoomKey;
use crate::transport::socket::serve;

impl Thread {
    /// A room comes from another thread.
    pub(super) fn receive(self: &Rc<Self>, migrant: Migrant) {
        let key = migrant.key().clone();
        let place = Rc::new(Place::new(key.clone(), migrant.signals().clone()));
        self.places.borrow_mut().insert(key, place.clone());
        // Before its ticket goes, so that the directory never finds the room unowned.
        self.house.directory.take(&place.key);
        let now = Instant::now();
        for link in self.land(&place, migrant) {
            self.wheel.borrow_mut().put(Watched::Client(place.clone(), link), now);
        }
        self.begin(place);
    }

    /// Puts a room into its place, and has its connections read. Gives these.
    pub(in crate::host) fn land(
        self: &Rc<Self>,
        place: &Rc<Place>,
        migrant: Migrant,
    ) -> Vec<LinkId> {
        let (live, landed) = Live::land(migrant, self);
        place.live.borrow_mut().insert(live).send_every(self.pace.get().every());
        let links = landed.iter().map(|landed| landed.link).collect();
        landed.into_iter().for_each(|landed| self.attend(place, landed));
        links
    }

    /// Has a connection read until it ends, or its room goes to another thread.
    pub(in crate::host) fn attend(self: &Rc<Self>, place: &Rc<Place>, landed: Landed) {
        let Landed { link, socket, half: ReadHalf { slot } } = landed;
        let place = place.clone();
        place.sockets.borrow_mut().push((link, socket.clone()));
        let line = Line { thread: self.clone(), place: place.clone(), link };
        self.look_after(|looked| async move {
            let is_called_back = serve(socket, line).await;
            place.sockets.borrow_mut().retain(|(of, _)| *of != link);
            if is_called_back {
                place.halves.borrow_mut().push((link, ReadHalf { slot }));
                place.signals.wake.notify_one();
            }
            drop(looked);
        });
    }

    /// The room is on another thread now.
    pub(in crate::host) fn forget(&self, key: &RoomKey) {
        self.places.borrow_mut().remove(key);
        self.less.notify_one();
    }

    /// The thread has no room any more: it costs nothing, and has not too much to do.
    pub(super) fn rest(&self) {
        self.house.loads.set(self.number, 0);
        if self.pace.take().every() > 1 {
            self.house.metrics.threads_paced.down();
        }
    }

    /// The thread was given up, and has come out of the turn: it lets go of its rooms, of which others may
    /// have newer ones, and of those that were on their way to it.
    pub(super) fn leave(self: &Rc<Self>, commands: &mut mpsc::Receiver<Command>) {
        let refusal = elsewhere();
        let places = self.places.take();
        for place in places.values() {
            place.with(|live| live.dismiss(&refusal));
            let parked = self.unpark(place);
            parked.into_iter().for_each(|parked| parked.dismiss(&self.house, &refusal));
        }
        commands.close();
        while let Ok(command) = commands.try_recv() {
            self.turn_away(command);
        }
        if self.pace.take().every() > 1 {
            self.house.metrics.threads_paced.down();
        }
    }

    /// Hands a command for a room on to the thread that has the room, where that is another one. Gives it
    /// back otherwise.
    ///
    /// Whoever looked for the room when it was here before, and has been on the way since, may overtake the
    /// room that comes back: he goes to the end of the queue, and is behind it then. To make the room for him
    /// would be to have it twice.
    pub(super) fn pass_on(self: &Rc<Self>, key: &RoomKey, command: Command) -> Option<Command> {
        if self.places.borrow().contains_key(key) {
            return Some(command);
        }
        let Some(found) = self.house.directory.find(key) else {
            // Its thread was given up meanwhile, and with it the place that he has a ticket for.
            self.turn_away(command);
            return None;
        };
        if found.thread == self.number && !found.is_travelling {
            return Some(command);
        }
        let way = self.ways.to(found.thread);
        tokio::task::spawn_local(async move {
            // A thread that takes nothing any more goes down.
            let _ = way.send(command).await;
        });
        None
    }

    /// Somebody, or a room, comes where it cannot stay, as a thread was given up. Whoever is let go comes back
    /// by himself.
    pub(super) fn turn_away(self: &Rc<Self>, command: Command) {
        if let Command::Land { migrant, .. } = command {
            Live::land(*migrant, self).0.dismiss(&elsewhere());
        }
    }

    /// While the thread has too much to do, its clients get states less often.
    fn pace(&self, all: Cost) {
        let before = self.pace.get();
        let pace = before.after(all.ticks, all.late);
        self.pace.set(pace);
        if pace.every() == before.every() {
            return;
        }
        let (every, paced) = (pace.every(), &self.house.metrics.threads_paced);
        match (before.every(), every) {
            (1, _) => {
                paced.up();
                tracing::warn!(
                    thread = self.number,
                    ticks = all.ticks,
                    late = all.late,
                    "a thread has too much to do, or the machine has: its clients get states less often \
                     until that is over"
                );
            }
            (_, 1) => {
                paced.down();
                tracing::info!(thread = self.number, "a thread sends all states again");
            }
            _ => {}
        }
        for place in self.places.borrow().values() {
            place.live.borrow_mut().iter_mut().for_each(|live| live.send_every(every));
        }
    }

    /// Looks what the rooms cost, and lets some go to other threads where that is better for all.
    pub(super) fn balance(&self, now: Instant) {
        if now.saturating_duration_since(self.balanced.get()) < load::WINDOW {
            return;
        }
        self.balanced.set(now);
        let (mut all, mut costs, mut places) = (Cost::default(), Vec::new(), Vec::new());
        for place in self.places.borrow().values() {
            let cost = place.live.borrow_mut().as_mut().map(|live| live.cost(now));
            let Some((cost, may_move)) = cost else { continue };
            all.permille += cost.permille;
            all.ticks += cost.ticks;
            all.late += cost.late;
            if may_move && place.woken.borrow().is_none() {
                costs.push(cost);
                places.push(place.clone());
            }
        }
        self.pace(all);
        self.house.loads.set(self.number, all.permille);
        for (at, to) in load::leave(self.number, &self.house.loads.all(), &costs) {
            places[at].migrate_to.set(Some(to));
            places[at].signals.wake.notify_one();
        }
    }
}

/// What clients are told whose room is on another thread now, or will be when they come.
fn elsewhere() -> Refusal {
    Refusal::new(Code::Stopped, "the match goes on where it was; come back")
}
