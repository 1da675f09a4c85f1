//! What is shown moves evenly, steps where it was put, comes and goes in time.

use super::*;
use referee_protocol::block::{BlockKind, Head};
use referee_protocol::codec::{Baselines, Codec, View};
use referee_protocol::frame::Prelude;
use referee_protocol::schema::TypeDef;
use referee_protocol::{Group, Tick, WireId};

const HZ: u16 = 20;
const PERIOD: f64 = 50.0;
/// A place on a line, to a tenth; how far it is turned; what it looks at.
const PLACE: u16 = 0;
const TURN: u16 = 1;
const LOOKS: u16 = 2;

fn schema() -> Schema {
    let float = |max, wraps| FieldType::Float { min: 0.0, max, step: 0.1, wraps };
    let def = |name: &str, ty| TypeDef {
        name: name.into(),
        resource: false,
        ty,
        moves_by: None,
        rarely: false,
    };
    Schema {
        kind: Kind::Realtime,
        components: vec![
            def("Place", float(100_000.0, false)),
            def("Turn", float(360.0, true)),
            def("Looks", FieldType::Entity),
        ],
        inputs: vec![],
        actions: vec![],
        events: vec![],
        tables: vec![],
    }
}

fn tenths(value: f64) -> u32 {
    (value * 10.0).round() as u32
}

/// How a state tells what it shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Delta,
    Since,
    Whole,
}

/// What a state says: entities by wire id with their components, those that leave, renamings.
#[derive(Default)]
struct News<'a> {
    full: bool,
    kind: Option<Told>,
    renamed: &'a [(u32, u32)],
    removed: &'a [u32],
    places: &'a [(u32, f64)],
    turns: &'a [(u32, f64)],
    looks: &'a [(u32, u32)],
}

/// States in, a moment out.
struct Rig {
    schema: Schema,
    /// What the room shows.
    view: View,
    codec: Codec,
    replica: Replica,
    clock: Option<RoomClock>,
    smooth: Smooth,
}

impl Rig {
    fn new() -> Self {
        let (replica, smooth) = (Replica::default(), Smooth::default());
        let (schema, view) = (schema(), View::new(2));
        let codec = Codec::new(&schema, 0);
        Self { schema, view, codec, replica, clock: None, smooth }
    }

    /// A state came.
    fn state(&mut self, tick: u64, now: f64, news: &News<'_>) {
        let full = news.full || self.smooth.is_empty();
        let after = if full { Tick(0) } else { self.replica.tick() };
        let prelude = Prelude { full, tick: Tick(tick), ..Prelude::default() };
        let kind = if full { Told::Whole } else { news.kind.unwrap_or(Told::Delta) };
        let told = if kind == Told::Delta { BlockKind::Delta } else { BlockKind::Absolute };
        let head = Head { group: Group::Everyone, known: !full, kind: told };
        let mut body = prelude.encode(after, &[head]).to_vec();
        self.block(kind, tick, news, &mut body);
        self.replica.apply(&self.schema, &body).unwrap();
        if !self.clock.as_mut().is_some_and(|clock| clock.observe(Tick(tick), now)) {
            self.clock = Some(RoomClock::new(HZ, Tick(tick), now));
            self.smooth.clock_changed();
        }
        let skipped = self.replica.has_skipped();
        let span = span_ticks(self.clock.as_ref());
        let arrival = Arrival { tick: Tick(tick), full, skipped, span };
        self.smooth.take(&self.schema, &self.replica, arrival);
    }

    fn block(&mut self, kind: Told, tick: u64, news: &News<'_>, body: &mut Vec<u8>) {
        if kind == Told::Whole {
            self.view.clear();
        }
        // What a client missed that was not in step happened in the tick before.
        let gap = u64::from(kind == Told::Since);
        let from = self.replica.tick().0;
        let renamed: Vec<_> =
            news.renamed.iter().map(|(old, new)| (WireId(*old), WireId(*new))).collect();
        self.view.begin(tick - gap);
        self.change(&renamed, news);
        if gap > 0 {
            self.view.begin(tick);
        }
        let base = self.view.now() - 1;
        match kind {
            Told::Delta => {
                let from = Baselines { older: base.saturating_sub(1), base };
                self.codec.encode(&mut self.view, from, &renamed, body);
            }
            Told::Whole => self.codec.encode_whole(&mut self.view, tick, body),
            Told::Since => self.codec.encode_since(&mut self.view, tick, (from, &[]), body),
        }
    }

