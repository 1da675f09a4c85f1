//! When to try again.

use crate::random::Random;

/// Longest wait between two attempts to connect, in milliseconds.
pub const RETRY_MAX_MS: u64 = 5_000;
/// Longest wait that a server may ask for, in milliseconds.
pub const RETRY_AFTER_MAX_MS: u64 = 60_000;

/// The first waits, in milliseconds: a connection that broke by chance is back before anyone
/// notices.
const FIRST_MS: [u64; 4] = [0, 100, 200, 400];

/// The waits of one run of attempts.
#[derive(Debug)]
pub struct Retry {
    attempts: u32,
    random: Random,
}

impl Retry {
    /// A run that begins. The seed is for the jitter.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { attempts: 0, random: Random::new(seed) }
    }

    /// A connection held: the next loss starts from the front.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// How long to wait before the next attempt. After the first waits it doubles up to the
    /// maximum, less up to half of it at random, so that the clients of a server that was away do
    /// not come back all at once.
    pub fn wait_ms(&mut self) -> u64 {
        let attempt = self.attempts;
        self.attempts = attempt.saturating_add(1);
        if let Some(first) = FIRST_MS.get(attempt as usize) {
            return *first;
        }
        let doubled = FIRST_MS[3] << (attempt - 3).min(8);
        let most = doubled.min(RETRY_MAX_MS);
        most / 2 + self.random.below(most - most / 2 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_maximum() {
        let mut retry = Retry::new(7);
        let waits: Vec<_> = (0..12).map(|_| retry.wait_ms()).collect();
        assert_eq!(waits[..4], [0, 100, 200, 400]);
        assert!((400..=800).contains(&waits[4]), "{waits:?}");
        assert!((800..=1600).contains(&waits[5]), "{waits:?}");
        let last = RETRY_MAX_MS / 2..=RETRY_MAX_MS;
        assert!(waits[8..].iter().all(|wait| last.contains(wait)), "{waits:?}");
        assert_ne!(waits[9], waits[10], "jitter");
        retry.reset();
        assert_eq!(retry.wait_ms(), 0);
    }
}
