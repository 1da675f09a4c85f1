//! When systems run: in which order, conditions on one, on a group, and what they remember over a rebuild.

mod common;

use common::bare;
use referee_room::prelude::*;
use referee_room::testkit::TestRoom;

#[derive(Action)]
struct Finish;

/// How often systems ran.
#[derive(Resource, Replicate, Default, Clone, PartialEq, Debug)]
struct Runs {
    before: u32,
    during: u32,
    after: u32,
    seconds: u32,
}

/// A match of two.
fn phases(game: &mut Game) {
    game.realtime(20).players(2..=2).action::<Finish>().replicate::<Runs>();
    game.systems((|mut runs: ResMut<Runs>| runs.before += 1).run_if(not(started)));
    game.systems((during, finish).run_if(started).run_if(not(ended)));
    game.systems((|mut runs: ResMut<Runs>| runs.after += 1).run_if(ended));
    let second = every(Duration::from_secs(1));
    game.systems((|mut runs: ResMut<Runs>| runs.seconds += 1).run_if(second));
}

fn during(mut runs: ResMut<Runs>, so_far: Match) {
    assert!(so_far.started() && !so_far.ended());
    runs.during += 1;
}

fn finish(finishes: Actions<Finish>, mut referee: Referee) {
    finishes.iter().for_each(|_| referee.end("over"));
}

#[test]
fn systems_run_before_in_and_after_a_match() {
    let mut room = TestRoom::new(phases);
    let ann = room.join("Ann");
    room.run_ticks(5);
    let runs = |room: &TestRoom| room.resource::<Runs>().clone();
    let waiting = runs(&room);
    assert!(waiting.before >= 5 && waiting.during + waiting.after == 0, "{waiting:?}");
    room.join("Bob");
    room.run_ticks(5);
    let playing = runs(&room);
    assert!(playing.during >= 5 && playing.before == waiting.before, "{playing:?}");
    room.act(ann, Finish);
    let during = runs(&room).during;
    room.run_ticks(5);
    assert_eq!((runs(&room).during, runs(&room).after), (during, 5));
}

#[test]
fn each_second_has_one_first_tick() {
    let mut room = TestRoom::new(phases);
    room.run(Duration::from_secs(10));
    assert!((9..=10).contains(&room.resource::<Runs>().seconds), "{:?}", room.resource::<Runs>());
}

/// What was asked, and what ran.
#[derive(Resource, Replicate, Default)]
struct Log {
    ticks: u32,
    inner: u32,
    ran: [u32; 4],
}

fn ran<const N: usize>(mut log: ResMut<Log>) {
    log.ran[N] += 1;
}

/// The outer group runs when no more than two of its systems have run, the inner one at even ticks.
fn nested(game: &mut Game) {
    game.realtime(20).replicate::<Log>();
    let few = |log: Res<Log>| log.ran.iter().sum::<u32>() <= 2;
    let even = |log: Res<Log>| log.ticks.is_multiple_of(2);
    game.systems(|mut log: ResMut<Log>| log.ticks += 1);
    game.systems((ran::<0>, (ran::<1>, ran::<2>).run_if(even), ran::<3>).run_if(few));
}

#[test]
fn a_group_is_asked_once_in_a_tick_and_holds_for_all_in_it() {
    let mut room = TestRoom::new(nested);
    room.run_ticks(1);
    assert_eq!(room.resource::<Log>().ran, [1, 0, 0, 1], "an odd tick");
    room.run_ticks(1);
    // After the first of them more than two have run, but they were asked before that.
    assert_eq!(room.resource::<Log>().ran, [2, 1, 1, 2]);
    room.run_ticks(4);
    assert_eq!(room.resource::<Log>().ran, [2, 1, 1, 2], "too many have run");
}

#[derive(Resource, Replicate, Default)]
struct Source(u32);

#[derive(Resource, Replicate, Default)]
struct Seen {
    alone: u32,
    together: u32,
}

/// Systems that run when something has changed since they were asked last.
fn watching(game: &mut Game) {
    game.realtime(20).replicate::<Source>().replicate::<Seen>();
    game.systems(|time: Res<Time>, mut source: ResMut<Source>| {
        if time.tick.0.is_multiple_of(7) {
            source.0 += 1;
        }
    });
    let changed = |source: Res<Source>| source.is_changed();
    game.systems((|mut seen: ResMut<Seen>| seen.alone += 1).run_if(changed));
    let one = |mut seen: ResMut<Seen>| seen.together += 1;
    let other = |mut seen: ResMut<Seen>| seen.together += 10;
    game.systems((one, other).run_if(changed));
}

#[test]
fn what_a_condition_saw_last_outlives_a_rebuild() {
    let hashes = |snapshot_ticks| -> Vec<u64> {
        let (_, mut room) = bare(move |game: &mut Game| {
            watching(game);
            game.snapshot_ticks(snapshot_ticks);
        });
        let tick = |tick| {
            room.tick(Tick(tick));
            room.state_hash()
        };
        (1..60).map(tick).collect()
    };
    assert_eq!(hashes(1), hashes(10_000));
}

/// Each writes its digit.
fn digits(game: &mut Game) {
    fn digit<const N: u32>(mut source: ResMut<Source>) {
        source.0 = source.0 * 10 + N;
    }
    game.realtime(20).replicate::<Source>();
    game.systems((digit::<1>, (digit::<2>, (digit::<3>, digit::<4>)), digit::<5>));
    game.systems((digit::<6>, digit::<7>));
}

#[test]
fn systems_run_in_the_order_written_also_within_tuples_of_tuples() {
    let mut room = TestRoom::new(digits);
    room.run_ticks(1);
    assert_eq!(room.resource::<Source>().0, 1_234_567);
}
