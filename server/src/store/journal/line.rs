//! A room's line into the journal.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A room's line into the journal: how much of what it appended is on disk.
pub struct JournalLine {
    /// The number of the newest append. Only moved under the journal's lock.
    appended: AtomicU64,
    durable: AtomicU64,
    /// The newest batch whose end was told: once per line and batch.
    told: AtomicU64,
    /// Whether somebody waits for what is not gated as well.
    always: bool,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl JournalLine {
    /// A line on which nothing was appended yet. `wake` is called from the journal's thread after a
    /// commit that holds gated chunks of this line, when [`Self::durable`] has moved already. It must
    /// return at once and must not panic.
    #[must_use]
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Self::with(false, wake)
    }

    /// The same, where `wake` is called after a commit that holds any chunk of this line.
    #[must_use]
    pub fn told_of_all(wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Self::with(true, wake)
    }

    fn with(always: bool, wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            always,
            appended: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            told: AtomicU64::new(0),
            wake: Box::new(wake),
        })
    }

    /// The number of the last append that is on disk; 0 when none is.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// The number of the next append.
    pub(in crate::store) fn number(&self) -> u64 {
        self.appended.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Appends up to this one are on disk.
    pub(in crate::store) fn move_to(&self, number: u64) {
        self.durable.fetch_max(number, Ordering::AcqRel);
    }

    /// Whether it is told of commits without gated chunks of it.
    pub(in crate::store) fn is_told_of_all(&self) -> bool {
        self.always
    }

    /// Tells whoever waits that this batch is on disk.
    pub(in crate::store) fn tell(&self, batch: u64) {
        if self.told.swap(batch, Ordering::Relaxed) != batch {
            (self.wake)();
        }
    }
}

impl fmt::Debug for JournalLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (durable, appended) = (self.durable(), self.appended.load(Ordering::Relaxed));
        write!(f, "JournalLine({durable} of {appended})")
    }
}
