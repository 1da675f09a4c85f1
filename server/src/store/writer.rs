//! The thread of the rooms: everything that waits goes to disk in one transaction, again and again.
//! What is in a snapshot is then no more needed in the journal, and what has been in the journal for
//! too long moves over.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redb::Database;
use tokio::sync::watch;

use super::alarms::Planned;
use super::chain::Base;
use super::compact::{Compaction, Copied, Site};
use super::journal::{Found, Journal};
use super::queue::{Batch, Change, Queue};
use super::rows::{Outcome, Settling, Transaction, transact};
use super::sure::Doubt;
use super::{JournalKeep, StoreError, format, open};
use crate::key::RoomKey;

/// Rooms whose chunks move over in one transaction, and about how many bytes of them, so that a save
/// never waits long behind them.
const SETTLE_MAX: usize = 64;
const SETTLE_MAX_BYTES: usize = 8 << 20;

/// Opens the database; again after a failure, because redb refuses all work after one.
pub(super) type Open = Box<dyn Fn() -> Result<Database, StoreError> + Send + Sync>;

/// How far the writer is, for those who wait for it.
#[derive(Clone, Copy, Default)]
pub(super) struct Progress {
    /// Changes up to this one are durable.
    pub(super) durable: u64,
    /// Transactions done.
    pub(super) commits: u64,
    /// Transactions that failed.
    pub(super) failures: u64,
    /// Bytes of rooms written.
    pub(super) bytes: u64,
    /// Time spent in transactions.
    pub(super) time: Duration,
    /// Slices copied to make the file smaller.
    pub(super) slices: u64,
    /// The thread is gone: nothing more becomes durable.
    pub(super) ended: bool,
}

/// What the store and its writing thread share.
pub(super) struct Shared {
    pub(super) queue: Mutex<Queue>,
    /// Tells the writer that there is work.
    pub(super) work: Condvar,
    /// Tells those who need a number that a batch is over.
    pub(super) over: Condvar,
    /// None while it cannot be opened again after a failure.
    pub(super) database: RwLock<Option<Database>>,
    pub(super) open: Open,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) stored_rooms_days: u32,
    pub(super) keep: JournalKeep,
    pub(super) journal: Arc<Journal>,
    /// Some room may have chunks beside its snapshot.
    pub(super) tails: AtomicBool,
    pub(super) alarms: Planned,
    /// Rooms that were removed and the life of which the journal is to forget them, and what it queued last
    /// when it was told.
    pub(super) forgetting: Mutex<Vec<(u64, RoomKey, u64)>>,
    /// Rooms that were loaded when they had nearly expired, since expired ones were looked for.
    pub(super) visited: Mutex<BTreeSet<RoomKey>>,
    pub(super) of_rooms: Doubt,
    /// Bytes of all values of rooms.
    pub(super) used_bytes: AtomicU64,
    pub(super) moved_bytes: AtomicU64,
    pub(super) compact_from_bytes: u64,
}

/// What the thread does next.
enum Work {
    Batch(Batch),
    /// The file is to be made smaller.
    Slice,
}

impl Shared {
    /// The queue. Its own code does not panic half way, so a poisoned lock holds a sound queue.
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writing thread's body: ends after the store closes.
    pub(super) fn write_until_closed(&self, site: Site) {
        let mut look_at = Instant::now();
        let mut compaction = Compaction::new(site, self.compact_from_bytes);
        while let Some(work) = self.next_work(&mut look_at, &compaction) {
            let Work::Batch(batch) = work else {
                self.compact(&mut compaction);
                continue;
            };
            let begun = Instant::now();
            let mut did = Outcome { swept_all: true, ..Outcome::default() };
            let outcome = self.write(&batch, &mut did);
            let closing = self.queue().closing;
            let removed = did.removed.iter().map(|(key, _)| key);
            compaction.touch(batch.changes.keys().chain(&batch.settle).chain(removed));
            match &outcome {
                Ok(()) => self.done(&batch, &did),
                Err(why) => self.failed(&batch, &did, why),
            }
            self.progress.send_modify(|progress| {
                progress.time += begun.elapsed();
                match &outcome {
                    Ok(()) => {
                        progress.durable = batch.up_to;
                        progress.commits += 1;
                        progress.bytes +=
                            batch.changes.values().map(|of| of.bytes() as u64).sum::<u64>();
                    }
                    Err(_) => progress.failures += 1,
                }
            });
            self.over.notify_all();
            if outcome.is_err() {
                // It is tried again before the next write.
                if let Err(error) = self.reopen() {
                    tracing::debug!("cannot open the store again: {error}");
                }
                if closing {
                    return;
                }
            }
        }
    }

