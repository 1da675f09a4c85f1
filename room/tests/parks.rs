//! Rooms that are put out of memory with their clients connected: nobody notices.

mod common;

use common::{busy, play_round};
use referee_room::prelude::*;
use referee_room::testkit::{TestPlayer, TestRoom};

#[derive(Resource, Replicate, Default)]
struct Played(u32);

#[derive(Component, Replicate)]
struct Card {
    #[field(max = 51)]
    face: u8,
}

#[derive(Component, Replicate)]
struct On(Option<Entity>);

#[derive(Action)]
struct Play;

#[derive(Action)]
struct Draw;

#[derive(Action)]
struct Wait(u32);

#[derive(Replicate)]
struct Over;

#[derive(Event)]
struct Told(u32);

/// Cards in hands that only their players see, and on a table; two teams; a bell.
fn cards(game: &mut Game) {
    game.turn_based().max_players(4).spectators(2).snapshot_ticks(5);
    game.replicate::<Played>().replicate::<Card>().replicate::<On>().event::<Told>();
    game.action::<Play>().action::<Draw>().action::<Wait>().timer::<Over>();
    game.player(|player: Player| Team(u32::from(player.seat.0) % 2));
    game.systems(draw).systems(play).systems(wait);
}

fn draw(
    draws: Actions<Draw>,
    players: Query<&Player>,
    mut rng: ResMut<Rng>,
    mut commands: Commands,
) -> Result {
    for (entity, _) in draws.iter() {
        let hand = Group::Player(players.get(entity)?.seat);
        let card = Card { face: rng.below(52) as u8 };
        commands.spawn((card, On(Some(entity)), InGroups(vec![hand])));
    }
    Ok(())
}

fn play(
    plays: Actions<Play>,
    players: Query<&Player>,
    held: Query<(Entity, &NetId, &InGroups), With<Card>>,
    mut played: ResMut<Played>,
    mut told: Events<Told>,
    mut commands: Commands,
) -> Result {
    for (entity, _) in plays.iter() {
        let hand = [Group::Player(players.get(entity)?.seat)];
        // The oldest: in which order a query gives them is a matter of luck.
        let held = held.iter().filter(|(.., groups)| groups.0 == hand);
        let Some((card, ..)) = held.min_by_key(|(_, id, _)| **id) else { continue };
        played.0 += 1;
        told.all(Told(played.0));
        match played.0 % 5 {
            0 => commands.entity(card).despawn(),
            1 => drop(commands.entity(card).insert(InGroups(vec![Group::Team(0)]))),
            _ => drop(commands.entity(card).remove::<InGroups>()),
        }
    }
    Ok(())
}

fn wait(waits: Actions<Wait>, mut timers: Timers<Over>, over: Due<Over>, mut told: Events<Told>) {
    waits.iter().for_each(|(_, wait)| {
        timers.after(Duration::from_millis(wait.0.into()), Over);
    });
    over.iter().for_each(|_| told.all(Told(0)));
}

/// A generator of its own, so that a failure comes again.
fn random(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

fn play_at_random(seed: u64) -> TestRoom {
    let (mut room, mut state) =
        (TestRoom::with(cards, seed, &Value::Null).expect("it is created"), seed);
    let mut players: Vec<TestPlayer> = vec![room.join("Ann"), room.join("Bob")];
    room.watch("Cat");
    for _ in 0..120 {
        let player = players[random(&mut state, players.len() as u64) as usize];
        match random(&mut state, 10) {
            0..=2 => room.act(player, Draw),
            3..=4 => room.act(player, Play),
            5 => room.act(player, Wait(50)),
            6 if players.len() < 4 => players.push(room.join("Dan")),
            6 => {
                room.drop_connection(player);
                room.park();
                room.resume(player).expect("the seat is held");
            }
            7 => room.run(Duration::from_millis(40)),
            _ => room.park(),
        }
    }
    room
}

/// After each state each client's view is compared with what the room says it is: see `TestRoom`.
#[test]
fn clients_see_what_is_so_and_the_match_is_the_same_again_wherever_it_was_parked() {
    for seed in 0..10 {
        // Played again it is not parked.
        play_at_random(seed).play_again(seed);
    }
}

#[test]
fn a_client_of_a_parked_room_gets_only_what_changed_and_each_event_once() {
    let mut room = TestRoom::new(cards);
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    for _ in 0..20 {
        room.act(ann, Draw);
    }
    room.act(ann, Play);
    let whole: usize = room.frames(ann).iter().map(Vec::len).sum();
    room.park();
    let before = room.frames(ann).len();
    room.act(ann, Play);
    let after: usize = room.frames(ann)[before..].iter().map(Vec::len).sum();
    assert!(after * 3 < whole, "{after} bytes after it was parked, {whole} before");
    for player in [ann, bob] {
        let told: Vec<Value> = room.events(player).into_iter().map(|(_, value)| value).collect();
        assert_eq!(told, [json!(1), json!(2)]);
    }
}

#[test]
fn a_room_in_which_much_moves_comes_back_as_it_was() {
    let mut room = TestRoom::with(busy, 3, &Value::Null).unwrap();
    let players = [room.join("Ann"), room.join("Bob")];
    for round in 0..40u32 {
        play_round(&mut room, players, round);
        if round.is_multiple_of(7) {
            room.park();
        }
    }
    room.play_again(3);
}
