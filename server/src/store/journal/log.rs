//! The journal's log: a file before the database, in which a batch is on disk after one write in one
//! place and one sync. Batches move on into the database in bulk, and most are needed no more by then.
//!
//! | part | bytes |
//! |---|---|
//! | head | a sector: magic (12), format (4), length of a half (8), the store's id (16), hash of these (8) |
//! | first half | records |
//! | second half | records |
//!
//! A record is its magic (4), the length of its bytes (4), its epoch (8), its batch's number (8), a hash
//! of the store's id, of all this and of the bytes (8), and the bytes. It begins at a sector, so that no
//! write touches what was synced before. Each epoch fills a half, even ones the first: what it
//! overwrites belongs to the epoch before the last, and must be in the database by then. The database
//! says from which epoch on records count; older ones are what was not overwritten yet. A record that was
//! not wholly written is the last of its epoch, and nobody was told of it.
//!
//! What is in it is not kept in memory, only where: whoever needs it reads it back ([`Reader`]).

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use redb::StorageBackend;
use redb::backends::FileBackend;
use referee_protocol::hash::{Hasher, hash};

use super::file::Fault;
use crate::store::file::StoreId;
use crate::store::{StoreError, open};

/// The format of the log; a build refuses one with a higher one.
const FORMAT: u32 = 1;
const MAGIC: &[u8; 12] = b"referee log\n";
const RECORD: [u8; 4] = *b"rec\n";
/// What a disk writes at once, or not at all; a record begins at a multiple of it.
const SECTOR_BYTES: u64 = 512;
/// Magic, length, epoch, number, hash.
const FRONT_BYTES: usize = 4 + 4 + 8 + 8 + 8;
/// Magic, format, length of a half, store, hash.
const HEAD_BYTES: usize = 12 + 4 + 8 + 16 + 8;
/// The length of a half. Both are read at a start.
pub(in crate::store) const HALF_BYTES: u64 = 4 << 20;
/// The file grows by so much, so that most records do not change its length.
const GROWS_BYTES: u64 = 1 << 20;

/// The bytes of a file, wherever it is: for who writes, and for those who read beside that.
pub(in crate::store) type Backend = Arc<dyn StorageBackend>;

/// Where a batch is in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::store) struct Slot {
    pub(super) epoch: u64,
    /// Where in the file its record begins.
    at: u64,
    /// Its bytes.
    pub(super) len: usize,
}

/// A batch that a start finds.
pub(in crate::store) struct FoundBatch {
    pub(super) number: u64,
    pub(super) slot: Slot,
    pub(super) bytes: Vec<u8>,
}

/// What is read of a log that counts.
#[derive(Default)]
pub(in crate::store) struct Found {
    half_bytes: u64,
    /// The newest epoch in it, also of those that do not count; 0 when it is empty.
    last_epoch: u64,
    /// In order.
    pub(super) batches: Vec<FoundBatch>,
}

impl Found {
    /// An epoch that is newer than all in the log.
    pub(in crate::store) fn beyond(&self) -> u64 {
        self.last_epoch + 1
    }
}

/// See the module's documentation.
pub(in crate::store) struct Log {
    backend: Backend,
    store: StoreId,
    half_bytes: u64,
    /// How long the file is at least.
    len: u64,
    epoch: u64,
    /// Where in the half the next record begins.
    at: u64,
    /// A write or a sync of this epoch failed: what is on disk of it is not known.
    broken: bool,
    /// A record's bytes, for the next one.
    record: Vec<u8>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log(epoch {} at {}, broken: {})", self.epoch, self.at, self.broken)
    }
}

impl Log {
    /// A log that was read, for going on behind all that is in it. Epochs before `floor` do not count.
    pub(in crate::store) fn new(
        backend: Backend,
        store: StoreId,
        found: &Found,
        floor: u64,
    ) -> Self {
        let epoch = floor.max(found.beyond());
        let half_bytes = found.half_bytes;
        let len = SECTOR_BYTES;
        Self { backend, store, half_bytes, len, epoch, at: 0, broken: false, record: vec![] }
    }

