//! The store: rooms at rest, the key of the resume tokens, and numbers that are never given out
//! twice. The only module that touches the databases.
//!
//! `rooms.redb` has snapshots, `journal.redb` and `journal.log` before it what happened since; each has one
//! thread that writes.
//! [`Store::save`] only queues, and the newest of each room wins; [`Store::append`] only queues, and
//! nothing is left out. All that waits goes to disk in one transaction. When that fails it waits in
//! memory and the thread tries again, [`Store::healthy`] says so, and loads go on as far as the files
//! can be read.
//!
//! What a room appended leaves the journal when a snapshot that holds it is durable, when the room is
//! removed, or when it has been there for [`StoreConfig::journal_ring_ms`]: then it is put beside the
//! room's snapshot. The two files belong together. Without its journal a store goes on from the last
//! snapshots; a journal of another store is refused.

mod alarms;
mod backoff;
mod chain;
mod chunk;
mod compact;
mod config;
mod draft;
mod error;
mod file;
mod format;
mod journal;
mod load;
mod open;
mod queue;
mod rows;
mod sure;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Instant;

use redb::{Database, ReadableDatabase};
use tokio::sync::watch;

pub use alarms::DueAlarms;
pub use chunk::{Chunk, StoredRoom};
pub use config::{JournalKeep, JournalStats, StoreConfig, StoreStats};
pub use error::StoreError;
pub use journal::JournalLine;

use crate::key::RoomKey;
use alarms::Planned;
use compact::Site;
use file::{Folder, Meta, StoreId};
use format::FORMAT;
use journal::Journal;
use journal::file::Tail;
use journal::log::Log;
use queue::{Change, Queue};
use sure::Doubt;
use writer::{Open, Progress, Shared};

/// The databases, opened.
pub struct Store {
    shared: Arc<Shared>,
    /// That of the rooms, then those of the journal.
    threads: Mutex<Vec<JoinHandle<()>>>,
    token_key: [u8; 32],
    /// Keeps other processes out of the data folder until the store is closed.
    folder: Mutex<Option<Folder>>,
}

/// What a store is made of.
struct Parts {
    rooms: Database,
    open_rooms: Open,
    meta: Meta,
    journal: Journal,
    /// How large the file of the rooms is.
    of_rooms: Doubt,
    /// Where that is made anew.
    site: Site,
    folder: Option<Folder>,
}

impl Store {
    /// Whether there is a store in `dir`.
    #[must_use]
    pub fn is_in(dir: &Path) -> bool {
        file::path_in(dir).is_file()
    }

    /// Opens the databases in `dir`, or makes them when there are none.
    ///
    /// # Errors
    /// When what is there cannot be used. It is left as it is.
    pub fn open(dir: &Path, config: &StoreConfig) -> Result<Arc<Self>, StoreError> {
        let folder = Folder::prepare(dir)?;
        let (rooms_file, journal_file) = (folder.rooms(), folder.journal());
        let cache_bytes = config.cache_bytes;
        let has_journal = folder.has(&journal_file)?;
        let is_new = !folder.has(&rooms_file)?;
        match (is_new, has_journal) {
            (true, true) => return Err(journal::file::widowed(&journal_file)),
            (true, false) => folder.make(&rooms_file, cache_bytes, file::initialise)?,
            (false, _) => {}
        }
        // Both are looked at before either is opened, which changes it.
        let meta = file::look(&rooms_file, cache_bytes)?;
        let look = || journal::file::look(&journal_file, meta.store);
        let tail = has_journal.then(look).transpose()?;
        if let (Some(tail), Some(store)) = (&tail, meta.store) {
            look_at_log(&folder, store, tail.floor)?;
        }
        if !is_new && meta.store.is_some() && !has_journal {
            tracing::warn!("the stored rooms have no journal; they go on from their snapshots");
        }
        let (of_rooms, of_journal) = (Doubt::default(), Doubt::default());
        let rooms = open::open(&rooms_file, cache_bytes, &of_rooms)?;
        let failed = |error: redb::Error| StoreError::Write(error.to_string());
        let store = match meta.store {
            Some(store) if meta.format == FORMAT => store,
            known => file::upgrade(&rooms, known).map_err(failed)?,
        };
        let mut tail = match tail {
            Some(tail) => tail,
            None => {
                let first = file::first_batch(&rooms).map_err(failed)?;
                // What an earlier journal left in a log is without its beginning.
                let log = look_at_log(&folder, store, u64::MAX)?;
                let floor = log.map_or(1, |log| log.beyond());
                let initialise =
                    |new: &Database| journal::file::initialise(new, store, first, floor);
                folder.make(&journal_file, journal::file::CACHE_BYTES, initialise)?;
                journal::file::look(&journal_file, Some(store))?
            }
        };
        let log = open_log(&folder, store, has_journal, &mut tail)?;
        let database = journal::file::open(&journal_file, &tail, &of_journal)?;
        let open_journal: Open =
            Box::new(move || journal::file::reopen(&journal_file, store, &of_journal));
        let doubt = of_rooms.clone();
        let site = file::site(&rooms_file, cache_bytes);
        // What a pass left that a crash ended.
        (site.discard)();
        let open_rooms: Open = Box::new(move || file::reopen(&rooms_file, cache_bytes, &doubt));
        let opened = journal::Opened { database, open: open_journal, log };
        let journal = Journal::new(opened, tail, config);
        let folder = Some(folder);
        Self::start(Parts { rooms, open_rooms, meta, journal, of_rooms, site, folder }, config)
    }

