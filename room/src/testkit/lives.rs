//! A room that goes away and comes back, and the match after it.

use referee_protocol::Tick;

use crate::entry::{Create, Entry};
use crate::revive::Passage;
use crate::room::Room;

use super::TestRoom;
use super::client::TestClient;

impl TestRoom {
    /// The room is sealed, saved, thrown away and restored. All connections are gone; seats are held.
    ///
    /// # Panics
    /// When the room cannot read its own snapshot.
    pub fn restart(&mut self) {
        self.room.handle(Entry::Seal);
        self.settle();
        let snapshot = self.room.snapshot();
        self.room = Room::restore(&self.template, &snapshot, [self.next as u8; 32])
            .unwrap_or_else(|e| panic!("a room reads its own snapshot: {e}"));
        self.room.record();
        self.clients.iter_mut().for_each(TestClient::forget);
        for session in self.room.sessions() {
            self.room.handle(Entry::Drop { session });
        }
        self.settle();
    }

    /// The match is over and everybody has gone; the next visitor comes to the same address. That is a new
    /// match with new players, which begins with what this one left in its
    /// [`Storage`](crate::storage::Storage).
    ///
    /// # Panics
    /// When the match has not ended, or the game refuses to create the next one.
    pub fn next_match(&mut self) {
        assert!(self.room.info().ended.is_some(), "the match has not ended: there is no next one");
        self.create = Create { storage: self.room.storage(), ..self.create.clone() };
        self.room = Room::create(&self.template, &self.create)
            .unwrap_or_else(|e| panic!("the game refuses to create its next match: {e}"));
        self.room.record();
        self.clients.clear();
        (self.journal, self.now, self.saved) = (Passage::empty(Tick(0)), 0, None);
    }
}
