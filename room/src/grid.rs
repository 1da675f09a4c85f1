//! The grid: a map in cells, so that each player's client hears of what is near.

use std::sync::Arc;

use bevy_ecs::component::ComponentId;
use bevy_ecs::prelude::*;
use bevy_ecs::world::EntityRef;
use glam::Vec2;
use referee_protocol::Group;

/// Most cells along an edge of the map.
pub const CELLS_MAX: u16 = 1 << 12;
/// How far a thing must be outside its cell before it is in another one, and a cell out of sight
/// before it is let go, in cells: so that what goes to and fro over a border is not told anew each
/// time.
const SLACK: f32 = 0.125;
/// The farthest a player may see, in cells: what it sees must fit among its groups.
pub const SIGHT_MAX: f32 = 2.5;

/// Where a thing is, as a game says it.
type Place = dyn Fn(EntityRef<'_>) -> Option<Vec2> + Send + Sync;

/// A map in cells.
#[derive(Clone)]
pub(crate) struct Grid {
    place: Arc<Place>,
    /// Which component says the place.
    says: fn(&World) -> Option<ComponentId>,
    cell: f32,
    sight: f32,
}

/// A cell's column and row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Square(u16, u16);

impl Grid {
    pub(crate) fn new<C: Component>(place: fn(&C) -> Vec2, cell: f32, sight: f32) -> Self {
        let (place, says) = (
            Arc::new(move |entity: EntityRef<'_>| entity.get::<C>().map(place)),
            World::component_id::<C>,
        );
        Self { place, says, cell, sight }
    }

    /// The component that says where an entity is.
    pub(crate) fn says(&self, world: &World) -> Option<ComponentId> {
        (self.says)(world)
    }

    /// Where an entity is, in cells.
    pub(crate) fn place(&self, entity: EntityRef<'_>) -> Option<Vec2> {
        (self.place)(entity).map(|place| place / self.cell)
    }

    /// The cell of what is here and was in another one, or in none.
    pub(crate) fn square(place: Vec2, was: Option<Square>) -> Square {
        was.filter(|was| was.distance(place) <= SLACK)
            .unwrap_or(Square(index(place.x), index(place.y)))
    }

    /// Appends the cells that a player sees from here, who saw these.
    pub(crate) fn seen_from(&self, place: Vec2, seen: &[Group], out: &mut Vec<Group>) {
        // What is within sight may still be held in a cell that is a little farther.
        let sight = self.sight / self.cell + SLACK;
        let far = sight + SLACK;
        let along = |at: f32| index(at - far)..=index(at + far);
        for row in along(place.y) {
            for column in along(place.x) {
                let square = Square(column, row);
                let limit = if seen.binary_search(&square.group()).is_ok() { far } else { sight };
                if square.distance(place) <= limit {
                    out.push(square.group());
                }
            }
        }
    }
}

fn index(at: f32) -> u16 {
    at.clamp(0.0, f32::from(CELLS_MAX - 1)) as u16
}

impl Square {
    /// How far a place is outside of it, in cells, along the axis along which it is farthest.
    fn distance(self, place: Vec2) -> f32 {
        let outside = |at: f32, cell: u16| {
            let from = f32::from(cell);
            (from - at).max(at - from - 1.0).max(0.0)
        };
        outside(place.x, self.0).max(outside(place.y, self.1))
    }

    /// Its number: the row above the column.
    pub(crate) fn number(self) -> u64 {
        u64::from(self.1) << 16 | u64::from(self.0)
    }

    /// The cell with this number, if there is one.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        let (column, row) = (number as u16, u16::try_from(number >> 16).ok()?);
        (column < CELLS_MAX && row < CELLS_MAX).then_some(Self(column, row))
    }

    /// Its group: bits of column and row in turn, so that a small map has small numbers.
    pub(crate) fn group(self) -> Group {
        let spread =
            |at: u16| (0..16).fold(0, |all, bit| all | u32::from(at >> bit & 1) << (2 * bit));
        Group::Cell(spread(self.0) | spread(self.1) << 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid { place: Arc::new(|_| None), says: |_| None, cell: 100.0, sight: 150.0 }
    }

    #[test]
    fn a_border_is_crossed_only_when_it_is_left_behind() {
        let at = |x| Vec2::new(x, 0.5);
        let here = Grid::square(at(1.9), None);
        assert_eq!(here, Square(1, 0));
        assert_eq!(Grid::square(at(2.1), Some(here)), here);
        assert_eq!(Grid::square(at(2.2), Some(here)), Square(2, 0));
        assert_eq!(Grid::square(at(1.9), Some(Square(2, 0))), Square(2, 0));
    }

    #[test]
    fn a_player_sees_the_cells_around_and_lets_them_go_a_little_later() {
        let sees = |x: f32, seen: &[Group]| {
            let mut out = vec![];
            grid().seen_from(Vec2::new(x, 5.5), seen, &mut out);
            out.sort_unstable();
            out
        };
        let first = sees(5.5, &[]);
        assert_eq!(first.len(), 25, "two around its own: 150 units reach into them");
        assert_eq!(sees(5.7, &first), first, "the farthest column is let go later");
        assert_eq!(sees(5.7, &[]).len(), 20, "who comes anew does not see it");
        assert!(sees(0.1, &[]).len() <= 15, "there is nothing beyond the edge");
    }

    #[test]
    fn numbers_of_near_cells_are_small_and_differ() {
        let squares = (0..32).flat_map(|x| (0..32).map(move |y| Square(x, y)));
        let mut numbers: Vec<_> = squares.map(|square| square.group().number()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 1024);
        assert!(
            numbers.iter().all(|number| number << 2 < 1 << 14),
            "two bytes with a block's kind"
        );
    }
}
