//! The journal: what happened in rooms since their snapshots. A file of its own beside that of the
//! rooms, with a thread of its own, so that nobody who waits for a move to be on disk waits behind
//! snapshots.
//!
//! [`Journal::append`] only queues. The thread writes all that waits, of all rooms, as one batch: as
//! soon as the one before is written when somebody waits for it, else when the oldest is old enough.
//! A batch is on disk when it is in the log ([`log`]); what of a full half of the log is still needed moves
//! on into the database ([`checkpoint`]). That is a ring: batches go when snapshots cover them, or when
//! what is left in them has been moved beside the snapshots. Knows nothing of what a room's bytes mean.

mod batch;
mod checkpoint;
pub(super) mod file;
mod gone;
mod index;
mod line;
pub(super) mod log;
mod queue;
mod read;
mod thread;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redb::Database;
use tokio::sync::watch;

pub use line::JournalLine;

use super::backoff::Backoff;
use super::chain::Base;
use super::writer::Open;
use super::{Chunk, JournalStats, StoreConfig, StoreError};
use crate::key::RoomKey;
use file::Tail;
use index::Index;
use log::{Log, Reader, Slot};
use queue::{Item, Queue};
use thread::Progress;

/// A chunk that was read, with its place in the file, by which it is known also elsewhere; none while
/// it waits.
pub(super) struct Found {
    pub(super) place: Option<(u64, u32)>,
    pub(super) id: u64,
    pub(super) chunk: Chunk,
}

struct State {
    queue: Queue,
    index: Index,
    /// The key of the next batch.
    next_batch: u64,
    /// Where batches of the log are that the database does not have.
    pending: BTreeMap<u64, Pending>,
    /// The epoch of the log that is being written, and the first that counts: the database has what was
    /// needed of those before.
    epoch: u64,
    floor: u64,
    /// The same, as a transaction said it that may have failed.
    floor_tried: u64,
    /// Whether moving on from the log works.
    moving: Backoff,
    /// Batches taken out of the index that may still be in the database.
    removing: Vec<u64>,
    /// The thread ends when all is written.
    closing: bool,
    /// The thread waits to be woken, and until when at most.
    asleep: Option<Instant>,
    stats: JournalStats,
    /// Threads that wait for a write to be over. To tell nobody would be a system call for each commit.
    waiting: usize,
    /// What was queued up to here is on disk.
    durable: u64,
}

/// Where a batch is that only the log has. Its bytes are read there when they are needed.
#[derive(Clone, Copy, Debug)]
struct Pending {
    slot: Slot,
    /// Where in the batch the chunks' bytes begin.
    body_at: usize,
}

impl Pending {
    /// Of a batch with so many bytes of chunks.
    fn new(slot: Slot, of_chunks: usize) -> Self {
        Self { slot, body_at: slot.len - of_chunks }
    }
}

/// The journal, shared with its threads.
pub(super) struct Journal {
    state: Mutex<State>,
    work: Condvar,
    /// Tells the thread that moves batches into the database that a half of the log is full.
    full: Condvar,
    /// Taken before all else by the thread that writes.
    log: Mutex<Log>,
    /// Reads what is in it, without its lock: that is held during a sync.
    logged: Reader,
    /// Held while batches move into the database: one does so at a time. Taken before the database.
    moves: Mutex<()>,
    /// Tells the rooms' thread that a write is over.
    over: Condvar,
    /// None while it cannot be opened again after a failure.
    database: RwLock<Option<Database>>,
    open: Open,
    progress: watch::Sender<Progress>,
    ring: Duration,
    /// Chunks moved beside snapshots.
    settled: AtomicU64,
}

/// The journal's files, opened.
pub(super) struct Opened {
    pub(super) database: Database,
    /// Opens it again.
    pub(super) open: Open,
    pub(super) log: Log,
}

impl Journal {
    pub(super) fn new(opened: Opened, tail: Tail, config: &StoreConfig) -> Self {
        let Opened { database, open, log } = opened;
        let begun = Progress { durable: tail.last_id, ..Progress::default() };
        let queue =
            Queue::new(config.journal_queue_max_bytes, config.journal_every_ms, tail.last_id);
        Self {
            state: Mutex::new(State {
                queue,
                index: tail.index,
                next_batch: tail.next_batch,
                pending: tail.pending,
                epoch: log.epoch(),
                floor: tail.floor,
                floor_tried: tail.floor,
                moving: Backoff::default(),
                removing: vec![],
                closing: false,
                asleep: None,
                stats: JournalStats::default(),
                waiting: 0,
                durable: tail.last_id,
            }),
            work: Condvar::new(),
            full: Condvar::new(),
            logged: log.reader(),
            log: Mutex::new(log),
            moves: Mutex::new(()),
            over: Condvar::new(),
            database: RwLock::new(Some(database)),
            open,
            progress: watch::Sender::new(begun),
            ring: Duration::from_millis(config.journal_ring_ms),
            settled: AtomicU64::new(0),
        }
    }

    /// The state. Its own code does not panic half way, so a poisoned lock holds a sound state.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log. A panic in its code leaves it as after a failure at worst.
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a chunk, and gives its number on that line; none when it is not taken.
    pub(super) fn append(
        &self,
        key: &RoomKey,
        line: &Arc<JournalLine>,
        chunk: Chunk,
        gated: bool,
    ) -> Option<u64> {
        assert!(chunk.after <= chunk.upto, "{key}: a chunk ends before it begins");
        let now = Instant::now();
        let mut state = self.state();
        if !state.queue.takes(chunk.bytes.len()) {
            let first_refused = state.queue.refused == 1;
            drop(state);
            if first_refused {
                tracing::error!(room = %key, "too much waits for the journal; a room was refused");
            }
            return None;
        }
        let (id, number, chunk) = (state.queue.accepted + 1, line.number(), Arc::new(chunk));
        state.index.push(key, id, chunk.clone());
        let item = Item { key: key.clone(), id, chunk, gated, line: line.clone(), number };
        state.queue.push(item, now);
        self.wake_if_due(state, now);
        Some(number)
    }