    /// The epoch that is being written.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Nothing more may be written in this epoch.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether a batch of so many bytes goes into what is left of this epoch's half.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.at + record_bytes(bytes) <= self.half_bytes
    }

    /// Whether it goes into an empty half.
    pub(super) fn could_take(&self, bytes: usize) -> bool {
        record_bytes(bytes) <= self.half_bytes
    }

    /// Nothing more is written in this epoch: it is not known any more whether it counts.
    pub(super) fn break_off(&mut self) {
        self.broken = true;
    }

    /// Begins the next epoch, over the one before this.
    pub(super) fn turn(&mut self) {
        (self.epoch, self.at, self.broken) = (self.epoch + 1, 0, false);
    }

    /// Who reads it while it is written.
    pub(super) fn reader(&self) -> Reader {
        Reader { backend: self.backend.clone(), store: self.store }
    }

    /// Writes a batch for which there is room, and syncs it. Gives where it is.
    ///
    /// # Errors
    /// The disk's. The log is broken then.
    pub(super) fn append(&mut self, number: u64, bytes: &[u8]) -> io::Result<Slot> {
        let at = half_at(self.half_bytes, self.epoch) + self.at;
        let written = self.write(at, number, bytes);
        self.broken |= written.is_err();
        written?;
        self.at += record_bytes(bytes.len());
        Ok(Slot { epoch: self.epoch, at, len: bytes.len() })
    }

    fn write(&mut self, from: u64, number: u64, bytes: &[u8]) -> io::Result<()> {
        let len = bytes.len();
        self.record.clear();
        self.record.extend_from_slice(&RECORD);
        self.record
            .extend_from_slice(&u32::try_from(len).expect("it fits in a half").to_le_bytes());
        self.record.extend_from_slice(&self.epoch.to_le_bytes());
        self.record.extend_from_slice(&number.to_le_bytes());
        let hash = record_hash(self.store, &self.record, bytes);
        self.record.extend_from_slice(&hash.to_le_bytes());
        self.record.extend_from_slice(bytes);
        let end = from + self.record.len() as u64;
        if self.len < end {
            self.grow(end)?;
        }
        self.backend.write(from, &self.record)?;
        self.backend.sync_data()
    }
}

impl Log {
    fn grow(&mut self, end: u64) -> io::Result<()> {
        self.len = self.backend.len()?;
        if self.len < end {
            let whole = SECTOR_BYTES + 2 * self.half_bytes;
            let grown = end.next_multiple_of(GROWS_BYTES).min(whole);
            self.backend.set_len(grown)?;
            self.len = grown;
        }
        Ok(())
    }
}

/// Reads what is in the log, and never waits for who writes it. What is read is what was written there as
/// long as that epoch is not overwritten, which is for its caller to know.
pub(super) struct Reader {
    backend: Backend,
    store: StoreId,
}

impl Reader {
    /// The bytes of a batch, by way of this buffer. All of its record is looked at.
    ///
    /// # Errors
    /// When the disk cannot be read, or has something else there.
    pub(super) fn batch<'a>(
        &self,
        number: u64,
        slot: Slot,
        buffer: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], Fault> {
        buffer.resize(FRONT_BYTES + slot.len, 0);
        let read = self.backend.read(slot.at, buffer);
        read.map_err(|error| Fault::Disk(error.to_string()))?;
        let record = record_at(buffer, 0, self.store);
        let expected = (slot.epoch, number, slot.len);
        let same = |of: &Record<'_>| (of.epoch, of.number, of.bytes.len()) == expected;
        let record = record.filter(same).ok_or("the checksum of its record is wrong".to_owned());
        record.map(|record| record.bytes).map_err(Fault::Damaged)
    }

    /// Some bytes of a batch, as the disk has them.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(super) fn part(&self, slot: Slot, of_batch: Range<usize>) -> Result<Vec<u8>, String> {
        let from = slot.at + FRONT_BYTES as u64;
        bytes_at(&*self.backend, from + of_batch.start as u64..from + of_batch.end as u64)
    }
}

