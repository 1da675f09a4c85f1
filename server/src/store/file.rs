//! The data folder and the file of the rooms: what makes them ours.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use rand::TryRng;
use rand::rngs::SysRng;
use redb::{Database, ReadableDatabase, ReadableTable, TableError, WriteTransaction};

use super::StoreError;
use super::compact::Site;
use super::format::{
    ALARMS, DAYS, FORMAT, GONE, HISTORY, META, META_FORMAT, META_NUMBERS, META_STORE,
    META_TOKEN_KEY, META_USED, ROOMS, TAILS,
};
use super::journal;
use super::open::{self, CONTRADICTION, private_file, quietly};
use super::sure::Doubt;

const FILE: &str = "rooms.redb";
const JOURNAL: &str = "journal.redb";
const LOG: &str = "journal.log";
const LOCK: &str = "lock";

/// The first format with a journal beside it.
const WITH_JOURNAL: u32 = 2;
/// The first format with alarms.
const WITH_ALARMS: u32 = 3;

/// What the store and its journal know each other by.
pub(super) type StoreId = [u8; 16];

/// A data folder that only this process uses.
pub(super) struct Folder {
    dir: PathBuf,
    _lock: File,
}

/// Where a data folder has its snapshots.
pub(super) fn path_in(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// What the meta table says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meta {
    pub(super) format: u32,
    pub(super) token_key: [u8; 32],
    pub(super) numbers: u64,
    /// None in a store that had no journal yet.
    pub(super) store: Option<StoreId>,
}

impl Folder {
    /// Makes the folder when there is none, and locks it.
    pub(super) fn prepare(dir: &Path) -> Result<Self, StoreError> {
        let refuse = |error: io::Error| refusal(dir, &error);
        fs::create_dir_all(dir).map_err(refuse)?;
        let lock = private_file(&dir.join(LOCK)).map_err(refuse)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir: dir.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { dir: dir.to_owned() }),
            Err(TryLockError::Error(error)) => Err(refuse(error)),
        }
    }

    /// The file of the rooms.
    pub(super) fn rooms(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// The file of the journal.
    pub(super) fn journal(&self) -> PathBuf {
        self.dir.join(JOURNAL)
    }

    /// The file of the journal's log.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join(LOG)
    }

    /// Makes that file.
    pub(super) fn make_log(&self, store: StoreId) -> Result<(), StoreError> {
        journal::log::make(&self.log(), store).map_err(|error| self.refusal(&error))
    }

    /// That the folder cannot be used.
    pub(super) fn refusal(&self, error: &io::Error) -> StoreError {
        refusal(&self.dir, error)
    }

    /// Whether this file is there.
    pub(super) fn has(&self, file: &Path) -> Result<bool, StoreError> {
        file.try_exists().map_err(|error| refusal(&self.dir, &error))
    }

    /// Makes this file, which is not there.
    pub(super) fn make(
        &self,
        file: &Path,
        cache_bytes: usize,
        initialise: impl FnOnce(&Database) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        open::make(file, cache_bytes, initialise).map_err(|error| refusal(&self.dir, &error))
    }
}

fn refusal(dir: &Path, error: &io::Error) -> StoreError {
    StoreError::Folder { dir: dir.to_owned(), why: error.to_string() }
}

fn damaged(file: &Path, why: String) -> StoreError {
    StoreError::Damaged { file: file.to_owned(), why }
}

fn random<const N: usize>() -> Result<[u8; N], redb::Error> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| redb::Error::Io(io::Error::other(error)))?;
    Ok(bytes)
}

/// Gives an empty database its tables, its format, its token key and its id.
pub(super) fn initialise(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(META_TOKEN_KEY, random::<32>()?.as_slice())?;
        meta.insert(META_NUMBERS, 1u64.to_le_bytes().as_slice())?;
        transaction.open_table(ROOMS)?;
        transaction.open_table(DAYS)?;
    }
    transaction.commit()?;
    upgrade(database, None).map(drop)
}

/// Makes a store of an earlier format, whose rooms stay as they are, one of this format.
pub(super) fn upgrade(database: &Database, known: Option<StoreId>) -> Result<StoreId, redb::Error> {
    let store = known.map_or_else(random, Ok)?;
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(META_FORMAT, FORMAT.to_le_bytes().as_slice())?;
        meta.insert(META_STORE, store.as_slice())?;
        transaction.open_table(TAILS)?;
        transaction.open_table(HISTORY)?;
        transaction.open_table(ALARMS)?;
        transaction.open_table(GONE)?;
        meta.insert(META_USED, count_used(&transaction)?.to_le_bytes().as_slice())?;
    }
    transaction.commit()?;
    Ok(store)
}

