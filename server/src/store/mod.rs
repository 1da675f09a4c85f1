//! The store: rooms at rest, the key of the resume tokens, and numbers that are never given out
//! twice. The only module that touches the database.
//!
//! One thread writes. [`Store::save`] only queues, and the newest of each room wins; all that waits
//! goes to disk in one transaction. When that fails, the rooms wait in memory and the thread tries
//! again, [`Store::healthy`] says so, and loads go on as far as the file can be read.

mod chunk;
mod config;
mod draft;
mod error;
mod file;
mod format;
mod journal;
mod queue;
mod writer;

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Instant;

use redb::{Database, ReadableDatabase};
use tokio::sync::watch;

pub use chunk::{Chunk, StoredRoom};
pub use config::{JournalKeep, JournalStats, StoreConfig, StoreStats};
pub use error::StoreError;
pub use journal::JournalLine;

use crate::key::RoomKey;
use file::{Folder, Meta};
use queue::{Change, Queue};
use writer::{Open, Progress, Shared};

/// The database, opened.
pub struct Store {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    token_key: [u8; 32],
    /// Keeps other processes out of the data folder until the store is closed.
    folder: Mutex<Option<Folder>>,
}

impl Store {
    /// Opens the database in `dir`, or makes one when there is none.
    ///
    /// # Errors
    /// When what is there cannot be used. It is left as it is.
    pub fn open(dir: &Path, config: &StoreConfig) -> Result<Arc<Self>, StoreError> {
        let folder = Folder::prepare(dir, config.cache_bytes)?;
        let file = folder.file().to_owned();
        let database = file::open(&file, config.cache_bytes)?;
        let meta = file::read_meta(&database, &file)?;
        let cache_bytes = config.cache_bytes;
        let open: Open = Box::new(move || file::open(&file, cache_bytes));
        Self::start(database, open, meta, config, Some(folder))
    }

