//! Measuring, with frames made by hand on a fake clock.

use super::*;
use referee_protocol::frame::{Ack, ActionFrame, InputAck, InputFrame, Payload};
use referee_protocol::{Incarnation, SessionId};

const MS: u64 = 1_000;

struct Rig {
    meter: Meter,
    tally: Tally,
    tick: Tick,
}

fn welcome(resumed: bool, last_action: u64) -> Vec<u8> {
    welcome_to(Some(Seat(0)), resumed, last_action)
}

fn welcome_to(seat: Option<Seat>, resumed: bool, last_action: u64) -> Vec<u8> {
    message::encode(&ServerControl::Welcome(Welcome {
        version: 1,
        session: SessionId(1),
        seat,
        token: None,
        resumed,
        incarnation: Incarnation(1),
        tick: Tick(1),
        hz: Some(20),
        schema: 0,
        last_action,
        last_event: 0,
        events_lost: false,
        ended: None,
    }))
}

impl Rig {
    fn new() -> Self {
        let tally = Tally { measuring: true, from: Some(0), ..Tally::default() };
        let mut rig = Self { meter: Meter::default(), tally, tick: Tick(0) };
        assert_eq!(rig.frame(0, &welcome(false, 0)), Some(Greeted::Joined));
        rig
    }

    fn frame(&mut self, now: u64, frame: &[u8]) -> Option<Greeted> {
        self.meter.received(now, frame, &mut self.tally)
    }

    fn state(&mut self, now: u64, ticks: u64, action: Option<u16>, sample: Option<u8>) {
        let input = sample.map(|sample| InputAck { sample, margin: 0 });
        let tick = Tick(self.tick.0 + ticks);
        let prelude = Prelude { full: false, tick, action, input };
        let frame = prelude.encode(self.tick, &[]);
        self.tick = tick;
        self.frame(now, frame.as_slice());
    }

    fn sample(&mut self, at: u64, number: u64) {
        self.meter.wish(true, at, at, &mut self.tally);
        let payload = Payload { kind: 0, bits: vec![1].into() };
        let ack = Ack { frames: 300, event: 0 };
        let frame = InputFrame { ack, sample: number, tick: Tick(0), payload };
        self.meter.sent(0, &frame.encode(), &mut self.tally);
    }

    fn action(&mut self, at: u64, number: u64) {
        self.meter.wish(false, at, at, &mut self.tally);
        let payload = Payload { kind: 0, bits: vec![].into() };
        self.meter.sent(0, &ActionFrame { number, payload }.encode(), &mut self.tally);
    }

    fn count(&self) -> u64 {
        self.tally.latency.spread().count
    }

    fn max_ms(&self) -> f64 {
        self.tally.latency.spread().max.round()
    }
}

#[test]
fn an_input_is_measured_to_the_state_that_tells_of_it() {
    let mut rig = Rig::new();
    rig.sample(0, 1);
    rig.state(10 * MS, 1, None, None);
    assert_eq!(rig.count(), 0, "it does not tell of it");
    rig.state(30 * MS, 1, None, Some(1));
    assert_eq!((rig.count(), rig.max_ms()), (1, 30.0));
}

#[test]
fn the_low_byte_goes_round() {
    let mut rig = Rig::new();
    for number in 1..=300 {
        rig.sample(number * MS, number);
        rig.state(number * MS + 500, 1, None, Some(number as u8));
    }
    assert_eq!((rig.count(), rig.max_ms()), (300, 1.0));
}

#[test]
fn what_could_not_be_sent_counts_from_its_instant() {
    let mut rig = Rig::new();
    // A generator, or a connection, that was away for a second: one frame stands for ten instants.
    for n in 0..9 {
        rig.meter.wish(true, n * 100 * MS, n * 100 * MS, &mut rig.tally);
    }
    rig.sample(900 * MS, 1);
    rig.state(1_000 * MS, 1, None, Some(1));
    assert_eq!((rig.count(), rig.max_ms()), (10, 1000.0));
}

#[test]
fn what_a_lost_connection_took_along_counts_on() {
    let mut rig = Rig::new();
    rig.sample(0, 1);
    rig.action(0, 1);
    rig.action(5 * MS, 2);
    // The room had the first action; the session sends the second again, under its number.
    assert_eq!(rig.frame(100 * MS, &welcome(true, 1)), Some(Greeted::Resumed));
    assert_eq!((rig.count(), rig.max_ms()), (1, 100.0));
    rig.action(110 * MS, 2);
    rig.sample(110 * MS, 1);
    rig.state(205 * MS, 1, Some(2), Some(1));
    assert_eq!((rig.count(), rig.max_ms()), (5, 205.0));
}

#[test]
fn actions_are_measured_too() {
    let mut rig = Rig::new();
    assert_eq!(rig.frame(0, &welcome(true, 65_535)), Some(Greeted::Resumed));
    rig.action(0, 65_536);
    rig.state(4 * MS, 1, Some(0), None);
    assert_eq!((rig.count(), rig.max_ms()), (1, 4.0));
}

#[test]
fn jitter_is_against_the_ticks_between_two_states() {
    let mut rig = Rig::new();
    rig.state(0, 5, None, None);
    rig.state(50 * MS, 1, None, None);
    rig.state(150 * MS, 2, None, None);
    let spread = rig.tally.jitter.spread();
    assert!(spread.count == 2 && spread.max < 0.002, "{spread:?}");
    rig.state(230 * MS, 1, None, None);
    assert_eq!(rig.tally.jitter.spread().max.round(), 30.0);
    assert_eq!((rig.tally.states, rig.tally.skipped), (3, 1));
}

#[test]
fn what_stays_unanswered_is_measured_by_its_age() {
    let mut rig = Rig::new();
    rig.sample(0, 1);
    rig.meter.wish(false, 500 * MS, 500 * MS, &mut rig.tally);
    rig.meter.end(1_000 * MS, &mut rig.tally);
    assert_eq!((rig.count(), rig.max_ms(), rig.tally.unanswered), (2, 1000.0, 2));
}

#[test]
fn waiting_instants_are_bounded() {
    let mut rig = Rig::new();
    for n in 0..WAITING_MAX as u64 + 10 {
        rig.meter.wish(true, n, n, &mut rig.tally);
    }
    assert_eq!((rig.count(), rig.tally.unanswered), (10, 10));
}

#[test]
fn who_only_watched_had_no_seat_to_lose() {
    let mut rig = Rig::new();
    let watching = welcome_to(None, false, 0);
    assert_eq!(rig.frame(0, &watching), Some(Greeted::Reseated), "it lost its seat");
    assert_eq!(rig.frame(0, &watching), Some(Greeted::Joined));
    assert_eq!(rig.frame(0, &welcome(false, 0)), Some(Greeted::Joined));
    assert_eq!(rig.frame(0, &welcome(true, 0)), Some(Greeted::Resumed));
}
