//! Actions on their way: kept until the server says they are applied, so that each is applied
//! exactly once however often the connection breaks.

use referee_protocol::Value;
use referee_protocol::limits::{ACTIONS_KEPT_MAX, ACTIONS_PER_TICK_MAX};
use std::collections::VecDeque;

/// An action the player has done.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Act {
    pub(crate) name: String,
    /// As it was given: references and numbers of types are looked up at each sending, since both
    /// may change with the connection.
    pub(crate) value: Value,
}

/// The actions of one seat that are not known to be applied. Their numbers follow that of the last
/// applied one without gaps.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    applied: u64,
    kept: VecDeque<Act>,
    /// How many of the kept ones went out on this connection.
    sent: usize,
    /// How many of them ever went out: the room may have these, and yet apply them, whichever
    /// connection they came by.
    tried: usize,
}

impl Actions {
    pub(crate) fn is_full(&self) -> bool {
        self.kept.len() >= ACTIONS_KEPT_MAX
    }

    pub(crate) fn push(&mut self, act: Act) {
        self.kept.push_back(act);
    }

    /// A connection begins: everything not applied is sent again.
    pub(crate) fn resume(&mut self, applied: u64) {
        self.drop_applied(applied.saturating_sub(self.applied));
        self.applied = applied;
        self.sent = 0;
    }

    fn drop_applied(&mut self, count: u64) {
        let done = self.tried.min(usize::try_from(count).unwrap_or(usize::MAX));
        self.kept.drain(..done);
        self.tried -= done;
        self.sent = self.sent.saturating_sub(done);
    }

    /// The seat is gone: gives back what it never got, and what it may have got.
    pub(crate) fn abandon(&mut self) -> VecDeque<Act> {
        std::mem::take(self).kept
    }

    /// The low 16 bits of the last applied number. Answers whether they can be true.
    pub(crate) fn acknowledge(&mut self, low: u16) -> bool {
        let more = usize::from(low.wrapping_sub(self.applied as u16));
        // A page loaded anew may hear of an action of its former life: more than it sent itself.
        if more > ACTIONS_KEPT_MAX {
            return false;
        }
        self.drop_applied(more as u64);
        self.applied += more as u64;
        true
    }

    /// The next action to send and its number. No more are under way than the room takes at once.
    pub(crate) fn next(&self) -> Option<(u64, &Act)> {
        if self.sent >= ACTIONS_PER_TICK_MAX {
            return None;
        }
        let act = self.kept.get(self.sent)?;
        Some((self.applied + self.sent as u64 + 1, act))
    }

    /// The action that [`Self::next`] gave was sent.
    pub(crate) fn sent(&mut self) {
        self.sent += 1;
        self.tried = self.tried.max(self.sent);
    }

    /// The action that [`Self::next`] gave cannot be sent.
    pub(crate) fn refuse(&mut self) -> Option<Act> {
        if self.sent < self.tried {
            self.tried -= 1;
        }
        self.kept.remove(self.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(count: usize) -> Actions {
        let mut actions = Actions::default();
        (0..count).for_each(|_| actions.push(Act { name: "A".into(), value: Value::Null }));
        actions
    }

    fn send_all(actions: &mut Actions) -> Vec<u64> {
        let mut numbers = vec![];
        while let Some((number, _)) = actions.next() {
            numbers.push(number);
            actions.sent();
        }
        numbers
    }

    #[test]
    fn what_is_not_applied_is_sent_again() {
        let mut actions = with(3);
        actions.resume(65_534);
        assert_eq!(send_all(&mut actions), [65_535, 65_536, 65_537]);
        assert!(actions.acknowledge(0), "65,536 ends in 0");
        actions.resume(65_536);
        assert_eq!(send_all(&mut actions), [65_537]);
        assert!(actions.acknowledge(1));
        assert!(!actions.acknowledge(0), "numbers do not go back");
    }

    #[test]
    fn what_the_room_had_from_the_connection_before_is_not_done_twice() {
        let mut actions = with(2);
        assert_eq!(send_all(&mut actions), [1, 2]);
        // The room had action 1 in its queue when it said Welcome, and applied it then.
        actions.resume(0);
        assert!(actions.acknowledge(1));
        assert_eq!(send_all(&mut actions), [2]);
    }

    #[test]
    fn no_more_than_the_room_takes_are_under_way() {
        let mut actions = with(ACTIONS_PER_TICK_MAX + 10);
        assert_eq!(send_all(&mut actions).len(), ACTIONS_PER_TICK_MAX);
        assert!(actions.acknowledge(10));
        assert_eq!(send_all(&mut actions).len(), 10);
    }
}
