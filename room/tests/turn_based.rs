//! A turn-based room: ticks only when something happens or is due, goes on while it changes, and is
//! then quiet. Timers and requests.

mod common;

use common::bare;
use referee_protocol::SessionId;
use referee_room::entry::Entry;
use referee_room::prelude::*;
use referee_room::room;
use referee_room::testkit::TestRoom;

#[derive(Resource, Replicate, Default)]
struct Pile {
    left: u32,
    steps: u32,
    touched: bool,
}

#[derive(Action)]
struct Add(#[field(max = 1000)] u32);

#[derive(Action)]
struct Later {
    #[field(max = 1_000_000)]
    ms: u32,
    value: u32,
}

#[derive(Replicate)]
struct Then(u32);

#[derive(Event)]
struct Done;

/// A pile that falls by one each tick, until it is empty.
fn falling(game: &mut Game) {
    game.turn_based().replicate::<Pile>().action::<Add>().action::<Later>().event::<Done>();
    game.timer::<Then>();
    game.systems((
        |adds: Actions<Add>, mut pile: ResMut<Pile>| {
            adds.iter().for_each(|(_, add)| pile.left += add.0);
        },
        |laters: Actions<Later>, mut timers: Timers<Then>| {
            for (_, later) in &laters {
                timers.after(Duration::from_millis(u64::from(later.ms)), Then(later.value));
            }
        },
        |due: Due<Then>, mut pile: ResMut<Pile>| {
            due.iter().for_each(|then| pile.steps = pile.steps * 10 + then.0);
        },
        |mut pile: ResMut<Pile>, mut done: Events<Done>| {
            pile.touched = true; // touched in each tick; changed only in the first
            if pile.left > 0 {
                pile.left -= 1;
                pile.steps += 1;
                if pile.left == 0 {
                    done.all(Done);
                }
            }
        },
    ));
    game.on_request(|request: Request, pile: Res<Pile>| match request.path.as_str() {
        "/steps" => Reply::from(pile.steps),
        path => Reply::status(404, json!({ "message": format!("there is no {path}") })),
    });
}

#[test]
fn it_goes_on_while_it_changes_and_is_then_quiet() {
    let mut room = TestRoom::new(falling);
    let ann = room.join("Ann");
    let (frames, before) = (room.frames(ann).len(), room.room().info().tick);
    room.act(ann, Add(10));
    assert_eq!(room.resource::<Pile>().steps, 10);
    assert_eq!(room.events(ann).len(), 1);
    // One event frame and one state frame, whatever the number of ticks.
    assert_eq!(room.frames(ann).len() - frames, 2);
    let ticks = room.room().info().tick.0 - before.0;
    assert!((11..=13).contains(&ticks), "{ticks} ticks for 10 steps");
    let now = room.room().info().tick;
    assert_eq!(room.room().next_due(Tick(now.0 + 1_000_000)), room::NextTick::Never);
    let hash = room.state_hash();
    room.run(Duration::from_secs(3600));
    assert_eq!(room.state_hash(), hash, "an hour of quiet costs no tick");
}

#[test]
fn it_stops_going_on_at_a_limit_and_counts() {
    let mut room = TestRoom::new(falling);
    let ann = room.join("Ann");
    room.act(ann, Add(100));
    assert_eq!(room.room().counters().unsettled, 1);
    assert_eq!(room.resource::<Pile>().steps, 64);
    room.act(ann, Add(1));
    assert_eq!(room.resource::<Pile>().steps, 101, "the next entry sets it off again");
}

#[test]
fn timers_are_due_in_their_order_and_survive_a_restart() {
    let mut room = TestRoom::new(falling);
    let ann = room.join("Ann");
    for (ms, value) in [(300, 3), (100, 1), (200, 2), (200, 4), (900, 5)] {
        room.act(ann, Later { ms, value });
    }
    room.run(Duration::from_millis(150));
    assert_eq!(room.resource::<Pile>().steps, 1);
    room.restart();
    room.run(Duration::from_millis(200));
    assert_eq!(room.resource::<Pile>().steps, 1243);
    room.run(Duration::from_secs(1));
    assert_eq!(room.resource::<Pile>().steps, 12435);
}

#[test]
fn time_goes_on_while_nobody_acts() {
    let (_, mut room) = bare(falling);
    room.handle(common::join(1, "Ann"));
    assert_eq!(room.next_due(Tick(5_000)), room::NextTick::Now(Tick(5_000)));
    room.tick(Tick(5_000));
    room.tick(Tick(5_001));
    room.handle(Entry::Drop { session: SessionId(1) });
    room.tick(Tick(6_000));
    while let room::NextTick::Now(at) = room.next_due(Tick(6_000)) {
        room.tick(at);
    }
    // The held seat is the one thing due: its grace.
    assert_eq!(room.next_due(Tick(6_100)), room::NextTick::At(Tick(36_000)));
}

#[test]
fn requests_are_answered_from_the_room() {
    let mut room = TestRoom::new(falling);
    let ann = room.join("Ann");
    room.act(ann, Add(3));
    assert_eq!(room.request("GET", "/steps", &Value::Null), (200, json!(3)));
    let (status, body) = room.request("GET", "/else", &json!({ "a": 1 }));
    assert_eq!((status, &body["message"]), (404, &json!("there is no /else")));
}

#[test]
fn a_room_is_worth_keeping_from_its_first_change_on() {
    let mut room = TestRoom::new(falling);
    let ann = room.join("Ann");
    room.request("GET", "/steps", &Value::Null);
    room.act(ann, Add(0));
    assert!(!room.room().info().lasting, "nothing has changed");
    room.restart();
    assert!(room.saved().is_none());
    let bob = room.join("Bob");
    room.act(bob, Add(1));
    assert!(room.room().info().lasting);
    room.restart();
    assert!(room.saved().is_some());
}

#[test]
fn a_panic_ends_the_tick_and_names_the_system() {
    fn explode(presses: Actions<Add>) {
        assert!(presses.is_empty(), "boom");
    }
    let (template, mut room) = bare(|game: &mut Game| {
        game.turn_based().action::<Add>();
        game.systems(explode);
    });
    room.handle(common::join(1, "Ann"));
    room.tick(Tick(1));
    let def = &template.schema().actions[0];
    let payload = referee_protocol::frame::Payload::from_words(0, &def.ty, &[1]);
    room.handle(Entry::Action { seat: Seat(0), number: 1, payload });
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| room.tick(Tick(2))));
    assert!(ended.is_err());
    assert!(room.running().is_some_and(|name| name.ends_with("explode")), "{:?}", room.running());
}

