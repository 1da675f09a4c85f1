//! A room that ticks often reads its clients' sockets itself, just before each tick: what they say counts from
//! that tick on, whenever it came, and to be woken for each message costs more than to read it.

use std::time::{Duration, Instant};

use super::{Place, Thread};
use crate::host::live::Live;

/// How long what clients say may lie in the kernel, until their room takes it in before its next tick. A room
/// that ticks less often is told of each message as it comes.
const GATHERED_MAX: Duration = Duration::from_millis(100);

impl Thread {
    /// Before a turn of a room: takes in what has come for it, where the room reads its sockets itself.
    pub(in crate::host) fn collect(&self, place: &Place) {
        if !place.gathers.get() {
            return;
        }
        let mut live = place.live.borrow_mut();
        let Some(live) = live.as_mut() else { return };
        let now = Instant::now();
        self.gather.look(now);
        for (link, socket) in &*place.sockets.borrow() {
            socket.collect(&self.gather, now, |message| live.message(*link, message));
        }
    }

    /// After a turn of a room: whether it reads its sockets itself until the next one, which is due then.
    pub(in crate::host) fn gather(&self, place: &Place, next: Option<Instant>) {
        let is_soon = next.is_some_and(|next| next <= Instant::now() + GATHERED_MAX);
        let gathers = |live: &Live| live.ticks_within(GATHERED_MAX);
        let gathers = is_soon && place.live.borrow().as_deref().is_some_and(gathers);
        if place.gathers.replace(gathers) && !gathers {
            place.sockets.borrow().iter().for_each(|(_, socket)| socket.watch());
        }
    }
}
