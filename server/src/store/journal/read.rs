//! Reading what a room has in the journal: what waits in memory, what is in the log, and what is in the
//! database.
//!
//! What is in the log is listed under the state's lock and read after it, beside whoever writes.
//! Meanwhile it may move on into the database, and its half be written over. Only what is behind the
//! floor is written over: where the floor has not passed what was read, that is what was once written
//! there; where it has, all is listed again, while nothing moves. A chunk is read alone and not with all
//! of its batch, which may be of many rooms: it has a hash of its own, by which damage is noticed.

use std::sync::PoisonError;

use redb::{ReadTransaction, ReadableDatabase};

use super::batch::Spot;
use super::file::{self, Fault};
use super::index::{Entry, Place};
use super::{Found, Journal, Pending, State};
use crate::key::RoomKey;
use crate::store::{Chunk, StoreError};

/// What a room may need, and where in the log its batch is, if it is there.
struct Listed {
    entry: Entry,
    logged: Option<Pending>,
}

impl Listed {
    fn is_in_database(&self) -> bool {
        matches!(self.entry.place, Place::Disk { .. }) && self.logged.is_none()
    }
}

impl State {
    fn list(&self, key: &RoomKey) -> Vec<Listed> {
        let logged = |entry: &Entry| match entry.place {
            Place::Disk { batch, .. } => self.pending.get(&batch).copied(),
            Place::Waiting(_) => None,
        };
        let entries = self.index.list(key).into_iter();
        entries.map(|entry| Listed { logged: logged(&entry), entry }).collect()
    }
}

impl Journal {
    /// All chunks that a room may need, in the order in which they were appended. Reads the disk.
    pub(in crate::store) fn read(&self, key: &RoomKey) -> Result<Vec<Found>, StoreError> {
        self.read_after(key, || {})
    }

    /// The same, and does this between listing and reading, the first time.
    pub(in crate::store) fn read_after(
        &self,
        key: &RoomKey,
        listed: impl FnOnce(),
    ) -> Result<Vec<Found>, StoreError> {
        if let Some(outcome) = self.attempt(key, listed) {
            return outcome;
        }
        // The floor stays where it is meanwhile, so this attempt is the last.
        let _still = self.moves.lock().unwrap_or_else(PoisonError::into_inner);
        let moved =
            || Err(StoreError::Read(format!("the journal of {key} moved while it was read")));
        self.attempt(key, || {}).unwrap_or_else(moved)
    }

    /// None where something in the log moved on before it was read.
    fn attempt(
        &self,
        key: &RoomKey,
        listed: impl FnOnce(),
    ) -> Option<Result<Vec<Found>, StoreError>> {
        let entries = self.state().list(key);
        if !entries.iter().any(Listed::is_in_database) {
            listed();
            return self.fetch(None, key, entries);
        }
        // Taken before the state: whoever opens the file again holds it for long.
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_ref() else { return Some(Err(self.failure())) };
        let (entries, begun) = {
            let state = self.state();
            // Under the lock: what is listed is not yet removed for this transaction, and what is not
            // in the log any more is there for it.
            (state.list(key), database.begin_read())
        };
        listed();
        match begun {
            Ok(begun) => self.fetch(Some(&begun), key, entries),
            Err(error) => Some(Err(StoreError::Read(error.to_string()))),
        }
    }

    fn failure(&self) -> StoreError {
        let state = self.state();
        if state.closing {
            return StoreError::Closed;
        }
        let why = state.queue.backoff.failing.clone().unwrap_or_default();
        StoreError::Read(format!("the journal is being opened again after: {why}"))
    }

    /// The chunks themselves; none where one in the log may have been written over.
    fn fetch(
        &self,
        begun: Option<&ReadTransaction>,
        key: &RoomKey,
        entries: Vec<Listed>,
    ) -> Option<Result<Vec<Found>, StoreError>> {
        let logged = entries.iter().filter_map(|listed| listed.logged);
        let oldest = logged.map(|pending| pending.slot.epoch).min();
        let outcome = self.chunks(begun, key, entries);
        oldest.is_none_or(|oldest| oldest >= self.state().floor).then_some(outcome)
    }

    fn chunks(
        &self,
        begun: Option<&ReadTransaction>,
        key: &RoomKey,
        entries: Vec<Listed>,
    ) -> Result<Vec<Found>, StoreError> {
        let unreadable = |why| StoreError::Unreadable { room: key.to_string(), why };
        let batches = begun.map(file::Batches::of).transpose().map_err(StoreError::Read)?;
        let mut found = Vec::with_capacity(entries.len());
        for Listed { entry: Entry { id, place, .. }, logged } in entries {
            let (batch, nth, spot) = match place {
                Place::Waiting(chunk) => {
                    found.push(Found { place: None, id, chunk: (*chunk).clone() });
                    continue;
                }
                Place::Disk { batch, nth, spot } => (batch, nth, spot),
            };
            let chunk = match (logged, &batches) {
                (Some(pending), _) => self.logged_chunk(batch, pending, &spot),
                (None, Some(batches)) => batches.chunk(batch, &spot),
                (None, None) => Err(Fault::Damaged("its journal has lost a batch".to_owned())),
            };
            let chunk = chunk.map_err(|fault| match fault {
                Fault::Damaged(why) => unreadable(why),
                Fault::Disk(why) => StoreError::Read(why),
            })?;
            found.push(Found { place: Some((batch, nth)), id, chunk });
        }
        Ok(found)
    }

    /// A chunk of a batch in the log.
    fn logged_chunk(&self, batch: u64, pending: Pending, spot: &Spot) -> Result<Chunk, Fault> {
        let bytes = self.logged.part(pending.slot, spot.range(pending.body_at));
        let bytes = bytes.map_err(|why| Fault::Disk(format!("batch {batch} in its log: {why}")))?;
        let chunk = spot.chunk(bytes);
        chunk.map_err(|why| Fault::Damaged(format!("{why}, in batch {batch} of the log")))
    }
}
