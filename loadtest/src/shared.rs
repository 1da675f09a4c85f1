//! What the run's threads tell each other.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How far the run is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Bots come.
    #[default]
    Joining,
    /// What happens is measured.
    Measuring,
    /// Nothing new is said; answers are waited for.
    Draining,
    /// Everybody leaves.
    Leaving,
}

/// Counters for the live line, and the phase.
#[derive(Debug)]
pub(crate) struct Shared {
    phase: AtomicU8,
    /// When measuring began, in microseconds since the run did; [`u64::MAX`] before.
    began: AtomicU64,
    /// Bots that got a seat, and those that got in without one.
    pub(crate) joined: AtomicU64,
    pub(crate) watching: AtomicU64,
    /// Bots that are connected and in their rooms now.
    pub(crate) open: AtomicU64,
    /// Those of which it is known whether they got in or never will.
    pub(crate) settled: AtomicU64,
    /// Attempts to get in that failed, and why the last one did.
    refusals: AtomicU64,
    /// Bots whose code panicked.
    pub(crate) panicked: AtomicU64,
    why: Mutex<String>,
    pub(crate) drops: AtomicU64,
    pub(crate) wrong: AtomicU64,
    /// The p50 and p99 latency of the last thread that looked, in microseconds.
    pub(crate) latency: [AtomicU64; 2],
    /// The p99 latency of the last moments, of the same thread, in microseconds; 0: not known.
    pub(crate) recent: AtomicU64,
}

impl Default for Shared {
    fn default() -> Self {
        let none = AtomicU64::default;
        Self {
            phase: AtomicU8::default(),
            began: AtomicU64::new(u64::MAX),
            joined: none(),
            watching: none(),
            open: none(),
            settled: none(),
            refusals: none(),
            panicked: none(),
            why: Mutex::default(),
            drops: none(),
            wrong: none(),
            latency: [none(), none()],
            recent: none(),
        }
    }
}

impl Shared {
    /// Measuring begins now, in microseconds since the run began.
    pub(crate) fn begin(&self, now: u64) {
        self.began.store(now, Ordering::Release);
        self.enter(Phase::Measuring);
    }

    /// A bot did not get in.
    pub(crate) fn refused(&self, why: &str) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        why.clone_into(&mut self.why.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// How often bots did not get in, and why the last one did not.
    pub(crate) fn refusals(&self) -> (u64, String) {
        let why = self.why.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.refusals.load(Ordering::Relaxed), why)
    }

    /// How far the joins are: it is another number when anybody got in, or was refused for good.
    pub(crate) fn progress(&self) -> [u64; 3] {
        [&self.joined, &self.watching, &self.settled].map(|count| count.load(Ordering::Relaxed))
    }

    /// When measuring began, in microseconds since the run did.
    pub(crate) fn began(&self) -> Option<u64> {
        Some(self.began.load(Ordering::Acquire)).filter(|began| *began != u64::MAX)
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Joining,
            1 => Phase::Measuring,
            2 => Phase::Draining,
            _ => Phase::Leaving,
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }
}
