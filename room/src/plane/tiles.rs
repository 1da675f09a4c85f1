//! A map of tiles with walls, and what they are in the way of.

use std::ops::RangeInclusive;

use bevy_ecs::resource::Resource;
use glam::Vec2;
use referee_macros::Replicate;

use super::Flight;
use crate::random::{Draw, Rng};

/// Most tiles of a map: 256 by 256.
pub const TILES_MAX: u32 = 1 << 16;
/// What stays free between a wall and what slid against it, in tiles: so that no rounding takes it for
/// being inside of the wall.
const GAP: f32 = 1.0 / 1024.0;
/// How often a free place is looked for by chance.
const TRIES: usize = 64;

/// A map of square tiles, each free or a wall, from the top left. What lies beyond its edges counts as
/// walls. It is a resource, empty until the game builds it, which goes to clients by
/// `game.replicate::<Tiles>()`; a game with several maps has it as a field of its own types.
///
/// ```
/// # use referee_room::prelude::*;
/// fn create(mut tiles: ResMut<Tiles>, mut rng: ResMut<Rng>) {
///     *tiles = Tiles::scattered(20, 12, 48.0, &mut rng);
/// }
///
/// # #[derive(Component)] struct Position(Vec2);
/// fn walk(tiles: Res<Tiles>, time: Res<Time>, mut all: Query<(&Velocity, &mut Position)>) {
///     for (velocity, mut at) in &mut all {
///         at.0 = tiles.slide(at.0, velocity.0 * time.delta, 14.0);
///     }
/// }
/// ```
#[derive(Resource, Clone, PartialEq, Debug, Default, Replicate)]
pub struct Tiles {
    /// Edge of a tile, in units.
    tile: f32,
    /// Tiles in a row.
    columns: u16,
    /// On which a wall stands, row after row.
    #[field(max = TILES_MAX)]
    walls: Vec<bool>,
}

impl Tiles {
    /// A map without walls, of tiles with this edge.
    ///
    /// # Panics
    /// When there are more than [`TILES_MAX`] tiles, or they have no size.
    #[must_use]
    pub fn new(columns: u16, rows: u16, tile: f32) -> Self {
        let count = u32::from(columns) * u32::from(rows);
        assert!(count <= TILES_MAX, "{columns} by {rows} tiles are more than {TILES_MAX}");
        assert!(tile > 0.0 && tile.is_finite(), "a tile's edge is {tile}; it must be above 0");
        Self { tile, columns, walls: vec![false; count as usize] }
    }

    /// A map to begin with: short straight walls strewn over it. None touches another, so that
    /// everything can be reached from everywhere.
    ///
    /// # Panics
    /// As [`Tiles::new`].
    #[must_use]
    pub fn scattered(columns: u16, rows: u16, tile: f32, rng: &mut Rng) -> Self {
        let mut tiles = Self::new(columns, rows, tile);
        // At most one wall in four by four tiles, of which the first row and column stay free.
        let corners = (0..rows / 4).flat_map(|row| (0..columns / 4).map(move |c| (4 * c, 4 * row)));
        for (left, top) in corners {
            let (long, beside) = (rng.below(4) as u16, 1 + rng.below(3) as u16);
            let upright = rng.chance(0.5);
            for along in 1..=long {
                let (right, down) = if upright { (beside, along) } else { (along, beside) };
                tiles.build(left + right, top + down);
            }
        }
        tiles
    }

    /// Puts a wall on a tile. Beyond the map's edges there is one already.
    pub fn build(&mut self, column: u16, row: u16) {
        self.set(column, row, true);
    }

    /// Takes the wall off a tile.
    pub fn clear(&mut self, column: u16, row: u16) {
        self.set(column, row, false);
    }

    fn set(&mut self, column: u16, row: u16, wall: bool) {
        let index = self.index(i32::from(column), i32::from(row));
        if let Some(tile) = index.and_then(|index| self.walls.get_mut(index)) {
            *tile = wall;
        }
    }

    /// Whether there is a wall, or the map ends.
    #[must_use]
    pub fn is_wall(&self, column: i32, row: i32) -> bool {
        let index = self.index(column, row);
        index.and_then(|index| self.walls.get(index)).is_none_or(|wall| *wall)
    }

    fn index(&self, column: i32, row: i32) -> Option<usize> {
        let (column, row) = (u16::try_from(column).ok()?, usize::try_from(row).ok()?);
        (column < self.columns).then(|| row * usize::from(self.columns) + usize::from(column))
    }

    /// Tiles in a row.
    #[must_use]
    pub fn columns(&self) -> u16 {
        self.columns
    }

    /// Rows of tiles.
    #[must_use]
    pub fn rows(&self) -> u16 {
        (self.walls.len() / usize::from(self.columns.max(1))) as u16
    }

    /// Edge of a tile, in units.
    #[must_use]
    pub fn tile(&self) -> f32 {
        self.tile
    }

    /// The bottom right corner, in units.
    #[must_use]
    pub fn size(&self) -> Vec2 {
        Vec2::new(f32::from(self.columns), f32::from(self.rows())) * self.tile
    }

