//! A bot that plays the arena as a person would: it goes for whom it sees, circles close by, leads its
//! shots, keeps clear of walls and fetches health when it is hurt.

use crate::{RADIUS, SHOT_SPEED, SPEED};
use referee::bot::{Bot, Random, Say, Session, Value};
use referee::prelude::*;
use std::collections::BTreeMap;
use std::f32::consts::TAU;

/// Nearer than this it circles instead of coming closer, in units.
const CLOSE: f32 = 190.0;
/// Farther than this it does not shoot, in units: a shot's reach, and a little less.
const REACH: f32 = 540.0;
/// With less health than this it goes for a pick-up.
const HURT: f32 = 3.0;
/// How far ahead it looks for walls, in units: each of these.
const FEELERS: [f32; 3] = [12.0, 40.0, 90.0];
/// How wide it feels: a ship beside a wall is seen a little within it, in the steps of the wire.
const WIDTH: f32 = RADIUS - 1.0;
/// The ways it chooses from.
const WAYS: u8 = 16;
/// It thinks anew about where to go after so many looks, at most.
const MOOD_LOOKS: u32 = 45;
/// The farthest it aims beside its target, in radians.
const UNSTEADY: f32 = 0.07;

/// A player of a seed.
pub struct Ace {
    random: Random,
    map: Option<Tiles>,
    /// The others as they were seen last, by their ids.
    seen: BTreeMap<u32, Sight>,
    /// How many looks this mood lasts.
    mood: u32,
    /// Which way round it circles: 1 or -1.
    turn: f32,
    /// Where it wanders while it sees nobody, and while it is blind: radians.
    heading: f32,
    at: Vec2,
}

/// One ship at one look.
#[derive(Clone, Copy, Debug)]
struct Sight {
    tick: u64,
    at: Vec2,
    /// Which way it flies: of length 1, or 0 where it stands.
    course: Vec2,
}

/// The bot of a seed.
#[must_use]
pub fn bot(seed: u64) -> Ace {
    let seen = BTreeMap::new();
    Ace {
        random: Random::new(seed),
        map: None,
        seen,
        mood: 0,
        turn: 1.0,
        heading: 0.0,
        at: Vec2::ZERO,
    }
}

impl Bot for Ace {
    fn play(&mut self, match_: &Session) -> Option<Say> {
        self.map = self.map.take().or_else(|| map(&match_.resource("Tiles")?));
        let me = match_.me()?;
        let (at, ship) = (position(&me.component("Position")?)?, me.component("Ship")?);
        let health = ship.number_of("health")? as f32;
        let others = self.look(match_, me.id());
        self.change_mood(at);
        if health == 0.0 {
            return Some(stick(Vec2::ZERO, self.heading, false));
        }
        let enemy = self.choose(at, &others);
        let repair = (health < HURT).then(|| nearest(at, match_, "Pickup")).flatten();
        let way = self.clear_way(at, self.wish(at, enemy, repair));
        let Some(enemy) = enemy else { return Some(stick(way, self.heading, false)) };
        let aim = self.aim(at, enemy);
        let near = at.distance(enemy.at) < REACH;
        Some(stick(way, aim, near && self.sees(at, enemy.at)))
    }

    fn play_blind(&mut self) -> Option<Say> {
        self.change_mood(Vec2::splat(f32::NAN));
        // The gun sweeps while the ship flies on.
        let aim = self.heading + self.turn * self.mood as f32 * 0.1;
        let fire = self.mood % 10 < 6;
        Some(stick(Vec2::from_angle(self.heading), aim, fire))
    }
}

impl Ace {
    /// The others that fly, with how they move.
    fn look(&mut self, match_: &Session, me: u32) -> Vec<Sight> {
        let tick = match_.tick().0;
        let mut seen = BTreeMap::new();
        for other in match_.entities().filter(|other| other.id() != me) {
            let ship = other.component("Ship");
            let health = ship.and_then(|ship| ship.number_of("health")).unwrap_or(0.0);
            let at = other.component("Position").as_ref().and_then(position);
            let Some(at) = at.filter(|_| health > 0.0) else { continue };
            let before = self.seen.get(&other.id()).copied();
            seen.insert(other.id(), Sight::after(before, tick, at));
        }
        self.seen = seen;
        self.seen.values().copied().collect()
    }

    /// Another way round and another heading after a while, or at once when it got nowhere.
    fn change_mood(&mut self, at: Vec2) {
        self.mood = self.mood.saturating_sub(1);
        let stuck = self.mood.is_multiple_of(15) && at.distance(self.at) < RADIUS;
        if self.mood.is_multiple_of(15) {
            self.at = at;
        }
        if self.mood == 0 || stuck {
            self.mood = 15 + (self.random.unit() as f32 * (MOOD_LOOKS - 15) as f32) as u32;
            self.turn = if self.random.unit() < 0.5 { 1.0 } else { -1.0 };
            self.heading = self.random.unit() as f32 * TAU;
        }
    }

