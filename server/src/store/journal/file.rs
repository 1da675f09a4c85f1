//! The journal's database: what makes it the one of this store, and reading it at the start.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable};
use redb::{StorageError, TableDefinition, TableError, WriteTransaction};

use super::Pending;
use super::batch::{self, Spot};
use super::index::Index;
use super::log::{Found, FoundBatch};
use crate::store::file::StoreId;
use crate::store::open::{self, CONTRADICTION, quietly};
use crate::store::sure::Doubt;
use crate::store::{Chunk, StoreError};

/// The format of the file; a build refuses a file with a higher one.
pub(in crate::store) const FORMAT: u32 = 2;
/// Memory for its pages: it is read only when a room is loaded.
pub(in crate::store) const CACHE_BYTES: usize = 16 << 20;
/// A file that is larger at the start is made smaller when a quarter of it would do. Then at most
/// a quarter of it has to be moved, and a small one is not worth the time.
const COMPACT_FROM_BYTES: u64 = 64 << 20;

/// What is known of the journal as a whole.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// [`FORMAT`], as four bytes, little-endian.
pub(in crate::store) const META_FORMAT: &str = "format";
/// The id of the store that it belongs to, 16 bytes.
const META_STORE: &str = "store";
/// From which epoch on the log counts, and the number of the next batch as far as it was known then: two
/// times eight bytes, little-endian. Since format 2.
const META_LOG: &str = "log";
/// The first format with a log before it.
const WITH_LOG: u32 = 2;
/// The first epoch of a log that was never written.
const FIRST_EPOCH: u64 = 1;
/// A growing number -> what all rooms appended in a moment.
pub(super) const BATCHES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("batches");

/// What a start finds in the file.
pub(in crate::store) struct Tail {
    format: u32,
    pub(super) index: Index,
    pub(super) next_batch: u64,
    /// The first epoch of the log that counts.
    pub(in crate::store) floor: u64,
    /// Where in the log what is.
    pub(super) pending: BTreeMap<u64, Pending>,
    /// Ids given to what was found.
    pub(super) last_id: u64,
    /// Bytes of all batches.
    bytes: u64,
}

impl Tail {
    /// Whether the log was there when the file was written last.
    pub(in crate::store) fn has_log(&self) -> bool {
        self.format >= WITH_LOG
    }

    /// What of the log counts comes behind what is in the database.
    pub(in crate::store) fn append(&mut self, file: &Path, log: &Found) -> Result<(), StoreError> {
        for FoundBatch { number, slot, bytes } in &log.batches {
            let damaged = |why: String| damaged(file, format!("batch {number} in its log: {why}"));
            if *number < self.next_batch && self.pending.contains_key(number) {
                return Err(damaged("it is there twice".to_owned()));
            }
            let records = batch::records(bytes).map_err(damaged)?;
            self.pending.insert(*number, Pending::new(*slot, batch::body_bytes(&records)));
            self.index.found(*number, records, &mut self.last_id);
            self.next_batch = self.next_batch.max(number.saturating_add(1));
        }
        Ok(())
    }
}

/// Gives an empty database its tables, its format, the id of its store, and says where numbers begin. The
/// log counts from `floor` on.
pub(in crate::store) fn initialise(
    database: &Database,
    store: StoreId,
    first_batch: u64,
    floor: u64,
) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(META_STORE, store.as_slice())?;
        transaction.open_table(BATCHES)?;
    }
    write_log(&transaction, floor, first_batch)?;
    transaction.commit()?;
    Ok(())
}

/// Says from which epoch on the log counts, and in which format the file is now.
pub(super) fn write_log(
    transaction: &WriteTransaction,
    floor: u64,
    next_batch: u64,
) -> Result<(), redb::Error> {
    let mut meta = transaction.open_table(META)?;
    meta.insert(META_FORMAT, FORMAT.to_le_bytes().as_slice())?;
    let both = [floor.to_le_bytes(), next_batch.to_le_bytes()].concat();
    meta.insert(META_LOG, both.as_slice())?;
    Ok(())
}

/// Looks at the file, which must be whole and this store's, and leaves it as it is.
pub(in crate::store) fn look(file: &Path, store: Option<StoreId>) -> Result<Tail, StoreError> {
    open::look(file, CACHE_BYTES, damaged, |database| read_tail(database, file, store))
}

/// Opens the file, in which a look found this.
pub(in crate::store) fn open(
    file: &Path,
    tail: &Tail,
    doubt: &Doubt,
) -> Result<Database, StoreError> {
    let mut database = open::open(file, CACHE_BYTES, doubt)?;
    if !tail.has_log() {
        upgrade(&database, tail).map_err(|error| StoreError::Write(error.to_string()))?;
    }
    compact(&mut database, file, tail.bytes);
    Ok(database)
}

/// Makes a file of an earlier format one of this: builds that know of no log refuse it from now on.
pub(in crate::store) fn upgrade(database: &Database, tail: &Tail) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    write_log(&transaction, tail.floor, tail.next_batch)?;
    transaction.commit()?;
    Ok(())
}

/// Opens the file again after a failure.
pub(in crate::store) fn reopen(
    file: &Path,
    store: StoreId,
    doubt: &Doubt,
) -> Result<Database, StoreError> {
    look(file, Some(store))?;
    open::open(file, CACHE_BYTES, doubt)
}

