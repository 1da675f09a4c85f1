//! A room that goes away and comes back, and the match after it.

use std::time::Duration;

use referee_protocol::{Incarnation, Tick};

use crate::entry::{Create, Entry};
use crate::game::Game;
use crate::revive::Passage;
use crate::room::Room;
use crate::snapshot::RestoreError;
use crate::template::Template;

use super::TestRoom;
use super::client::TestClient;

impl TestRoom {
    /// The room is sealed, saved, thrown away and restored: another life of it begins. All connections are
    /// gone; seats are held, and whoever resumes gets what changed since.
    ///
    /// # Panics
    /// When the room cannot read its own snapshot.
    pub fn restart(&mut self) {
        self.restart_after(Duration::ZERO);
    }

    /// As [`TestRoom::restart`], but so much time passes while the room is not loaded: in a turn-based game
    /// its ticks go on, in a realtime one they stand still, and alarms come due either way.
    ///
    /// # Panics
    /// When the room cannot read its own snapshot.
    pub fn restart_after(&mut self, span: Duration) {
        let snapshot = self.sealed();
        match self.room.info().hz {
            Some(_) => self.away += span.as_nanos(),
            None => self.now += span.as_nanos(),
        }
        let room = Room::restore(&self.template, &snapshot, [self.next as u8; 32])
            .unwrap_or_else(|e| panic!("a room reads its own snapshot: {e}"));
        self.come_back(room);
    }

    /// As [`TestRoom::restart`], but the room comes back under another version of its game: what became of
    /// its types is said by that ([`crate::evolve`]). Whoever resumes gets everything anew.
    ///
    /// # Errors
    /// Why the other version cannot read the room. Then it stays as it was.
    ///
    /// # Panics
    /// When the other version has mistakes: they are named.
    pub fn update(
        &mut self,
        game: impl Fn(&mut Game) + Send + Sync + 'static,
    ) -> Result<(), RestoreError> {
        let template = Template::new("test", game).unwrap_or_else(|e| panic!("{e}"));
        let snapshot = self.sealed();
        let room = Room::restore(&template, &snapshot, [self.next as u8; 32])?;
        self.template = template;
        self.clients.iter_mut().for_each(TestClient::forget);
        self.journal = Passage::empty(room.info().tick);
        self.come_back(room);
        Ok(())
    }

    fn sealed(&mut self) -> Vec<u8> {
        self.room.handle(Entry::Seal);
        self.settle();
        self.room.snapshot()
    }

    fn come_back(&mut self, room: Room) {
        self.room = room;
        self.room.record();
        self.life += 1;
        self.room.handle(Entry::Begin { incarnation: Incarnation(self.life) });
        for session in self.room.sessions() {
            self.room.handle(Entry::Drop { session });
        }
        let gone = self.clients.iter_mut().filter(|client| client.away.is_none());
        gone.for_each(|client| client.away = Some("the room went away and came back"));
        if self.template.has_alarms() {
            self.tell_time_now();
        }
        self.settle();
    }

    /// The room is sealed, put out of memory with its connections open, and comes back as the same life of
    /// it. Its clients notice nothing.
    ///
    /// # Panics
    /// When the room cannot read its own snapshot, or has still something to tell.
    pub fn park(&mut self) {
        self.room.handle(Entry::Seal);
        self.settle();
        let links = self.room.parked().expect("clients of a test room are told all at once");
        let snapshot = self.room.snapshot();
        self.room = Room::restore(&self.template, &snapshot, [self.next as u8; 32])
            .unwrap_or_else(|e| panic!("a room reads its own snapshot: {e}"));
        self.room.record();
        links.iter().for_each(|(link, parked)| self.room.unpark(*link, parked));
    }

    /// The match is over and everybody has gone; the next visitor comes to the same address. That is a new
    /// match with new players, which begins with what this one left in its
    /// [`Storage`](crate::storage::Storage).
    ///
    /// # Panics
    /// When the match has not ended, or the game refuses to create the next one.
    pub fn next_match(&mut self) {
        assert!(self.room.info().ended.is_some(), "the match has not ended: there is no next one");
        let unix_ms = if self.template.has_alarms() { self.unix_ms() } else { 0 };
        self.create = Create { storage: self.room.storage(), unix_ms, ..self.create.clone() };
        self.room = Room::create(&self.template, &self.create)
            .unwrap_or_else(|e| panic!("the game refuses to create its next match: {e}"));
        self.room.record();
        self.life += 1;
        self.room.handle(Entry::Begin { incarnation: Incarnation(self.life) });
        self.clients.clear();
        self.away += std::mem::take(&mut self.now);
        (self.journal, self.saved) = (Passage::empty(Tick(0)), None);
    }
}