/// What a batch of so many bytes takes in the log.
fn record_bytes(bytes: usize) -> u64 {
    ((FRONT_BYTES + bytes) as u64).next_multiple_of(SECTOR_BYTES)
}

/// Where the half of this epoch begins.
fn half_at(half_bytes: u64, epoch: u64) -> u64 {
    SECTOR_BYTES + (epoch % 2) * half_bytes
}

fn record_hash(store: StoreId, front: &[u8], bytes: &[u8]) -> u64 {
    let mut hasher = Hasher::default();
    [&store, front, bytes].into_iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

/// Makes an empty file the log of this store.
///
/// # Errors
/// The disk's.
pub(in crate::store) fn initialise(
    backend: &dyn StorageBackend,
    store: StoreId,
    half_bytes: u64,
) -> io::Result<()> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&FORMAT.to_le_bytes());
    head.extend_from_slice(&half_bytes.to_le_bytes());
    head.extend_from_slice(&store);
    let hashed = hash(&head);
    head.extend_from_slice(&hashed.to_le_bytes());
    backend.set_len(SECTOR_BYTES)?;
    backend.write(0, &head)?;
    backend.sync_data()
}

/// Makes the file of an empty log.
pub(in crate::store) fn make(file: &Path, store: StoreId) -> io::Result<()> {
    open::make_whole(file, |new| {
        let backend = FileBackend::new(new).map_err(io::Error::other)?;
        initialise(&backend, store, HALF_BYTES)
    })
}

/// Opens the file.
pub(in crate::store) fn open(file: &Path) -> io::Result<Backend> {
    let opened = std::fs::OpenOptions::new().read(true).write(true).open(file)?;
    Ok(Arc::new(FileBackend::new(opened).map_err(io::Error::other)?))
}

/// Reads the file, and leaves it as it is.
pub(in crate::store) fn look(file: &Path, store: StoreId, floor: u64) -> Result<Found, StoreError> {
    let damaged = |why: String| StoreError::DamagedJournal { file: file.to_owned(), why };
    let opened = std::fs::File::open(file).map_err(|error| damaged(error.to_string()))?;
    let backend = FileBackend::new(opened).map_err(|error| damaged(error.to_string()))?;
    read(&backend, file, store, floor)
}

/// Reads all batches of epochs from `floor` on.
///
/// # Errors
/// When it is damaged, or the log of another store or of a newer build.
pub(in crate::store) fn read(
    backend: &dyn StorageBackend,
    file: &Path,
    store: StoreId,
    floor: u64,
) -> Result<Found, StoreError> {
    let damaged = |why: String| StoreError::DamagedJournal { file: file.to_owned(), why };
    let len = backend.len().map_err(|error| damaged(error.to_string()))?;
    let head = bytes_at(backend, 0..len.min(HEAD_BYTES as u64)).map_err(damaged)?;
    let (format, half_bytes, of_store) = read_head(&head).map_err(damaged)?;
    if format > FORMAT {
        return Err(StoreError::Newer { file: file.to_owned(), found: format, known: FORMAT });
    }
    if of_store != store {
        return Err(damaged("it belongs to another store of rooms".to_owned()));
    }
    let mut found = Found { half_bytes, ..Found::default() };
    for half in 0..2 {
        let from = half_at(half_bytes, half).min(len);
        let until = from.saturating_add(half_bytes).min(len);
        let bytes = bytes_at(backend, from..until).map_err(damaged)?;
        read_half(&bytes, store, half, floor, &mut found).map_err(damaged)?;
    }
    found.batches.sort_by_key(|batch| (batch.slot.epoch, batch.number));
    Ok(found)
}