    fn start(parts: Parts, config: &StoreConfig) -> Result<Arc<Self>, StoreError> {
        let Parts { rooms, open_rooms, meta, journal, of_rooms, site, folder } = parts;
        let tails = load::any_tails(&rooms)?;
        let (gone, used_bytes) = (load::gone(&rooms)?, load::used_bytes(&rooms)?);
        journal.forget_again(&gone);
        let forgetting = gone.into_iter().map(|(key, life)| (journal.queued(), key, life));
        let forgetting = Mutex::new(forgetting.collect());
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::new(config.queue_max_bytes, meta.numbers, Instant::now())),
            work: Condvar::new(),
            over: Condvar::new(),
            database: RwLock::new(Some(rooms)),
            open: open_rooms,
            progress: watch::Sender::new(Progress::default()),
            stored_rooms_days: config.stored_rooms_days,
            keep: config.journal_keep,
            journal: Arc::new(journal),
            tails: AtomicBool::new(tails),
            alarms: Planned::default(),
            forgetting,
            visited: Mutex::default(),
            of_rooms,
            used_bytes: AtomicU64::new(used_bytes),
            moved_bytes: AtomicU64::new(0),
            compact_from_bytes: config.compact_from_bytes,
        });
        let store = Arc::new(Self {
            shared: shared.clone(),
            threads: Mutex::new(vec![]),
            token_key: meta.token_key,
            folder: Mutex::new(folder),
        });
        let journal = shared.journal.clone();
        let mover = journal.clone();
        store.spawn("store", move || shared.write_until_closed(site))?;
        store.spawn("journal", move || journal.write_until_closed())?;
        store.spawn("journal-move", move || mover.move_until_closed())?;
        Ok(store)
    }

    fn spawn(&self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        let thread = thread
            .map_err(|error| StoreError::Write(format!("its thread cannot start: {error}")))?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    fn closed_or_failing(&self) -> StoreError {
        let queue = self.shared.queue();
        if queue.closing {
            return StoreError::Closed;
        }
        let why = queue.backoff.failing.clone().unwrap_or_default();
        StoreError::Read(format!("the database is being opened again after: {why}"))
    }

    /// Queues a room to be written, in place of what still waits of it. Never blocks. False when
    /// too much waits already, or the store is closed: then nothing was queued, and the room should
    /// be kept and saved later. Once it is durable, what this incarnation appended up to its tick and
    /// all that earlier ones appended is no more needed.
    ///
    /// # Panics
    /// When the room has no snapshot.
    pub fn save(&self, key: RoomKey, mut room: StoredRoom) -> bool {
        if self.shared.keep == JournalKeep::None {
            room.history = None;
        }
        assert!(room.snapshot.is_some(), "{key}: a room is saved without a snapshot");
        self.push(key, Change::save(room))
    }

    /// As [`Store::save`], and removes all else that there is of the room.
    ///
    /// # Panics
    /// When the room has no snapshot.
    pub fn save_alone(&self, key: RoomKey, room: StoredRoom) -> bool {
        assert!(room.snapshot.is_some(), "{key}: a room is saved without a snapshot");
        self.push(key, Change::save_alone(room))
    }

    /// Queues a room to be removed, with all that was appended for it and kept of its past. Never
    /// blocks; as for [`Store::save`]. Whoever makes the room again does so under a greater
    /// incarnation.
    pub fn delete(&self, key: RoomKey) -> bool {
        self.push(key, Change::Delete(None))
    }

    /// Queues what happened in a room for the journal. Never blocks. Gives the append's number on
    /// that line (1, 2, ..), or None when too much waits already or the store closes: then nothing
    /// was queued. Somebody waits for a gated one: it is written as soon as the disk is free.
    ///
    /// A chunk begins where the one before it of the same room ended, or, when time went back, where
    /// an older one ended; else it and what follows on it is left out of a load, until a snapshot or a
    /// whole chunk makes up for that.
    ///
    /// # Panics
    /// When the chunk ends before it begins.
    pub fn append(
        &self,
        key: &RoomKey,
        line: &Arc<JournalLine>,
        chunk: Chunk,
        gated: bool,
    ) -> Option<u64> {
        self.shared.journal.append(key, line, chunk, gated)
    }

    /// Moves what the journal holds of a room beside its snapshot, soon: for a room that will not be
    /// saved, because it failed. The store does this by itself for whatever stays in the journal for
    /// long. Never blocks.
    pub fn settle(&self, key: &RoomKey) {
        self.shared.queue().settle([key.clone()]);
        self.shared.work.notify_one();
    }

    fn push(&self, key: RoomKey, change: Change) -> bool {
        let mut queue = self.shared.queue();
        let removes = matches!(change, Change::Delete(_));
        let queued = queue.push(key.clone(), change);
        if queued && removes {
            // Under the queue's lock: it is known before the row can be gone.
            queue.removes(&key, self.shared.journal.hide(&key));
        }
        let first_refused = !queued && queue.refused == 1;
        drop(queue);
        if first_refused {
            tracing::error!(room = %key, "too much waits for the disk; a room was not saved");
        }
        self.shared.work.notify_one();
        queued
    }

    /// Waits until all that was saved, deleted, appended and settled before this call is durable.
    ///
    /// # Errors
    /// When the next attempt to write it failed; it is kept and tried again.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.shared.journal.hurry();
        self.flush_rooms().await?;
        // After the rooms: what was removed is then to be forgotten.
        self.shared.journal.flush().await
    }

    async fn flush_rooms(&self) -> Result<(), StoreError> {
        let mut progress = self.shared.progress.subscribe();
        let failures = progress.borrow().failures;
        let target = {
            let mut queue = self.shared.queue();
            queue.urgent = queue.waits();
            queue.accepted
        };
        self.shared.work.notify_one();
        let over = |now: &Progress| now.durable >= target || now.failures > failures || now.ended;
        let reached = match progress.wait_for(over).await {
            Ok(now) => now.durable >= target,
            Err(_) => return Err(StoreError::Closed),
        };
        if reached { Ok(()) } else { Err(self.write_error()) }
    }

    fn write_error(&self) -> StoreError {
        StoreError::Write(self.shared.queue().backoff.failing.clone().unwrap_or_default())
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
            if let Some(why) = &queue.backoff.failing {
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
        match &queue.backoff.failing {
            Some(why) => Err(format!("the store cannot be written: {why}")),
            None if queue.refused > 0 => Err("too much waits for the disk".to_owned()),
            None => self.shared.journal.healthy(),
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
            file_bytes: self.shared.of_rooms.file_bytes(),
            used_bytes: self.shared.used_bytes.load(Ordering::Relaxed),
            moved_bytes: self.shared.moved_bytes.load(Ordering::Relaxed),
            journal: self.shared.journal.stats(),
        }
    }

    /// Writes what still waits, then ends the writing threads and closes the databases. Blocks. Later
    /// saves and appends are refused. A second call does nothing.
    ///
    /// # Errors
    /// When something could not be written.
    pub fn close(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        shared.journal.shut();
        shared.queue().closing = true;
        shared.work.notify_all();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let mut panicked = false;
        // The rooms' thread still tells the journal what to forget, so that one ends second.
        for thread in threads {
            panicked |= thread.join().is_err();
            shared.journal.end();
        }
        shared.over.notify_all();
        shared.progress.send_modify(|progress| progress.ended = true);
        drop(shared.database.write().unwrap_or_else(PoisonError::into_inner).take());
        let journal = shared.journal.close();
        drop(self.folder.lock().unwrap_or_else(PoisonError::into_inner).take());
        if panicked {
            return Err(StoreError::Write("its thread panicked".to_owned()));
        }
        if shared.queue().len() > 0 { Err(self.write_error()) } else { journal }
    }
}

