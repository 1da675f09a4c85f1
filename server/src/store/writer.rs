//! The writing thread: everything that waits goes to disk in one transaction, again and again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redb::{Database, Durability, ReadableTable, Table};
use tokio::sync::watch;

use super::StoreError;
use super::format::{self, DAYS, META, META_NUMBERS, ROOMS};
use super::queue::{Batch, Change, Queue};

/// Expired rooms removed in one transaction, so that a save never waits long behind them.
const SWEEP_MAX: usize = 256;

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
}

impl Shared {
    /// The queue. Its own code does not panic half way, so a poisoned lock holds a sound queue.
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writing thread's body: ends after the store closes.
    pub(super) fn write_until_closed(&self) {
        while let Some(batch) = self.next_batch() {
            let begun = Instant::now();
            let outcome = self.write(&batch);
            let now = Instant::now();
            let bytes: usize = batch.changes.values().map(|change| change.bytes()).sum();
            let mut queue = self.queue();
            let closing = queue.closing;
            match &outcome {
                Ok(swept_all) => {
                    if queue.done(&batch, *swept_all, now) {
                        tracing::info!("stored rooms can be written again");
                    }
                }
                Err(why) => {
                    if queue.failed(why.clone(), now) {
                        tracing::error!("the store cannot be written, rooms wait in memory: {why}");
                    }
                }
            }
            drop(queue);
            self.progress.send_modify(|progress| {
                progress.time += now - begun;
                match &outcome {
                    Ok(_) => {
                        progress.durable = batch.up_to;
                        progress.commits += 1;
                        progress.bytes += bytes as u64;
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
    fn next_batch(&self) -> Option<Batch> {
        let mut queue = self.queue();
        loop {
            let now = Instant::now();
            if queue.closing && queue.len() == 0 {
                return None;
            }
            let Some(wait) = queue.next_work(now) else { return Some(queue.take(now)) };
            let waited = self.work.wait_timeout(queue, wait);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes a batch; true when no expired rooms are left.
    fn write(&self, batch: &Batch) -> Result<bool, String> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.reopen()
                .map_err(|error| format!("the database cannot be opened again: {error}"))?;
        }
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_ref() else {
            return Err("the database is closed".to_owned());
        };
        let expired_before = format::day(unix_ms()).saturating_sub(self.stored_rooms_days);
        match catch_unwind(AssertUnwindSafe(|| transact(database, batch, expired_before))) {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err("the database panicked".to_owned()),
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
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// One durable transaction; true when no rooms expired before that day are left.
fn transact(database: &Database, batch: &Batch, before: u32) -> Result<bool, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    // Otherwise the start after a crash walks the whole file.
    transaction.set_quick_repair(true);
    let mut swept_all = true;
    {
        let mut rooms = transaction.open_table(ROOMS)?;
        let mut days = transaction.open_table(DAYS)?;
        for (key, change) in &batch.changes {
            write_change(&mut rooms, &mut days, &key.to_string(), change)?;
        }
        if batch.sweep {
            swept_all = sweep(&mut rooms, &mut days, before)?;
        }
    }
    if let Some(end) = batch.numbers_end {
        let mut meta = transaction.open_table(META)?;
        meta.insert(META_NUMBERS, end.to_le_bytes().as_slice())?;
    }
    transaction.commit()?;
    Ok(swept_all)
}

type Rooms<'t> = Table<'t, &'static str, &'static [u8]>;
type Days<'t> = Table<'t, (u32, &'static str), ()>;

fn write_change(
    rooms: &mut Rooms<'_>,
    days: &mut Days<'_>,
    name: &str,
    change: &Change,
) -> Result<(), redb::Error> {
    let (old, day) = match change {
        Change::Save(room) => {
            let bytes = format::encode(room);
            let old = rooms.insert(name, bytes.as_slice())?;
            (old.and_then(|old| format::day_of(old.value())), Some(format::day(room.saved_unix_ms)))
        }
        Change::Delete => (rooms.remove(name)?.and_then(|old| format::day_of(old.value())), None),
    };
    if old != day {
        if let Some(old) = old {
            days.remove((old, name))?;
        }
        if let Some(day) = day {
            days.insert((day, name), ())?;
        }
    }
    Ok(())
}

/// Removes some of the rooms that expired before that day; true when none are left.
fn sweep(rooms: &mut Rooms<'_>, days: &mut Days<'_>, before: u32) -> Result<bool, redb::Error> {
    let mut expired = Vec::new();
    for row in days.range(..(before, ""))?.take(SWEEP_MAX) {
        let (day, name) = row.map(|(key, _)| (key.value().0, key.value().1.to_owned()))?;
        expired.push((day, name));
    }
    for (day, name) in &expired {
        rooms.remove(name.as_str())?;
        days.remove((*day, name.as_str()))?;
    }
    Ok(expired.len() < SWEEP_MAX)
}