    /// The nearest in sight; whoever is behind a wall counts as much farther away.
    fn choose(&self, at: Vec2, others: &[Sight]) -> Option<Sight> {
        let far = |other: &Sight| {
            let distance = at.distance(other.at);
            if distance < REACH && self.sees(at, other.at) { distance } else { 3.0 * distance }
        };
        others.iter().min_by(|a, b| far(a).total_cmp(&far(b))).copied()
    }

    /// Where it would go if nothing stood there.
    fn wish(&self, at: Vec2, enemy: Option<Sight>, repair: Option<Vec2>) -> Vec2 {
        let to = |goal: Vec2| (goal - at).normalize_or_zero();
        match (repair, enemy) {
            (Some(repair), _) => to(repair),
            (None, Some(enemy)) if self.sees(at, enemy.at) => {
                let round = to(enemy.at).perp() * self.turn;
                // Closer than half of it, it backs off.
                let pull = (at.distance(enemy.at) / CLOSE - 1.0).clamp(-0.5, 1.0);
                (to(enemy.at) * pull + round * (1.0 - pull.abs())).normalize_or_zero()
            }
            (None, Some(enemy)) => to(enemy.at) + Vec2::from_angle(self.heading) * 0.8,
            (None, None) => Vec2::from_angle(self.heading),
        }
    }

    /// The free way that is most as wished.
    fn clear_way(&self, at: Vec2, wish: Vec2) -> Vec2 {
        let Some(map) = &self.map else { return wish };
        let ways = (0..WAYS).map(|n| Vec2::from_angle(f32::from(n) * TAU / f32::from(WAYS)));
        let worth = |way: &Vec2| {
            let free = FEELERS.iter().take_while(|far| map.is_free(at + way * **far, WIDTH));
            way.dot(wish) + 0.9 * free.count() as f32
        };
        ways.max_by(|a, b| worth(a).total_cmp(&worth(b))).unwrap_or(wish)
    }

    /// Where the enemy will be when the shot is there, and a little beside it.
    fn aim(&mut self, at: Vec2, enemy: Sight) -> f32 {
        let flight = at.distance(enemy.at) / SHOT_SPEED;
        let ahead = enemy.at + enemy.course * SPEED * flight;
        (ahead - at).to_angle() + UNSTEADY * (2.0 * self.random.unit() as f32 - 1.0)
    }

    fn sees(&self, at: Vec2, other: Vec2) -> bool {
        self.map.as_ref().is_none_or(|map| map.sees(at, other))
    }
}

impl Sight {
    fn after(before: Option<Self>, tick: u64, at: Vec2) -> Self {
        match before {
            None => Self { tick, at, course: Vec2::ZERO },
            Some(before) if before.tick == tick => before,
            Some(before) => {
                // A ship that came back elsewhere did not fly there.
                let way = (at - before.at).clamp_length_max(1.0);
                let flew = at.distance(before.at) < CLOSE && way.length() > 0.5;
                Self { tick, at, course: if flew { way.normalize() } else { Vec2::ZERO } }
            }
        }
    }
}

fn nearest(at: Vec2, match_: &Session, component: &str) -> Option<Vec2> {
    let things = match_.entities().filter(|thing| thing.has(component));
    let places = things.filter_map(|thing| position(&thing.component("Position")?));
    places.min_by(|a, b| at.distance(*a).total_cmp(&at.distance(*b)))
}

fn position(value: &Value) -> Option<Vec2> {
    Some(Vec2::new(value.number_of("x")? as f32, value.number_of("y")? as f32))
}

fn map(value: &Value) -> Option<Tiles> {
    let walls = value.field("walls")?.items()?;
    let row = (value.number_of("columns")? as u16).max(1);
    let rows = u16::try_from(walls.len()).ok()? / row;
    let tile = value.number_of("tile").filter(|tile| (1.0..1e4).contains(tile))?;
    let mut tiles = Tiles::new(row, rows, tile as f32);
    let places = (0..rows).flat_map(|y| (0..row).map(move |x| (x, y)));
    let built = places.zip(walls).filter(|(_, wall)| wall.as_bool() == Some(true));
    built.for_each(|((x, y), _)| tiles.build(x, y));
    Some(tiles)
}

fn stick(way: Vec2, aim: f32, fire: bool) -> Say {
    let number = |value: f32| Value::Float(f64::from(value));
    let fields = [
        ("x", number(way.x.clamp(-1.0, 1.0))),
        ("y", number(way.y.clamp(-1.0, 1.0))),
        ("aim", number(aim.rem_euclid(TAU).min(TAU))),
        ("fire", Value::Bool(fire)),
    ];
    let named = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
    Say::Input("Stick", Value::Struct(named.collect()))
}
