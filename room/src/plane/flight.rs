//! What flies straight, and what it meets.

use glam::Vec2;

use super::Near;

/// The way that something without size has just flown: [`Tiles::fly`](super::Tiles::fly).
///
/// ```
/// # use referee_room::prelude::*;
/// # #[derive(Component)] struct Position(Vec2);
/// # #[derive(Component)] struct Shot;
/// # #[derive(Component)] struct Ship;
/// fn hit(
///     (tiles, time, mut commands): (Res<Tiles>, Res<Time>, Commands),
///     mut shots: Query<(Entity, &Velocity, &mut Position), With<Shot>>,
///     ships: Query<(Entity, &Position), (With<Ship>, Without<Shot>)>,
/// ) {
///     let targets: Near<Entity> = ships.iter().map(|(ship, at)| (at.0, ship)).collect();
///     for (shot, velocity, mut at) in &mut shots {
///         let met = tiles.fly(&mut at.0, velocity.0 * time.delta).until(&targets, 14.0, |_| true);
///         if met != Met::Nothing {
///             commands.entity(shot).despawn();
///         }
///         if let Some(ship) = met.thing() {
///             commands.entity(ship).despawn();
///         }
///     }
/// }
/// ```
#[derive(PartialEq, Debug)]
#[must_use = "what was on the way is told by `until`, and whether a wall was by `met_wall`"]
pub struct Flight<'a> {
    pub(super) from: Vec2,
    /// Where it is now, which is where it ends if nothing else is in its way.
    pub(super) at: &'a mut Vec2,
    pub(super) wall: bool,
}

/// What something met on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Met<T> {
    /// Nothing: it is where it was to go.
    Nothing,
    /// A wall, or the map's edge.
    Wall,
    /// This thing.
    Thing(T),
}

impl Flight<'_> {
    /// Whether it ended at a wall, or at the map's edge.
    #[must_use]
    pub fn met_wall(&self) -> bool {
        self.wall
    }

    /// Ends it where it first came as near as `radius`, in units, to one of the things for which
    /// `counts` is true. Of those that it meets at once the one to the left is first.
    pub fn until<T: Copy>(
        self,
        things: &Near<T>,
        radius: f32,
        counts: impl Fn(T) -> bool,
    ) -> Met<T> {
        let way = *self.at - self.from;
        let mut on_way = things.parts_on_way(self.from, *self.at, radius);
        match on_way.find(|(_, thing)| counts(*thing)) {
            Some((part, thing)) => {
                *self.at = self.from + way * part;
                Met::Thing(thing)
            }
            None if self.wall => Met::Wall,
            None => Met::Nothing,
        }
    }
}

impl<T> Met<T> {
    /// The thing, if it was one.
    #[must_use]
    pub fn thing(self) -> Option<T> {
        match self {
            Self::Thing(thing) => Some(thing),
            Self::Nothing | Self::Wall => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tiles;
    use super::*;

    /// Ten by three tiles of 10 units; a wall stands in the middle row from 60 to 70.
    fn tiles() -> Tiles {
        let mut tiles = Tiles::new(10, 3, 10.0);
        tiles.build(6, 1);
        tiles
    }

    fn things(places: &[f32]) -> Near<usize> {
        places.iter().enumerate().map(|(n, x)| (Vec2::new(*x, 15.0), n)).collect()
    }

    /// From (5, 15) so far to the right: what it met, and where it is.
    fn flown(far: f32, places: &[f32], counts: impl Fn(usize) -> bool) -> (Met<usize>, f32) {
        let mut at = Vec2::new(5.0, 15.0);
        let met = tiles().fly(&mut at, Vec2::X * far).until(&things(places), 4.0, counts);
        assert_eq!(at.y, 15.0);
        (met, at.x)
    }

    #[test]
    fn what_meets_nothing_is_where_it_was_to_go() {
        assert_eq!(flown(20.0, &[35.0], |_| true), (Met::Nothing, 25.0));
        assert_eq!(flown(0.0, &[35.0], |_| true), (Met::Nothing, 5.0));
    }

    #[test]
    fn a_wall_ends_it_and_covers_what_is_behind() {
        assert_eq!(flown(90.0, &[75.0], |_| true), (Met::Wall, 60.0));
        let mut at = Vec2::new(5.0, 15.0);
        assert!(!tiles().fly(&mut at, Vec2::X * 50.0).met_wall());
        assert!(tiles().fly(&mut at, Vec2::X * 40.0).met_wall());
    }

    #[test]
    fn the_first_thing_that_counts_ends_it_as_near_as_said() {
        assert_eq!(flown(90.0, &[50.0, 30.0], |_| true), (Met::Thing(1), 26.0));
        assert_eq!(flown(90.0, &[50.0, 30.0], |thing| thing != 1), (Met::Thing(0), 46.0));
        assert_eq!(flown(90.0, &[50.0, 30.0], |_| false), (Met::Wall, 60.0));
        assert_eq!(flown(90.0, &[6.0], |_| true), (Met::Thing(0), 5.0), "it is there already");
    }

    #[test]
    fn what_stands_in_front_of_a_wall_is_met_before_it() {
        assert_eq!(flown(90.0, &[58.0], |_| true), (Met::Thing(0), 54.0));
        assert_eq!(flown(90.0, &[63.0], |_| true), (Met::Thing(0), 59.0), "it juts out");
    }

    #[test]
    fn a_thing_is_told_and_a_wall_is_none() {
        assert_eq!(Met::Thing(3).thing(), Some(3));
        assert_eq!(Met::<u8>::Wall.thing().or(Met::Nothing.thing()), None);
    }
}