/// What is in the log of a journal, which stays as it is; none where there is no log.
fn look_at_log(
    folder: &Folder,
    store: StoreId,
    floor: u64,
) -> Result<Option<journal::log::Found>, StoreError> {
    let file = folder.log();
    let look = |there: bool| there.then(|| journal::log::look(&file, store, floor)).transpose();
    folder.has(&file).and_then(look)
}

/// Opens the log, or makes one, and puts what is in it behind what is in the journal's database, which
/// `was_there` before.
fn open_log(
    folder: &Folder,
    store: StoreId,
    was_there: bool,
    tail: &mut Tail,
) -> Result<Log, StoreError> {
    let file = folder.log();
    let found = match look_at_log(folder, store, tail.floor)? {
        Some(found) => found,
        None => {
            if was_there && tail.has_log() {
                tracing::warn!(
                    file = %file.display(),
                    "the journal has no log: what happened last in its rooms is gone with it. Where there is a \
                     copy of it, stop the server now and put it back"
                );
            }
            folder.make_log(store)?;
            journal::log::look(&file, store, tail.floor)?
        }
    };
    tail.append(&file, &found)?;
    let backend = journal::log::open(&file).map_err(|error| folder.refusal(&error))?;
    Ok(Log::new(backend, store, &found, tail.floor))
}

impl Drop for Store {
    fn drop(&mut self) {
        // Whoever wants to know the outcome closes it before.
        let _ = self.close();
    }
}
