//! The map: walls, and what they are in the way of.

use referee::prelude::*;

/// Largest edge of a map, in units.
pub const SIZE_MAX: f32 = 4096.0;
/// Most walls of a map.
const WALLS_MAX: u32 = 128;
/// Between two walls there is at least so much, in units.
const PASSAGE: u16 = 36;
/// How far the ways are checked for walls, in units: less than the thinnest wall.
const CHECK_EVERY: f32 = 12.0;

/// The map: made with the room, the same for as long as it lives.
#[derive(Resource, Replicate, Default)]
pub struct Map {
    /// Its edge, in units.
    pub size: u16,
    /// What stands on it: left, top, width, height.
    #[field(max = WALLS_MAX)]
    pub walls: Vec<[u16; 4]>,
}

/// Makes the room as its first visitor wishes.
pub(crate) fn create(
    params: Params,
    mut setup: ResMut<Setup>,
    (mut map, mut round): (ResMut<Map>, ResMut<crate::Round>),
    (mut rng, mut commands): (ResMut<Rng>, Commands),
) -> Result<(), String> {
    round.seconds = crate::ROUND_SECONDS;
    setup.seats = params.whole("players", 2..=1024)?.unwrap_or(32);
    setup.hz = params.whole("hz", 10..=60)?.unwrap_or(30);
    let roomy = (300.0 + 170.0 * f32::from(setup.seats).sqrt()).min(SIZE_MAX);
    map.size = params.whole("size", 400..=SIZE_MAX as u16)?.unwrap_or(roomy as u16);
    for _ in 0..(u32::from(map.size) / 190).pow(2).min(WALLS_MAX) {
        let (long, thick) = (rng.range(70..220) as u16, rng.range(28..60) as u16);
        let (w, h) = if rng.chance(0.5) { (long, thick) } else { (thick, long) };
        let mut along = |edge: u16| rng.range(70..i32::from(map.size - edge) - 70) as u16;
        let wall = [along(w), along(h), w, h];
        if !map.walls.iter().any(|other| is_near(*other, wall)) {
            map.walls.push(wall);
        }
    }
    for _ in 0..=map.size / 256 {
        commands.spawn((crate::Pickup, crate::Position(map.free_place(&mut rng))));
    }
    Ok(())
}

/// Whether a ship does not fit between two walls.
fn is_near(a: [u16; 4], b: [u16; 4]) -> bool {
    let close = |from: u16, long: u16, other: u16, wide: u16| {
        from < other + wide + PASSAGE && other < from + long + PASSAGE
    };
    close(a[0], a[2], b[0], b[2]) && close(a[1], a[3], b[1], b[3])
}

impl Map {
    /// Whether nothing is closer than this: no wall, and not the edge.
    pub fn is_free(&self, at: Vec2, radius: f32) -> bool {
        let inside = |along: f32| (radius..=f32::from(self.size) - radius).contains(&along);
        let touches = |wall: &[u16; 4]| {
            let [x, y, w, h] = wall.map(f32::from);
            let nearest = at.clamp(Vec2::new(x, y), Vec2::new(x + w, y + h));
            nearest.distance_squared(at) < radius * radius
        };
        inside(at.x) && inside(at.y) && !self.walls.iter().any(touches)
    }

    /// A place where nothing stands. On a map without any it is somewhere all the same.
    pub fn free_place(&self, rng: &mut Rng) -> Vec2 {
        let mut along = || rng.between(40.0..f32::from(self.size) - 40.0);
        let mut place = Vec2::new(along(), along());
        for _ in 0..64 {
            if self.is_free(place, 28.0) {
                break;
            }
            place = Vec2::new(along(), along());
        }
        place
    }

    /// How far one comes on a way before a wall: in steps, so that none is jumped over.
    pub fn way_until_wall(&self, from: Vec2, way: Vec2) -> Vec2 {
        let steps = (way.length() / CHECK_EVERY).ceil().max(1.0);
        let mut at = from;
        for _ in 0..steps as u32 {
            if !self.is_free(at + way / steps, 1.0) {
                return at;
            }
            at += way / steps;
        }
        at
    }
}

/// Things from left to right, for [`first_on_way`].
pub(crate) fn sorted(things: impl Iterator<Item = (Vec2, Entity)>) -> Vec<(Vec2, Entity)> {
    let mut things: Vec<_> = things.collect();
    things.sort_by(|a, b| a.0.x.total_cmp(&b.0.x));
    things
}

/// The first thing of this radius on the way, but for one of them.
pub(crate) fn first_on_way(
    things: &[(Vec2, Entity)],
    from: Vec2,
    to: Vec2,
    radius: f32,
    except: Entity,
) -> Option<Entity> {
    let (left, right) = (from.x.min(to.x) - radius, from.x.max(to.x) + radius);
    let near = &things[things.partition_point(|(at, _)| at.x < left)..];
    let way = to - from;
    let hits = near.iter().take_while(|(at, _)| at.x <= right).filter(|(at, thing)| {
        let along = (*at - from).dot(way) / way.length_squared().max(f32::MIN_POSITIVE);
        let closest = from + way * along.clamp(0.0, 1.0);
        *thing != except && closest.distance_squared(*at) < radius * radius
    });
    let far = |at: &Vec2| at.distance_squared(from);
    hits.min_by(|a, b| far(&a.0).total_cmp(&far(&b.0))).map(|(_, thing)| *thing)
}
