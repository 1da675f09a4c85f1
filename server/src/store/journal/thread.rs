//! The journal's thread: all that waits becomes one batch, again and again.
//!
//! A batch is written into the log, by one write and one sync, and who waits is told as that returns.
//! Where the log cannot take it, because it is too large, or because the log failed, it goes into the
//! database in one transaction with all that is still in the log.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::batch::{Builder, Spot};
use super::index::Kind;
use super::log::Log;
use super::queue::Work;
use super::{Journal, Pending};

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

/// What goes to disk at once, as bytes.
struct Batch {
    number: u64,
    work: Work,
    spots: Vec<Spot>,
    bytes: Vec<u8>,
}

impl Journal {
    /// The thread's body: ends after the store closes.
    pub(in crate::store) fn write_until_closed(&self) {
        while let Some(batch) = self.next_batch() {
            let begun = Instant::now();
            match self.write(&batch) {
                Ok(logged) => self.done(batch, logged, begun),
                Err(why) => {
                    self.failed(batch, why, begun);
                    if self.state().closing {
                        return;
                    }
                }
            }
        }
        if !self.state().has_moves() {
            return;
        }
        // What is left on disk should be what is needed.
        if let Err(why) = self.move_all(&mut self.log(), None) {
            tracing::warn!("the journal stays in its log until the next start: {why}");
        }
    }

    /// Waits for work; none when the store closes and all is written.
    fn next_batch(&self) -> Option<Batch> {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let due = state.queue.due(now);
            if state.closing && due.is_none() {
                return None;
            }
            if due.is_some_and(|due| due <= now) {
                break;
            }
            let wait = due.map_or(IDLE, |due| due - now);
            state.asleep = Some(now + wait);
            let waited = self.work.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.asleep = None;
        }
        let (work, number) = (state.queue.take(), state.next_batch);
        drop(state);
        Some(encode(number, work))
    }

    /// Puts a batch on disk, and tells who waits. Gives where in the log it is; none where the database
    /// has it.
    fn write(&self, batch: &Batch) -> Result<Option<Pending>, String> {
        let mut log = self.log();
        if self.has_room(&mut log, batch.bytes.len()) {
            let written = log.append(batch.number, &batch.bytes);
            let slot = written.map_err(|error| error.to_string())?;
            tell(&batch.work, batch.number);
            return Ok(Some(Pending::new(slot, batch.work.bytes())));
        }
        self.move_all(&mut log, Some((batch.number, &batch.bytes)))?;
        tell(&batch.work, batch.number);
        Ok(None)
    }

    /// Whether the log takes so many bytes now: in the half of this epoch, or in the other one if what
    /// that has is in the database. Nothing is written over what the floor has not passed: only the log has
    /// it, and there it is read while this thread writes.
    fn has_room(&self, log: &mut Log, bytes: usize) -> bool {
        if log.is_broken() || !log.could_take(bytes) {
            return false;
        }
        let mut state = self.state();
        if log.has_room(bytes) {
            return state.floor + 1 >= log.epoch();
        }
        if state.floor < log.epoch() {
            return false;
        }
        log.turn();
        state.epoch = log.epoch();
        drop(state);
        self.full.notify_one();
        true
    }

    /// Moves all that is in the log into the database, and this batch with it. The log begins anew.
    fn move_all(&self, log: &mut Log, batch: Option<(u64, &[u8])>) -> Result<(), String> {
        // The database may say that this epoch does not count any more, and fail after that.
        log.break_off();
        self.move_on(log.epoch() + 1, batch)?;
        log.turn();
        self.state().epoch = log.epoch();
        Ok(())
    }

    fn done(&self, batch: Batch, logged: Option<Pending>, begun: Instant) {
        let now = Instant::now();
        let Batch { number, work, spots, .. } = batch;
        let mut state = self.state();
        state.next_batch = number + 1;
        let kind = if work.forgets.is_empty() { Kind::Chunks } else { Kind::Forgets };
        state.index.batch(number, kind, now);
        if let Some(pending) = logged {
            state.pending.insert(number, pending);
        }
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
        state.stats.failed_writes += 1;
        state.stats.commit_time += now - begun;
        let first = state.queue.failed(batch.work, why.clone(), now);
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

fn encode(number: u64, work: Work) -> Batch {
    let mut builder = Builder::for_chunks(work.items.len(), work.bytes());
    let spots = work.items.iter().map(|item| builder.chunk(&item.key, &item.chunk)).collect();
    for (key, life) in &work.forgets {
        builder.forget(key, *life);
    }
    Batch { number, work, spots, bytes: builder.finish() }
}
