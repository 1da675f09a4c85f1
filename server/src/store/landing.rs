//! When a commit of a database is on disk: as its sync returns, and not when redb is done with it. What
//! redb does after the sync (it frees pages, and writes in memory down that it did) takes half as long as
//! the sync where a commit is small, and nobody who waits for the disk has to wait for that.
//!
//! A commit is made by the header at the beginning of the file, which says which of two slots holds. One
//! phase writes the pages and a header with the other slot, and syncs once; two phases sync the pages
//! first. So a commit is on disk with the sync that follows a header which says the other slot. Other
//! syncs, as the one after the file has grown, tell of nothing.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where the header has the byte with [`SLOT`] in it: behind redb's nine magic bytes.
const FLAGS_AT: usize = 9;
/// The bit that says which slot holds.
const SLOT: u8 = 1;

/// What is done as soon as a commit is on disk. Must not panic, and return soon: the commit waits for it.
type Then = Box<dyn FnOnce() + Send>;

/// See the module's documentation. Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Landing(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The slot that the last header said; none while no header was written since the file was opened.
    slot: Option<u8>,
    /// The commit's header is written, and is not synced.
    written: bool,
    then: Option<Then>,
}

impl Landing {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next commit that is on disk does this, once.
    pub(super) fn on_next(&self, then: impl FnOnce() + Send + 'static) {
        self.state().then = Some(Box::new(then));
    }

    /// The commit is over. Says whether it was on disk for sure: what was to be done then was done. A
    /// commit may be on disk also where it was not: the first one after the file was opened is not noticed.
    pub(super) fn is_over(&self) -> bool {
        self.state().then.take().is_none()
    }

    /// The file is opened.
    pub(super) fn opened(&self) {
        let mut state = self.state();
        (state.slot, state.written) = (None, false);
    }

    /// Something is written into the file.
    pub(super) fn written(&self, offset: u64, data: &[u8]) {
        let flags = data.get(FLAGS_AT).filter(|_| offset == 0);
        let Some(slot) = flags.map(|flags| flags & SLOT) else { return };
        let mut state = self.state();
        let before = state.slot.replace(slot);
        state.written |= before.is_some_and(|before| before != slot);
    }

    /// A sync has returned.
    pub(super) fn synced(&self, worked: bool) {
        let mut state = self.state();
        let landed = std::mem::take(&mut state.written) && worked;
        let then = if landed { state.then.take() } else { None };
        drop(state);
        if let Some(then) = then {
            then();
        }
    }
}

impl fmt::Debug for Landing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { slot, written, then } = &*self.state();
        write!(f, "Landing(slot {slot:?}, written {written}, expected {})", then.is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Counts what was told.
    fn expect(landing: &Landing) -> Arc<AtomicU32> {
        let told = Arc::new(AtomicU32::new(0));
        let counts = told.clone();
        landing.on_next(move || {
            counts.fetch_add(1, Ordering::Relaxed);
        });
        told
    }

    fn header(landing: &Landing, slot: u8) {
        // Other flags say nothing.
        landing.written(0, &[&[0; FLAGS_AT][..], &[slot | 6], &[0; 300]].concat());
    }

    #[test]
    fn a_commit_is_on_disk_with_the_sync_behind_a_header_that_says_the_other_slot() {
        let landing = Landing::default();
        landing.opened();
        header(&landing, 0);
        landing.synced(true);
        let told = expect(&landing);
        landing.written(4096, &[1; 4096]);
        landing.synced(true);
        header(&landing, 0);
        landing.synced(true);
        assert_eq!(told.load(Ordering::Relaxed), 0, "the file grew; the first of two phases");
        header(&landing, 1);
        assert_eq!(told.load(Ordering::Relaxed), 0, "written, and not synced");
        landing.synced(true);
        assert_eq!(told.load(Ordering::Relaxed), 1);
        assert!(landing.is_over());
        landing.synced(true);
        assert_eq!(told.load(Ordering::Relaxed), 1, "once");
    }

    #[test]
    fn nothing_is_told_of_a_sync_that_failed_nor_of_what_an_earlier_opening_wrote() {
        let landing = Landing::default();
        header(&landing, 0);
        header(&landing, 1);
        let told = expect(&landing);
        landing.synced(false);
        landing.synced(true);
        assert!(!landing.is_over());
        let again = expect(&landing);
        header(&landing, 0);
        landing.opened();
        landing.synced(true);
        header(&landing, 1);
        landing.synced(true);
        assert!(!landing.is_over(), "which slot held is not known");
        assert_eq!(told.load(Ordering::Relaxed) + again.load(Ordering::Relaxed), 0);
    }
}
