//! The rules of the arena, in memory.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::Duration;

use arena::{Position, Round, Ship, Stick, arena};
use referee::prelude::*;
use referee::testkit::{TestPlayer, TestRoom};

const SECOND: Duration = Duration::from_secs(1);

fn room(params: Value) -> TestRoom {
    TestRoom::with(arena, 3, &params).unwrap()
}

fn at(room: &TestRoom, player: TestPlayer) -> Vec2 {
    room.component::<Position>(player).0
}

fn ship(room: &TestRoom, player: TestPlayer) -> (u8, u16) {
    let ship = room.component::<Ship>(player);
    (ship.health, ship.points)
}

/// Matches in which Ann has Bob in front of her gun, without a wall between and within reach.
fn duels() -> impl Iterator<Item = (TestRoom, TestPlayer, TestPlayer, Angle)> {
    (0..500).filter_map(|seed| {
        let params = json!({ "players": 2, "size": 600 });
        let mut room = TestRoom::with(arena, seed, &params).unwrap();
        let (ann, bob) = (room.join("Ann"), room.join("Bob"));
        let (from, to) = (at(&room, ann), at(&room, bob));
        let close = (60.0..400.0).contains(&from.distance(to));
        let aim = (to - from).to_angle().rem_euclid(std::f32::consts::TAU);
        let good = close && room.resource::<Tiles>().sees(from, to);
        good.then_some((room, ann, bob, Angle(aim)))
    })
}

fn duel() -> (TestRoom, TestPlayer, TestPlayer, Angle) {
    duels().next().expect("some seed puts two players into each other's sight")
}

/// Where health lies.
fn health(room: &TestRoom) -> Vec<Vec2> {
    let world = room.world();
    let mut query = world.try_query_filtered::<&Position, With<arena::Pickup>>().unwrap();
    query.iter(world).map(|position| position.0).collect()
}

/// Health to which a ship can fly straight.
fn open_health(room: &TestRoom, player: TestPlayer) -> Option<Vec2> {
    let (map, from) = (room.resource::<Tiles>(), at(room, player));
    let open = |to: &Vec2| (0..=100).all(|n| map.is_free(from.lerp(*to, n as f32 / 100.0), 14.5));
    health(room).into_iter().filter(|to| from.distance(*to) > 40.0).find(open)
}

/// Ann shoots until Bob is down; after how many steps of 50 ms.
fn shoot_down(room: &mut TestRoom, ann: TestPlayer, bob: TestPlayer, aim: Angle) -> u32 {
    for step in 0..200 {
        if ship(room, bob).0 == 0 {
            return step;
        }
        room.input(ann, &Stick { aim, fire: true, ..Stick::default() });
        room.run(Duration::from_millis(50));
    }
    panic!("nobody was hit");
}

#[test]
fn a_ship_flies_where_the_stick_points_and_no_faster_on_the_diagonal() {
    let (mut room, ann, ..) = duel();
    let map = room.resource::<Tiles>();
    let from = at(&room, ann);
    let ways = [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0), (1.0, 1.0), (-1.0, -1.0)];
    let open = |way: &(f32, f32)| {
        let to = from + Vec2::from(*way).normalize() * 40.0;
        (0..=40).all(|n| map.is_free(from.lerp(to, n as f32 / 40.0), 15.0))
    };
    let (x, y) = *ways.iter().find(|way| open(way)).expect("some way is open");
    room.input(ann, &Stick { x: Axis(x), y: Axis(y), ..Stick::default() });
    room.run(Duration::from_millis(100));
    let flown = at(&room, ann) - from;
    assert!((flown.length() - 26.0).abs() < 9.0, "a tenth of a second at 260 a second: {flown}");
    assert!(flown.normalize().dot(Vec2::new(x, y).normalize()) > 0.99, "{flown}");
}

#[test]
fn walls_and_edges_stop_ships_whatever_they_do() {
    let mut room = room(json!({ "players": 8, "size": 500 }));
    let players: Vec<_> = (0..8).map(|n| room.join(&format!("P{n}"))).collect();
    for step in 0..200 {
        for (n, player) in players.iter().enumerate() {
            let way = Vec2::from_angle((step / 20 * 7 + n as u32 * 3) as f32);
            room.input(*player, &Stick { x: Axis(way.x), y: Axis(way.y), ..Stick::default() });
        }
        room.run(Duration::from_millis(50));
        for player in &players {
            let place = at(&room, *player);
            assert!(room.resource::<Tiles>().is_free(place, 13.9), "step {step}: {place}");
        }
    }
}

#[test]
fn shots_cost_health_then_the_ship_and_the_shooter_gets_a_point() {
    let (mut room, ann, bob, aim) = duel();
    shoot_down(&mut room, ann, bob, aim);
    assert_eq!((ship(&room, bob), ship(&room, ann)), ((0, 0), (5, 1)));
    room.input(ann, &Stick::default());
    room.run(Duration::from_millis(1500));
    assert_eq!(ship(&room, bob).0, 0, "not yet back");
    room.run(SECOND);
    assert_eq!(ship(&room, bob), (5, 0));
}