    /// Waits for work; none when the store closes and all is written.
    fn next_work(&self, look_at: &mut Instant, compaction: &Compaction) -> Option<Work> {
        let mut queue = self.queue();
        loop {
            let now = Instant::now();
            if queue.closing && !queue.waits() {
                return None;
            }
            if *look_at <= now {
                *look_at = now + self.journal.look_every();
                let overdue = self.journal.overdue(now, SETTLE_MAX);
                if !overdue.is_empty() {
                    queue.settle(overdue);
                }
            }
            let Some(wait) = queue.next_work(now) else {
                return Some(Work::Batch(queue.take(now)));
            };
            let mut wake_at = *look_at;
            if queue.backoff.failing.is_none() {
                let used_bytes = self.used_bytes.load(Ordering::Relaxed);
                match compaction.due(now, used_bytes, self.of_rooms.file_bytes()) {
                    Some(at) if at <= now => return Some(Work::Slice),
                    Some(at) => wake_at = wake_at.min(at),
                    None => {}
                }
            }
            let waited = self.work.wait_timeout(queue, wait.min(wake_at - now));
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The batch is on disk: the journal is told before anybody else.
    fn done(&self, batch: &Batch, did: &Outcome) {
        for (key, change) in &*batch.changes {
            if let Change::Save(save) = change {
                let base = Base { life: save.room.incarnation, tick: Some(save.room.tick) };
                self.journal.cover(key, base);
            }
        }
        self.used_bytes.store(did.used_bytes, Ordering::Relaxed);
        for (key, life) in &did.removed {
            self.journal.forget(key, *life);
            self.forgetting().push((self.journal.queued(), key.clone(), *life));
        }
        if self.queue().done(batch, did.swept_all, Instant::now()) {
            tracing::info!("stored rooms can be written again");
        }
        self.alarms.done(batch);
    }

    fn failed(&self, batch: &Batch, did: &Outcome, why: &str) {
        if self.queue().failed(batch, &did.removed, why.to_owned(), Instant::now()) {
            tracing::error!("the store cannot be written, rooms wait in memory: {why}");
        }
    }

    /// Writes a batch.
    fn write(&self, batch: &Batch, outcome: &mut Outcome) -> Result<(), String> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.reopen()
                .map_err(|error| format!("the database cannot be opened again: {error}"))?;
        }
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_ref() else {
            return Err("the database is closed".to_owned());
        };
        let settling = self.settling(batch);
        let (forgotten_upto, now_ms) = (self.journal.durable(), unix_ms());
        let forgotten = self.forgotten(forgotten_upto);
        let visited = if batch.sweep { self.visited().clone() } else { BTreeSet::new() };
        let transaction = Transaction {
            batch,
            settling: &settling,
            forgotten: &forgotten,
            visited: &visited,
            keep: self.keep,
            now_ms,
            expired_before: format::day(now_ms).saturating_sub(self.stored_rooms_days),
        };
        if !settling.is_empty() {
            self.tails.store(true, Ordering::Release);
        }
        catch_unwind(AssertUnwindSafe(|| transact(database, &transaction, outcome)))
            .map_err(|_| "the database panicked".to_owned())?
            .map_err(|error| error.to_string())?;
        self.forgetting().retain(|(queued, ..)| *queued > forgotten_upto);
        if outcome.swept_all {
            self.visited().retain(|key| !visited.contains(key));
        }
        for Settling { key, chunks, upto_id } in &settling {
            self.journal.moved(key, *upto_id, chunks.len() as u64);
        }
        Ok(())
    }

