//! The journal's thread: all that waits becomes one batch, again and again.
//!
//! redb writes a commit without quick repair and in one phase: changed pages and a header, then one
//! `fdatasync` (a test counts them). Such a commit is found to be whole or not by checksums after a
//! crash, for which the file is walked once; a ring of minutes is small enough for that. The bytes of
//! a batch carry a hash of our own as well. Who waits is told as that sync returns; the index learns of
//! the batch when redb is done with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use redb::{Database, Durability};

use super::Journal;
use super::batch::{Builder, Spot};
use super::file::BATCHES;
use super::index::Kind;
use super::queue::Work;
use crate::store::{StoreError, open};

/// Batches removed in one transaction, so that what comes in never waits long behind them.
const REMOVED_MAX: usize = 256;
/// Chunks that are put into the index while others wait for it.
const LANDED_AT_ONCE: usize = 32;
/// How long the thread sleeps when there is nothing to do.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// How far the thread is, for those who wait for it.
#[derive(Clone, Copy, Default)]
pub(in crate::store) struct Progress {
    /// What was queued up to here is durable.
    pub(in crate::store) durable: u64,
    /// Transactions that failed.
    pub(super) failures: u64,
    /// The thread is gone: nothing more becomes durable.
    pub(super) ended: bool,
}

/// One transaction's worth of work, as bytes.
struct Batch {
    number: u64,
    /// Shared with what is done as soon as it is on disk.
    work: Arc<Work>,
    spots: Vec<Spot>,
    bytes: Vec<u8>,
    remove: Vec<u64>,
}

impl Journal {
    /// The thread's body: ends after the store closes.
    pub(in crate::store) fn write_until_closed(&self) {
        while let Some(batch) = self.next_batch() {
            let begun = Instant::now();
            let outcome = self.write(&batch);
            let worked = outcome.is_ok();
            match outcome {
                Ok(()) => self.done(batch, begun),
                Err(why) => self.failed(batch, why, begun),
            }
            if !worked {
                // It is tried again before the next write.
                if let Err(error) = self.reopen() {
                    tracing::debug!("cannot open the journal again: {error}");
                }
                if self.state().closing {
                    return;
                }
            }
        }
    }

    /// Waits for work; none when the store closes and all is written.
    fn next_batch(&self) -> Option<Batch> {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let due = state.queue.due(now);
            let last = state.closing && due.is_none();
            // What is left in the file should be what is needed.
            if last && !state.index.has_dead() && state.removing.is_empty() {
                return None;
            }
            if last || due.is_some_and(|due| due <= now) {
                break;
            }
            let wait = due.map_or(IDLE, |due| due - now);
            state.asleep = true;
            let waited = self.work.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.asleep = false;
        }
        let work = state.queue.take();
        let mut remove = std::mem::take(&mut state.removing);
        remove.extend(state.index.take_dead(REMOVED_MAX));
        let number = state.next_batch;
        drop(state);
        Some(encode(number, work, remove))
    }

    fn write(&self, batch: &Batch) -> Result<(), String> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.reopen().map_err(|error| format!("it cannot be opened again: {error}"))?;
        }
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_ref() else { return Err("it is closed".to_owned()) };
        // Who waits is told before redb has cleared up: the next moves come meanwhile.
        let (work, number) = (batch.work.clone(), batch.number);
        self.landing.on_next(move || tell(&work, number));
        let outcome = catch_unwind(AssertUnwindSafe(|| transact(database, batch)));
        let told = self.landing.is_over();
        match outcome {
            Ok(Ok(())) => {
                if !told {
                    tell(&batch.work, batch.number);
                }
                Ok(())
            }
            // It is written again, also where it is on disk and this was told.
            Ok(Err(error)) => Err(error.to_string()),
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

    fn done(&self, batch: Batch, begun: Instant) {
        let now = Instant::now();
        let Batch { number, work, spots, .. } = batch;
        let mut state = self.state();
        state.next_batch = number + 1;
        let kind = match (work.items.is_empty(), work.forgets.is_empty()) {
            (_, false) => Kind::Forgets,
            (false, true) => Kind::Chunks,
            (true, true) => Kind::Empty,
        };
        state.index.batch(number, kind, now);
        drop(state);
        let mut landed = (0..).zip(work.items.iter().zip(spots)).peekable();
        while landed.peek().is_some() {
            // Rooms that were told go on meanwhile, and append.
            let mut state = self.state();
            for (nth, (item, spot)) in landed.by_ref().take(LANDED_AT_ONCE) {
                state.index.landed(&item.key, item.id, (number, nth), spot);
            }
        }
        let mut state = self.state();
        for (key, life) in &work.forgets {
            state.index.forgotten(key, *life);
        }
        state.durable = work.up_to;
        let recovered = state.queue.done(&work);
        let stats = &mut state.stats;
        stats.commits += 1;
        stats.chunks_written += work.items.len() as u64;
        stats.bytes_written += work.bytes() as u64;
        stats.commit_time += now - begun;
        let waiting = state.waiting > 0;
        drop(state);
        if recovered {
            tracing::info!("the journal can be written again");
        }
        if waiting {
            self.over.notify_all();
        }
        self.progress.send_modify(|progress| progress.durable = work.up_to);
    }

    fn failed(&self, batch: Batch, why: String, begun: Instant) {
        let now = Instant::now();
        let mut state = self.state();
        state.removing = batch.remove;
        state.stats.failed_writes += 1;
        state.stats.commit_time += now - begun;
        let work = Arc::into_inner(batch.work).expect("nothing is done for a commit that is over");
        let first = state.queue.failed(work, why.clone(), now);
        drop(state);
        if first {
            tracing::error!("the journal cannot be written, what happens waits in memory: {why}");
        }
        self.over.notify_all();
        self.progress.send_modify(|progress| progress.failures += 1);
    }
}

/// All lines move before anybody is told, so that whoever is woken sees all of the batch.
fn tell(work: &Work, number: u64) {
    for item in &work.items {
        item.line.move_to(item.number);
    }
    for item in work.items.iter().filter(|item| item.gated || item.line.is_told_of_all()) {
        item.line.tell(number);
    }
}

fn encode(number: u64, work: Work, remove: Vec<u64>) -> Batch {
    let mut builder = Builder::for_chunks(work.items.len(), work.bytes());
    let spots = work.items.iter().map(|item| builder.chunk(&item.key, &item.chunk)).collect();
    for (key, life) in &work.forgets {
        builder.forget(key, *life);
    }
    Batch { number, work: Arc::new(work), spots, bytes: builder.finish(), remove }
}

/// One durable transaction.
fn transact(database: &Database, batch: &Batch) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    {
        let mut batches = transaction.open_table(BATCHES)?;
        for number in &batch.remove {
            batches.remove(number)?;
        }
        // The same key again when an attempt failed: whatever became of that, this takes its place.
        batches.insert(batch.number, batch.bytes.as_slice())?;
    }
    transaction.commit()?;
    Ok(())
}