#[test]
fn a_timer_set_at_the_start_counts_from_the_start() {
    let (_, room) = bare(|game: &mut Game| {
        falling(game);
        game.on_start(|mut timers: Timers<Then>| {
            timers.after(Duration::from_millis(500), Then(1));
        });
    });
    assert_eq!(room.next_due(Tick(0)), room::NextTick::At(Tick(500)));
}

#[test]
fn a_timer_may_set_itself_again() {
    let (_, mut room) = bare(|game: &mut Game| {
        game.turn_based().timer::<Then>().replicate::<Pile>();
        game.on_start(|mut timers: Timers<Then>| {
            timers.after(Duration::from_millis(100), Then(1));
        });
        game.systems(|due: Due<Then>, mut timers: Timers<Then>, mut pile: ResMut<Pile>| {
            for _ in &due {
                pile.steps += 1;
                timers.after(Duration::from_millis(100), Then(1));
            }
        });
    });
    let mut now = 0;
    while now < 1000 {
        match room.next_due(Tick(now)) {
            room::NextTick::Now(at) => room.tick(at),
            room::NextTick::At(at) => now = at.0,
            room::NextTick::Never => break,
        }
    }
    // Each runs once, and then a tick that changes nothing.
    assert!((9..=10).contains(&(room.info().tick.0 / 100)), "{:?}", room.info().tick);
}
