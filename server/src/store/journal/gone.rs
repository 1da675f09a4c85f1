//! Rooms that were removed: what the journal's file has of them does not count, and goes.

use super::Journal;
use crate::key::RoomKey;

impl Journal {
    /// What a start finds to be removed is not found any more, and is forgotten on disk.
    pub(in crate::store) fn forget_again(&self, gone: &[(RoomKey, u64)]) {
        for (key, life) in gone {
            self.state().index.forgotten(key, *life);
            self.forget(key, *life);
        }
    }

    /// The number of what was queued last, chunk or removal.
    pub(in crate::store) fn queued(&self) -> u64 {
        self.state().queue.accepted
    }

    /// What was queued up to this number is on disk.
    pub(in crate::store) fn durable(&self) -> u64 {
        self.state().durable
    }
}
