//! A token bucket: how often something may happen, at once and over some seconds. Pure: instants are
//! handed in.

use std::time::{Duration, Instant};

/// What a bucket allows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Allowance {
    /// How often a second, over some seconds.
    pub(crate) per_second: u32,
    /// How often at once.
    pub(crate) burst: u32,
}

/// What is left of an allowance.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn full(allowed: Allowance, now: Instant) -> Self {
        Self::with_extra(allowed, 0, now)
    }

    /// A full bucket that holds some more to begin with.
    pub(crate) fn with_extra(allowed: Allowance, extra: u32, now: Instant) -> Self {
        Self { left: f64::from(allowed.burst) + f64::from(extra), at: now }
    }

    /// When something was taken last, or wanted.
    pub(crate) fn used(&self) -> Instant {
        self.at
    }

    /// How much is in it now. What it held beyond a burst is not made up for.
    fn left(&self, allowed: Allowance, now: Instant) -> f64 {
        let burst = f64::from(allowed.burst);
        if self.left >= burst {
            return self.left;
        }
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + passed * f64::from(allowed.per_second)).min(burst)
    }

    /// Whether it is as full as it gets: then nothing is lost with it.
    pub(crate) fn is_full(&self, allowed: Allowance, now: Instant) -> bool {
        self.left(allowed, now) >= f64::from(allowed.burst)
    }

    /// Takes one. False when none is left.
    pub(crate) fn take(&mut self, allowed: Allowance, now: Instant) -> bool {
        self.left = self.left(allowed, now);
        self.at = now;
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }

    /// How long after the last look there is one again.
    pub(crate) fn wait(&self, allowed: Allowance) -> Duration {
        let missing = (1.0 - self.left).max(0.0);
        Duration::from_secs_f64(missing / f64::from(allowed.per_second.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Allowance = Allowance { per_second: 10, burst: 3 };

    #[test]
    fn a_burst_then_the_rate_and_what_was_extra_but_once() {
        let start = Instant::now();
        let mut bucket = Bucket::with_extra(ALLOWED, 2, start);
        assert!((0..5).all(|_| bucket.take(ALLOWED, start)) && !bucket.take(ALLOWED, start));
        assert_eq!(bucket.wait(ALLOWED), Duration::from_millis(100));
        let later = start + Duration::from_millis(250);
        assert!(bucket.take(ALLOWED, later) && bucket.take(ALLOWED, later));
        assert!(!bucket.take(ALLOWED, later) && !bucket.is_full(ALLOWED, later));
        let much_later = later + Duration::from_secs(60);
        assert!(bucket.is_full(ALLOWED, much_later));
        assert_eq!((0..9).filter(|_| bucket.take(ALLOWED, much_later)).count(), 3);
    }
}