    /// Wakes the thread when it has to be up earlier than it knows.
    fn wake_if_due(&self, mut state: MutexGuard<'_, State>, now: Instant) {
        let due = state.queue.due(now);
        let late = state.asleep.is_some_and(|until| due.is_some_and(|due| due < until));
        if late {
            state.asleep = None;
            drop(state);
            self.work.notify_one();
        }
    }

    /// Rooms that have something in it.
    pub(super) fn rooms(&self) -> Vec<RoomKey> {
        self.state().index.keys()
    }

    /// A snapshot of this room is on disk.
    pub(super) fn cover(&self, key: &RoomKey, base: Base) {
        self.state().index.cover(key, base);
    }

    /// A room is to be removed: what is there of it is not found any more. Gives its newest life, for
    /// [`Self::forget`].
    pub(super) fn hide(&self, key: &RoomKey) -> Option<u64> {
        self.state().index.hide(key)
    }

    /// A room was removed from the disk, and with it all that its lives up to this one did.
    pub(super) fn forget(&self, key: &RoomKey, life: u64) {
        let now = Instant::now();
        let mut state = self.state();
        state.queue.forget(key.clone(), life, now);
        self.wake_if_due(state, now);
    }

    /// Rooms whose chunks have been in the file for too long, at most so many.
    pub(super) fn overdue(&self, now: Instant, max: usize) -> Vec<RoomKey> {
        let before = now.checked_sub(self.ring);
        before.map_or_else(Vec::new, |before| self.state().index.holding(before, max))
    }

    /// How often to look for them.
    pub(super) fn look_every(&self) -> Duration {
        (self.ring / 4).max(Duration::from_millis(10))
    }

    /// The chunks of this room up to this id are beside its snapshot now, on disk.
    pub(super) fn moved(&self, key: &RoomKey, upto_id: u64, count: u64) {
        self.state().index.moved(key, upto_id);
        self.settled.fetch_add(count, Ordering::Relaxed);
    }

    /// What this room has in the file cannot be read, and stays there.
    pub(super) fn give_up(&self, key: &RoomKey) {
        self.state().index.give_up(key);
    }

    /// Waits until all that was queued before this call is durable, or the next attempt failed.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        let mut progress = self.progress.subscribe();
        let failures = progress.borrow().failures;
        let target = self.hurry();
        let over = |now: &Progress| now.durable >= target || now.failures > failures || now.ended;
        let reached = match progress.wait_for(over).await {
            Ok(now) => now.durable >= target,
            Err(_) => return Err(StoreError::Closed),
        };
        if reached { Ok(()) } else { Err(self.write_error()) }
    }

    /// Has all that waits written now; gives the number that stands for it.
    pub(super) fn hurry(&self) -> u64 {
        let mut state = self.state();
        state.queue.urgent = !state.queue.is_empty();
        state.asleep = None;
        let accepted = state.queue.accepted;
        drop(state);
        self.work.notify_one();
        accepted
    }

    /// Has all that waits written and waits for it, or for an attempt that failed. For the rooms'
    /// thread, which the journal's never waits for.
    pub(super) fn write_now(&self) {
        let target = self.hurry();
        let mut state = self.state();
        let failed = state.stats.failed_writes;
        state.waiting += 1;
        while state.durable < target && state.stats.failed_writes == failed {
            state = self.over.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
    }

    fn write_error(&self) -> StoreError {
        StoreError::Write(self.state().queue.backoff.failing.clone().unwrap_or_default())
    }

    /// Takes no more chunks.
    pub(super) fn shut(&self) {
        self.state().queue.shut = true;
        self.work.notify_all();
    }

    /// Tells the thread to write what waits, and to end.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.queue.shut = true;
        state.closing = true;
        drop(state);
        self.work.notify_all();
        self.full.notify_all();
    }

    /// Closes the file, after the thread has ended.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        self.progress.send_modify(|progress| progress.ended = true);
        drop(self.database.write().unwrap_or_else(PoisonError::into_inner).take());
        // The next who opens the store writes over the log.
        self.state().pending.clear();
        if self.state().queue.is_empty() { Ok(()) } else { Err(self.write_error()) }
    }

    /// What is wrong, in one line.
    pub(super) fn healthy(&self) -> Result<(), String> {
        let state = self.state();
        match &state.queue.backoff.failing {
            Some(why) => Err(format!("the journal cannot be written: {why}")),
            None if state.moving.failing.is_some() => {
                let why = state.moving.failing.as_deref().unwrap_or_default();
                Err(format!("the journal's log cannot be emptied: {why}"))
            }
            None if state.queue.refused > 0 => Err("too much waits for the journal".to_owned()),
            None => Ok(()),
        }
    }

    /// How far it is, and notice of each change.
    #[cfg(test)]
    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(super) fn stats(&self) -> JournalStats {
        let state = self.state();
        let (chunks_waiting, bytes_waiting) = state.queue.size();
        JournalStats {
            chunks_waiting,
            bytes_waiting,
            refused: state.queue.refused_ever,
            rooms: state.index.rooms(),
            batches: state.index.batches(),
            settled: self.settled.load(Ordering::Relaxed),
            ..state.stats
        }
    }
}

impl State {
    /// Whether something could go from the log into the database, or from there.
    fn has_moves(&self) -> bool {
        !self.pending.is_empty() || !self.removing.is_empty() || self.index.has_dead()
    }
}
