//! Alarms: due by the wall clock, in order, a bounded number in a tick, also where the room was not loaded.

mod common;

use std::sync::Arc;

use common::{bare, join, script};
use referee_room::entry::{Create, Lost, RequestEntry};
use referee_room::prelude::*;
use referee_room::revive::{Base, Passage, Revival, after_panic};
use referee_room::testkit::TestRoom;
use referee_room::{Entry, Room, Template};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Replicate)]
struct Ring {
    number: u32,
}

/// Breaks the tick that it comes due in.
#[derive(Replicate)]
struct Poison;

#[derive(Action)]
struct Set {
    #[field(min = -1_000_000, max = 1_000_000_000)]
    after_ms: i64,
    number: u32,
    poison: bool,
}

#[derive(Action)]
struct Stop {
    from: u32,
}

/// What was due in which tick, and what time it was.
#[derive(Resource, Replicate, Default, Clone, PartialEq, Debug)]
struct Rung {
    #[field(max = 1000)]
    numbers: Vec<u32>,
    #[field(max = 1000)]
    ticks: Vec<u64>,
    #[field(max = 1000)]
    times: Vec<u64>,
}

fn game(game: &mut Game) {
    game.replicate::<Rung>().action::<Set>().action::<Stop>().alarm::<Ring>().alarm::<Poison>();
    game.systems((set, ring));
    game.on_request(|request: Request, mut alarms: Alarms<Ring>| {
        let number = request.body.as_u64().unwrap_or(0) as u32;
        alarms.after(DAY, Ring { number });
        alarms.waiting().count() as u32
    });
}

fn turns(game: &mut Game) {
    self::game(game.turn_based().max_players(2));
}

fn realtime(game: &mut Game) {
    self::game(game.realtime(20).max_players(2));
}

fn set(
    sets: Actions<Set>,
    stops: Actions<Stop>,
    mut alarms: Alarms<Ring>,
    mut poisons: Alarms<Poison>,
) {
    for (_, set) in &sets {
        let at = alarms.now().saturating_add_signed(set.after_ms);
        match set.poison {
            true => poisons.at(at, Poison),
            false => alarms.at(at, Ring { number: set.number }),
        }
    }
    for (_, stop) in &stops {
        alarms.cancel(|ring| ring.number >= stop.from);
    }
}

fn ring(
    due: Due<Ring>,
    poison: Due<Poison>,
    mut rung: ResMut<Rung>,
    time: Res<Time>,
    alarms: Alarms<Ring>,
) {
    assert!(poison.is_empty(), "poison");
    for ring in &due {
        rung.numbers.push(ring.number);
        rung.ticks.push(time.tick.0);
        rung.times.push(alarms.now());
    }
}

fn after(ms: i64, number: u32) -> Set {
    Set { after_ms: ms, number, poison: false }
}

fn rung(room: &TestRoom) -> Vec<u32> {
    room.resource::<Rung>().numbers.clone()
}

#[test]
fn they_come_due_in_their_order_and_at_their_time() {
    for kind in [turns, realtime] {
        let mut room = TestRoom::new(kind);
        let ann = room.join("Ann");
        let set_at = room.unix_ms();
        for (ms, number) in [(5_000, 2), (1_000, 1), (9_000, 4), (9_000, 5), (8_000, 3)] {
            room.act(ann, after(ms, number));
        }
        room.run(Duration::from_secs(7));
        assert_eq!(rung(&room), [1, 2]);
        room.run(Duration::from_secs(7));
        assert_eq!(rung(&room), [1, 2, 3, 4, 5]);
        for (time, due_ms) in room.resource::<Rung>().times.iter().zip([1_000, 5_000, 8_000, 9_000])
        {
            let late = time.checked_sub(set_at + due_ms).expect("not before its time");
            assert!(late <= 400, "{late} ms late");
        }
        room.act(ann, after(-60_000, 6));
        room.run(Duration::from_millis(100));
        assert_eq!(rung(&room).last(), Some(&6), "what is past is due at once");
        room.play_again(3);
    }
}

#[test]
fn a_tick_takes_so_many_and_the_next_ones_the_rest() {
    for kind in [turns, realtime] {
        let mut room = TestRoom::new(kind);
        let ann = room.join("Ann");
        for number in 0..150 {
            room.act(ann, after(60_000 - i64::from(number % 7), number));
        }
        room.restart_after(DAY);
        room.run(Duration::from_secs(1));
        let Rung { numbers, ticks, .. } = room.resource::<Rung>().clone();
        assert_eq!(numbers.len(), 150);
        let in_one = |tick: &u64| ticks.iter().filter(|other| *other == tick).count();
        let first = ticks[0];
        assert_eq!([first, first + 1, first + 2].map(|tick| in_one(&tick)), [64, 64, 22]);
        room.play_again(4);
    }
}

#[test]
fn what_came_due_while_the_room_was_away_is_due_as_it_comes_back() {
    for kind in [turns, realtime] {
        let mut room = TestRoom::new(kind);
        let ann = room.join("Ann");
        let day_ms = DAY.as_millis() as i64;
        for (ms, number) in [(2 * day_ms, 3), (60_000, 1), (day_ms, 2), (9 * day_ms, 4)] {
            room.act(ann, after(ms, number));
        }
        let next = room.room().next_alarm().expect("they wait");
        assert!(next.abs_diff(room.unix_ms() + 60_000) < 1_000);
        room.restart_after(3 * DAY);
        assert_eq!(rung(&room), [1, 2, 3]);
        assert_eq!(
            room.resource::<Rung>().ticks.iter().max(),
            room.resource::<Rung>().ticks.iter().min()
        );
        let now = *room.resource::<Rung>().times.last().expect("it rang");
        assert!(room.unix_ms() - now < 1_000, "it knows what time it is");
        room.restart_after(7 * DAY);
        assert_eq!(rung(&room), [1, 2, 3, 4]);
        assert_eq!(room.room().next_alarm(), None);
        room.play_again(5);
    }
}