    fn change(&mut self, renamed: &[(WireId, WireId)], news: &News<'_>) {
        let view = &mut self.view;
        for (old, new) in renamed {
            view.rename(*old, *new);
        }
        news.removed.iter().for_each(|id| view.leave(WireId(*id)));
        let place = |(id, value): &(u32, f64)| (*id, PLACE, tenths(*value));
        let turn = |(id, value): &(u32, f64)| (*id, TURN, tenths(*value));
        let looks = |(id, value): &(u32, u32)| (*id, LOOKS, *value);
        let all = news.places.iter().map(place).chain(news.turns.iter().map(turn));
        for (id, component, word) in all.chain(news.looks.iter().map(looks)) {
            view.enter(WireId(id));
            view.set(WireId(id), component, Some(&[word]));
        }
    }

    fn places(&mut self, tick: u64, now: f64, places: &[(u32, f64)]) {
        self.state(tick, now, &News { places, ..News::default() });
    }

    fn show(&mut self, now: f64) {
        self.smooth.show(self.clock.as_ref(), Kind::Realtime, now);
    }

    /// What is shown of the entity with this handle.
    fn read(&self, handle: u32, component: u16) -> Option<Value> {
        let track = self.smooth.entity(handle)?.track(component)?;
        self.smooth.value(&self.schema.components[usize::from(component)].ty, track)
    }

    fn place(&self, handle: u32) -> Option<f64> {
        self.read(handle, PLACE).map(|value| match value {
            Value::Float(place) => place,
            other => panic!("{other:?} is no place"),
        })
    }

    fn handles(&self) -> Vec<u32> {
        self.smooth.entities().map(|(handle, _)| handle).collect()
    }
}

/// Plays states that arrive late as given, over 60 pictures a second, and gives what each shows: the
/// place of the first entity, and its speed in units a second.
fn play(
    ticks: u64,
    late: impl Fn(u64) -> Option<f64>,
    place: impl Fn(u64) -> f64,
) -> Vec<(f64, f64)> {
    let mut rig = Rig::new();
    let mut arrivals: Vec<(f64, u64)> =
        (0..ticks).filter_map(|tick| Some((tick as f64 * PERIOD + late(tick)?, tick))).collect();
    for at in 1..arrivals.len() {
        arrivals[at].0 = arrivals[at].0.max(arrivals[at - 1].0); // frames keep their order
    }
    let mut arrivals = arrivals.into_iter().peekable();
    let (mut shown, mut was) = (vec![], None);
    let frame = 1_000.0 / 60.0;
    for n in 0..(ticks as f64 * PERIOD / frame) as u64 {
        let now = n as f64 * frame;
        while let Some((at, tick)) = arrivals.next_if(|(at, _)| *at <= now) {
            // As a room does when it left states out.
            let kind = (tick != rig.replica.tick().0 + 1).then_some(Told::Since);
            let places = [(7, place(tick))];
            let kind = kind.or(Some(Told::Delta));
            rig.state(tick, at, &News { kind, places: &places, ..News::default() });
        }
        rig.show(now);
        let Some(place) = rig.place(1) else { continue };
        if let Some(was) = was.replace(place) {
            shown.push((place, (place - was) / frame * 1_000.0));
        }
    }
    shown
}

/// A number that looks like luck, from 0 to 1.
fn luck(n: u64) -> f64 {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / (1u64 << 24) as f64
}

/// Speeds keep within the rate at which the shown moment may settle; `STEP` is the wire's.
fn assert_even(shown: &[(f64, f64)], speed: f64) {
    const STEP: f64 = 0.1;
    let bound = speed * RATE_MAX + STEP * 60.0;
    for (at, (place, is)) in shown.iter().enumerate() {
        assert!((is - speed).abs() <= bound, "picture {at}, place {place}: {is}, not {speed}");
    }
}

#[test]
fn an_even_motion_stays_even_however_unevenly_states_arrive() {
    for strewn in [0.0, 15.0, 40.0, 90.0, 150.0] {
        let shown = play(300, |tick| Some(luck(tick) * strewn), |tick| 500.0 + tick as f64 * 10.0);
        // Two seconds in which the clock and the jitter are learned.
        assert_even(&shown[120..], 200.0);
    }
}