#[test]
fn whoever_is_down_neither_flies_nor_shoots() {
    let (mut room, ann, bob, aim) = duel();
    shoot_down(&mut room, ann, bob, aim);
    let place = at(&room, bob);
    let back = Angle((aim.0 + std::f32::consts::PI).rem_euclid(std::f32::consts::TAU));
    room.input(ann, &Stick::default());
    room.input(bob, &Stick { x: Axis(1.0), y: Axis(0.0), aim: back, fire: true });
    room.run(SECOND);
    assert_eq!((at(&room, bob), ship(&room, ann).0), (place, 5));
}

/// Where this player's shots end: where the last of them was seen, and how long one step of it is.
fn last_of_a_shot(room: &mut TestRoom, by: TestPlayer, aim: Angle) -> Option<Vec2> {
    room.input(by, &Stick { aim, fire: true, ..Stick::default() });
    let mut last = None;
    for _ in 0..60 {
        room.run(Duration::from_millis(17));
        let world = room.world();
        let mut query = world.try_query_filtered::<&Position, With<arena::Shot>>()?;
        let now = query.iter(world).map(|position| position.0).next();
        match (now, last) {
            (None, Some(_)) => return last,
            (now, _) => last = now.or(last),
        }
        room.input(by, &Stick { aim, ..Stick::default() });
    }
    last
}

#[test]
fn a_shot_does_not_pass_a_wall_at_any_rate() {
    for hz in [10, 30, 60] {
        let params = json!({ "players": 2, "size": 800, "hz": hz });
        let rooms = (0..200).map(|seed| TestRoom::with(arena, seed, &params).unwrap());
        let stopped = rooms.filter_map(|mut room| {
            let ann = room.join("Ann");
            let from = at(&room, ann);
            let map = room.resource::<Tiles>();
            // To the right stands a wall, and behind it there is room again.
            let free: Vec<_> =
                (0..400).map(|far| map.is_free(from + Vec2::X * far as f32, 0.0)).collect();
            let wall = free.iter().position(|free| !free)?;
            let behind = wall + free[wall..].iter().position(|free| *free)?;
            let end = last_of_a_shot(&mut room, ann, Angle(0.0));
            let far = end.map_or(0.0, |end| end.x - from.x);
            assert!(far < wall as f32, "{hz} Hz: {far} units, the wall is {wall} to {behind} away");
            Some(())
        });
        assert!(stopped.take(12).count() == 12, "{hz} Hz: too few walls were shot at");
    }
}

#[test]
fn a_shot_that_meets_nothing_ends_by_itself() {
    let mut room = TestRoom::with(arena, 1, &json!({ "players": 2, "size": 4096 })).unwrap();
    let ann = room.join("Ann");
    let from = at(&room, ann);
    let ways = (0..64).map(|n| Vec2::from_angle(n as f32 * 0.098));
    let mut open = ways.filter(|way| room.resource::<Tiles>().sees(from, from + way * 640.0));
    let aim =
        Angle(open.next().expect("some way is open").to_angle().rem_euclid(std::f32::consts::TAU));
    let end = last_of_a_shot(&mut room, ann, aim).expect("a shot was fired");
    assert!((450.0..640.0).contains(&from.distance(end)), "{}", from.distance(end));
}

#[test]
fn a_round_ends_by_time_and_the_one_with_the_most_points_has_won() {
    let (mut room, ann, bob, aim) = duel();
    shoot_down(&mut room, ann, bob, aim);
    room.input(ann, &Stick::default());
    let left = u64::from(room.resource::<Round>().seconds);
    room.run(SECOND * (left as u32 - 2));
    assert_eq!(room.resource::<Round>().winner, None, "two seconds are left");
    room.run(SECOND * 3);
    let round = room.resource::<Round>();
    assert_eq!((round.winner, round.seconds), (Some(room.entity(ann)), 7));
    room.run(SECOND * 8);
    assert_eq!(room.resource::<Round>().winner, None, "the next round");
    assert_eq!((ship(&room, ann), ship(&room, bob)), ((5, 0), (5, 0)));
}

#[test]
fn a_round_in_which_nobody_had_a_point_has_no_winner() {
    let mut room = room(json!({ "players": 2 }));
    room.join("Ann");
    room.run(SECOND * 181);
    let round = room.resource::<Round>();
    assert_eq!(round.winner, None);
    assert!(round.seconds > 170, "the next one has begun: {}", round.seconds);
}

