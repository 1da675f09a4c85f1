//! Numbers that many threads count in at once. Each thread has its own cache line of every number, so
//! that counting costs about what adding does; who reads adds them up.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Cache lines of a number. More threads than that share some.
const STRIPES: usize = 8;

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The calling thread's stripe.
fn stripe() -> usize {
    STRIPE.with(|stripe| {
        if stripe.get() == usize::MAX {
            stripe.set(THREADS.fetch_add(1, Ordering::Relaxed) % STRIPES);
        }
        stripe.get()
    })
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line(AtomicU64);

/// One number.
#[derive(Debug, Default)]
pub struct Count([Line; STRIPES]);

impl Count {
    /// One more.
    pub fn up(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0[stripe()].0.fetch_add(n, Ordering::Relaxed);
    }

    /// One less, for a number that stands for what there is at the moment. Another thread may have
    /// counted it.
    pub fn down(&self) {
        self.0[stripe()].0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        let parts = self.0.iter().map(|line| line.0.load(Ordering::Relaxed));
        parts.fold(0, u64::wrapping_add)
    }
}

/// The upper bounds of the buckets of a [`Durations`], in microseconds; longer ones have the last
/// bucket, which has no bound. Finest where ticks should be.
pub(super) const BOUNDS_US: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_000, 3_000, 5_000, 8_000, 12_000, 16_000, 25_000, 50_000, 100_000,
    250_000, 1_000_000,
];

/// How long something took, each time.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [Count; BOUNDS_US.len() + 1],
    sum_ns: Count,
}

impl Durations {
    /// It took so long.
    pub fn observe(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| bound * 1_000 < ns);
        self.buckets[bucket].up();
        self.sum_ns.add(ns);
    }

    /// How often it was observed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(Count::get).sum()
    }

    /// How long it took in all, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.sum_ns.get() as f64 / 1e9
    }

    /// How often it fell into each bucket: not longer than this many seconds, and longer than the
    /// bucket before.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS_US.iter().map(|bound| *bound as f64 / 1e6).chain([f64::INFINITY]);
        bounds.zip(self.buckets.iter().map(Count::get)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_count_adds_up() {
        let count = Count::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| (0..1_000).for_each(|_| count.up()));
            }
        });
        assert_eq!(count.get(), 2 * STRIPES as u64 * 1_000);
        // Down on another thread than up.
        std::thread::scope(|scope| scope.spawn(|| count.down()).join()).unwrap();
        (1..count.get()).for_each(|_| count.down());
        count.down();
        assert_eq!(count.get(), 0);
    }

    #[test]
    fn a_duration_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        let durations = Durations::default();
        for us in [0, 50, 51, 1_000, 1_000_000, 1_000_001, 60_000_000] {
            durations.observe(Duration::from_micros(us));
        }
        let buckets: Vec<u64> = durations.buckets().iter().map(|bucket| bucket.1).collect();
        assert_eq!(buckets[..6], [2, 1, 0, 0, 1, 0]);
        assert_eq!(buckets[15..], [1, 2]);
        assert_eq!(durations.count(), 7);
        assert!((durations.seconds() - 62.001_102).abs() < 1e-9, "{}", durations.seconds());
    }
}