fn bytes_at(backend: &dyn StorageBackend, at: Range<u64>) -> Result<Vec<u8>, String> {
    let len = usize::try_from(at.end - at.start).map_err(|error| error.to_string())?;
    let mut bytes = vec![0; len];
    backend.read(at.start, &mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Format, length of a half, store.
fn read_head(head: &[u8]) -> Result<(u32, u64, StoreId), String> {
    let no_log = "it does not begin as the log of a journal";
    let (magic, rest) = head.split_first_chunk::<12>().ok_or(no_log)?;
    let (format, rest) = rest.split_first_chunk().ok_or(no_log)?;
    let (half_bytes, rest) = rest.split_first_chunk().ok_or(no_log)?;
    let (store, rest) = rest.split_first_chunk().ok_or(no_log)?;
    let (hashed, _) = rest.split_first_chunk().ok_or(no_log)?;
    if magic != MAGIC {
        return Err(no_log.to_owned());
    }
    if hash(&head[..HEAD_BYTES - 8]) != u64::from_le_bytes(*hashed) {
        return Err("the checksum of its head is wrong".to_owned());
    }
    Ok((u32::from_le_bytes(*format), u64::from_le_bytes(*half_bytes), *store))
}

/// The batches of a half: those of its newest epoch, from its beginning on.
fn read_half(
    bytes: &[u8],
    store: StoreId,
    half: u64,
    floor: u64,
    found: &mut Found,
) -> Result<(), String> {
    let (mut at, mut last) = (0, None);
    while let Some(record) = record_at(bytes, at, store) {
        let follows = last.is_none_or(|last| (record.epoch, record.number) == last);
        if !follows || record.epoch % 2 != half {
            break;
        }
        found.last_epoch = found.last_epoch.max(record.epoch);
        if record.epoch >= floor {
            let begins = half_at(found.half_bytes, half) + at as u64;
            let slot = Slot { epoch: record.epoch, at: begins, len: record.bytes.len() };
            let bytes = record.bytes.to_vec();
            found.batches.push(FoundBatch { number: record.number, slot, bytes });
        }
        last = Some((record.epoch, record.number + 1));
        at += usize::try_from(record_bytes(record.bytes.len())).map_err(|e| e.to_string())?;
    }
    // A record is written after the one before it is on disk: behind one that is not whole there is none
    // that counts.
    let sectors = (at..bytes.len()).step_by(SECTOR_BYTES as usize);
    let mut beyond = sectors.filter_map(|at| record_at(bytes, at, store));
    let counts = floor.max(last.map_or(0, |(epoch, _)| epoch));
    match beyond.find(|record| record.epoch >= counts) {
        Some(beyond) => Err(format!("a batch before batch {} cannot be read", beyond.number)),
        None => Ok(()),
    }
}

struct Record<'a> {
    epoch: u64,
    number: u64,
    bytes: &'a [u8],
}

/// The whole record that begins there.
fn record_at(half: &[u8], at: usize, store: StoreId) -> Option<Record<'_>> {
    let rest = half.get(at..)?;
    let (front, rest) = rest.split_at_checked(FRONT_BYTES)?;
    let (magic, fields) = front.split_first_chunk::<4>()?;
    let (len, fields) = fields.split_first_chunk()?;
    let (epoch, fields) = fields.split_first_chunk()?;
    let (number, fields) = fields.split_first_chunk()?;
    let (hashed, _) = fields.split_first_chunk()?;
    if *magic != RECORD {
        return None;
    }
    let bytes = rest.get(..u32::from_le_bytes(*len) as usize)?;
    let hash = record_hash(store, &front[..FRONT_BYTES - 8], bytes);
    (hash == u64::from_le_bytes(*hashed)).then(|| Record {
        epoch: u64::from_le_bytes(*epoch),
        number: u64::from_le_bytes(*number),
        bytes,
    })
}

#[cfg(test)]
mod tests;
