//! Arena: a top-down shooter. Fly, aim, shoot, pick up health; whoever has enough points, or the most
//! when time is up, wins the round, and the next one begins.

use referee::prelude::*;

mod bot;
mod map;

pub use bot::{Ace, bot};
pub use map::{Map, SIZE_MAX};

/// The page, played at `/arena/{match}`.
pub const PAGE: &str = include_str!("../page.html");

const RADIUS: f32 = 14.0; // of a ship, in units
const SPEED: f32 = 260.0; // of a ship, in units per second
const SHOT_SPEED: f32 = 720.0;
const SHOT_LIFE: Duration = Duration::from_millis(800);
const PAUSE: Duration = Duration::from_millis(250); // between two shots
const RESPAWN: Duration = Duration::from_secs(2);
const ROUND_SECONDS: u16 = 180;
const CHEER_SECONDS: u16 = 8; // between a round and the next
const HEALTH: u8 = 100;
const DAMAGE: u8 = 20;
const POINTS_TO_WIN: u16 = 25;

/// The player's controls.
#[derive(Input, Default, Clone)]
pub struct Stick {
    /// To the right.
    pub x: Axis,
    /// Downwards.
    pub y: Axis,
    /// Where the gun points: 0 is to the right, growing clockwise.
    pub aim: Angle,
    /// Whether the trigger is held.
    pub fire: bool,
}

