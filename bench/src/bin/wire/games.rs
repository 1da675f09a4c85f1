//! The traces as games: in each tick a system makes the world what the trace says it was. What a
//! client must then see is worked out from the trace alone.

use std::f32::consts::FRAC_1_SQRT_2;
use std::f64::consts::TAU;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use referee_room::prelude::glam::Quat;
use referee_room::prelude::*;

use crate::trace::{Body, Cube, Flyer, Frames, Pilot};

/// The words that a slot's entity shows, component after component; none: there is no entity.
pub(crate) type Words = Option<Vec<u32>>;

/// How many may watch a trace.
const SPECTATORS: u16 = 1000;

/// A trace to be played.
#[derive(Clone)]
pub(crate) struct Play {
    pub(crate) hz: u16,
    /// How many ticks it has.
    pub(crate) ticks: u64,
    /// Its game, given tables and where the system notes the nanoseconds it took.
    pub(crate) game: fn(&Self, &mut Game, Option<&'static [u8]>),
    /// What a client sees after a tick, by slot.
    pub(crate) truth: fn(&Self, u64) -> Vec<Words>,
    /// What the system took, in nanoseconds.
    pub(crate) spent_ns: Arc<AtomicU64>,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Arena(Frames<Flyer>),
    Cubes(Frames<Cube>),
}

/// Which of the trace's things an entity is.
#[derive(Component, Replicate, Clone, Copy)]
pub(crate) struct Slot(pub(crate) u16);

#[derive(Component, Replicate, Clone, Copy, PartialEq)]
#[replicate(moves_by = Velocity)]
struct Position(#[field(range = 0.0..=1000.0, step = 0.0625)] Vec2);

#[derive(Component, Replicate, Clone, Copy, PartialEq)]
pub(crate) struct Velocity(#[field(range = -128.0..=127.875, step = 0.125)] pub(crate) Vec2);

#[derive(Component, Replicate, Clone, Copy, PartialEq)]
pub(crate) struct Aim(pub(crate) Angle);

#[derive(Component, Replicate, Clone, Copy, PartialEq)]
pub(crate) struct Health(#[field(max = 100)] pub(crate) u8);

#[derive(Component, Replicate, Clone, Copy, PartialEq)]
pub(crate) struct Score(pub(crate) u16);

#[derive(Component, Replicate, Clone, Copy, PartialEq)]
pub(crate) enum State {
    Idle,
    Moving,
    Dead,
}

#[derive(Component, Replicate, Clone, Copy, PartialEq)]
struct Place(#[field(range = -31.998_046_875..=31.998_046_875, step = 0.001_953_125)] Vec3);

#[derive(Component, Replicate, Clone, Copy, PartialEq)]
struct Turn(#[field(bits = 9)] Quat);

#[derive(Component, Replicate, Clone, Copy, PartialEq)]
struct Interacting(bool);

/// The arena.
pub(crate) fn arena(frames: &Frames<Flyer>) -> Play {
    Play {
        hz: 20,
        ticks: frames.len() as u64,
        game: |play, game, tables| {
            let Source::Arena(frames) = &play.source else { return };
            let (frames, spent_ns) = (Arc::clone(frames), Arc::clone(&play.spent_ns));
            game.realtime(20).players(0..=1).spectators(SPECTATORS).tables(tables.unwrap_or(&[]));
            game.replicate::<Position>().replicate::<Velocity>().replicate::<Aim>();
            game.replicate::<Health>().replicate::<Score>().replicate::<State>().keep::<Slot>();
            game.systems(
                move |time: Res<Time>, commands: Commands, players: Players, shots: Shots| {
                    timed(&spent_ns, || fly(&frames, time.tick, commands, players, shots));
                },
            );
        },
        truth: |play, tick| {
            let Source::Arena(frames) = &play.source else { return vec![] };
            frames[index(tick)].iter().map(|flyer| flyer.map(|body| body_words(&body))).collect()
        },
        spent_ns: Arc::default(),
        source: Source::Arena(Arc::clone(frames)),
    }
}

/// The cubes.
pub(crate) fn cubes(frames: &Frames<Cube>) -> Play {
    Play {
        hz: 60,
        ticks: frames.len() as u64,
        game: |play, game, tables| {
            let Source::Cubes(frames) = &play.source else { return };
            let (frames, spent_ns) = (Arc::clone(frames), Arc::clone(&play.spent_ns));
            game.realtime(60).players(0..=1).spectators(SPECTATORS).tables(tables.unwrap_or(&[]));
            game.replicate::<Place>().replicate::<Turn>().replicate::<Interacting>().keep::<Slot>();
            game.systems(move |time: Res<Time>, commands: Commands, cubes: Cubes| {
                timed(&spent_ns, || push(&frames[index(time.tick.0)], time.tick, commands, cubes));
            });
        },
        truth: |play, tick| {
            let Source::Cubes(frames) = &play.source else { return vec![] };
            frames[index(tick)].iter().map(|cube| Some(cube_words(cube))).collect()
        },
        spent_ns: Arc::default(),
        source: Source::Cubes(Arc::clone(frames)),
    }
}

type Pilots<'a> = (&'a mut Aim, &'a mut Health, &'a mut Score, &'a mut State);
type Players<'w, 's> = Query<
    'w,
    's,
    (Entity, &'static Slot, &'static mut Position, &'static mut Velocity, Pilots<'static>),
>;
type Shots<'w, 's> = Query<
    'w,
    's,
    (Entity, &'static Slot, &'static mut Position, &'static mut Velocity),
    Without<Aim>,
>;
type Cubes<'w, 's> =
    Query<'w, 's, (&'static Slot, &'static mut Place, &'static mut Turn, &'static mut Interacting)>;

/// The first tick shows the first frame.
pub(crate) fn index(tick: u64) -> usize {
    tick.saturating_sub(1) as usize
}

pub(crate) fn timed(spent_ns: &AtomicU64, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    spent_ns.store(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
}

fn fly(
    frames: &[Vec<Flyer>],
    tick: Tick,
    mut commands: Commands,
    mut players: Players,
    mut shots: Shots,
) {
    let frame = &frames[index(tick.0)];
    for (entity, slot, mut at, mut velocity, (mut aim, mut health, mut score, mut state)) in
        &mut players
    {
        let Some(body) = frame[usize::from(slot.0)] else {
            commands.entity(entity).despawn();
            continue;
        };
        at.set_if_neq(Position(body.at));
        velocity.set_if_neq(Velocity(body.velocity));
        let Some(pilot) = body.pilot else { continue };
        aim.set_if_neq(Aim(Angle(pilot.aim)));
        health.set_if_neq(Health(pilot.health));
        score.set_if_neq(Score(pilot.score));
        state.set_if_neq(pilot.state());
    }
    for (entity, slot, mut at, mut velocity) in &mut shots {
        let Some(body) = frame[usize::from(slot.0)] else {
            commands.entity(entity).despawn();
            continue;
        };
        at.set_if_neq(Position(body.at));
        velocity.set_if_neq(Velocity(body.velocity));
    }
    let before = (tick.0 > 1).then(|| &frames[index(tick.0) - 1]);
    let was = |slot: usize| before.is_some_and(|before| before[slot].is_some());
    let new = frame.iter().enumerate().filter(|(slot, _)| !was(*slot));
    for (slot, body) in new.filter_map(|(slot, flyer)| Some((slot, (*flyer)?))) {
        let moving = (Slot(slot as u16), Position(body.at), Velocity(body.velocity));
        match body.pilot {
            Some(pilot) => commands.spawn((moving, pilot.bundle())),
            None => commands.spawn(moving),
        };
    }
}

impl Pilot {
    fn bundle(&self) -> impl Bundle {
        (Aim(Angle(self.aim)), Health(self.health), Score(self.score), self.state())
    }

    pub(crate) fn state(&self) -> State {
        match self.state {
            0 => State::Idle,
            1 => State::Moving,
            _ => State::Dead,
        }
    }
}

fn push(frame: &[Cube], tick: Tick, mut commands: Commands, mut cubes: Cubes) {
    for (slot, mut place, mut turn, mut interacting) in &mut cubes {
        let cube = &frame[usize::from(slot.0)];
        place.set_if_neq(placed(cube));
        turn.set_if_neq(turned(cube));
        interacting.set_if_neq(Interacting(cube[7] != 0));
    }
    if tick.0 == 1 {
        commands.spawn_batch(
            frame
                .iter()
                .enumerate()
                .map(|(slot, cube)| {
                    (Slot(slot as u16), placed(cube), turned(cube), Interacting(cube[7] != 0))
                })
                .collect::<Vec<_>>(),
        );
    }
}

fn placed(cube: &Cube) -> Place {
    let metres = |place: i32| place as f32 / 512.0;
    Place(Vec3::new(metres(cube[4]), metres(cube[5]), metres(cube[6])))
}

/// An orientation that the trace's smallest three stand for. The one in the middle of what they
/// stand for may have another largest part, where two are almost alike; then one nearer to it.
fn turned(cube: &Cube) -> Turn {
    let largest = cube[0] as usize;
    let mut parts = [0.0f32; 4];
    for pull in [0.0, 0.1, 0.2, 0.3, 0.4, 0.45, 0.49] {
        let others = (0..4).filter(|at| *at != largest);
        for (at, word) in others.zip(&cube[1..4]) {
            let middle = *word as f32 - 255.5;
            parts[at] = (middle - middle.signum() * pull) / 255.5 * FRAC_1_SQRT_2;
        }
        parts[largest] = 0.0;
        let sum: f32 = parts.iter().map(|part| part * part).sum();
        parts[largest] = (1.0 - sum).max(0.0).sqrt();
        if parts.iter().all(|part| part.abs() <= parts[largest]) {
            break;
        }
    }
    Turn(Quat::from_array(parts))
}

fn body_words(body: &Body) -> Vec<u32> {
    let step = |value: f32, min: f64, step: f64| ((f64::from(value) - min) / step).round() as u32;
    let mut words = vec![
        step(body.at.x, 0.0, 0.0625),
        step(body.at.y, 0.0, 0.0625),
        step(body.velocity.x, -128.0, 0.125),
        step(body.velocity.y, -128.0, 0.125),
    ];
    if let Some(pilot) = body.pilot {
        words.push(step(pilot.aim, 0.0, TAU / 256.0) % 256);
        words.extend([u32::from(pilot.health), pilot.score.into(), pilot.state.into()]);
    }
    words
}

fn cube_words(cube: &Cube) -> Vec<u32> {
    let [largest, a, b, c, x, y, z, interacting] = *cube;
    [x + 16_383, y + 16_383, z + 16_383, largest, a, b, c, interacting]
        .map(|word| word as u32)
        .to_vec()
}
