//! When a write that failed is tried again.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(100);
const MAX: Duration = Duration::from_secs(5);

/// What is known of the last write, while it is not made good.
#[derive(Debug)]
pub(super) struct Backoff {
    /// Why it failed.
    pub(super) failing: Option<String>,
    at: Option<Instant>,
    after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { failing: None, at: None, after: FIRST }
    }
}

impl Backoff {
    /// When to try again; none when nothing failed.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.at
    }

    /// A write failed. Returns whether it is the first in a row.
    pub(super) fn failed(&mut self, why: String, now: Instant) -> bool {
        self.at = Some(now + self.after);
        self.after = (self.after * 2).min(MAX);
        self.failing.replace(why).is_none()
    }

    /// A write worked. Returns whether the one before had failed.
    pub(super) fn worked(&mut self) -> bool {
        std::mem::take(self).failing.is_some()
    }
}