    /// Whether what reaches so far to each side stands clear of walls: a square.
    #[must_use]
    pub fn is_free(&self, at: Vec2, radius: f32) -> bool {
        let (columns, mut rows) = (self.covered(at.x, radius), self.covered(at.y, radius));
        rows.all(|row| columns.clone().all(|column| !self.is_wall(column, row)))
    }

    /// Where something gets that moves so far and reaches so far to each side: along walls, not through
    /// them, however far.
    #[must_use]
    pub fn slide(&self, from: Vec2, way: Vec2, radius: f32) -> Vec2 {
        let rows = self.covered(from.y, radius);
        let x = self.sweep(from.x, way.x, radius, |column| {
            rows.clone().any(|row| self.is_wall(column, row))
        });
        let columns = self.covered(x, radius);
        let y = self.sweep(from.y, way.y, radius, |row| {
            columns.clone().any(|column| self.is_wall(column, row))
        });
        Vec2::new(x, y)
    }

    /// Where something without size gets on a straight way: to its end, or to the wall before it.
    #[must_use]
    pub fn until_wall(&self, from: Vec2, to: Vec2) -> Vec2 {
        let (mut column, mut row) = (self.tile_at(from.x), self.tile_at(from.y));
        let way = to - from;
        // Which part of the way is behind it at the next border, to the side and down.
        let border = |tile: i32, from: f32, way: f32| {
            let next = if way > 0.0 { tile + 1 } else { tile };
            if way == 0.0 { f32::INFINITY } else { (next as f32 * self.tile - from) / way }
        };
        let mut part = 0.0;
        // Beyond the map all is wall: it ends.
        while !self.is_wall(column, row) {
            let (right, down) = (border(column, from.x, way.x), border(row, from.y, way.y));
            part = right.min(down);
            if part.is_nan() || part >= 1.0 {
                return to;
            }
            match right < down {
                true => column += if way.x > 0.0 { 1 } else { -1 },
                false => row += if way.y > 0.0 { 1 } else { -1 },
            }
        }
        from + way * part.max(0.0)
    }

    /// Moves what has no size on a straight way, in units: to its end, or to the wall before it, where it
    /// stays. What else it may meet [`Flight::until`] says.
    pub fn fly<'a>(&self, at: &'a mut Vec2, way: Vec2) -> Flight<'a> {
        let (from, to) = (*at, *at + way);
        *at = self.until_wall(from, to);
        Flight { from, wall: *at != to, at }
    }

    /// Whether no wall stands between two places.
    #[must_use]
    pub fn sees(&self, from: Vec2, to: Vec2) -> bool {
        self.until_wall(from, to) == to
    }

    /// Some place with so much room to each side; the middle of the map where there is none.
    #[must_use]
    pub fn free_place(&self, rng: &mut Rng, radius: f32) -> Vec2 {
        let size = self.size();
        let mut place = || Vec2::new(rng.between(0.0..size.x), rng.between(0.0..size.y));
        let mut by_chance = std::iter::repeat_with(&mut place).take(TRIES);
        let found = by_chance.find(|at| self.is_free(*at, radius));
        found.or_else(|| self.free_tile(radius)).unwrap_or(size / 2.0)
    }

    /// The middle of the first tile with so much room.
    fn free_tile(&self, radius: f32) -> Option<Vec2> {
        let row = |row| (0..self.columns).map(move |column| (column, row));
        let all = (0..self.rows()).flat_map(row);
        let middles = all.map(|(c, r)| (Vec2::new(f32::from(c), f32::from(r)) + 0.5) * self.tile);
        let mut free = middles.filter(|at| self.is_free(*at, radius));
        free.next()
    }

    /// The column or row in which this is; one beyond the map for all that is farther.
    fn tile_at(&self, at: f32) -> i32 {
        let most = self.columns.max(self.rows());
        (at / self.tile).floor().clamp(-1.0, f32::from(most)) as i32
    }

    /// The columns or rows that this reaches into.
    fn covered(&self, at: f32, radius: f32) -> RangeInclusive<i32> {
        self.tile_at(at - radius)..=self.tile_at(at + radius)
    }

    /// Where something gets along one axis, in front of the first tile that is in its way.
    fn sweep(&self, from: f32, way: f32, radius: f32, wall: impl Fn(i32) -> bool) -> f32 {
        let gap = radius + self.tile * GAP;
        let (tile_at, edge) = (|at| self.tile_at(at), |tile: i32| tile as f32 * self.tile);
        if way > 0.0 {
            let mut entered = tile_at(from + radius) + 1..=tile_at(from + way + radius);
            let stop = entered.find(|tile| wall(*tile)).map(|tile| edge(tile) - gap);
            stop.map_or(from + way, |stop| stop.max(from))
        } else {
            let mut entered = (tile_at(from + way - radius)..tile_at(from - radius)).rev();
            let stop = entered.find(|tile| wall(*tile)).map(|tile| edge(tile + 1) + gap);
            stop.map_or(from + way, |stop| stop.min(from))
        }
    }
}

#[cfg(test)]
mod tests;
