//! What systems may ask for: events to some, shared randomness, commands that come too late, hooks.

use referee_room::prelude::*;
use referee_room::testkit::TestRoom;

#[derive(Event)]
struct Told(#[field(max = 32)] String);

#[derive(Event)]
struct Count(u32);

#[derive(Action)]
struct Tell;

#[derive(Component, Replicate)]
struct Mayfly;

#[derive(Resource, Replicate, Default)]
struct Draws {
    secret: u32,
    shared: u32,
    stopped: bool,
}

fn game(game: &mut Game) {
    game.turn_based().spectators(2).action::<Tell>().event::<Told>().event::<Count>();
    game.replicate::<Mayfly>().replicate::<Draws>();
    game.player(|player: Player| Team(u32::from(player.seat.0) % 2));
    game.systems((tell, draw, bury_twice));
    game.on_stop(|mut draws: ResMut<Draws>| draws.stopped = true);
}

fn tell(tells: Actions<Tell>, mut told: Events<Told>, mut count: Events<Count>) {
    for (player, _) in &tells {
        told.player(player, Told("you".into()));
        told.group(Group::Team(1), Told("team 1".into()));
        told.group(Group::Player(Seat(2)), Told("seat 2".into()));
        told.all(Told("all".into()));
        count.all(Count(1));
    }
}

fn draw(
    tells: Actions<Tell>,
    mut draws: ResMut<Draws>,
    mut rng: ResMut<Rng>,
    shared: SharedRng,
    players: Query<&NetId, With<Player>>,
) {
    for (player, _) in &tells {
        draws.secret = rng.below(u32::MAX);
        if let Ok(id) = players.get(player) {
            draws.shared = shared.of(*id, "draw").below(u32::MAX);
        }
    }
}

/// Two despawns and an insert on what is gone: dropped and counted, no panic.
fn bury_twice(tells: Actions<Tell>, mut commands: Commands) {
    for _ in &tells {
        let mayfly = commands.spawn(Mayfly).id();
        commands.entity(mayfly).despawn();
        commands.entity(mayfly).insert(Mayfly);
    }
}

#[test]
fn events_reach_whom_they_are_for() {
    let mut room = TestRoom::new(game);
    let players: Vec<_> = ["Ann", "Bob", "Cid"].map(|name| room.join(name)).into();
    let eve = room.watch("Eve");
    room.act(players[0], Tell);
    let texts = |events: Vec<(String, Value)>| -> Vec<String> {
        let text = |(name, value): (String, Value)| format!("{name} {value}");
        events.into_iter().map(text).collect()
    };
    let told = |text: &str| format!("Told {}", json!(text));
    let (all, one) = (told("all"), "Count 1".to_owned());
    assert_eq!(texts(room.events(players[0])), [told("you"), all.clone(), one.clone()]);
    assert_eq!(texts(room.events(players[1])), [told("team 1"), all.clone(), one.clone()]);
    assert_eq!(texts(room.events(players[2])), [told("seat 2"), all.clone(), one.clone()]);
    assert_eq!(texts(room.events(eve)), [all, one], "a spectator gets what is for everyone");
}

#[test]
fn a_player_that_was_away_gets_its_events_on_its_return() {
    let mut room = TestRoom::new(game);
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    room.drop_connection(bob);
    room.act(ann, Tell);
    assert!(room.events(bob).is_empty());
    room.resume(bob).unwrap();
    assert_eq!(room.events(bob).len(), 3);
    room.drop_connection(bob);
    room.resume(bob).unwrap();
    assert!(room.events(bob).is_empty(), "and never again");
}

#[test]
fn randomness_is_a_function_of_the_seed() {
    let run = |seed| {
        let mut room = TestRoom::with(game, seed, &Value::Null).unwrap();
        let ann = room.join("Ann");
        room.act(ann, Tell);
        let draws = room.resource::<Draws>();
        (draws.secret, draws.shared)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
    assert_ne!(run(1).1, run(2).1);
}

#[test]
fn commands_on_what_is_gone_are_dropped_and_counted() {
    let mut room = TestRoom::new(game);
    let ann = room.join("Ann");
    room.act(ann, Tell);
    assert_eq!(room.room().counters().dropped_commands, 1);
}

#[test]
fn on_stop_runs_before_the_room_is_saved() {
    let mut room = TestRoom::new(game);
    room.join("Ann");
    room.restart();
    assert!(room.resource::<Draws>().stopped);
}

fn finds_nobody(draws: Query<&Mayfly>) -> Result {
    draws.single()?;
    Ok(())
}

#[test]
#[should_panic(expected = "finds_nobody failed: ")]
fn a_system_that_returns_an_error_is_named() {
    TestRoom::new(|game: &mut Game| {
        game.realtime(20).replicate::<Mayfly>().systems(finds_nobody);
    })
    .run(Duration::from_secs(1));
}