    fn start(
        database: Database,
        open: Open,
        meta: Meta,
        config: &StoreConfig,
        folder: Option<Folder>,
    ) -> Result<Arc<Self>, StoreError> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::new(config.queue_max_bytes, meta.numbers, Instant::now())),
            work: Condvar::new(),
            over: Condvar::new(),
            database: RwLock::new(Some(database)),
            open,
            progress: watch::Sender::new(Progress::default()),
            stored_rooms_days: config.stored_rooms_days,
        });
        let writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.write_until_closed())
            .map_err(|error| StoreError::Write(format!("its thread cannot start: {error}")))?;
        Ok(Arc::new(Self {
            shared,
            thread: Mutex::new(Some(thread)),
            token_key: meta.token_key,
            folder: Mutex::new(folder),
        }))
    }

    /// The newest that was saved for a room, durable or not yet. Reads the disk.
    ///
    /// # Errors
    /// When the stored value cannot be read: it is left as it is, and only this room is concerned.
    pub fn load(&self, key: &RoomKey) -> Result<Option<StoredRoom>, StoreError> {
        let waiting = self.shared.queue().find(key);
        match waiting.as_deref() {
            Some(Change::Save(room)) => return Ok(Some(room.clone())),
            Some(Change::Delete) => return Ok(None),
            None => {}
        }
        let database = self.shared.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| self.closed_or_failing())?;
        let unreadable = |why| StoreError::Unreadable { room: key.to_string(), why };
        match catch_unwind(AssertUnwindSafe(|| read(database, key))) {
            Ok(Ok(None)) => Ok(None),
            Ok(Ok(Some(bytes))) => format::decode(&bytes).map(Some).map_err(unreadable),
            Ok(Err(error @ redb::Error::Corrupted(_))) => Err(unreadable(error.to_string())),
            Ok(Err(error)) => Err(StoreError::Read(error.to_string())),
            Err(_) => Err(unreadable("its pages contradict each other".to_owned())),
        }
    }

    fn closed_or_failing(&self) -> StoreError {
        let queue = self.shared.queue();
        if queue.closing {
            return StoreError::Closed;
        }
        let why = queue.failing.clone().unwrap_or_default();
        StoreError::Read(format!("the database is being opened again after: {why}"))
    }

    /// Queues a room to be written, in place of what still waits of it. Never blocks. False when
    /// too much waits already, or the store is closed: then nothing was queued, and the room should
    /// be kept and saved later.
    pub fn save(&self, key: RoomKey, room: StoredRoom) -> bool {
        self.push(key, Change::Save(room))
    }

    /// Queues a room to be removed. Never blocks; as for [`Store::save`].
    pub fn delete(&self, key: RoomKey) -> bool {
        self.push(key, Change::Delete)
    }

    /// Queues what happened in a room for the journal. Never blocks. Gives the append's number on
    /// that line (1, 2, ..), or None when too much waits already or the store closes: then nothing
    /// was queued. Somebody waits for a gated one: it is written as soon as the disk is free.
    ///
    /// A chunk begins where the one before it of the same room ended, or, when time went back, where
    /// an older one ended.
    pub fn append(
        &self,
        key: &RoomKey,
        line: &Arc<JournalLine>,
        chunk: Chunk,
        gated: bool,
    ) -> Option<u64> {
        let _ = (key, chunk);
        let number = line.number();
        line.move_to(number);
        if gated {
            line.tell(number);
        }
        Some(number)
    }

    /// Moves what the journal holds of a room beside its snapshot, soon: for a room that will not be
    /// saved, because it failed. The store does this by itself for whatever stays in the journal for
    /// long. Never blocks.
    pub fn settle(&self, key: &RoomKey) {
        let _ = key;
    }

    /// What was kept of a room's past, in order. Reads the disk.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn history(&self, key: &RoomKey) -> Result<Vec<Chunk>, StoreError> {
        let _ = key;
        Ok(vec![])
    }

    fn push(&self, key: RoomKey, change: Change) -> bool {
        let mut queue = self.shared.queue();
        let queued = queue.push(key.clone(), change);
        let first_refused = !queued && queue.refused == 1;
        drop(queue);
        if first_refused {
            tracing::error!(room = %key, "too much waits for the disk; a room was not saved");
        }
        self.shared.work.notify_one();
        queued
    }

    /// Waits until all that was saved and deleted before this call is durable.
    ///
    /// # Errors
    /// When the next attempt to write it failed; it is kept and tried again.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let mut progress = self.shared.progress.subscribe();
        let failures = progress.borrow().failures;
        let target = {
            let mut queue = self.shared.queue();
            queue.urgent = queue.len() > 0;
            queue.accepted
        };
        self.shared.work.notify_one();
        let over = |now: &Progress| now.durable >= target || now.failures > failures;
        let reached = match progress.wait_for(over).await {
            Ok(now) => now.durable >= target,
            Err(_) => return Err(StoreError::Closed),
        };
        if reached { Ok(()) } else { Err(self.write_error()) }
    }

    fn write_error(&self) -> StoreError {
        StoreError::Write(self.shared.queue().failing.clone().unwrap_or_default())
    }

    /// A number that this store never gave out before, also not before a crash: for incarnations,
    /// seat generations and sessions. Blocks only when the disk is far behind.
    ///
    /// # Errors
    /// When no more numbers could be reserved on disk.
    pub fn next_number(&self) -> Result<u64, StoreError> {
        let mut queue = self.shared.queue();
        loop {
            if let Some(number) = queue.take_number() {
                if queue.numbers_low() {
                    self.shared.work.notify_one();
                }
                return Ok(number);
            }
            if let Some(why) = &queue.failing {
                return Err(StoreError::Write(why.clone()));
            }
            if queue.closing {
                return Err(StoreError::Closed);
            }
            self.shared.work.notify_one();
            queue = self.shared.over.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The key that resume tokens are made with; drawn when the database was made.
    #[must_use]
    pub fn token_key(&self) -> [u8; 32] {
        self.token_key
    }

    /// A small value of the server itself that was kept under this name. Reads the disk.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn kept(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let database = self.shared.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| self.closed_or_failing())?;
        let read = || -> Result<_, redb::Error> {
            let meta = database.begin_read()?.open_table(format::META)?;
            Ok(meta.get(name)?.map(|value| value.value().to_vec()))
        };
        read().map_err(|error| StoreError::Read(error.to_string()))
    }

    /// Keeps a small value of the server itself under a name, durably. Blocks.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let database = self.shared.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| self.closed_or_failing())?;
        let write = || -> Result<(), redb::Error> {
            let transaction = database.begin_write()?;
            transaction.open_table(format::META)?.insert(name, value)?;
            transaction.commit()?;
            Ok(())
        };
        write().map_err(|error| StoreError::Write(error.to_string()))
    }

    /// Whether the last write worked, and everything that was saved found room.
    ///
    /// # Errors
    /// What is wrong, in one line.
    pub fn healthy(&self) -> Result<(), String> {
        let queue = self.shared.queue();
        match &queue.failing {
            Some(why) => Err(format!("the store cannot be written: {why}")),
            None if queue.refused > 0 => Err("too much waits for the disk".to_owned()),
            None => Ok(()),
        }
    }

    /// What the store is doing, in numbers.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let (rooms_waiting, bytes_waiting) = {
            let queue = self.shared.queue();
            (queue.len(), queue.bytes())
        };
        let progress = *self.shared.progress.borrow();
        StoreStats {
            rooms_waiting,
            bytes_waiting,
            commits: progress.commits,
            failed_writes: progress.failures,
            bytes_written: progress.bytes,
            commit_time: progress.time,
            journal: JournalStats::default(),
        }
    }

    /// Writes what still waits, then ends the writing thread and closes the database. Blocks. Later
    /// saves are refused. A second call does nothing.
    ///
    /// # Errors
    /// When something could not be written.
    pub fn close(&self) -> Result<(), StoreError> {
        self.shared.queue().closing = true;
        self.shared.work.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(_)) = thread.map(JoinHandle::join) {
            return Err(StoreError::Write("its thread panicked".to_owned()));
        }
        self.shared.over.notify_all();
        drop(self.shared.database.write().unwrap_or_else(PoisonError::into_inner).take());
        drop(self.folder.lock().unwrap_or_else(PoisonError::into_inner).take());
        let unwritten = self.shared.queue().len();
        if unwritten > 0 { Err(self.write_error()) } else { Ok(()) }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Whoever wants to know the outcome closes it before.
        let _ = self.close();
    }
}

/// The bytes of a room, if it is there.
fn read(database: &Database, key: &RoomKey) -> Result<Option<Vec<u8>>, redb::Error> {
    let transaction = database.begin_read()?;
    let rooms = transaction.open_table(format::ROOMS)?;
    let bytes = rooms.get(key.to_string().as_str())?.map(|value| value.value().to_vec());
    Ok(bytes)
}
