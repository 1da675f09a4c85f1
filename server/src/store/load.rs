//! Reading rooms: the snapshot, what is beside it, and what the journal has, put together.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::chain::{Base, chain};
use super::format::{self, GONE, HISTORY, META, ROOMS, TAILS};
use super::journal::Found;
use super::queue::Change;
use super::writer::unix_ms;
use super::{Chunk, Store, StoreError, StoredRoom, rows};
use crate::key::RoomKey;

/// A room's row, and its tick when the row says it.
type Row = (StoredRoom, Option<u64>);
/// A chunk and where it was in the journal.
type Tail = ((u64, u32), Chunk);

/// What went wrong with reading one room, or anything.
enum Fault {
    Room(String),
    Database(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

impl Store {
    /// The newest there is of a room, durable or not yet: its snapshot and what happened since. Reads
    /// the disk.
    ///
    /// # Errors
    /// When the stored value cannot be read: it is left as it is, and only this room is concerned. Or
    /// when the disk cannot be read: then it may be tried again.
    pub fn load(&self, key: &RoomKey) -> Result<Option<StoredRoom>, StoreError> {
        let mut loaded = self.find(key);
        if let Ok(Some(room)) = &loaded
            && room.snapshot.is_some()
            && self.has_nearly_expired(room)
        {
            // Again: it may have been removed before it was known that somebody is in it.
            self.shared.visited().insert(key.clone());
            loaded = self.find(key);
        }
        if let Err(StoreError::Read(_)) = &loaded {
            // Whoever tries again finds both files open, if the disk is back.
            self.shared.mend();
            self.shared.journal.mend();
        }
        loaded
    }

    /// Whether a room may be removed within a day because nobody visited it.
    fn has_nearly_expired(&self, room: &StoredRoom) -> bool {
        let days = self.shared.stored_rooms_days.saturating_sub(1);
        format::day(room.saved_unix_ms) <= format::day(unix_ms()).saturating_sub(days)
    }

    fn find(&self, key: &RoomKey) -> Result<Option<StoredRoom>, StoreError> {
        // Before the rest: what moves out of the journal meanwhile is then found twice, and not never.
        let recent = self.shared.journal.read(key)?;
        let waiting = self.shared.queue().find(key);
        let (row, tails) = match waiting {
            Some(Change::Delete(_)) => (None, vec![]),
            Some(Change::Save(save)) => {
                let beside = !save.anew && self.shared.tails.load(Ordering::Acquire);
                let row = ((*save.room).clone(), Some(save.room.tick));
                (Some(row), if beside { self.read(key, tails)? } else { vec![] })
            }
            None => self.read(key, |begun, name| Ok((row(begun, name)?, tails(begun, name)?)))?,
        };
        Ok(assemble(key, row, tails, recent))
    }

    /// What was kept of a room's past, oldest first. Reads the disk.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn history(&self, key: &RoomKey) -> Result<Vec<Chunk>, StoreError> {
        let (before, waiting) = match self.shared.queue().find(key) {
            Some(Change::Delete(_)) => return Ok(vec![]),
            Some(Change::Save(save)) => (!save.anew, save.past),
            None => (true, vec![]),
        };
        let mut past = if before { self.read(key, history)? } else { vec![] };
        for chunk in waiting {
            past.retain(|older| older.upto <= chunk.after);
            past.push((*chunk).clone());
        }
        Ok(past)
    }

    /// Reads something of a room in a transaction.
    fn read<T>(
        &self,
        key: &RoomKey,
        what: impl FnOnce(&ReadTransaction, &str) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let database = self.shared.database.read().unwrap_or_else(PoisonError::into_inner);
        let database: &Database = database.as_ref().ok_or_else(|| self.closed_or_failing())?;
        let unreadable = |why| StoreError::Unreadable { room: key.to_string(), why };
        let read = || what(&database.begin_read()?, &key.to_string());
        match catch_unwind(AssertUnwindSafe(read)) {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(Fault::Room(why))) => Err(unreadable(why)),
            Ok(Err(Fault::Database(error @ redb::Error::Corrupted(_)))) => {
                Err(unreadable(error.to_string()))
            }
            Ok(Err(Fault::Database(error))) => Err(StoreError::Read(error.to_string())),
            Err(_) => Err(unreadable("its pages contradict each other".to_owned())),
        }
    }
}

