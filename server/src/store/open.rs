//! Making and opening a database file: it is made whole or not at all, refused when it cannot be used,
//! and what could not be read is never written over. Knows nothing of what is in it.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase};

use super::StoreError;
use super::draft::Draft;
use super::sure::{Doubt, Watched};

/// What every redb file begins with.
const MAGIC: &[u8; 9] = b"redb\x1A\x0A\xA9\x0D\x0A";
pub(super) const CONTRADICTION: &str = "its pages contradict each other";

/// Says that a file is damaged, and why.
pub(super) type Damaged = fn(&Path, String) -> StoreError;

/// A file only its owner may read: the token key is in one, what players did in the other.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes a file under another name first, so that a crash leaves a whole one or none.
pub(super) fn make_whole(file: &Path, fill: impl FnOnce(File) -> io::Result<()>) -> io::Result<()> {
    let new = file.with_added_extension("new");
    fill(fresh(&new)?)?;
    fs::rename(&new, file)?;
    sync_folder(file)
}

/// Makes a database, wholly or not at all.
pub(super) fn make(
    file: &Path,
    cache_bytes: usize,
    initialise: impl FnOnce(&Database) -> Result<(), redb::Error>,
) -> io::Result<()> {
    make_whole(file, |new| {
        let database = create(new, cache_bytes)?;
        initialise(&database).map_err(io::Error::other)?;
        database.close().map_err(io::Error::other)
    })
}

/// Makes an empty database in place of what is there.
pub(super) fn begin(new: &Path, cache_bytes: usize) -> io::Result<Database> {
    create(fresh(new)?, cache_bytes)
}

/// An empty file in place of what is there.
fn fresh(new: &Path) -> io::Result<File> {
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    private_file(new)
}

fn create(new: File, cache_bytes: usize) -> io::Result<Database> {
    let backend = FileBackend::new(new).map_err(io::Error::other)?;
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes).create_with_backend(backend).map_err(io::Error::other)
}

/// Has it on disk which file has this name.
pub(super) fn sync_folder(file: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(dir) = file.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Opens a file that [`look`] found to be whole.
pub(super) fn open(file: &Path, cache_bytes: usize, doubt: &Doubt) -> Result<Database, StoreError> {
    let dir = || file.parent().unwrap_or(file).to_owned();
    let refuse = |why: String| StoreError::Folder { dir: dir(), why };
    let open = || -> Result<Database, DatabaseError> {
        let opened = OpenOptions::new().read(true).write(true).open(file)?;
        let backend = Watched::new(FileBackend::new(opened)?, doubt)?;
        Database::builder().set_cache_size(cache_bytes).create_with_backend(backend)
    };
    match quietly(open) {
        Some(Ok(database)) => Ok(database),
        Some(Err(DatabaseError::DatabaseAlreadyOpen)) => Err(StoreError::Locked { dir: dir() }),
        Some(Err(error)) => Err(refuse(error.to_string())),
        None => Err(refuse("its database changed while it was opened".to_owned())),
    }
}

/// Whether an open database still does its work: after a failure redb refuses all of it.
pub(super) fn works(database: &Database) -> bool {
    let read = || -> Result<(), redb::Error> {
        database.begin_read()?.list_tables()?.for_each(drop);
        Ok(())
    };
    quietly(read).is_some_and(|read| read.is_ok())
}

/// Opens the file, repairs it if need be and gives what `read` finds in it, all in memory: opening
/// writes, and a file that is refused must stay as it is.
pub(super) fn look<T>(
    file: &Path,
    cache_bytes: usize,
    damaged: Damaged,
    read: impl FnOnce(&Database) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let damaged = |why: String| damaged(file, why);
    check_head(file).map_err(damaged)?;
    let draft = Draft::of(file).map_err(|error| damaged(error.to_string()))?;
    let rehearsal = || {
        let opened = Database::builder().set_cache_size(cache_bytes).create_with_backend(draft);
        read(&opened.map_err(|error| damaged(error.to_string()))?)
    };
    quietly(rehearsal).unwrap_or_else(|| Err(damaged(CONTRADICTION.to_owned())))
}

/// Does what panics when a file contradicts itself; none if it did. That is an answer here and no
/// bug, so nothing is printed.
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
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