    pub(super) fn visited(&self) -> MutexGuard<'_, BTreeSet<RoomKey>> {
        self.visited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forgetting(&self) -> MutexGuard<'_, Vec<(u64, RoomKey, u64)>> {
        self.forgetting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removed rooms of which the journal says so on disk.
    fn forgotten(&self, upto: u64) -> Vec<(RoomKey, u64)> {
        let forgetting = self.forgetting();
        let on_disk = forgetting.iter().filter(|(queued, ..)| *queued <= upto);
        on_disk.map(|(_, key, life)| (key.clone(), *life)).collect()
    }

    /// Copies a slice of the file; after the last one the copy takes its place.
    fn compact(&self, compaction: &mut Compaction) {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let copied = match database.as_ref() {
            Some(opened) => compaction.slice(opened, self.of_rooms.file_bytes()),
            // A read that failed left it closed.
            None => return compaction.put_off(),
        };
        drop(database);
        if let Ok(Copied::Some(bytes) | Copied::All(bytes)) = &copied {
            self.moved_bytes.fetch_add(*bytes, Ordering::Relaxed);
        }
        let done = match copied {
            Ok(Copied::Some(_)) => Ok(()),
            Ok(Copied::All(_)) => self.replace(compaction),
            Err(why) => Err(why),
        };
        if let Err(why) = done {
            tracing::warn!(
                "the file of the rooms could not be made smaller; it stays as it is: {why}"
            );
        }
        self.progress.send_modify(|progress| progress.slices += 1);
    }

    /// The copy takes the place of the file. Until it is opened nobody reads.
    fn replace(&self, compaction: &mut Compaction) -> Result<(), String> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = compaction.replace(&mut database);
        if database.is_none() {
            // Where this fails it is tried again with the next batch, or load.
            match (self.open)() {
                Ok(opened) => *database = Some(opened),
                Err(error) => tracing::warn!("the stored rooms cannot be opened again: {error}"),
            }
        }
        replaced.map(|outcome| compaction.over(outcome, self.of_rooms.file_bytes()))
    }

    /// Reads what is to move over. What is left for want of time holds its batches, and is found
    /// again; so is what cannot be read now.
    fn settling(&self, batch: &Batch) -> Vec<Settling> {
        let (mut settling, mut bytes) = (Vec::new(), 0);
        // A room that is removed in this batch: were the batch done twice, because nobody knew that it
        // was done, the removal would take along what of a room made since was moved.
        let goes = |key: &&RoomKey| batch.changes.get(*key).is_some_and(Change::removes);
        for key in batch.settle.iter().filter(|key| !goes(key)) {
            let found = match self.written(key) {
                Ok(found) => found,
                Err(StoreError::Unreadable { why, .. }) => {
                    tracing::error!(room = %key, why, "a journal cannot be read; it stays as it is");
                    self.journal.give_up(key);
                    continue;
                }
                Err(_) => continue,
            };
            if self.queue().removes_later(key) {
                // It was made again meanwhile, and that is what was read. The removal would take it
                // along if it were beside the old snapshot already.
                continue;
            }
            let moves = |found: Found| Some((found.place?, found.id, found.chunk));
            let (mut chunks, mut upto_id) = (Vec::new(), 0);
            for (place, id, chunk) in found.into_iter().map_while(moves) {
                bytes += chunk.bytes.len();
                upto_id = id;
                chunks.push((place, chunk));
            }
            if !chunks.is_empty() {
                settling.push(Settling { key: key.clone(), chunks, upto_id });
            }
            if bytes > SETTLE_MAX_BYTES {
                break;
            }
        }
        settling
    }

    /// What the journal has of a room, on disk if that can be had.
    fn written(&self, key: &RoomKey) -> Result<Vec<Found>, StoreError> {
        let found = self.journal.read(key)?;
        if found.iter().all(|found| found.place.is_some()) {
            return Ok(found);
        }
        self.journal.write_now();
        self.journal.read(key)
    }

    /// Opens the database again where a read that failed left it refusing all work.
    pub(super) fn mend(&self) {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if self.queue().closing || database.as_ref().is_some_and(open::works) {
            return;
        }
        drop(database.take());
        match (self.open)() {
            Ok(opened) => *database = Some(opened),
            Err(error) => tracing::debug!("cannot open the store again: {error}"),
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

/// Milliseconds since 1970.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
