//! What is near what.

use glam::Vec2;

/// Things by where they are, made anew in each tick in which they are looked for: to ask each of a
/// thousand things about each other would take a million steps.
///
/// ```
/// # use referee_room::prelude::*;
/// # #[derive(Component)] struct Position(Vec2);
/// # #[derive(Component)] struct Sheep;
/// fn flock(sheep: Query<(Entity, &Position), With<Sheep>>) {
///     let all: Near<Entity> = sheep.iter().map(|(entity, at)| (at.0, entity)).collect();
///     for (entity, at) in &sheep {
///         let next = all.within(at.0, 50.0).find(|other| *other != entity);
///     }
/// }
/// ```
///
/// What it tells is in an order that is always the same: by distance, then from left to right, then as
/// they were given.
#[derive(Clone, PartialEq, Debug)]
pub struct Near<T>(Vec<(Vec2, T)>);

impl<T> FromIterator<(Vec2, T)> for Near<T> {
    fn from_iter<I: IntoIterator<Item = (Vec2, T)>>(things: I) -> Self {
        let mut things: Vec<_> = things.into_iter().collect();
        things.sort_by(|a, b| a.0.x.total_cmp(&b.0.x));
        Self(things)
    }
}

impl<T: Copy> Near<T> {
    /// What is no farther than this from a place, the nearest first.
    pub fn within(&self, at: Vec2, radius: f32) -> impl Iterator<Item = T> + use<T> {
        let far = |place: Vec2| Some(place.distance(at)).filter(|far| *far <= radius);
        let beside = self.beside(at, at, radius);
        let found = beside.filter_map(|(place, thing)| Some((far(*place)?, *thing)));
        in_order(found.collect()).map(|(_, thing)| thing)
    }

    /// What comes no farther than this from something that moves straight from one place to another,
    /// in the order in which they meet: so nothing is passed by, however fast it is.
    pub fn on_way(&self, from: Vec2, to: Vec2, radius: f32) -> impl Iterator<Item = T> + use<T> {
        self.parts_on_way(from, to, radius).map(|(_, thing)| thing)
    }

    /// As [`Near::on_way`], each with the part of the way that lies behind then, 0 to 1.
    pub(super) fn parts_on_way(
        &self,
        from: Vec2,
        to: Vec2,
        radius: f32,
    ) -> impl Iterator<Item = (f32, T)> + use<T> {
        let part = |place: Vec2| meets(place - from, to - from, radius);
        let beside = self.beside(from, to, radius);
        in_order(beside.filter_map(|(place, thing)| Some((part(*place)?, *thing))).collect())
    }

    /// What stands in the box around a way, from left to right.
    fn beside(&self, from: Vec2, to: Vec2, radius: f32) -> impl Iterator<Item = &(Vec2, T)> {
        let (low, high) = (from.min(to) - radius, from.max(to) + radius);
        let first = self.0.partition_point(|(place, _)| place.x < low.x);
        let close = self.0[first..].iter().take_while(move |(place, _)| place.x <= high.x);
        close.filter(move |(place, _)| (low.y..=high.y).contains(&place.y))
    }
}

fn in_order<T>(mut found: Vec<(f32, T)>) -> impl Iterator<Item = (f32, T)> {
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.into_iter()
}

/// Which part of a way from 0 lies behind what moves when it comes within a radius of a place.
fn meets(place: Vec2, way: Vec2, radius: f32) -> Option<f32> {
    let outside = place.length_squared() - radius * radius;
    if outside <= 0.0 {
        return Some(0.0);
    }
    let (square, along) = (way.length_squared(), place.dot(way));
    let root = along * along - square * outside;
    let reaches = along > 0.0 && root >= 0.0;
    // The smaller root, in the form that loses no digits.
    let part = outside / (along + root.max(0.0).sqrt());
    (reaches && part <= 1.0).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32, y: f32) -> Vec2 {
        Vec2::new(x, y)
    }

    fn things(places: &[(f32, f32)]) -> Near<usize> {
        places.iter().enumerate().map(|(n, place)| (Vec2::from(*place), n)).collect()
    }

    #[test]
    fn the_nearest_comes_first_and_what_is_too_far_does_not() {
        let things = things(&[(30.0, 0.0), (0.0, 10.0), (-5.0, 0.0), (8.0, 8.0), (0.0, 40.0)]);
        assert_eq!(things.within(Vec2::ZERO, 30.0).collect::<Vec<_>>(), [2, 1, 3, 0]);
        assert_eq!(things.within(Vec2::ZERO, 4.9).next(), None);
    }

    #[test]
    fn equals_come_from_left_to_right_and_then_as_they_were_given() {
        let things = things(&[(1.0, 0.0), (-1.0, 0.0), (1.0, 0.0), (0.0, -1.0)]);
        assert_eq!(things.within(Vec2::ZERO, 2.0).collect::<Vec<_>>(), [1, 3, 0, 2]);
    }

    #[test]
    fn what_moves_meets_what_stands_beside_its_way_in_the_order_of_the_way() {
        let things = things(&[
            (50.0, 9.0),
            (20.0, -9.0),
            (-5.0, 0.0),
            (70.0, 11.0),
            (109.0, 0.0),
            (111.0, 0.0),
        ]);
        let met = things.on_way(Vec2::ZERO, at(100.0, 0.0), 10.0);
        assert_eq!(met.collect::<Vec<_>>(), [2, 1, 0, 4]);
        let met = things.on_way(at(100.0, 0.0), Vec2::ZERO, 10.0);
        assert_eq!(met.collect::<Vec<_>>(), [4, 0, 1, 2], "and back");
    }

    #[test]
    fn what_is_left_behind_is_not_met() {
        let things = things(&[(-11.0, 0.0), (0.0, 11.0)]);
        assert_eq!(things.on_way(Vec2::ZERO, at(100.0, 0.0), 10.0).next(), None);
        assert_eq!(things.on_way(Vec2::ZERO, Vec2::ZERO, 10.0).next(), None);
    }

    #[test]
    fn a_way_is_met_where_small_steps_along_it_would_meet() {
        let mut state = 1u64;
        let mut draw = |span: f32| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            ((state >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * span
        };
        for _ in 0..2_000 {
            let (place, way) = (at(draw(100.0), draw(100.0)), at(draw(150.0), draw(150.0)));
            let mut steps = (0..=1_000).map(|n| n as f32 / 1_000.0);
            let met = steps.find(|part| place.distance(way * *part) <= 10.0);
            match (meets(place, way, 10.0), met) {
                (Some(part), Some(step)) => assert!((part - step).abs() < 2e-3, "{part} {step}"),
                (None, None) => {}
                // A touch between two steps.
                (Some(part), None) => assert!(place.distance(way * part) > 9.9, "{place} {way}"),
                (None, Some(step)) => panic!("{place} {way} meet at {step}"),
            }
        }
    }
}
