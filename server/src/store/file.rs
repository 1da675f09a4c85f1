//! Opening the database file: making it when there is none, refusing it when it cannot be used,
//! and never writing over what could not be read.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;

use rand::TryRng;
use rand::rngs::SysRng;
use redb::{Database, DatabaseError, ReadableDatabase, TableError};

use super::StoreError;
use super::draft::Draft;
use super::format::{DAYS, FORMAT, META, META_FORMAT, META_NUMBERS, META_TOKEN_KEY, ROOMS};

const FILE: &str = "rooms.redb";
/// What a new file is called until it is whole.
const NEW_FILE: &str = "rooms.redb.new";
const LOCK: &str = "lock";
/// What every redb file begins with.
const MAGIC: &[u8; 9] = b"redb\x1A\x0A\xA9\x0D\x0A";
const CONTRADICTION: &str = "its pages contradict each other";

/// A data folder that only this process uses.
pub(super) struct Folder {
    file: PathBuf,
    _lock: File,
}

/// What the meta table says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meta {
    pub(super) token_key: [u8; 32],
    pub(super) numbers: u64,
}

impl Folder {
    /// Makes the folder when there is none, locks it, and makes an empty store when it has none.
    pub(super) fn prepare(dir: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        let refuse =
            |error: io::Error| StoreError::Folder { dir: dir.to_owned(), why: error.to_string() };
        fs::create_dir_all(dir).map_err(refuse)?;
        let lock = private_file(&dir.join(LOCK)).map_err(refuse)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { dir: dir.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(refuse(error)),
        }
        let file = dir.join(FILE);
        if !file.try_exists().map_err(refuse)? {
            make(dir, &file, cache_bytes).map_err(refuse)?;
        }
        Ok(Self { file, _lock: lock })
    }

    /// The database's file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

/// A file only its owner may read: the token key is in it.
fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes an empty store under another name first, so that a crash leaves a whole one or none.
fn make(dir: &Path, file: &Path, cache_bytes: usize) -> io::Result<()> {
    let new = dir.join(NEW_FILE);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    private_file(&new)?;
    let database =
        Database::builder().set_cache_size(cache_bytes).create(&new).map_err(io::Error::other)?;
    initialise(&database).map_err(io::Error::other)?;
    database.close().map_err(io::Error::other)?;
    fs::rename(&new, file)?;
    #[cfg(unix)]
    File::open(dir)?.sync_all()?;
    Ok(())
}

/// Gives an empty database its tables, its format and its token key.
pub(super) fn initialise(database: &Database) -> Result<(), redb::Error> {
    let mut token_key = [0; 32];
    SysRng.try_fill_bytes(&mut token_key).map_err(|e| redb::Error::Io(io::Error::other(e)))?;
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(META_FORMAT, FORMAT.to_le_bytes().as_slice())?;
        meta.insert(META_TOKEN_KEY, token_key.as_slice())?;
        meta.insert(META_NUMBERS, 1u64.to_le_bytes().as_slice())?;
        transaction.open_table(ROOMS)?;
        transaction.open_table(DAYS)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Opens the file, which must be whole.
pub(super) fn open(file: &Path, cache_bytes: usize) -> Result<Database, StoreError> {
    rehearse(file, cache_bytes)?;
    let dir = || file.parent().unwrap_or(file).to_owned();
    let refuse = |why: String| StoreError::Folder { dir: dir(), why };
    match quietly(|| Database::builder().set_cache_size(cache_bytes).open(file)) {
        Some(Ok(database)) => Ok(database),
        Some(Err(DatabaseError::DatabaseAlreadyOpen)) => Err(StoreError::Locked { dir: dir() }),
        Some(Err(error)) => Err(refuse(error.to_string())),
        None => Err(refuse("its database changed while it was opened".to_owned())),
    }
}

/// Opens the file, repairs it if need be and reads what is ours in it, all in memory: opening
/// writes, and a file that is refused must stay as it is.
fn rehearse(file: &Path, cache_bytes: usize) -> Result<(), StoreError> {
    let damaged = |why: String| StoreError::Damaged { file: file.to_owned(), why };
    check_head(file).map_err(damaged)?;
    let draft = Draft::of(file).map_err(|error| damaged(error.to_string()))?;
    let rehearsal = || {
        let opened = Database::builder().set_cache_size(cache_bytes).create_with_backend(draft);
        let database = opened.map_err(|error| damaged(error.to_string()))?;
        read_meta(&database, file).map(drop)
    };
    quietly(rehearsal).unwrap_or_else(|| Err(damaged(CONTRADICTION.to_owned())))
}

/// Does what panics when a file contradicts itself; none if it did. That is an answer here and no
/// bug, so nothing is printed.
fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.try_with(Cell::get).unwrap_or(false) {
                tell(info);
            }
        }));
    });
    let before = QUIET.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work)).ok();
    QUIET.set(before);
    outcome
}

/// Looks at the first bytes without opening the file for writing.
fn check_head(file: &Path) -> Result<(), String> {
    let mut head = [0; MAGIC.len()];
    match File::open(file).and_then(|mut file| file.read_exact(&mut head)) {
        Ok(()) if head == *MAGIC => Ok(()),
        Ok(()) => Err("it does not begin as one".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err("it is cut short".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Reads the meta table and checks the format.
pub(super) fn read_meta(database: &Database, file: &Path) -> Result<Meta, StoreError> {
    let damaged = |why: String| StoreError::Damaged { file: file.to_owned(), why };
    let read = || -> Result<Option<(u32, Meta)>, redb::Error> {
        let transaction = database.begin_read()?;
        let meta = match transaction.open_table(META) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            other => other?,
        };
        let format = meta.get(META_FORMAT)?.and_then(|v| v.value().first_chunk().copied());
        let token_key = meta.get(META_TOKEN_KEY)?.and_then(|v| v.value().try_into().ok());
        let numbers = meta.get(META_NUMBERS)?.and_then(|v| v.value().first_chunk().copied());
        let Some(format) = format.map(u32::from_le_bytes) else { return Ok(None) };
        if format > FORMAT {
            // What else a newer file holds is not ours to judge.
            return Ok(Some((format, Meta { token_key: [0; 32], numbers: 0 })));
        }
        let (Some(token_key), Some(numbers)) = (token_key, numbers) else { return Ok(None) };
        transaction.open_table(ROOMS)?;
        transaction.open_table(DAYS)?;
        Ok(Some((format, Meta { token_key, numbers: u64::from_le_bytes(numbers) })))
    };
    match quietly(read) {
        Some(Ok(Some((format, _)))) if format > FORMAT => {
            Err(StoreError::Newer { file: file.to_owned(), found: format, known: FORMAT })
        }
        Some(Ok(Some((_, meta)))) => Ok(meta),
        Some(Ok(None)) => Err(damaged("it is a database of something else".to_owned())),
        Some(Err(error)) => Err(damaged(error.to_string())),
        None => Err(damaged(CONTRADICTION.to_owned())),
    }
}
