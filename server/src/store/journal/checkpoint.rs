//! From the log into the database: what a half of the log holds and some room still needs moves on in
//! one transaction, which also removes what nobody needs any more, and says from which epoch on the log
//! counts. A thread of its own does so as soon as a half is full, so that nobody who waits for the log
//! waits for the database.
//!
//! redb writes such a commit without quick repair and in one phase. It is found to be whole or not by
//! checksums after a crash, for which the file is walked once; a ring of minutes is small enough for
//! that. The bytes of a batch carry a hash of our own as well.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use redb::{Database, Durability};

use super::file::{self, BATCHES};
use super::{Journal, State};
use crate::store::{StoreError, open};

/// Batches removed from the file in one transaction.
const REMOVED_MAX: usize = 8192;

/// What one transaction does.
struct Plan {
    /// Epochs of the log before this one do not count any more.
    floor: u64,
    /// The number of the next batch, as far as it is known.
    next_batch: u64,
    insert: Vec<(u64, Arc<Vec<u8>>)>,
    remove: Vec<u64>,
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
    /// What is wrong with the database. All is as it was then.
    pub(super) fn move_on(
        &self,
        floor: u64,
        batch: Option<(u64, Arc<Vec<u8>>)>,
    ) -> Result<(), String> {
        let _alone = self.moves.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = plan(&mut self.state(), floor, batch);
        let outcome = self.transact(&plan);
        let mut state = self.state();
        match outcome {
            Ok(()) => {
                state.floor = plan.floor;
                state.pending.retain(|_, pending| pending.epoch >= plan.floor);
                state.stats.moves += 1;
                Ok(())
            }
            Err(why) => {
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

    fn transact(&self, plan: &Plan) -> Result<(), String> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.reopen().map_err(|error| format!("it cannot be opened again: {error}"))?;
        }
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_ref() else { return Err("it is closed".to_owned()) };
        match catch_unwind(AssertUnwindSafe(|| transact(database, plan))) {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err("the database panicked".to_owned()),
        }
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

fn plan(state: &mut State, floor: u64, batch: Option<(u64, Arc<Vec<u8>>)>) -> Plan {
    // A transaction that failed may have been done all the same: what does not count any more by it must
    // never count again, since the database has it.
    let floor = floor.max(state.floor_tried);
    state.floor_tried = floor;
    let State { pending, index, removing, .. } = state;
    // Of an epoch that stays in the log nothing may go: it would come back at a start.
    let stays = pending.iter().find(|(_, pending)| pending.epoch >= floor);
    let before = stays.map_or(u64::MAX, |(number, _)| *number);
    let mut remove = std::mem::take(removing);
    remove.extend(index.take_dead(REMOVED_MAX, before));
    let mut insert = Vec::new();
    for (number, pending) in pending.iter().filter(|(_, pending)| pending.epoch < floor) {
        if index.has(*number) {
            insert.push((*number, pending.bytes.clone()));
        }
    }
    let next_batch = batch.as_ref().map_or(state.next_batch, |(number, _)| number + 1);
    insert.extend(batch);
    Plan { floor, next_batch, insert, remove }
}

/// One durable transaction.
fn transact(database: &Database, plan: &Plan) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    {
        let mut batches = transaction.open_table(BATCHES)?;
        for number in &plan.remove {
            batches.remove(number)?;
        }
        // The same key again when an attempt failed: whatever became of that, this takes its place.
        for (number, bytes) in &plan.insert {
            batches.insert(number, bytes.as_slice())?;
        }
    }
    file::write_log(&transaction, plan.floor, plan.next_batch)?;
    transaction.commit()?;
    Ok(())
}
