//! From the log into the database: what a half of the log holds and some room still needs moves on in
//! one transaction, which also removes what nobody needs any more, and says from which epoch on the log
//! counts. A thread of its own does so as soon as a half is full, so that nobody who waits for the log
//! waits for the database.
//!
//! redb writes such a commit without quick repair and in one phase. It is found to be whole or not by
//! checksums after a crash, for which the file is walked once; a ring of minutes is small enough for
//! that. The bytes of a batch carry a hash of our own as well.
//!
//! What moves is read back from the log, one batch at a time. Its half is not written again before the
//! move has worked, so one that fails, be it at a read, loses nothing and is done again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::time::Instant;

use redb::{Database, Durability};

use super::file::{self, BATCHES};
use super::log::{Reader, Slot};
use super::{Journal, State};
use crate::store::{StoreError, open};

/// Batches removed from the file in one transaction.
const REMOVED_MAX: usize = 8192;

/// What one transaction does.
struct Plan<'a> {
    /// Epochs of the log before this one do not count any more.
    floor: u64,
    /// The number of the next batch, as far as it is known.
    next_batch: u64,
    /// Batches of the log.
    insert: Vec<(u64, Slot)>,
    /// A batch that no log has.
    batch: Option<(u64, &'a [u8])>,
    remove: Vec<u64>,
}

/// Why a transaction was not done.
enum Failure {
    /// What should move on cannot be read. The database has nothing to do with it.
    Log(String),
    Database(String),
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Database(error.into().to_string())
    }
}

impl Journal {
    /// The thread's body: ends when the store closes.
    pub(in crate::store) fn move_until_closed(&self) {
        while let Some(floor) = self.next_full() {
            let outcome = self.move_on(floor, None);
            let mut state = self.state();
            match outcome {
                Ok(()) => _ = state.moving.worked(),
                Err(why) => {
                    if state.moving.failed(why.clone(), Instant::now()) {
                        tracing::error!("the journal's log cannot be emptied: {why}");
                    }
                }
            }
        }
    }

    /// Waits until there is something in a half of the log that is not written any more.
    fn next_full(&self) -> Option<u64> {
        let mut state = self.state();
        loop {
            if state.closing {
                return None;
            }
            let now = Instant::now();
            let retry_at = state.moving.retry_at().filter(|at| *at > now);
            if state.floor < state.epoch && retry_at.is_none() {
                return Some(state.epoch);
            }
            state = match retry_at {
                Some(at) => {
                    let waited = self.full.wait_timeout(state, at - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.full.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Moves all of the epochs before `floor` into the database, and this batch, which no log has.
    ///
    /// # Errors
    /// What is wrong with the database, or with the log. All is as it was then.
    pub(super) fn move_on(&self, floor: u64, batch: Option<(u64, &[u8])>) -> Result<(), String> {
        let _alone = self.moves.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = plan(&mut self.state(), floor, batch);
        let outcome = self.transact(&plan);
        let mut state = self.state();
        match outcome {
            Ok(()) => {
                state.floor = plan.floor;
                state.pending.retain(|_, pending| pending.slot.epoch >= plan.floor);
                state.stats.moves += 1;
                Ok(())
            }
            Err(Failure::Log(why)) => {
                state.removing = plan.remove;
                Err(why)
            }
            Err(Failure::Database(why)) => {
                state.removing = plan.remove;
                drop(state);
                // It is tried again before the next write.
                if let Err(error) = self.reopen() {
                    tracing::debug!("cannot open the journal again: {error}");
                }
                Err(why)
            }
        }
    }

    fn transact(&self, plan: &Plan<'_>) -> Result<(), Failure> {
        let failed = |why: String| Failure::Database(why);
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            let reopened = self.reopen();
            reopened.map_err(|error| failed(format!("it cannot be opened again: {error}")))?;
        }
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| failed("it is closed".to_owned()))?;
        let outcome = catch_unwind(AssertUnwindSafe(|| transact(database, plan, &self.logged)));
        outcome.unwrap_or_else(|_| Err(failed("the database panicked".to_owned())))
    }

    /// Opens the database again where a read that failed left it refusing all work.
    pub(in crate::store) fn mend(&self) {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if self.state().closing || database.as_ref().is_some_and(open::works) {
            return;
        }
        drop(database.take());
        match (self.open)() {
            Ok(opened) => *database = Some(opened),
            Err(error) => tracing::debug!("cannot open the journal again: {error}"),
        }
    }

    /// Closes the database and opens it again.
    fn reopen(&self) -> Result<(), StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The file is locked until the old one is gone.
        drop(database.take());
        *database = Some((self.open)()?);
        Ok(())
    }
}

fn plan<'a>(state: &mut State, floor: u64, batch: Option<(u64, &'a [u8])>) -> Plan<'a> {
    // A transaction that failed may have been done all the same: what does not count any more by it must
    // never count again, since the database has it.
    let floor = floor.max(state.floor_tried);
    state.floor_tried = floor;
    let State { pending, index, removing, .. } = state;
    // Of an epoch that stays in the log nothing may go: it would come back at a start.
    let stays = pending.iter().find(|(_, pending)| pending.slot.epoch >= floor);
    let before = stays.map_or(u64::MAX, |(number, _)| *number);
    let mut remove = std::mem::take(removing);
    remove.extend(index.take_dead(REMOVED_MAX, before));
    let goes = pending.iter().filter(|(_, pending)| pending.slot.epoch < floor);
    let needed = goes.filter(|(number, _)| index.has(**number));
    let insert = needed.map(|(number, pending)| (*number, pending.slot)).collect();
    let next_batch = batch.map_or(state.next_batch, |(number, _)| number + 1);
    Plan { floor, next_batch, insert, batch, remove }
}

/// One durable transaction.
fn transact(database: &Database, plan: &Plan<'_>, logged: &Reader) -> Result<(), Failure> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    {
        let mut batches = transaction.open_table(BATCHES)?;
        for number in &plan.remove {
            batches.remove(number)?;
        }
        // The same key again when an attempt failed: whatever became of that, this takes its place.
        let mut buffer = Vec::new();
        for (number, slot) in &plan.insert {
            let unreadable = |fault| Failure::Log(unreadable(*number, fault));
            let bytes = logged.batch(*number, *slot, &mut buffer).map_err(unreadable)?;
            batches.insert(number, bytes)?;
        }
        if let Some((number, bytes)) = plan.batch {
            batches.insert(number, bytes)?;
        }
    }
    file::write_log(&transaction, plan.floor, plan.next_batch)?;
    transaction.commit()?;
    Ok(())
}

/// A batch that does not move on, and what becomes of it.
fn unreadable(number: u64, fault: file::Fault) -> String {
    match fault {
        file::Fault::Disk(why) => {
            format!(
                "batch {number} in the log cannot be read: {why}; it stays there, and is read again"
            )
        }
        file::Fault::Damaged(why) => format!(
            "batch {number} in the log is damaged: {why}; it stays there until snapshots of its rooms are \
             on disk"
        ),
    }
}
