//! A network in memory that loses, delays, repeats and mixes up what is sent, from a seed.

use std::collections::BTreeMap;

/// Random numbers from a seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below another.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// Whether something happens that does so `per_cent` times in a hundred.
    pub fn chance(&mut self, per_cent: u64) -> bool {
        self.below(100) < per_cent
    }
}

/// What one direction of a link is like.
#[derive(Clone, Copy)]
pub struct Weather {
    pub lost_per_cent: u64,
    pub twice_per_cent: u64,
    pub delay_ms: u64,
    pub jitter_ms: u64,
}

/// Datagrams on their way, in one direction.
pub struct Way<T> {
    pub weather: Weather,
    dice: Dice,
    /// By the time at which they come.
    flying: BTreeMap<(u64, u64), T>,
    sent: u64,
}

impl<T: Clone> Way<T> {
    pub fn new(weather: Weather, seed: u64) -> Self {
        Self { weather, dice: Dice::new(seed), flying: BTreeMap::new(), sent: 0 }
    }

    pub fn send(&mut self, now_ms: u64, what: &T) {
        let Weather { lost_per_cent, twice_per_cent, delay_ms, jitter_ms } = self.weather;
        let copies = 1 + u64::from(self.dice.chance(twice_per_cent));
        for _ in 0..copies {
            let at = now_ms + delay_ms + self.dice.below(jitter_ms + 1);
            self.sent += 1;
            if !self.dice.chance(lost_per_cent) {
                self.flying.insert((at, self.sent), what.clone());
            }
        }
    }

    /// What has come.
    pub fn arrived(&mut self, now_ms: u64) -> Vec<T> {
        let later = self.flying.split_off(&(now_ms + 1, 0));
        std::mem::replace(&mut self.flying, later).into_values().collect()
    }
}