/// Where a thing is, from the top left of the map.
#[derive(Component, Replicate, Clone, Copy)]
pub struct Position(#[field(range = 0.0..=SIZE_MAX, step = 0.125)] pub Vec2);

/// A player's ship.
#[derive(Component, Replicate, Default)]
pub struct Ship {
    /// Where its gun points.
    pub aim: Angle,
    /// 0 to 100; without, it is gone for a while.
    #[field(max = HEALTH)]
    pub health: u8,
    /// Points of this round.
    pub points: u16,
}

/// When a ship may shoot again, or come back: a tick.
#[derive(Component, Replicate, Default)]
struct Ready(u64);

/// A shot, and whose it is.
#[derive(Component, Replicate)]
pub struct Shot(pub Entity);

#[derive(Component, Replicate)]
struct Flight {
    velocity: Vec2,
    ends: u64,
}

/// Full health for whoever flies over it.
#[derive(Component, Replicate, Default)]
pub struct Pickup;

/// How the round stands.
#[derive(Resource, Replicate, Default)]
pub struct Round {
    /// Seconds until it ends or, when it is won, the next one begins.
    pub seconds: u16,
    /// Who won it.
    pub winner: Option<Entity>,
}

/// The game. Its params: `players` (2 to 1,024 seats), `size` (the map's edge in units, 400 to
/// 4,096), `hz` (10 to 60 ticks per second).
pub fn arena(game: &mut Game) {
    game.realtime(30).rate(10..=60).players(0..=1024).seats(32).spectators(64).input::<Stick>();
    game.replicate::<Position>().replicate::<Ship>().replicate::<Shot>().replicate::<Pickup>();
    game.replicate::<Map>().replicate::<Round>().keep::<Flight>().keep::<Ready>();
    game.on_create(map::create).player(|map: Res<Map>, mut rng: ResMut<Rng>| {
        let ship = Ship { health: HEALTH, ..Ship::default() };
        (Position(map.free_place(&mut rng)), ship, Ready::default())
    });
    game.systems((judge, respawn, steer, shoot, fly, pick_up));
}

fn steer(map: Res<Map>, time: Res<Time>, mut ships: Query<(&Stick, &mut Position, &mut Ship)>) {
    for (stick, mut position, mut ship) in ships.iter_mut().filter(|(.., ship)| ship.health > 0) {
        ship.aim = stick.aim;
        let way = Vec2::new(stick.x.0, stick.y.0).clamp_length_max(1.0);
        // One axis after the other, so that a ship slides along a wall.
        for step in [way * Vec2::X, way * Vec2::Y] {
            let to = position.0 + step * SPEED * time.delta;
            position.0 = if map.is_free(to, RADIUS) { to } else { position.0 };
        }
    }
}

fn shoot(
    time: Res<Time>,
    mut commands: Commands,
    mut ships: Query<(Entity, &Stick, &Ship, &Position, &mut Ready)>,
) {
    let now = time.tick.0;
    for (entity, stick, ship, position, mut ready) in &mut ships {
        if stick.fire && ship.health > 0 && ready.0 <= now {
            ready.0 = now + time.ticks(PAUSE);
            let velocity = Vec2::from_angle(stick.aim.0) * SHOT_SPEED;
            let flight = Flight { velocity, ends: now + time.ticks(SHOT_LIFE) };
            commands.spawn((Shot(entity), *position, flight));
        }
    }
}

fn fly(
    (map, time, mut commands): (Res<Map>, Res<Time>, Commands),
    mut shots: Query<(Entity, &Shot, &Flight, &mut Position), Without<Ship>>,
    mut ships: Query<(Entity, &Position, &mut Ship, &mut Ready)>,
) {
    let alive = ships.iter().filter(|(.., ship, _)| ship.health > 0);
    let targets = map::sorted(alive.map(|(entity, position, ..)| (position.0, entity)));
    for (entity, shot, flight, mut position) in &mut shots {
        let from = position.0;
        position.0 = map.way_until_wall(from, flight.velocity * time.delta);
        let struck = map::first_on_way(&targets, from, position.0, RADIUS, shot.0);
        if struck.is_some() || flight.ends <= time.tick.0 || position.0 == from {
            commands.entity(entity).despawn();
        }
        let Some(Ok((.., mut ship, mut ready))) = struck.map(|of| ships.get_mut(of)) else {
            continue;
        };
        let was_alive = ship.health > 0;
        ship.health = ship.health.saturating_sub(DAMAGE);
        if was_alive && ship.health == 0 {
            ready.0 = time.tick.0 + time.ticks(RESPAWN);
            ships.get_mut(shot.0).map(|(.., mut by, _)| by.points += 1).unwrap_or_default();
        }
    }
}

fn pick_up(
    (map, mut rng): (Res<Map>, ResMut<Rng>),
    mut pickups: Query<&mut Position, With<Pickup>>,
    mut ships: Query<(&Position, &mut Ship), Without<Pickup>>,
) {
    for (at, mut ship) in ships.iter_mut().filter(|(_, ship)| (1..HEALTH).contains(&ship.health)) {
        let mut near = pickups.iter_mut().filter(|p| p.0.distance(at.0) < 2.0 * RADIUS);
        if let Some(mut pickup) = near.next() {
            (ship.health, pickup.0) = (HEALTH, map.free_place(&mut rng));
        }
    }
}

fn respawn(
    (map, mut rng, time): (Res<Map>, ResMut<Rng>, Res<Time>),
    mut ships: Query<(&mut Position, &mut Ship, &Ready)>,
) {
    for (mut position, mut ship, ready) in &mut ships {
        if ship.health == 0 && ready.0 <= time.tick.0 {
            (ship.health, position.0) = (HEALTH, map.free_place(&mut rng));
        }
    }
}

fn judge(
    time: Res<Time>,
    mut round: ResMut<Round>,
    mut ships: Query<(Entity, &mut Ship, &mut Ready)>,
) {
    if !time.tick.0.is_multiple_of(time.ticks(Duration::from_secs(1))) {
        return;
    }
    round.seconds = round.seconds.saturating_sub(1);
    let over = round.seconds == 0;
    let best =
        ships.iter().map(|(entity, ship, _)| (ship.points, entity)).max_by_key(|best| best.0);
    let won = best.filter(|(points, _)| *points >= POINTS_TO_WIN || over && *points > 0);
    if let (Some((_, winner)), None) = (won, round.winner) {
        *round = Round { seconds: CHEER_SECONDS, winner: Some(winner) };
    } else if over {
        *round = Round { seconds: ROUND_SECONDS, winner: None };
        for (_, mut ship, mut ready) in &mut ships {
            // Everyone comes back at once, somewhere else.
            (ship.points, ship.health, ready.0) = (0, 0, time.tick.0);
        }
    }
}