#[test]
fn enough_points_win_the_round_and_the_next_begins_from_nothing() {
    let (mut room, ann, bob, aim) = duel();
    let mut downs = 0;
    while room.resource::<Round>().winner.is_none() {
        // Bob comes back somewhere else: Ann looks for him from where she is.
        let (from, to) = (at(&room, ann), at(&room, bob));
        let aim = if downs == 0 { aim.0 } else { (to - from).to_angle() };
        let way = (to - from).normalize_or_zero() + Vec2::from_angle(downs as f32 * 2.4) * 0.8;
        let way = way.clamp_length_max(1.0);
        let aim = Angle(aim.rem_euclid(std::f32::consts::TAU));
        room.input(ann, &Stick { x: Axis(way.x), y: Axis(way.y), aim, fire: true });
        room.run(Duration::from_millis(100));
        downs += 1;
        assert!(downs < 4000, "Ann has {} points", ship(&room, ann).1);
    }
    assert_eq!(room.resource::<Round>().winner, Some(room.entity(ann)));
    let page = room.seen(bob, "Round").unwrap();
    assert!(page["winner"].is_number() && page["seconds"].as_u64() <= Some(8), "{page}");
    room.input(ann, &Stick::default());
    room.run(SECOND * 9);
    let round = room.resource::<Round>();
    assert_eq!(round.winner, None);
    assert!(round.seconds > 170, "{}", round.seconds);
    assert_eq!((ship(&room, ann), ship(&room, bob)), ((5, 0), (5, 0)));
}

#[test]
fn health_is_picked_up_and_appears_elsewhere() {
    let mut good = duels().filter_map(|(room, ann, bob, aim)| {
        let to = open_health(&room, bob)?;
        Some((room, ann, bob, aim, to))
    });
    let (mut room, ann, bob, aim, to) = good.next().expect("some health lies open");
    while ship(&room, bob).0 == 5 {
        room.input(ann, &Stick { aim, fire: true, ..Stick::default() });
        room.run(Duration::from_millis(30));
    }
    // Ann shoots no more, but for what is in the air.
    room.input(ann, &Stick::default());
    let before = health(&room);
    for step in 0.. {
        let way = (to - at(&room, bob)).normalize_or_zero();
        room.input(bob, &Stick { x: Axis(way.x), y: Axis(way.y), ..Stick::default() });
        room.run(Duration::from_millis(30));
        if health(&room) != before {
            break;
        }
        assert!(step < 300, "Bob is at {}, health lies at {to}", at(&room, bob));
    }
    assert_eq!(ship(&room, bob).0, 5);
    let after = health(&room);
    assert_eq!(before.len(), after.len());
    assert_eq!(after.iter().filter(|place| !before.contains(place)).count(), 1);
}

#[test]
fn in_a_large_room_players_see_what_is_near() {
    for (players, sees) in [(512, 20), (1000, 1)] {
        let mut room = room(json!({ "players": players, "size": 4000 }));
        let comes: Vec<_> = (0..20).map(|n| room.join(&format!("Player {n}"))).collect();
        room.run(Duration::from_secs(1));
        let ships = room.seen_on_entities(comes[0], "Ship").len();
        // Twenty ships on so large a map: most are far from each other.
        assert!(ships >= sees && (ships < 10 || players == 512), "{ships} of 20 with {players}");
    }
}

#[test]
fn params_have_bounds_that_are_told() {
    let made = room(json!({ "players": 3, "hz": 60, "size": 900 }));
    assert_eq!(made.resource::<Tiles>().size(), Vec2::splat(18.0 * 48.0), "whole tiles");
    let wrong = [("players", 1), ("players", 1025), ("hz", 9), ("hz", 61), ("size", 399)];
    for (name, value) in wrong {
        let refusal = TestRoom::with(arena, 1, &json!({ name: value })).err().unwrap();
        assert!(refusal.message.contains(name) && refusal.message.contains("allowed"), "{refusal}");
    }
    assert!(TestRoom::with(arena, 1, &json!({ "players": "many" })).is_err());
}

#[test]
fn a_restart_in_mid_match_keeps_what_was_reached() {
    let (mut room, ann, bob, aim) = duel();
    shoot_down(&mut room, ann, bob, aim);
    let reached = |room: &TestRoom| {
        let walls = room.resource::<Tiles>().clone();
        (ship(room, ann), ship(room, bob), at(room, ann), room.resource::<Round>().seconds, walls)
    };
    let before = reached(&room);
    room.restart();
    assert_eq!(reached(&room), before);
    room.resume(ann).unwrap();
    room.resume(bob).unwrap();
    room.run(SECOND * 3);
    assert_eq!((ship(&room, ann).1, ship(&room, bob).0), (1, 5), "Bob came back, the point stays");
}

#[test]
fn a_room_has_as_many_seats_as_were_asked_for() {
    let mut room = room(json!({ "players": 40, "hz": 20 }));
    let players: Vec<_> = (0..40).map(|n| room.join(&format!("P{n}"))).collect();
    for (n, player) in players.iter().enumerate() {
        let aim = Angle(n as f32 % std::f32::consts::TAU);
        room.input(*player, &Stick { x: Axis(0.5), y: Axis(0.5), aim, fire: true });
    }
    room.run(Duration::from_millis(300));
    assert_eq!(room.seen_on_entities(players[20], "Ship").len(), 40);
    assert!(room.try_join("P41").is_ok_and(|late| room.seat(late).is_none()), "it watches");
}
