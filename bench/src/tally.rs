//! What the clients of a load have seen, since the last time somebody looked.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Counted on the load's thread, looked at on the bench's.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Clients that are in and see states.
    open: AtomicUsize,
    /// The load is to end.
    over: AtomicBool,
    seen: Mutex<Seen>,
    fault: Mutex<Option<String>>,
}

/// What was counted in a window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The lengths of the state frames that came, in bytes.
    pub(crate) frames: Vec<u32>,
    pub(crate) inputs: u64,
    /// The bytes of these inputs, without what the transport adds.
    pub(crate) input_bytes: u64,
    /// How late each input was sent, in microseconds.
    pub(crate) lags_us: Vec<u32>,
}

/// Plain figures are fit for use whoever panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    pub(crate) fn one_more_in(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// From now on the load is to end.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn frame(&self, length: usize) {
        lock(&self.seen).frames.push(length as u32);
    }

    pub(crate) fn input(&self, length: usize, lag: Duration) {
        let mut seen = lock(&self.seen);
        seen.inputs += 1;
        seen.input_bytes += length as u64;
        seen.lags_us.push(u32::try_from(lag.as_micros()).unwrap_or(u32::MAX));
    }

    /// A client ended; only the first one's words are kept.
    pub(crate) fn fail(&self, what: String) {
        lock(&self.fault).get_or_insert(what);
    }

    pub(crate) fn fault(&self) -> Option<String> {
        lock(&self.fault).clone()
    }

    /// What was seen since the last call.
    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut lock(&self.seen))
    }
}

impl Seen {
    pub(crate) fn delivered(&self) -> u64 {
        self.frames.len() as u64
    }

    pub(crate) fn frame_median(&self) -> u32 {
        percentile(&self.frames, 50.0)
    }

    /// 99 of 100 inputs were sent less late than this, in milliseconds.
    pub(crate) fn lag_p99_ms(&self) -> f64 {
        f64::from(percentile(&self.lags_us, 99.0)) / 1000.0
    }

    pub(crate) fn input_mean(&self) -> usize {
        self.input_bytes.div_ceil(self.inputs.max(1)) as usize
    }
}

/// The value below which `percent` of all lie; 0 of none.
pub(crate) fn percentile(values: &[u32], percent: f64) -> u32 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * percent / 100.0).round() as usize;
    sorted.get(at).copied().unwrap_or(0)
}

/// The middle of those figures that are there (not NaN); the mean of the two in the middle where
/// their number is even.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles_lie_where_they_should() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[f64::NAN, 7.0]), 7.0);
        assert!(median(&[]).is_nan());
        let values: Vec<u32> = (0..=100).rev().collect();
        assert_eq!((percentile(&values, 50.0), percentile(&values, 99.0)), (50, 99));
        assert_eq!(percentile(&[], 50.0), 0);
    }

    #[test]
    fn looking_at_what_was_seen_begins_a_new_window() {
        let tally = Tally::default();
        tally.frame(10);
        tally.input(4, Duration::from_millis(3));
        let seen = tally.take();
        assert_eq!((seen.delivered(), seen.frame_median(), seen.input_mean()), (1, 10, 4));
        assert_eq!(seen.lag_p99_ms(), 3.0);
        assert_eq!(tally.take().delivered(), 0);
    }

    #[test]
    fn the_first_fault_is_the_one_that_is_told() {
        let tally = Tally::default();
        tally.fail("first".to_owned());
        tally.fail("second".to_owned());
        assert_eq!(tally.fault().as_deref(), Some("first"));
    }
}
