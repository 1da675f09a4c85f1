//! Arena: a top-down shooter. Fly, aim, shoot, pick up health; whoever has enough points, or the most
//! when time is up, wins the round, and the next one begins.

use referee::prelude::*;

mod bot;
mod map;
#[cfg(test)]
mod tests;

pub use bot::{Ace, bot};
pub use map::{Map, SIZE_MAX, TILE};

/// The page, played at `/arena/{match}`.
pub const PAGE: &str = include_str!("../page.html");

const RADIUS: f32 = 14.0; // of a ship, in units
const SPEED: f32 = 260.0; // of a ship, in units per second
const SHOT_SPEED: f32 = 720.0;
const SHOT_LIFE: Duration = Duration::from_millis(800);
const PAUSE: Duration = Duration::from_millis(250); // between two shots
const RESPAWN: Duration = Duration::from_secs(2);
const ROUND: Round = Round { seconds: 180, winner: None };
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
    game.on_create(map::create)
        .player(|| (Position(Vec2::ZERO), Ship::default(), Ready::default()));
    game.tables(include_bytes!("../tables.bin"));
    game.systems((judge, respawn, steer, shoot, fly, pick_up));
}

fn judge(time: Res<Time>, mut round: ResMut<Round>, mut ships: Query<(Entity, &mut Ship)>) {
    if !time.tick.0.is_multiple_of(time.ticks(Duration::from_secs(1))) {
        return;
    }
    round.seconds = round.seconds.saturating_sub(1);
    let best = ships.iter().filter(|(_, ship)| ship.points > 0).max_by_key(|(_, ship)| ship.points);
    let won = best.filter(|(_, ship)| round.seconds == 0 || ship.points >= POINTS_TO_WIN);
    if let (Some((winner, _)), None) = (won, round.winner) {
        *round = Round { seconds: CHEER_SECONDS, winner: Some(winner) };
    } else if round.seconds == 0 {
        *round = ROUND;
        ships.iter_mut().for_each(|(_, mut ship)| *ship = Ship::default());
    }
}

/// Ships that have just come begin here, too.
fn respawn(
    (map, mut rng, time): (Res<Map>, ResMut<Rng>, Res<Time>),
    mut ships: Query<(&mut Position, &mut Ship, &Ready)>,
) {
    let down = |ship: &Ship, ready: &Ready| ship.health == 0 && ready.0 <= time.tick.0;
    for (mut position, mut ship, _) in ships.iter_mut().filter(|(_, s, r)| down(s, r)) {
        (ship.health, position.0) = (HEALTH, map.free_place(&mut rng));
    }
}

fn steer(map: Res<Map>, time: Res<Time>, mut ships: Query<(&Stick, &mut Position, &mut Ship)>) {
    for (stick, mut position, mut ship) in ships.iter_mut().filter(|(.., ship)| ship.health > 0) {
        ship.aim = stick.aim;
        let way = Vec2::new(stick.x.0, stick.y.0).clamp_length_max(1.0) * SPEED * time.delta;
        // One axis after the other, so that a ship slides along a wall.
        for to in [way * Vec2::X, way * Vec2::Y] {
            let to = position.0 + to;
            position.0 = if map.is_free(to, RADIUS) { to } else { position.0 };
        }
    }
}

fn shoot(
    (time, mut commands): (Res<Time>, Commands),
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
    let steps = (SHOT_SPEED * time.delta / RADIUS).ceil(); // so short that none passes a ship
    for (entity, shot, flight, mut position) in &mut shots {
        let end = (0..steps as u32).find_map(|_| {
            position.0 += flight.velocity * time.delta / steps;
            let struck = map::near(&targets, position.0, RADIUS).find(|ship| *ship != shot.0);
            (struck.is_some() || !map.is_free(position.0, 0.0)).then_some(struck)
        });
        if end.is_some() || flight.ends <= time.tick.0 {
            commands.entity(entity).despawn();
        }
        let struck = end.flatten().and_then(|ship| ships.get_mut(ship).ok());
        let Some((.., mut ship, mut ready)) = struck.filter(|(.., ship, _)| ship.health > 0) else {
            continue;
        };
        ship.health = ship.health.saturating_sub(DAMAGE);
        if ship.health == 0 {
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
