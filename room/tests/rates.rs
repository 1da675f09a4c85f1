//! What is told in every n-th tick only, and what waits because a client may get only so many bytes.

use referee_room::prelude::*;
use referee_room::testkit::{TestPlayer, TestRoom};

#[derive(Component, Replicate, Clone, Copy)]
struct Place(#[field(range = 0.0..=2000.0, step = 0.5)] Vec2);

#[derive(Component, Replicate, Clone, Copy)]
struct Mood(u32);

#[derive(Action)]
struct Spawn;

const TICK: Duration = Duration::from_millis(50);

/// Everything changes in each tick.
fn hurry(game: &mut Game) {
    game.realtime(20).players(0..=8).action::<Spawn>();
    game.replicate::<Place>().replicate::<Mood>();
    game.player(|| (Place(Vec2::new(50.0, 50.0)), Mood(0)));
    game.systems((spawn, change));
}

fn spawn(spawns: Actions<Spawn>, mut commands: Commands) {
    for _ in &spawns {
        commands.spawn((Place(Vec2::new(60.0, 60.0)), Mood(0)));
    }
}

fn change(mut all: Query<(&mut Place, &mut Mood)>, time: Res<Time>) {
    for (mut place, mut mood) in &mut all {
        place.0.x = 50.0 + (time.tick.0 % 50) as f32;
        mood.0 = time.tick.0 as u32;
    }
}

fn moods(room: &TestRoom, player: TestPlayer) -> Vec<u64> {
    room.seen_on_entities(player, "Mood").iter().filter_map(Value::as_u64).collect()
}

#[test]
fn a_type_is_told_in_every_third_tick_and_then_as_it_is() {
    let mut room = TestRoom::new(|game: &mut Game| {
        hurry(game);
        game.every::<Mood>(3);
    });
    let ann = room.join("Ann");
    for _ in 0..20 {
        room.run(TICK);
        let tick = room.resource::<Time>().tick.0;
        if tick < 3 {
            continue; // it came in between, and was told at once
        }
        assert_eq!(moods(&room, ann), [tick - tick % 3]);
        let place = &room.seen_on_entities(ann, "Place")[0];
        assert_eq!(place["x"], json!(50.0 + (tick % 50) as f64), "other types are not held up");
    }
}

#[test]
fn what_comes_is_told_at_once_whatever_the_rate() {
    let mut room = TestRoom::new(|game: &mut Game| {
        hurry(game);
        game.every::<Mood>(10).grid(|place: &Place| place.0, 100.0, 150.0).grid_every(5);
    });
    let ann = room.join("Ann");
    for count in 2..8 {
        room.act(ann, Spawn);
        room.run(TICK);
        assert_eq!(moods(&room, ann).len(), count);
    }
    let before = room.frames(ann).len();
    for _ in 0..20 {
        room.run(TICK);
    }
    let long = room.frames(ann)[before..].iter().filter(|frame| frame.len() > 4).count();
    assert_eq!(long, 4, "in every fifth tick");
}

#[test]
fn a_rate_of_a_type_that_is_not_sent_is_named_at_start_up() {
    let wrong = |game: &mut Game| {
        game.realtime(20).every::<Mood>(3);
    };
    let error = referee_room::Template::new("rate", wrong).err().expect("refused").to_string();
    assert!(error.contains("every::<Mood>"), "{error}");
}

/// A hundred things in the cells near a player, all of which say which tick it is.
fn crowd(bytes: u32) -> impl Fn(&mut Game) + Send + Sync + 'static {
    move |game: &mut Game| {
        hurry(game);
        game.grid(|place: &Place| place.0, 100.0, 100.0).bytes_per_second(bytes);
        game.urgency(|group| if matches!(group, Group::Player(_)) { 5 } else { 1 });
        game.on_start(|mut commands: Commands| {
            for n in 0..100u32 {
                let place = Vec2::new(50.0, (n % 20) as f32 * 10.0);
                commands.spawn((Place(place), Mood(0)));
            }
        });
    }
}

#[test]
fn what_does_not_fit_waits_and_nothing_waits_for_good() {
    let mut whole = TestRoom::new(crowd(0));
    let ann = whole.join("Ann");
    let everything = whole.frames(ann)[0].len() as u64;
    let bytes_per_second = 600;
    let mut room = TestRoom::new(crowd(bytes_per_second as u32));
    let ann = room.join("Ann");
    // What all groups take in whole, and one tick more for each that takes too much.
    let bound = everything * 20 / bytes_per_second + 9;
    let (mut oldest, mut before) = (0, 0);
    for n in 0..400 {
        room.run(TICK);
        if n < bound {
            before = room.frames(ann).len();
            continue;
        }
        let tick = room.resource::<Time>().tick.0;
        let told = moods(&room, ann);
        assert_eq!(told.len(), 101, "everything is known by now");
        oldest = told.iter().map(|told| tick - told).max().unwrap_or(0).max(oldest);
    }
    assert!(oldest <= bound, "something is {oldest} ticks old; {bound} is the bound");
    assert!(oldest > 1, "the budget is felt");
    let sent: usize = room.frames(ann)[before..].iter().map(Vec::len).sum();
    let most = bytes_per_second * (400 - bound) / 20;
    assert!((sent as u64) < most + most / 8, "{sent} bytes, {most} are allowed");
}

#[test]
fn who_lacks_something_comes_back_to_full_state() {
    let mut room = TestRoom::new(crowd(2_000));
    let ann = room.join("Ann");
    room.run(TICK * 5);
    room.drop_connection(ann);
    room.resume(ann).unwrap();
    room.run(TICK * 200);
    assert_eq!(moods(&room, ann).len(), 101);
}
