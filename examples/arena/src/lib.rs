//! Arena: a top-down shooter. Fly, aim, shoot, pick up health; whoever has enough points, or the most
//! when time is up, wins the round, and the next one begins.

use referee::prelude::*;

mod bot;
#[cfg(test)]
mod tests;

pub use bot::{Ace, bot};

/// The page, played at `/arena/{match}`.
pub const PAGE: &str = include_str!("../page.html");

const TILE: u16 = 48; // the edge of a tile, in units
const SIZE_MAX: u16 = 4096; // the edge of a map
const RADIUS: f32 = 14.0; // of a ship
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

/// The walls: made with the room, the same for as long as it lives.
#[derive(Resource, Replicate, Default)]
pub struct Map(pub Tiles);

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

/// A shot, and whose it is.
#[derive(Component, Replicate)]
pub struct Shot(pub Entity);

/// How a shot flies, in units per second.
#[derive(Component, Replicate)]
struct Velocity(Vec2);

/// Until when a ship reloads or is gone, and a shot flies.
#[derive(Component, Replicate, Default)]
struct Until(Tick);

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
/// 4,096), `hz` (10 to 60 ticks per second). With more than 512 seats players see only what is near.
pub fn arena(game: &mut Game) {
    game.realtime(30).rate(10..=60).players(0..=1024).seats(32).spectators(64).input::<Stick>();
    game.replicate::<Position>().replicate::<Ship>().replicate::<Shot>().replicate::<Pickup>();
    game.replicate::<Map>().replicate::<Round>().keep::<Velocity>().keep::<Until>();
    game.grid(|at: &Position| at.0, 320.0, 640.0); // in large rooms
    game.on_create(create).player(|| (Position(Vec2::ZERO), Ship::default(), Until::default()));
    game.tables(include_bytes!("../tables.bin"));
    game.systems((judge.run_if(every(Duration::from_secs(1))), fly, shoot, hit, pick_up));
}

/// Makes the room as its first visitor wishes.
fn create(
    params: Params,
    (mut setup, mut map, mut round): (ResMut<Setup>, ResMut<Map>, ResMut<Round>),
    (mut rng, mut commands): (ResMut<Rng>, Commands),
) -> Result<(), String> {
    setup.seats = params.whole("players", 2..=1024)?.unwrap_or(32);
    setup.hz = params.whole("hz", 10..=60)?.unwrap_or(30);
    setup.whole_map = setup.seats <= 512;
    let roomy = 300.0 + 170.0 * f32::from(setup.seats).sqrt();
    let size = params.whole("size", 400..=SIZE_MAX)?.unwrap_or(SIZE_MAX.min(roomy as u16));
    map.0 = Tiles::scattered(size / TILE, size / TILE, f32::from(TILE), &mut rng);
    *round = ROUND;
    for _ in 0..=size / 256 {
        commands.spawn((Pickup, Position(map.0.free_place(&mut rng, 1.5 * RADIUS))));
    }
    Ok(())
}

fn judge(mut round: ResMut<Round>, mut ships: Query<(Entity, &mut Ship)>) {
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

/// Ships that have just come, or were shot down a while ago, begin at some free place.
fn fly(
    (map, mut rng, time): (Res<Map>, ResMut<Rng>, Res<Time>),
    mut ships: Query<(&Stick, &Until, &mut Position, &mut Ship)>,
) {
    for (stick, until, mut at, mut ship) in &mut ships {
        if ship.health > 0 {
            let way = Vec2::new(stick.x.0, stick.y.0).clamp_length_max(1.0) * SPEED * time.delta;
            (at.0, ship.aim) = (map.0.slide(at.0, way, RADIUS), stick.aim);
        } else if until.0 <= time.tick {
            (at.0, ship.health) = (map.0.free_place(&mut rng, 1.5 * RADIUS), HEALTH);
        }
    }
}

fn shoot(
    (time, mut commands): (Res<Time>, Commands),
    mut ships: Query<(Entity, &Stick, &Ship, &Position, &mut Until)>,
) {
    for (entity, stick, ship, at, mut until) in &mut ships {
        if stick.fire && ship.health > 0 && until.0 <= time.tick {
            until.0 = time.after(PAUSE);
            let velocity = Velocity(Vec2::from_angle(stick.aim.0) * SHOT_SPEED);
            commands.spawn((Shot(entity), *at, velocity, Until(time.after(SHOT_LIFE))));
        }
    }
}

fn hit(
    (map, time, mut commands): (Res<Map>, Res<Time>, Commands),
    mut shots: Query<(Entity, &Shot, &Velocity, &Until, &mut Position), Without<Ship>>,
    mut ships: Query<(Entity, &Position, &mut Ship, &mut Until), Without<Shot>>,
) {
    let alive = ships.iter().filter(|(.., ship, _)| ship.health > 0);
    let targets: Near<Entity> = alive.map(|(entity, at, ..)| (at.0, entity)).collect();
    for (entity, Shot(by), velocity, until, mut at) in &mut shots {
        let (from, to) = (at.0, at.0 + velocity.0 * time.delta);
        at.0 = map.0.until_wall(from, to);
        let target = targets.on_way(from, at.0, RADIUS).find(|ship| ship != by);
        if target.is_some() || at.0 != to || until.0 <= time.tick {
            commands.entity(entity).despawn();
        }
        let struck = target.and_then(|ship| ships.get_mut(ship).ok());
        if let Some((.., mut ship, mut until)) = struck.filter(|(.., ship, _)| ship.health > 0) {
            ship.health = ship.health.saturating_sub(DAMAGE);
            if ship.health == 0 {
                until.0 = time.after(RESPAWN);
                ships.get_mut(*by).map(|(.., mut by, _)| by.points += 1).unwrap_or_default();
            }
        }
    }
}

fn pick_up(
    (map, mut rng): (Res<Map>, ResMut<Rng>),
    mut pickups: Query<&mut Position, With<Pickup>>,
    mut ships: Query<(&Position, &mut Ship), Without<Pickup>>,
) {
    for (at, mut ship) in ships.iter_mut().filter(|(_, ship)| (1..HEALTH).contains(&ship.health)) {
        if let Some(mut pickup) = pickups.iter_mut().find(|p| p.0.distance(at.0) < 2.0 * RADIUS) {
            (ship.health, pickup.0) = (HEALTH, map.0.free_place(&mut rng, 1.5 * RADIUS));
        }
    }
}