#[test]
fn states_that_are_left_out_leave_no_trace_in_an_even_motion() {
    let late = |tick: u64| (tick % 7 != 3).then_some(luck(tick) * 5.0);
    assert_even(&play(300, late, |tick| 500.0 + tick as f64 * 10.0)[120..], 200.0);
}

#[test]
fn one_very_late_state_does_not_widen_the_delay_for_long() {
    let late = |tick: u64| Some(if tick == 100 { 180.0 } else { luck(tick) * 5.0 });
    let shown = play(200, late, |tick| 500.0 + tick as f64 * 10.0);
    // It came at 5.18 s; two seconds later all is as before.
    assert_even(&shown[432..], 200.0);
}

#[test]
fn the_moment_lies_two_ticks_behind_and_more_only_where_states_are_strewn() {
    let delay = |strewn: f64| {
        let mut clock = RoomClock::new(HZ, Tick(0), 0.0);
        (0..200).for_each(|n| {
            clock.observe(Tick(n), n as f64 * PERIOD + luck(n) * strewn);
        });
        delay_ms(&clock)
    };
    assert_eq!(delay(10.0), 100.0);
    assert!((130.0..200.0).contains(&delay(100.0)), "{}", delay(100.0));
    assert_eq!(delay(400.0), DELAY_MAX_MS);
}

#[test]
fn when_states_stop_the_newest_is_shown_and_afterwards_no_backlog_is_played() {
    let mut rig = Rig::new();
    (0..40).for_each(|n| rig.places(n, n as f64 * PERIOD, &[(7, n as f64)]));
    rig.show(39.0 * PERIOD);
    for n in 0..100 {
        rig.show(39.0 * PERIOD + f64::from(n) * 16.0);
        assert!(rig.place(1) <= Some(39.0), "nothing is made up");
    }
    assert_eq!(rig.place(1), Some(39.0));
    // After 1.6 s of silence all that waited comes at once.
    let now = 39.0 * PERIOD + 1_600.0;
    (40..=71).for_each(|n| rig.places(n, now, &[(7, n as f64)]));
    rig.show(now);
    let place = rig.place(1).unwrap();
    assert!((68.9..=71.0).contains(&place), "{place}: two ticks behind the newest, at once");
}

#[test]
fn what_stood_still_does_not_creep_before_it_moves() {
    let mut rig = Rig::new();
    rig.places(0, 0.0, &[(7, 10.0)]);
    rig.show(0.0);
    // The room says nothing while nothing happens, then: moved, in tick 4.
    let kind = Some(Told::Delta);
    rig.state(4, 200.0, &News { kind, places: &[(7, 11.0)], ..News::default() });
    rig.show(200.0);
    assert_eq!((rig.smooth.tick(), rig.place(1)), (2.0, Some(10.0)));
    (1..=9).for_each(|n| rig.show(200.0 + f64::from(n) * 10.0));
    let place = rig.place(1).unwrap();
    assert!((10.5..11.0).contains(&place), "tick {} shows {place}", rig.smooth.tick());
}

#[test]
fn what_was_put_elsewhere_does_not_slide_there() {
    let mut rig = Rig::new();
    let place = |n: u64| if n < 15 { 100.0 + n as f64 } else { 900.0 + n as f64 };
    for n in 0..30 {
        let now = n as f64 * PERIOD;
        rig.places(n, now, &[(7, place(n))]);
        for part in 0..5 {
            rig.show(now + f64::from(part) * 10.0);
            let shown = rig.place(1).unwrap();
            assert!(!(115.0..915.0).contains(&shown), "{shown} lies between");
        }
    }
}

#[test]
fn what_is_truly_faster_is_soon_believed() {
    let mut rig = Rig::new();
    for n in 0..30 {
        let far = n as f64;
        rig.places(n, far * PERIOD, &[(7, far), (8, (far - 20.0).max(0.0) * 50.0)]);
        rig.show(far * PERIOD + 25.0);
    }
    let ticks = (rig.smooth.tick() - 20.0) * 50.0;
    assert!((rig.place(2).unwrap() - ticks).abs() < 0.2, "it moves between states");
}

