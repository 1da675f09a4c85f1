//! The map: walls of tiles, and what they are in the way of.

use referee::prelude::*;

/// Largest edge of a map, in units.
pub const SIZE_MAX: f32 = 4096.0;
/// Edge of a tile, in units: wider than a ship.
pub const TILE: f32 = 48.0;
const TILES_MAX: u32 = 86 * 86;

/// The map: made with the room, the same for as long as it lives.
#[derive(Resource, Replicate, Default)]
pub struct Map {
    /// Its edge, in units.
    pub size: u16,
    /// On which tiles a wall stands, row after row.
    #[field(max = TILES_MAX)]
    pub walls: Vec<bool>,
}

/// Makes the room as its first visitor wishes.
pub(crate) fn create(
    params: Params,
    mut setup: ResMut<Setup>,
    (mut map, mut round): (ResMut<Map>, ResMut<crate::Round>),
    (mut rng, mut commands): (ResMut<Rng>, Commands),
) -> Result<(), String> {
    *round = crate::ROUND;
    setup.seats = params.whole("players", 2..=1024)?.unwrap_or(32);
    setup.hz = params.whole("hz", 10..=60)?.unwrap_or(30);
    let roomy = (300.0 + 170.0 * f32::from(setup.seats).sqrt()).min(SIZE_MAX);
    map.size = params.whole("size", 400..=SIZE_MAX as u16)?.unwrap_or(roomy as u16);
    let row = map.row();
    map.walls = vec![false; (row * row) as usize];
    // At most one wall in four by four tiles, beside a free lane: none touches another.
    for (top, left) in (0..row / 4).flat_map(|y| (0..row / 4).map(move |x| (4 * y, 4 * x))) {
        let (long, beside) = (rng.range(0..4), rng.range(1..4));
        let across = rng.chance(0.5);
        for along in 1..=long {
            let (x, y) = if across { (along, beside) } else { (beside, along) };
            map.walls[((top + y) * row + left + x) as usize] = true;
        }
    }
    for _ in 0..=map.size / 256 {
        commands.spawn((crate::Pickup, crate::Position(map.free_place(&mut rng))));
    }
    Ok(())
}

impl Map {
    /// Tiles in a row.
    fn row(&self) -> i32 {
        (f32::from(self.size) / TILE).ceil() as i32
    }

    /// Whether a square of twice this edge, at most a tile, stands clear of walls and inside.
    pub fn is_free(&self, at: Vec2, radius: f32) -> bool {
        let inside = |along: f32| (radius..=f32::from(self.size) - radius).contains(&along);
        let wall = |x: f32, y: f32| {
            let tile = (y / TILE) as i32 * self.row() + (x / TILE) as i32;
            self.walls.get(tile as usize).is_some_and(|wall| *wall)
        };
        let sides = [-radius, radius];
        let touches = sides.iter().any(|x| sides.iter().any(|y| wall(at.x + x, at.y + y)));
        inside(at.x) && inside(at.y) && !touches
    }

    /// A place where nothing stands.
    pub fn free_place(&self, rng: &mut Rng) -> Vec2 {
        let mut along = || rng.between(40.0..f32::from(self.size) - 40.0);
        let mut places = std::iter::repeat_with(|| Vec2::new(along(), along())).take(64);
        places.find(|at| self.is_free(*at, 20.0)).unwrap_or(Vec2::splat(20.0))
    }
}

/// Things from left to right, for [`near`].
pub(crate) fn sorted(things: impl Iterator<Item = (Vec2, Entity)>) -> Vec<(Vec2, Entity)> {
    let mut things: Vec<_> = things.collect();
    things.sort_by(|a, b| a.0.x.total_cmp(&b.0.x));
    things
}

/// What is nearer than this.
pub(crate) fn near(
    things: &[(Vec2, Entity)],
    at: Vec2,
    radius: f32,
) -> impl Iterator<Item = Entity> {
    let from = things.partition_point(|thing| thing.0.x < at.x - radius);
    let close = things[from..].iter().take_while(move |thing| thing.0.x < at.x + radius);
    close.filter(move |thing| thing.0.distance(at) < radius).map(|thing| thing.1)
}