/// What [`META_USED`] is to say. Reads all of the file: an older store does so once.
fn count_used(transaction: &WriteTransaction) -> Result<u64, redb::Error> {
    let mut used = 0;
    for row in transaction.open_table(ROOMS)?.iter()? {
        used += row?.1.value().len() as u64;
    }
    for row in transaction.open_table(TAILS)?.iter()? {
        used += row?.1.value().len() as u64;
    }
    for row in transaction.open_table(HISTORY)?.iter()? {
        used += row?.1.value().len() as u64;
    }
    Ok(used)
}

/// The key of the first batch of a new journal: beyond all that were moved out of older ones.
pub(super) fn first_batch(database: &Database) -> Result<u64, redb::Error> {
    let tails = database.begin_read()?.open_table(TAILS)?;
    let mut last = 0;
    for row in tails.iter()? {
        last = last.max(row?.0.value().1);
    }
    Ok(last + 1)
}

/// Looks at the file, which must be whole, and leaves it as it is.
pub(super) fn look(file: &Path, cache_bytes: usize) -> Result<Meta, StoreError> {
    open::look(file, cache_bytes, damaged, |database| read_meta(database, file))
}

/// Where the file is made anew when most of it is free.
pub(super) fn site(file: &Path, cache_bytes: usize) -> Site {
    let (file, new) = (file.to_owned(), file.with_added_extension("compact"));
    let (made, discarded) = (new.clone(), new.clone());
    let dir = file.parent().unwrap_or(&file).to_owned();
    Site {
        make: Box::new(move || {
            open::begin(&made, cache_bytes).map_err(|error| refusal(&dir, &error))
        }),
        replace: Box::new(move || fs::rename(&new, &file)),
        discard: Box::new(move || {
            if let Err(error) = fs::remove_file(&discarded)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(file = %discarded.display(), "a copy that is of no use cannot be removed: {error}");
            }
        }),
    }
}

/// Opens the file again after a failure, or after another has taken its place.
pub(super) fn reopen(
    file: &Path,
    cache_bytes: usize,
    doubt: &Doubt,
) -> Result<Database, StoreError> {
    // What is written now would be lost if a crash brought back the file that was there before.
    open::sync_folder(file).map_err(|error| StoreError::Write(error.to_string()))?;
    look(file, cache_bytes)?;
    open::open(file, cache_bytes, doubt)
}

/// Reads the meta table and checks the format.
pub(super) fn read_meta(database: &Database, file: &Path) -> Result<Meta, StoreError> {
    match quietly(|| try_read_meta(database)) {
        Some(Ok(Some((format, _)))) if format > FORMAT => {
            Err(StoreError::Newer { file: file.to_owned(), found: format, known: FORMAT })
        }
        Some(Ok(Some((_, meta)))) => Ok(meta),
        Some(Ok(None)) => Err(damaged(file, "it is a database of something else".to_owned())),
        Some(Err(error)) => Err(damaged(file, error.to_string())),
        None => Err(damaged(file, CONTRADICTION.to_owned())),
    }
}

/// The format and the rest; none when it is nothing of ours.
fn try_read_meta(database: &Database) -> Result<Option<(u32, Meta)>, redb::Error> {
    let transaction = database.begin_read()?;
    let meta = match transaction.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        other => other?,
    };
    let format = meta.get(META_FORMAT)?.and_then(|v| v.value().first_chunk().copied());
    let token_key = meta.get(META_TOKEN_KEY)?.and_then(|v| v.value().try_into().ok());
    let numbers = meta.get(META_NUMBERS)?.and_then(|v| v.value().first_chunk().copied());
    let store = meta.get(META_STORE)?.and_then(|v| v.value().try_into().ok());
    let Some(format) = format.map(u32::from_le_bytes) else { return Ok(None) };
    if format > FORMAT {
        // What else a newer file holds is not ours to judge.
        let meta = Meta { format, token_key: [0; 32], numbers: 0, store: None };
        return Ok(Some((format, meta)));
    }
    let (Some(token_key), Some(numbers)) = (token_key, numbers) else { return Ok(None) };
    transaction.open_table(ROOMS)?;
    transaction.open_table(DAYS)?;
    let has_journal = format >= WITH_JOURNAL;
    if has_journal {
        transaction.open_table(TAILS)?;
        transaction.open_table(HISTORY)?;
        if store.is_none() {
            return Ok(None);
        }
    }
    if format >= WITH_ALARMS {
        transaction.open_table(ALARMS)?;
    }
    if format == FORMAT {
        transaction.open_table(GONE)?;
        if meta.get(META_USED)?.is_none_or(|used| used.value().len() != size_of::<u64>()) {
            return Ok(None);
        }
    }
    let store = store.filter(|_| has_journal);
    Ok(Some((format, Meta { format, token_key, numbers: u64::from_le_bytes(numbers), store })))
}