#[test]
fn one_that_sets_itself_again_takes_its_time() {
    let mut room = TestRoom::new(|game: &mut Game| {
        game.turn_based().keep::<Rung>().action::<Set>().alarm::<Ring>();
        game.systems(
            |sets: Actions<Set>,
             due: Due<Ring>,
             mut rung: ResMut<Rung>,
             mut alarms: Alarms<Ring>| {
                rung.numbers.extend(due.iter().map(|ring| ring.number));
                let again = sets.len() + due.iter().count();
                (0..again).for_each(|_| alarms.at(0, Ring { number: 1 }));
            },
        );
    });
    let ann = room.join("Ann");
    room.act(ann, after(0, 0));
    room.run(Duration::from_millis(100));
    let rung = rung(&room).len();
    assert!((50..=102).contains(&rung), "{rung} times in 100 ms");
}

#[test]
fn they_are_listed_and_cancelled() {
    let mut room = TestRoom::new(turns);
    let ann = room.join("Ann");
    for number in 0..5 {
        room.act(ann, after(1_000, number));
    }
    assert_eq!(room.request("GET", "", &json!(5)).1, json!(5));
    room.act(ann, Stop { from: 2 });
    room.run(2 * DAY);
    assert_eq!(rung(&room), [0, 1]);
}

fn told(unix_ms: u64) -> Entry {
    Entry::Alarm { unix_ms, lost: Lost::None }
}

fn request(number: u32) -> Entry {
    let (method, path) = ("GET".to_owned(), String::new());
    Entry::Request(RequestEntry { id: 1, method, path, body: number.to_string().into_bytes() })
}

#[test]
fn a_room_with_an_alarm_is_worth_keeping_and_one_that_is_told_the_time_is_not() {
    fn reminds(game: &mut Game) {
        game.turn_based().alarm::<Ring>();
        game.on_start(|mut alarms: Alarms<Ring>| alarms.after(DAY, Ring { number: 1 }));
    }
    let template = Template::new("test", reminds).expect("it is sound");
    let create = Create { unix_ms: 5_000, ..Create::default() };
    let room = Room::create(&template, &create).expect("it is created");
    assert_eq!((room.next_alarm(), room.is_lasting()), (Some(86_405_000), true));
    let (_, mut room) = bare(turns);
    room.handle(told(7));
    room.tick(Tick(1));
    assert_eq!((room.next_alarm(), room.is_lasting()), (None, false));
}

/// A room with three alarms that are due a millisecond apart, the second of which panics; what it is made
/// from.
fn poisoned() -> (Arc<Template>, Room, Passage) {
    let template = Template::new("test", turns).expect("it is sound");
    let revival = Revival::new(&template, Base::Create(Create::default()), vec![], [0; 32]);
    let mut room = revival.finish().unwrap_or_else(|e| panic!("{e}")).room;
    room.handle(join(1, "Ann"));
    room.handle(request(1));
    room.tick(Tick(1));
    let poison = Set { after_ms: 86_400_000, number: 0, poison: true };
    let poison = script::payload(&template, true, 0, &poison);
    room.handle(Entry::Action { seat: Seat(0), number: 1, payload: poison });
    room.tick(Tick(2));
    room.handle(request(2));
    room.tick(Tick(3));
    let mut bytes = vec![];
    let span = room.take_journal(&mut bytes).expect("it ran");
    (template, room, Passage { after: span.after, upto: span.upto, bytes })
}

#[test]
fn an_alarm_that_breaks_its_tick_is_left_out_and_does_not_come_again() {
    let (template, room, since) = poisoned();
    let next = room.next_alarm().expect("it waits");
    let (due, base) = (room.next_alarm().expect("it waits") + 10, Base::Create(Create::default()));
    let broken = (Tick(5), vec![request(7), told(due)]);
    let mut room = after_panic(&template, (base, since), broken, [1; 32])
        .map(|revived| revived.room)
        .unwrap_or_else(|e| panic!("{e}"));
    let state = room.to_json();
    assert_eq!(state["resources"]["Rung"]["numbers"], json!([1]), "the one before it came due");
    assert_eq!(room.next_alarm(), Some(next + 2), "the one after it still waits");
    // And so says its journal.
    let mut bytes = vec![];
    let span = room.take_journal(&mut bytes).expect("it ran");
    let (_, _, since) = poisoned();
    let passages = vec![since, Passage { after: Tick(3), upto: span.upto, bytes }];
    let base = Base::Create(Create::default());
    let again = Revival::new(&template, base, passages, [2; 32]).finish();
    let again = again.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((again.room.snapshot(), again.report.panicked), (room.snapshot(), vec![]));
    room.handle(told(due));
    room.tick(Tick(6));
    assert_eq!(room.to_json()["resources"]["Rung"]["numbers"], json!([1, 2]));
    assert_eq!(room.next_alarm(), Some(due + 86_400_000), "the request was no part of it");
}

#[test]
fn a_type_that_nobody_registered_is_named() {
    let error = Template::new("test", |game: &mut Game| {
        game.turn_based().systems(|mut alarms: Alarms<Ring>| alarms.cancel(|_| true));
    });
    let said = error.err().expect("it is not registered").to_string();
    assert!(said.contains(".alarm::<Ring>()"), "{said}");
}
