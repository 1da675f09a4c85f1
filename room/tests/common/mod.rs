//! Games for the room's tests.
#![allow(dead_code, unreachable_pub, reason = "each test file uses the parts it needs")]

pub mod script;

use referee_room::entry::{Create, Entry, Join};
use referee_room::prelude::*;
use referee_room::testkit::{TestPlayer, TestRoom};
use referee_room::{Room, Template};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where something is.
#[derive(Component, Replicate, Clone, Copy, PartialEq, Debug, Default)]
pub struct Position {
    #[field(range = -100.0..=100.0, step = 0.01)]
    pub x: f32,
    #[field(range = -100.0..=100.0, step = 0.01)]
    pub y: f32,
}

/// How fast it goes.
#[derive(Component, Replicate, Clone, Copy, PartialEq, Debug, Default)]
pub struct Speed(pub Vec2);

/// A shot: who fired it, and how long it lasts. Makes archetypes of its own.
#[derive(Component, Replicate, Clone, Copy, PartialEq, Debug)]
pub struct Shot {
    pub by: Entity,
    pub left: u8,
}

/// Only its owner sees it.
#[derive(Component, Replicate, Clone, PartialEq, Debug, Default)]
#[replicate(to = owner)]
pub struct Secret(#[field(max = 32)] pub String);

/// How often things happened, counted through change detection on purpose.
#[derive(Resource, Replicate, Clone, PartialEq, Debug, Default)]
pub struct Tally {
    pub added: u32,
    pub changed: u32,
    pub draws: u32,
    pub rung: u32,
}

#[derive(Input, Default, Clone, Copy, PartialEq, Debug)]
pub struct Stick {
    pub x: Axis,
    pub y: Axis,
    pub fire: bool,
}

#[derive(Action)]
pub struct Say(#[field(max = 64)] pub String);

#[derive(Action)]
pub struct Arm {
    #[field(max = 100_000)]
    pub ms: u32,
}

#[derive(Event, Clone)]
pub struct Said {
    pub by: Option<Entity>,
    #[field(max = 64)]
    pub text: String,
}

#[derive(Replicate, Clone)]
pub struct Bell(pub Entity);

/// A realtime game with everything a rebuild could disturb: `Added`, `Changed`, events, timers,
/// spawns, despawns, references, random numbers, a run condition and a second archetype.
pub fn busy(game: &mut Game) {
    game.realtime(20).max_players(8).input::<Stick>().action::<Say>().action::<Arm>();
    game.replicate::<Position>().replicate::<Speed>().replicate::<Shot>().replicate::<Secret>();
    game.replicate::<Tally>().event::<Said>().timer::<Bell>();
    game.player(|player: Player, mut rng: ResMut<Rng>| {
        let at = Position { x: rng.between(-50.0..50.0), y: rng.between(-50.0..50.0) };
        (at, Speed::default(), Secret(format!("of {}", player.name)))
    });
    game.systems((steer, shoot, fly).chain());
    game.systems((speak, arm, ring));
    game.systems(count.run_if(|time: Res<Time>| !time.tick.0.is_multiple_of(3)));
}

fn steer(mut ships: Query<(&Stick, &mut Speed)>) {
    for (stick, mut speed) in &mut ships {
        let wanted = Vec2::new(stick.x.0, stick.y.0) * 10.0;
        if speed.0 != wanted {
            speed.0 = wanted;
        }
    }
}

/// Sorted: who shoots first decides on the order of identities, and a query's own order changes when
/// rows move.
fn shoot(ships: Query<(Entity, &Stick, &Position, &NetId)>, mut commands: Commands) {
    for (by, stick, at, _) in ships.iter().sort::<&NetId>() {
        if stick.fire {
            commands.spawn((Shot { by, left: 5 }, *at));
        }
    }
}

fn fly(
    mut moving: Query<(&Speed, &mut Position)>,
    mut shots: Query<(Entity, &mut Shot)>,
    time: Res<Time>,
    mut commands: Commands,
) {
    for (speed, mut at) in &mut moving {
        if speed.0 != Vec2::ZERO {
            at.x = (at.x + speed.0.x * time.delta).clamp(-100.0, 100.0);
            at.y = (at.y + speed.0.y * time.delta).clamp(-100.0, 100.0);
        }
    }
    for (entity, mut shot) in &mut shots {
        shot.left -= 1;
        if shot.left == 0 {
            commands.entity(entity).despawn();
        }
    }
}

fn speak(says: Actions<Say>, mut said: Events<Said>) {
    for (player, say) in &says {
        said.all(Said { by: Some(player), text: say.0.clone() });
    }
}

fn arm(arms: Actions<Arm>, mut bells: Timers<Bell>) {
    for (player, arm) in &arms {
        bells.after(Duration::from_millis(u64::from(arm.ms)), Bell(player));
    }
}

fn ring(bells: Due<Bell>, mut tally: ResMut<Tally>, mut said: Events<Said>) {
    for bell in &bells {
        tally.rung += 1;
        said.player(bell.0, Said { by: None, text: "ring".into() });
    }
}

fn count(
    added: Query<(), Added<Shot>>,
    changed: Query<(), Changed<Position>>,
    mut tally: ResMut<Tally>,
    mut rng: ResMut<Rng>,
) {
    let (added, changed) = (added.iter().count() as u32, changed.iter().count() as u32);
    if added + changed > 0 {
        tally.added += added;
        tally.changed += changed;
        tally.draws = tally.draws.wrapping_add(rng.below(1000));
    }
}

/// A room of a game, without clients.
pub fn bare(game: impl Fn(&mut Game) + Send + Sync + 'static) -> (Arc<Template>, Room) {
    let template = Template::new("test", game).unwrap_or_else(|e| panic!("{e}"));
    let create = Create { seed: [3; 32], ..Create::default() };
    let room = Room::create(&template, &create).expect("the game creates its room");
    (template, room)
}

/// A join without a link.
pub fn join(session: u64, name: &str) -> Entry {
    Entry::Join(Join {
        session: referee_protocol::SessionId(session),
        name: name.to_owned(),
        attributes: BTreeMap::new(),
        generation: session,
        watch: false,
    })
}

/// A round of `busy` with two players: each steers, and in every seventh one talks and the other sets a bell.
pub fn play_round(room: &mut TestRoom, players: [TestPlayer; 2], round: u32) {
    for (n, player) in players.into_iter().enumerate() {
        let x = Axis(if (round + n as u32).is_multiple_of(2) { 1.0 } else { -0.5 });
        room.input(player, &Stick { x, y: Axis(0.25), fire: round.is_multiple_of(3) });
    }
    if round.is_multiple_of(7) {
        room.act(players[0], Say(format!("round {round}")));
        room.act(players[1], Arm { ms: 20 * round });
    }
}
