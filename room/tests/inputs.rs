//! Samples of inputs, stamped with the tick they are meant for: one for each tick, in time, late and
//! early ones, and what the client is told of them.

#![allow(clippy::unwrap_used, reason = "what helps tests fails like a test")]

mod common;

use common::{Stick, join};
use referee_protocol::frame::{Ack, InputAck, Lane, Payload, split};
use referee_protocol::{LinkId, Replica, Seat, SessionId, WireId};
use referee_room::entry::Entry;
use referee_room::output::Output;
use referee_room::prelude::*;
use referee_room::room::Link;
use referee_room::{Room, Template};
use std::sync::Arc;

/// What a tick ran with, and how many have run: so that each has a state.
#[derive(Resource, Replicate, Default)]
struct Ran {
    ticks: u32,
    hundredths: u32,
}

fn recording(game: &mut Game) {
    game.realtime(20).max_players(2).input::<Stick>().replicate::<Ran>();
    game.systems(|sticks: Query<&Stick>, mut ran: ResMut<Ran>| {
        ran.ticks += 1;
        ran.hundredths = sticks.iter().map(|stick| (stick.x.0 * 100.0).round() as u32).sum();
    });
}

/// A room with one player, after its tick 1.
struct Rig {
    template: Arc<Template>,
    room: Room,
    replica: Replica,
    told: Vec<InputAck>,
    frames: u64,
}

impl Rig {
    fn new() -> Self {
        let (template, room) = common::bare(recording);
        let mut rig = Self { template, room, replica: Replica::default(), told: vec![], frames: 0 };
        rig.room.link(LinkId(1), Link::Open { session: SessionId(1), resume: None });
        rig.room.handle(join(1, "Ann"));
        rig.tick();
        rig
    }

    /// A sample comes in, between two ticks.
    fn sample(&mut self, sample: u64, tick: u64, percent: u32) {
        let schema = self.template.schema();
        let x = percent_word(&schema.inputs[0].ty, percent);
        let payload = Payload::from_words(0, &schema.inputs[0].ty, &x);
        self.room.handle(Entry::Input { seat: Seat(0), sample, tick: Tick(tick), payload });
    }

    /// Runs one tick, and gives what it ran with, in hundredths.
    fn tick(&mut self) -> u32 {
        let at = Tick(self.room.info().tick.0 + 1);
        self.room.tick(at);
        while let Some(output) = self.room.poll_output() {
            let Output::Send { frame, .. } = output else { continue };
            let bytes = frame.to_vec();
            let Ok((Lane::State, body)) = split(&bytes) else { continue };
            self.frames += 1;
            let prelude = self.replica.apply(self.template.schema(), body).unwrap();
            self.told.extend(prelude.input);
        }
        self.room.link(LinkId(1), Link::Ack(Ack { frames: self.frames, event: 0 }));
        let components = &self.template.schema().components;
        let ran = components.iter().position(|def| def.name == "Ran").unwrap();
        let words = self.replica.component(WireId::ROOM, ran as u16);
        words.map_or(0, |words| words[1])
    }

    /// What the client was told since: numbers of samples and how early they came.
    fn told(&mut self) -> Vec<(u8, i8)> {
        self.told.drain(..).map(|note| (note.sample, note.margin)).collect()
    }
}

/// The words of a stick whose `x` is so many hundredths.
fn percent_word(ty: &referee_protocol::FieldType, percent: u32) -> Vec<u32> {
    let x = referee_protocol::Value::Float(f64::from(percent) / 100.0);
    let none = referee_protocol::Value::Float(0.0);
    let fire = referee_protocol::Value::Bool(false);
    let fields = [("x", x), ("y", none), ("fire", fire)];
    let value = fields.map(|(name, value)| (name.to_owned(), value)).into();
    let mut words = vec![];
    referee_protocol::Value::Struct(value).to_words(ty, &mut words).unwrap();
    words
}

#[test]
fn each_tick_runs_with_the_sample_that_is_meant_for_it() {
    let mut rig = Rig::new();
    for n in 1..=5 {
        rig.sample(n, n + 1, n as u32 * 10);
    }
    let ran: Vec<u32> = (0..6).map(|_| rig.tick()).collect();
    assert_eq!(ran, [10, 20, 30, 40, 50, 50], "the last one stands where there is none");
}

#[test]
fn a_sample_in_good_time_is_told_as_such_and_so_is_an_early_one() {
    let mut rig = Rig::new();
    rig.sample(1, 2, 10);
    rig.tick();
    assert_eq!(rig.told(), [(1, 0)], "drained in the very tick that it was meant for");
    rig.sample(2, 5, 20);
    let ran: Vec<u32> = (0..3).map(|_| rig.tick()).collect();
    assert_eq!((ran, rig.told()), (vec![10, 10, 20], vec![(2, 2)]), "it waits");
    assert_eq!(rig.room.counters().late_inputs, 0);
}

#[test]
fn a_late_sample_stands_for_the_next_tick_and_is_counted_and_told() {
    let mut rig = Rig::new();
    (0..4).for_each(|_| assert_eq!(rig.tick(), 0));
    rig.sample(1, 3, 30); // tick 6 is next
    assert_eq!(rig.tick(), 30);
    assert_eq!((rig.told(), rig.room.counters().late_inputs), (vec![(1, -3)], 1));
}

#[test]
fn of_several_that_are_due_the_newest_wins_and_a_late_one_is_told_all_the_same() {
    let mut rig = Rig::new();
    rig.tick();
    rig.sample(1, 2, 10); // late: tick 3 is next
    rig.sample(2, 3, 20);
    assert_eq!(rig.tick(), 20);
    assert_eq!((rig.told(), rig.tick()), (vec![(2, -1)], 20), "and so is the newest");
    // A late one that comes behind its successor does not take the stick back.
    rig.sample(4, 5, 40);
    rig.sample(3, 4, 30);
    assert_eq!((rig.tick(), rig.told()), (40, vec![(4, -1)]));
}

#[test]
fn a_sample_for_no_certain_tick_is_used_in_the_next_and_is_never_late() {
    let mut rig = Rig::new();
    rig.tick();
    rig.sample(1, 0, 10);
    assert_eq!(rig.tick(), 10);
    assert_eq!((rig.told(), rig.room.counters().late_inputs), (vec![(1, 0)], 0));
}

#[test]
fn no_sample_waits_longer_than_a_quarter_of_a_second() {
    let mut rig = Rig::new();
    rig.sample(1, 400, 10);
    let ran: Vec<u32> = (2..=8).map(|_| rig.tick()).collect();
    // 5 ticks are 250 ms, counted from the tick that found it.
    assert_eq!(ran, [0, 0, 0, 0, 0, 10, 10]);
    // A flood of samples waits in as many places as can be used.
    (2..1_000).for_each(|n| rig.sample(n, 9 + n % 5, 20));
    assert_eq!(rig.tick(), 20);
}

#[test]
fn a_returning_client_is_told_nothing_of_samples_from_before() {
    let mut rig = Rig::new();
    rig.sample(7, 0, 10);
    // The frame with the note goes nowhere: nothing is acknowledged any more, and the link is lost.
    rig.room.link(LinkId(1), Link::Close);
    rig.tick();
    rig.told();
    rig.room.link(LinkId(2), Link::Open { session: SessionId(2), resume: None });
    rig.room.handle(Entry::Resume { session: SessionId(2), seat: Seat(0), generation: 1 });
    rig.tick();
    assert_eq!(rig.told(), []);
}
