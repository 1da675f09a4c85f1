//! The grid: each player hears of what is near, and of nothing else.

use referee_room::prelude::*;
use referee_room::testkit::{TestPlayer, TestRoom};

#[derive(Component, Replicate, Clone, Copy)]
struct Place(#[field(range = 0.0..=2000.0, step = 0.5)] Vec2);

/// Everyone hears of the score, wherever the player is.
#[derive(Component, Replicate, Clone, Copy)]
#[replicate(to = everyone)]
struct Score(u32);

#[derive(Resource, Replicate, Default)]
struct Round(u32);

#[derive(Component, Replicate, Clone, Copy)]
struct Rock(u32);

#[derive(Action)]
struct Go {
    x: f32,
    y: f32,
}

#[derive(Action)]
struct Hit;

fn game(game: &mut Game) {
    game.realtime(20).players(0..=16).spectators(4).action::<Go>().action::<Hit>();
    game.replicate::<Place>().replicate::<Score>().replicate::<Rock>().replicate::<Round>();
    game.grid(|place: &Place| place.0, 100.0, 200.0);
    game.player(|| (Place(Vec2::new(50.0, 50.0)), Score(0)));
    game.systems((go, hit));
}

fn go(goes: Actions<Go>, mut places: Query<&mut Place>) {
    for (player, go) in &goes {
        places.get_mut(player).expect("every player has one").0 = Vec2::new(go.x, go.y);
    }
}

fn hit(hits: Actions<Hit>, mut scores: Query<&mut Score>, mut round: ResMut<Round>) {
    for (player, _) in &hits {
        scores.get_mut(player).expect("every player has one").0 += 1;
        round.0 += 1;
    }
}

const TICK: Duration = Duration::from_millis(50);

fn two() -> (TestRoom, TestPlayer, TestPlayer) {
    let mut room = TestRoom::new(game);
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    (room, ann, bob)
}

fn places(room: &TestRoom, player: TestPlayer) -> usize {
    room.seen_on_entities(player, "Place").len()
}

fn send(room: &mut TestRoom, player: TestPlayer, x: f32, y: f32) {
    room.act(player, Go { x, y });
    room.run(TICK);
}

#[test]
fn who_is_far_is_out_of_sight_and_comes_back_as_the_same_entity_to_itself() {
    let (mut room, ann, bob) = two();
    assert_eq!(places(&room, ann), 2);
    let own = room.replica(ann).entities().count();
    send(&mut room, bob, 1500.0, 1500.0);
    assert_eq!((places(&room, ann), places(&room, bob)), (1, 1));
    // The score is for everyone: both entities are still known.
    assert_eq!(room.seen_on_entities(ann, "Score").len(), 2);
    assert_eq!(room.replica(ann).entities().count(), own);
    send(&mut room, bob, 150.0, 50.0);
    assert_eq!((places(&room, ann), places(&room, bob)), (2, 2));
}

#[test]
fn a_room_may_do_without_the_grid_and_stays_so() {
    let mut room = TestRoom::new(|rules: &mut Game| {
        game(rules);
        rules.on_create(|mut setup: ResMut<Setup>| {
            setup.whole_map = true;
            Ok::<(), String>(())
        });
    });
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    send(&mut room, bob, 1500.0, 1500.0);
    assert_eq!((places(&room, ann), places(&room, bob)), (2, 2));
    room.restart();
    room.resume(ann).unwrap();
    assert_eq!(places(&room, ann), 2);
}

#[test]
fn rooms_with_few_seats_do_without_the_grid_where_the_game_says_so() {
    for (seats, seen) in [(16, 2), (17, 1)] {
        let mut room = TestRoom::new(move |rules: &mut Game| {
            game(rules);
            rules.players(0..=20).seats(seats).whole_map(16);
        });
        let (ann, bob) = (room.join("Ann"), room.join("Bob"));
        send(&mut room, bob, 1500.0, 1500.0);
        assert_eq!((places(&room, ann), places(&room, bob)), (seen, seen), "{seats} seats");
    }
}

#[test]
fn a_far_thing_takes_no_bytes() {
    let (mut room, ann, bob) = two();
    send(&mut room, bob, 1500.0, 1500.0);
    let before = room.frames(ann).len();
    for n in 0..40 {
        send(&mut room, bob, 1500.0 + (n % 5) as f32 * 40.0, 1500.0);
    }
    let news = &room.frames(ann)[before..];
    let longest = news.iter().map(Vec::len).max().unwrap_or(0);
    assert!(longest <= 4, "signs of life only: {longest} bytes");
    room.act(bob, Hit);
    room.run(TICK);
    assert_eq!(room.seen(ann, "Round"), Some(json!(1)), "what is for everyone comes");
}

#[test]
fn a_walk_over_borders_keeps_the_entity_and_its_handle() {
    let (mut room, ann, bob) = two();
    let handles = |room: &TestRoom| -> Vec<u32> {
        let mut all: Vec<_> = room.replica(ann).entities().map(|(_, handle)| handle).collect();
        all.sort_unstable();
        all
    };
    let before = handles(&room);
    for n in 0..60 {
        // Both walk side by side through many cells.
        room.act(ann, Go { x: 50.0 + n as f32 * 25.0, y: 60.0 });
        room.act(bob, Go { x: 60.0 + n as f32 * 25.0, y: 90.0 });
        room.run(TICK);
        assert_eq!(handles(&room), before, "step {n}");
        assert_eq!(places(&room, ann), 2, "step {n}");
    }
}

#[test]
fn rocks_come_into_sight_and_go_and_everything_survives_a_restart() {
    let (mut room, ann, _) = two();
    room.change(|world| {
        for n in 0..20u32 {
            let place = Place(Vec2::new(n as f32 * 100.0 + 50.0, 50.0));
            world.spawn((Rock(n), place));
        }
    });
    room.run(TICK);
    let rocks = |room: &TestRoom| {
        let seen = room.seen_on_entities(ann, "Rock");
        let mut seen: Vec<u64> = seen.iter().filter_map(Value::as_u64).collect();
        seen.sort_unstable();
        seen
    };
    assert_eq!(rocks(&room), [0, 1, 2]);
    send(&mut room, ann, 1050.0, 50.0);
    assert_eq!(rocks(&room), [8, 9, 10, 11, 12]);
    room.restart();
    room.resume(ann).unwrap();
    room.run(TICK);
    assert_eq!(rocks(&room), [8, 9, 10, 11, 12]);
}

#[test]
fn who_watches_sees_what_the_first_player_sees() {
    let (mut room, ann, bob) = two();
    let eve = room.watch("Eve");
    send(&mut room, ann, 1000.0, 1000.0);
    assert_eq!(places(&room, eve), 1);
    send(&mut room, bob, 1050.0, 1000.0);
    assert_eq!(places(&room, eve), 2);
}

#[test]
fn a_sight_that_reaches_too_far_is_named_at_start_up() {
    let wrong = |game: &mut Game| {
        game.realtime(20).replicate::<Place>().grid(|place: &Place| place.0, 10.0, 1000.0);
    };
    let error = referee_room::Template::new("far", wrong).err().expect("refused").to_string();
    assert!(error.contains("grid") && error.contains("2.5"), "{error}");
}