#[test]
fn an_angle_turns_the_short_way() {
    let mut rig = Rig::new();
    let turns = |n: u64| [(7, (350.0 + n as f64 * 10.0) % 360.0)];
    for n in 0..5 {
        rig.state(n, n as f64 * PERIOD, &News { turns: &turns(n), ..News::default() });
    }
    // Half way from tick 0 to tick 1: from 350 to 0.
    rig.smooth.tick = 0.5;
    assert_eq!(rig.read(1, TURN), Some(Value::Float(355.0)));
    rig.smooth.tick = 1.5;
    assert_eq!(rig.read(1, TURN), Some(Value::Float(5.0)));
}

#[test]
fn entities_come_and_go_at_their_time() {
    let mut rig = Rig::new();
    rig.places(0, 0.0, &[(7, 1.0)]);
    rig.places(1, 50.0, &[(8, 2.0)]);
    rig.state(2, 100.0, &News { removed: &[7], ..News::default() });
    let mut at = |tick| {
        rig.smooth.tick = tick;
        rig.handles()
    };
    assert_eq!((at(0.9), at(1.0), at(1.9), at(2.0)), (vec![1], vec![1, 2], vec![1, 2], vec![2]));
    // Long after, nothing is kept of what is gone.
    (3..40).for_each(|n| rig.places(n, n as f64 * PERIOD, &[(8, n as f64)]));
    assert_eq!(rig.smooth.history.entities().count(), 1);
}

#[test]
fn an_entity_keeps_its_number_and_its_motion_under_a_new_name() {
    let mut rig = Rig::new();
    rig.state(0, 0.0, &News { places: &[(7, 1.0), (8, 5.0)], looks: &[(8, 7)], ..News::default() });
    let places = [(9, 2.0)];
    rig.state(1, 50.0, &News { renamed: &[(7, 9)], places: &places, ..News::default() });
    rig.smooth.tick = 0.5;
    assert_eq!((rig.handles(), rig.place(1)), (vec![1, 2], Some(1.5)));
    assert_eq!(rig.read(2, LOOKS), Some(Value::Entity(1)), "by its number");
}

#[test]
fn time_that_goes_back_starts_anew() {
    let mut rig = Rig::new();
    (100..120).for_each(|n| rig.places(n, n as f64 * PERIOD, &[(7, n as f64)]));
    rig.show(6_000.0);
    rig.state(3, 6_010.0, &News { full: true, places: &[(7, 500.0)], ..News::default() });
    rig.show(6_010.0);
    assert_eq!((rig.smooth.tick(), rig.handles()), (3.0, vec![2]));
    assert_eq!(rig.place(2), Some(500.0));
}

#[test]
fn a_turn_based_room_shows_the_newest_state_at_once() {
    let mut rig = Rig::new();
    rig.places(10, 0.0, &[(7, 1.0)]);
    rig.places(5_000, 50.0, &[(7, 2.0)]);
    rig.smooth.show(None, Kind::TurnBased, 50.0);
    assert_eq!((rig.smooth.tick(), rig.place(1)), (5_000.0, Some(2.0)));
}

#[test]
fn what_is_kept_is_bounded() {
    let mut rig = Rig::new();
    for n in 0..1_000 {
        rig.places(n, n as f64 * PERIOD, &[(7, n as f64)]);
    }
    let track = rig.smooth.entity(1).or(rig.smooth.history.entity(1)).unwrap();
    assert!(track.tracks()[0].len() <= 12, "half a second of ticks and the one before");
}

#[test]
fn after_a_slip_of_the_room_nothing_goes_back() {
    let mut rig = Rig::new();
    let (mut now, mut shown) = (0.0, 0.0);
    // The room stands still for a second at its tick 40, as the clock of a busy machine has it.
    for tick in 0..120_u64 {
        let came = tick as f64 * PERIOD + if tick > 40 { 1_000.0 } else { 0.0 };
        while now < came {
            rig.show(now);
            let place = rig.place(1).unwrap_or(0.0);
            assert!(place >= shown, "at {now:.0} ms: {place} after {shown}");
            (now, shown) = (now + 1_000.0 / 60.0, place);
        }
        rig.places(tick, came, &[(1, tick as f64 * 10.0)]);
    }
    assert!(shown > 1_100.0, "and it goes on: {shown}");
}