/// That there is a journal, but no rooms.
pub(in crate::store) fn widowed(file: &Path) -> StoreError {
    damaged(file, "the store of rooms that it belongs to is gone".to_owned())
}

fn damaged(file: &Path, why: String) -> StoreError {
    StoreError::DamagedJournal { file: file.to_owned(), why }
}

/// Makes a large file small that is mostly free. That it fails does no harm.
fn compact(database: &mut Database, file: &Path, used: u64) {
    let len = fs::metadata(file).map_or(0, |found| found.len());
    if len < COMPACT_FROM_BYTES || used > len / 4 {
        return;
    }
    let begun = Instant::now();
    match database.compact() {
        Ok(_) => {
            let now = fs::metadata(file).map_or(0, |found| found.len());
            let took_ms = begun.elapsed().as_millis();
            tracing::info!("the journal's file has {now} bytes now and had {len} ({took_ms} ms)");
        }
        Err(error) => tracing::warn!("the journal's file could not be made smaller: {error}"),
    }
}

/// Checks whose journal it is and reads the heads of its batches.
pub(in crate::store) fn read_tail(
    database: &Database,
    file: &Path,
    store: Option<StoreId>,
) -> Result<Tail, StoreError> {
    let damaged = |why: String| damaged(file, why);
    let known = match quietly(|| read_meta(database)) {
        Some(Ok(known)) => known,
        Some(Err(error)) => return Err(damaged(error.to_string())),
        None => return Err(damaged(CONTRADICTION.to_owned())),
    };
    let Some(meta) = known else {
        return Err(damaged("it is a database of something else".to_owned()));
    };
    if meta.format > FORMAT {
        let (file, found) = (file.to_owned(), meta.format);
        return Err(StoreError::Newer { file, found, known: FORMAT });
    }
    if meta.store.is_none() || meta.store != store {
        return Err(damaged("it belongs to another store of rooms".to_owned()));
    }
    match quietly(|| read_batches(database, &meta)) {
        Some(tail) => tail.map_err(damaged),
        None => Err(damaged(CONTRADICTION.to_owned())),
    }
}

/// What the meta table says.
struct Meta {
    format: u32,
    store: Option<StoreId>,
    floor: u64,
    next_batch: u64,
}

/// None when it is nothing of ours.
fn read_meta(database: &Database) -> Result<Option<Meta>, redb::Error> {
    let transaction = database.begin_read()?;
    let meta = match transaction.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        other => other?,
    };
    let format = meta.get(META_FORMAT)?.and_then(|v| v.value().first_chunk().copied());
    let store = meta.get(META_STORE)?.and_then(|v| v.value().try_into().ok());
    let log = meta.get(META_LOG)?.and_then(|v| v.value().first_chunk::<16>().copied());
    let Some(format) = format.map(u32::from_le_bytes) else { return Ok(None) };
    let number = |of: &[u8]| of.first_chunk().map_or(0, |of| u64::from_le_bytes(*of));
    let (floor, next_batch) = match log {
        Some(log) => (number(&log[..8]), number(&log[8..])),
        None if format == WITH_LOG => return Ok(None),
        None => (FIRST_EPOCH, 1),
    };
    Ok(Some(Meta { format, store, floor, next_batch }))
}

fn read_batches(database: &Database, meta: &Meta) -> Result<Tail, String> {
    let Meta { format, floor, next_batch, .. } = *meta;
    let (index, pending) = (Index::default(), BTreeMap::new());
    let mut tail = Tail { format, index, next_batch, floor, pending, last_id: 0, bytes: 0 };
    let begun = database.begin_read().map_err(|error| error.to_string())?;
    let Batches(batches) = Batches::of(&begun)?;
    for row in batches.iter().map_err(|error| error.to_string())? {
        let (number, value) = row.map_err(|error| error.to_string())?;
        let (number, bytes) = (number.value(), value.value());
        let records = batch::records(bytes).map_err(|why| format!("batch {number}: {why}"))?;
        tail.index.found(number, records, &mut tail.last_id);
        let next = number.checked_add(1).ok_or("its numbers are used up")?;
        tail.next_batch = tail.next_batch.max(next);
        tail.bytes += bytes.len() as u64;
    }
    Ok(tail)
}

/// Why a chunk could not be read.
pub(super) enum Fault {
    /// It is damaged, or gone.
    Damaged(String),
    /// It may be there, but the disk could not be read.
    Disk(String),
}

/// The batches, for reading chunks out of them.
pub(super) struct Batches(ReadOnlyTable<u64, &'static [u8]>);

impl Batches {
    pub(super) fn of(begun: &ReadTransaction) -> Result<Self, String> {
        begun.open_table(BATCHES).map(Self).map_err(|error| error.to_string())
    }

    /// A chunk of a batch.
    ///
    /// # Errors
    /// What is wrong with it, or with the disk.
    pub(super) fn chunk(&self, batch: u64, spot: &Spot) -> Result<Chunk, Fault> {
        let read = || -> Result<Chunk, Fault> {
            let value = self.0.get(batch).map_err(|error| match error {
                StorageError::Corrupted(why) => Fault::Damaged(why),
                error => Fault::Disk(error.to_string()),
            })?;
            let value = value.ok_or("its journal has lost a batch".to_owned());
            let value = value.map_err(Fault::Damaged)?;
            batch::chunk(value.value(), spot).map_err(Fault::Damaged)
        };
        quietly(read).unwrap_or_else(|| Err(Fault::Damaged(CONTRADICTION.to_owned())))
    }
}
