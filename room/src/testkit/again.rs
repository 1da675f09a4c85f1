//! A match played again from its journal, with the room made anew at random moments: it must come to
//! the same states.

use std::sync::Arc;

use referee_protocol::Tick;

use crate::entry::Entry;
use crate::inspect::difference;
use crate::journal::{Reader, Record};
use crate::revive::{Base, Passage, Revival};
use crate::room::Room;
use crate::template::Template;

use super::TestRoom;

/// How often the room is made anew, on average: one tick in so many.
const ANEW_EVERY: u64 = 8;

impl TestRoom {
    /// Plays the match that this room has had so far again, twice: once straight through, and once with
    /// the room made anew at random ticks, from its newest snapshot and its journal, as after a crash, or
    /// from a snapshot of that moment. `seed` decides when.
    ///
    /// # Panics
    /// When [`TestRoom::change`] was used, and when a state differs: the game asks a clock, draws from a generator of its own, keeps something
    /// that is not registered (a `Local`, a `static`), or depends on the order of a `HashMap`. The first
    /// tick, entity and component that differ are named.
    pub fn play_again(&mut self, seed: u64) {
        assert!(
            !self.changed,
            "what `change` does to a room is no act of a player, so a match in which it was used cannot be \
             played again: leave it out, or `play_again`"
        );
        self.keep_journal();
        assert!(
            self.journal.after == Tick(0),
            "only the version of a game that played all of a match can play it again"
        );
        let records = self.records();
        let mut straight = self.begin_again();
        let mut anew = Anew::new(self, seed);
        for record in &records {
            match record {
                Record::Tick(at, entries) => {
                    run(&mut straight, *at, entries);
                    while straight.poll_output().is_some() {}
                    anew.run(*at, entries);
                    compare("a room that was made anew", &mut anew.room, &mut straight);
                    compare_told(&anew.room, &straight);
                }
                Record::Hash(at, hash) => {
                    let now = straight.state_hash();
                    assert_eq!(now, *hash, "tick {}: played again, the state is another", at.0);
                }
            }
        }
        compare("the match as it was played", &mut self.room, &mut straight);
    }

    fn records(&self) -> Vec<Record> {
        let mut reader = Reader::new(self.journal.after, &self.journal.bytes);
        let read = || reader.read().expect("the room wrote its journal itself");
        std::iter::from_fn(read).collect()
    }

    fn begin_again(&self) -> Room {
        let base = Base::Create(self.create.clone());
        let revival = Revival::new(&self.template, base, Vec::new(), [1; 32]);
        revival.finish().unwrap_or_else(|error| panic!("{error}")).room
    }

    pub(super) fn keep_journal(&mut self) {
        if let Some(span) = self.room.take_journal(&mut self.journal.bytes) {
            self.journal.upto = span.upto;
        }
    }
}

/// A room that is made anew again and again.
struct Anew {
    template: Arc<Template>,
    room: Room,
    base: Base,
    since: Passage,
    random: u64,
}

impl Anew {
    fn new(test: &TestRoom, seed: u64) -> Self {
        let since = Passage::empty(test.journal.after);
        let (base, room) = (Base::Create(test.create.clone()), test.begin_again());
        Self { template: test.template.clone(), room, base, since, random: seed }
    }

    /// Keeps what it takes to make the room anew.
    fn saved(&mut self, at: Tick) {
        self.room.take_journal(&mut self.since.bytes);
        self.since.upto = at;
        let outputs = std::iter::from_fn(|| self.room.poll_output());
        if let Some(snapshot) = outputs.filter_map(|output| output.saved()).last() {
            self.base = Base::Snapshot(snapshot.into());
            self.since = Passage::empty(at);
        }
    }

    fn run(&mut self, at: Tick, entries: &[Entry]) {
        run(&mut self.room, at, entries);
        self.saved(at);
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if (self.random >> 34).is_multiple_of(ANEW_EVERY) && self.room.settling == 0 {
            self.room.rebuild();
            self.saved(at);
        } else if (self.random >> 33).is_multiple_of(ANEW_EVERY) {
            let (base, since) = (self.base.clone(), self.since.clone());
            let revival = Revival::new(&self.template, base, vec![since], [2; 32]);
            self.room = revival.finish().unwrap_or_else(|error| panic!("{error}")).room;
        }
    }
}

fn run(room: &mut Room, at: Tick, entries: &[Entry]) {
    entries.iter().for_each(|entry| room.repeat(entry.clone()));
    room.tick(at);
}

/// Clients that come back are told alike by both.
#[track_caller]
fn compare_told(anew: &Room, straight: &Room) {
    let told = |room: &Room| {
        let mut out = Vec::new();
        room.replication.save(&mut out);
        out
    };
    let tick = straight.info().tick.0;
    assert!(
        told(anew) == told(straight),
        "tick {tick}: a room that was made anew tells its clients otherwise than one that was played straight"
    );
}

#[track_caller]
fn compare(what: &str, one: &mut Room, straight: &mut Room) {
    if one.state_hash() == straight.state_hash() {
        return;
    }
    let tick = straight.info().tick.0;
    let (one, other) = (one.to_json(), straight.to_json());
    let place = difference(&one, &other);
    let place = place.unwrap_or_else(|| "in something that JSON does not tell".to_owned());
    panic!("tick {tick}: {what} is in another state than one that was played straight: {place}");
}
