//! Whether a thread still comes out of what it does. Written by the thread, read by whoever watches it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::key::RoomKey;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// Turns begun and ended: odd while one runs.
    turns: AtomicU64,
    /// Whose turn it was last.
    room: Mutex<Option<RoomKey>>,
    given_up: AtomicBool,
}

/// A turn that runs.
pub(crate) struct Turn<'a>(&'a Pulse);

impl Pulse {
    fn room(&self) -> MutexGuard<'_, Option<RoomKey>> {
        // Nothing in here panics half-way through a change.
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn of a room begins; it ends with what this gives.
    pub(crate) fn begin(&self, room: &RoomKey) -> Turn<'_> {
        *self.room() = Some(room.clone());
        self.turns.fetch_add(1, Ordering::Release);
        Turn(self)
    }

    /// The turn that runs: its number and its room.
    pub(crate) fn running(&self) -> Option<(u64, RoomKey)> {
        let turn = self.turns.load(Ordering::Acquire);
        let room = self.room().clone()?;
        let same = turn % 2 == 1 && self.turns.load(Ordering::Acquire) == turn;
        same.then_some((turn, room))
    }

    /// Nobody waits for the thread any more: whatever it does from now on counts for nothing.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
    }

    /// Whether nobody waits for the thread any more.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::SeqCst)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.turns.fetch_add(1, Ordering::Release);
    }
}

/// Looks at a pulse now and then. Counts looks, and not time: a process that was stopped as a whole has not
/// been stuck.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: Option<(u64, u32)>,
}

impl Watch {
    /// Gives the room whose turn was found running, the same one, in so many looks in a row.
    pub(crate) fn look(&mut self, pulse: &Pulse, looks: u32) -> Option<RoomKey> {
        let Some((turn, room)) = pulse.running() else {
            self.seen = None;
            return None;
        };
        let count = match self.seen {
            Some((seen, count)) if seen == turn => count + 1,
            _ => 1,
        };
        self.seen = Some((turn, count));
        (count >= looks).then_some(room)
    }
}

#[cfg(test)]
mod tests {
    use referee_protocol::{GameName, MatchId};

    use super::*;

    fn key(match_id: &str) -> RoomKey {
        RoomKey { game: GameName::new("g").unwrap(), match_id: MatchId::new(match_id).unwrap() }
    }

    #[test]
    fn only_a_turn_that_does_not_end_is_found() {
        let (pulse, mut watch) = (Pulse::default(), Watch::default());
        assert_eq!(watch.look(&pulse, 1), None, "nothing runs");
        for _ in 0..5 {
            let turn = pulse.begin(&key("a"));
            assert_eq!(watch.look(&pulse, 2), None, "another one each time");
            drop(turn);
        }
        let _turn = pulse.begin(&key("b"));
        assert_eq!(watch.look(&pulse, 3), None);
        assert_eq!(watch.look(&pulse, 3), None);
        assert_eq!(watch.look(&pulse, 3), Some(key("b")));
    }
}