/// Rooms that were removed, and of which the journal may still have something, with the last life of each.
pub(super) fn gone(database: &Database) -> Result<Vec<(RoomKey, u64)>, StoreError> {
    let look = || -> Result<Vec<(RoomKey, u64)>, redb::Error> {
        let mut found = Vec::new();
        for row in database.begin_read()?.open_table(GONE)?.iter()? {
            let (name, life) = row?;
            found.extend(RoomKey::parse(name.value()).map(|key| (key, life.value())));
        }
        Ok(found)
    };
    look().map_err(|error| StoreError::Read(error.to_string()))
}

/// The bytes of all values of rooms.
pub(super) fn used_bytes(database: &Database) -> Result<u64, StoreError> {
    let look = || rows::used_bytes(&database.begin_read()?.open_table(META)?);
    look().map_err(|error: redb::Error| StoreError::Read(error.to_string()))
}

/// Whether any room has chunks beside its snapshot.
pub(super) fn any_tails(database: &Database) -> Result<bool, StoreError> {
    let look = || -> Result<bool, redb::Error> {
        Ok(!database.begin_read()?.open_table(TAILS)?.is_empty()?)
    };
    look().map_err(|error| StoreError::Read(error.to_string()))
}

fn row(begun: &ReadTransaction, name: &str) -> Result<Option<Row>, Fault> {
    match begun.open_table(ROOMS)?.get(name)? {
        Some(bytes) => format::decode(bytes.value()).map(Some).map_err(Fault::Room),
        None => Ok(None),
    }
}

fn tails(begun: &ReadTransaction, name: &str) -> Result<Vec<Tail>, Fault> {
    let tails = begun.open_table(TAILS)?;
    let mut found = Vec::new();
    for row in tails.range((name, 0, 0)..=(name, u64::MAX, u32::MAX))? {
        let (key, bytes) = row?;
        let (_, batch, nth) = key.value();
        let chunk = format::decode_chunk(bytes.value()).map_err(Fault::Room)?;
        found.push(((batch, nth), chunk));
    }
    Ok(found)
}

fn history(begun: &ReadTransaction, name: &str) -> Result<Vec<Chunk>, Fault> {
    let history = begun.open_table(HISTORY)?;
    let mut found = Vec::new();
    for row in history.range((name, 0)..=(name, u64::MAX))? {
        found.push(format::decode_chunk(row?.1.value()).map_err(Fault::Room)?);
    }
    Ok(found)
}

/// A room from its snapshot and all that was written since.
fn assemble(
    key: &RoomKey,
    row: Option<Row>,
    tails: Vec<Tail>,
    recent: Vec<Found>,
) -> Option<StoredRoom> {
    let base = row.as_ref().map(|(room, tick)| Base { life: room.incarnation, tick: *tick });
    let mut places: BTreeMap<_, _> = tails.into_iter().collect();
    let mut waiting = Vec::new();
    for Found { place, chunk, .. } in recent {
        match place {
            Some(place) => drop(places.insert(place, chunk)),
            None => waiting.push(chunk),
        }
    }
    // In the order of their places: what a whole chunk made void may be in the journal still, when
    // that chunk has moved already.
    let chain = chain(base, places.into_values().chain(waiting));
    if chain.left_out > 0 {
        let (left_out, kept) = (chain.left_out, chain.chunks.len());
        tracing::warn!(room = %key, left_out, kept, "a part of a room's journal is missing; what follows on it is left out");
    }
    let first = chain.chunks.first().map(|chunk| (chunk.life, chunk.after));
    match (row, first) {
        (_, Some((incarnation, tick))) if chain.whole => {
            Some(StoredRoom { incarnation, tick, journal: chain.chunks, ..StoredRoom::default() })
        }
        (Some((room, tick)), first) => {
            let tick = tick.or(first.map(|(_, after)| after)).unwrap_or(0);
            Some(StoredRoom { tick, journal: chain.chunks, ..room })
        }
        (None, _) => None,
    }
}
