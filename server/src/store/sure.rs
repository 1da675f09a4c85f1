//! A file whose sync failed is not to be trusted: the system may show what was written and forget that
//! it is not on disk. Later syncs say nothing about it. So after such a failure all of the file is
//! written again before it is opened again. Knows nothing of what is in it.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::{BackendError, StorageBackend};

const BLOCK_BYTES: usize = 1 << 20;

/// What is known of a file while it is closed and opened again. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubt {
    /// The last sync failed.
    failed: Arc<AtomicBool>,
    /// How large the file is, in bytes.
    len: Arc<AtomicU64>,
}

impl Doubt {
    /// How large the file is, in bytes.
    pub(super) fn file_bytes(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }
}

/// A backend that notices when a sync fails, and how large the file is.
#[derive(Debug)]
pub(super) struct Watched<B> {
    backend: B,
    doubt: Doubt,
}

impl<B: StorageBackend> Watched<B> {
    /// Takes a backend into use; writes all of it again when there is doubt about it.
    pub(super) fn new(backend: B, doubt: &Doubt) -> io::Result<Self> {
        if doubt.failed.load(Ordering::Acquire) {
            write_again(&backend)?;
            doubt.failed.store(false, Ordering::Release);
        }
        doubt.len.store(backend.len()?, Ordering::Relaxed);
        Ok(Self { backend, doubt: doubt.clone() })
    }
}

/// Writes what is there once more, and syncs it. What is all zeros is as the disk has it: nothing was
/// written there.
fn write_again(backend: &impl StorageBackend) -> io::Result<()> {
    let len = backend.len()?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut at = 0;
    while at < len {
        let count = usize::try_from(len - at).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
        let block = &mut block[..count];
        backend.read(at, block)?;
        if block.iter().any(|byte| *byte != 0) {
            backend.write(at, block)?;
        }
        at += count as u64;
    }
    backend.sync_data()
}

impl<B: StorageBackend> StorageBackend for Watched<B> {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.backend.set_len(len)?;
        self.doubt.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let outcome = self.backend.sync_data();
        if outcome.is_err() {
            self.doubt.failed.store(true, Ordering::Release);
        }
        outcome
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.backend.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.query_lock_range(start, end)
    }
}
