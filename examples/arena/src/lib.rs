//! Arena: a top-down shooter. Fly, aim, shoot, pick up health; whoever has enough points, or the most
//! when time is up, wins the round, and the next one begins.

use referee::prelude::*;

mod bot;

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
const HEALTH: u8 = 5; // hits that a ship stands
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
#[derive(Component, Replicate, Default, Clone, Copy)]
pub struct Position(#[field(range = 0.0..=SIZE_MAX, step = 0.125)] pub Vec2);

/// A player's ship.
#[derive(Component, Replicate, Default)]
pub struct Ship {
    /// Where its gun points.
    pub aim: Angle,
    /// Hits that it stands; without any, it is gone for a while.
    #[field(max = HEALTH)]
    pub health: u8,
    /// Points of this round.
    pub points: u16,
}

/// A shot, and whose it is.
#[derive(Component, Replicate)]
pub struct Shot(pub Entity);

/// Full health for whoever flies over it.
#[derive(Component, Replicate, Default)]
pub struct Pickup;

/// How the round stands.
#[derive(Resource, Replicate)]
pub struct Round {
    /// Seconds until it ends or, when it is won, the next one begins.
    pub seconds: u16,
    /// Who won it.
    pub winner: Option<Entity>,
}

/// The game. Its params: `players` (2 to 1,024 seats), `size` (the map's edge in units, 400 to
/// 4,096), `hz` (10 to 60 ticks per second). With more than 512 seats players see only what is near.
pub fn arena(game: &mut Game) {
    game.realtime(30).rate_param("hz", 10..=60).seats_param("players", 2..=1024).seats(32);
    game.spectators(64).input::<Stick>().tables(include_bytes!("../tables.bin")).begin_with(ROUND);
    game.replicate::<(Position, Ship, Shot, Pickup, Tiles, Round)>().keep::<(Velocity, Until)>();
    game.grid(|at: &Position| at.0, 320.0, 640.0).whole_map(512).param("size", 400..=SIZE_MAX);
    game.on_create(build).on_create(strew).player_has::<(Position, Ship, Until)>();
    game.systems((judge.run_if(every(Duration::from_secs(1))), steer, hit, pick_up));
}

/// Builds the map: as large as the first visitor asks, or so that there is room for all.
fn build(params: Params, setup: Res<Setup>, mut tiles: ResMut<Tiles>, mut rng: ResMut<Rng>) {
    let roomy = 300.0 + 170.0 * f32::from(setup.seats).sqrt();
    let size = params.asked("size").unwrap_or(SIZE_MAX.min(roomy as u16));
    *tiles = Tiles::scattered(size / TILE, size / TILE, f32::from(TILE), &mut rng);
}

/// Strews health over it.
fn strew(tiles: Res<Tiles>, mut rng: ResMut<Rng>, mut commands: Commands) {
    for _ in 0..=tiles.size().x as u16 / 256 {
        commands.spawn((Pickup, Position(tiles.free_place(&mut rng, 1.5 * RADIUS))));
    }
}

/// Once a second: who has won, and whether the next round begins.
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

/// Ships do as their sticks say. Those that have just come, or were shot down a while ago, begin at some
/// free place.
fn steer(
    (tiles, time, mut rng, mut commands): (Res<Tiles>, Res<Time>, ResMut<Rng>, Commands),
    mut ships: Query<(Entity, &Stick, &mut Position, &mut Ship, &mut Until)>,
) {
    for (entity, stick, mut at, mut ship, mut until) in &mut ships {
        if ship.health > 0 {
            let way = Vec2::new(stick.x.0, stick.y.0).clamp_length_max(1.0) * SPEED * time.delta;
            (at.0, ship.aim) = (tiles.slide(at.0, way, RADIUS), stick.aim);
        } else if until.is_over(&time) {
            (at.0, ship.health) = (tiles.free_place(&mut rng, 1.5 * RADIUS), HEALTH);
        }
        if stick.fire && ship.health > 0 && until.is_over(&time) {
            until.0 = time.after(PAUSE);
            let velocity = Velocity(Vec2::from_angle(stick.aim.0) * SHOT_SPEED);
            commands.spawn((Shot(entity), *at, velocity, Until(time.after(SHOT_LIFE))));
        }
    }
}

/// Shots fly until they meet a wall or somebody else's ship, which may be one too many for it.
fn hit(
    (tiles, time, mut commands): (Res<Tiles>, Res<Time>, Commands),
    mut shots: Query<(Entity, &Shot, &Velocity, &Until, &mut Position), Without<Ship>>,
    mut ships: Query<(Entity, &Position, &mut Ship, &mut Until), Without<Shot>>,
) {
    let targets: Near<Entity> = ships.iter().map(|(entity, at, ..)| (at.0, entity)).collect();
    for (entity, Shot(by), velocity, until, mut at) in &mut shots {
        let foe = |ship| ship != *by && ships.get(ship).is_ok_and(|(.., ship, _)| ship.health > 0);
        let met = tiles.fly(&mut at.0, velocity.0 * time.delta).until(&targets, RADIUS, foe);
        if met != Met::Nothing || until.is_over(&time) {
            commands.entity(entity).despawn();
        }
        if let Some(Ok((.., mut ship, mut until))) = met.thing().map(|ship| ships.get_mut(ship)) {
            ship.health -= 1;
            if ship.health == 0 {
                until.0 = time.after(RESPAWN);
                // Whose shot it was may have left meanwhile.
                ships.get_mut(*by).map(|(.., mut by, _)| by.points += 1).unwrap_or_default();
            }
        }
    }
}

/// Health goes to the first hurt ship that flies over it, and lies somewhere else then.
fn pick_up(
    (tiles, mut rng): (Res<Tiles>, ResMut<Rng>),
    mut pickups: Query<&mut Position, With<Pickup>>,
    mut ships: Query<(&Position, &mut Ship), Without<Pickup>>,
) {
    for (at, mut ship) in ships.iter_mut().filter(|(_, ship)| (1..HEALTH).contains(&ship.health)) {
        if let Some(mut pickup) = pickups.iter_mut().find(|p| p.0.distance(at.0) < 2.0 * RADIUS) {
            (ship.health, pickup.0) = (HEALTH, tiles.free_place(&mut rng, 1.5 * RADIUS));
        }
    }
}
