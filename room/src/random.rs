//! Randomness: secret and part of the state, or shared and a pure function of a public seed.

use std::ops::Range;

use bevy_ecs::prelude::*;
use bevy_ecs::system::SystemParam;
use rand::rngs::{ChaCha8Rng, Xoshiro256PlusPlus};
use rand::{Rng as _, RngExt, SeedableRng};
use referee_protocol::hash::Hasher;

use crate::params::Time;
use crate::types::NetId;

/// What both generators can draw. All draws are in fixed widths, so that they are the same on every
/// machine.
pub trait Draw {
    /// 64 random bits.
    fn bits(&mut self) -> u64;

    /// A whole number from 0 to just under `end`, each equally likely.
    ///
    /// # Panics
    /// When `end` is 0.
    fn below(&mut self, end: u32) -> u32;

    /// An integer from a range, each equally likely.
    ///
    /// # Panics
    /// When the range is empty.
    fn range(&mut self, range: Range<i32>) -> i32 {
        assert!(range.start < range.end, "the range {range:?} is empty");
        let width = range.end.wrapping_sub(range.start) as u32;
        range.start.wrapping_add(self.below(width) as i32)
    }

    /// A number from 0 to just under 1.
    fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// A number from the first of a range to just under its last.
    fn between(&mut self, range: Range<f32>) -> f32 {
        range.start + (range.end - range.start) * self.unit()
    }

    /// True with this probability.
    fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Puts values into a random order, each equally likely.
    fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            let other = self.below(last as u32 + 1) as usize;
            values.swap(last, other);
        }
    }

    /// One of the values, none when there are none.
    fn pick<'t, T>(&mut self, values: &'t [T]) -> Option<&'t T> {
        if values.is_empty() {
            return None;
        }
        values.get(self.below(values.len() as u32) as usize)
    }
}

/// The room's secret generator: seeded, part of the state, unpredictable to every client. Read it as
/// `mut rng: ResMut<Rng>`.
#[derive(Resource)]
// Boxed, for bevy_ecs takes memory for 64 of each resource at once.
pub struct Rng(Box<ChaCha8Rng>);

impl Rng {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(Box::new(ChaCha8Rng::from_seed(seed)))
    }

    /// Seed, and how far it was read.
    pub(crate) fn state(&self) -> ([u8; 32], u128) {
        (self.0.get_seed(), self.0.get_word_pos())
    }

    pub(crate) fn from_state(seed: [u8; 32], position: u128) -> Self {
        let mut rng = ChaCha8Rng::from_seed(seed);
        rng.set_word_pos(position);
        Self(Box::new(rng))
    }
}

impl Draw for Rng {
    fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn below(&mut self, end: u32) -> u32 {
        self.0.random_range(0..end)
    }
}

/// Randomness that a client may foresee: a pure function of a public seed, the tick, an entity and a
/// label. For what is predicted; never for what is hidden.
#[derive(SystemParam)]
pub struct SharedRng<'w> {
    time: Res<'w, Time>,
}

impl SharedRng<'_> {
    /// The generator of this tick for an entity and a purpose.
    #[must_use]
    pub fn of(&self, entity: NetId, label: &str) -> SharedStream {
        let mut hasher = Hasher::default();
        hasher.write(&self.time.public_seed.to_le_bytes());
        hasher.write(&self.time.tick.0.to_le_bytes());
        hasher.write(&entity.number().to_le_bytes());
        hasher.write(label.as_bytes());
        SharedStream(Xoshiro256PlusPlus::seed_from_u64(hasher.finish()))
    }
}

/// One stream of shared randomness.
pub struct SharedStream(Xoshiro256PlusPlus);

impl Draw for SharedStream {
    fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn below(&mut self, end: u32) -> u32 {
        self.0.random_range(0..end)
    }
}

/// A seed of its own for each purpose, from the room's one seed.
pub(crate) fn derived_seed(seed: &[u8; 32], purpose: u64) -> [u8; 32] {
    let mut rng = ChaCha8Rng::from_seed(*seed);
    rng.set_stream(purpose);
    rng.random()
}
