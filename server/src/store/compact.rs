//! Giving space back: the file of the rooms is made anew, while the server lives, where most of it is free.
//!
//! A database never moves what is in it: it uses free pages again, and cuts off those at its end. So where
//! most rooms are gone the file stays as large as it was, if one of those left lies near its end. A pass
//! copies what is there into a new file, a slice at a time between two batches, and after that once more what
//! was written meanwhile. Then the new file takes the place of the old one, which until then is all that
//! counts: a crash or a full disk before that loses nothing but the copy. Nothing waits for a pass but what is
//! to be saved, for the length of a slice, and loads, while the files change places.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use redb::{
    Database, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable,
    WriteTransaction,
};

use super::StoreError;
use super::format::{self, GONE, HISTORY, META, ROOMS, TAILS};
use super::open;
use super::rows::Tables;
use crate::key::RoomKey;

/// A file is made smaller when values take less than this part of it. A new one is at most about twice as
/// large as they are; so a pass writes at most half of what it gives back.
const USED_PART: u64 = 4;
/// Bytes that are copied at once, so that a save never waits long behind them. One room alone may be larger.
const SLICE_BYTES: u64 = 1 << 20;
/// What a room takes beside its bytes.
const ROOM_BYTES: u64 = 64;
/// After a slice the disk is left to others for so many times as long as that took.
const REST: u32 = 4;
/// After so many slices of what was written meanwhile all the rest is one.
const AGAIN_SLICES_MAX: u32 = 64;
/// A pass that failed, or that did not help, is not done again before this.
const AGAIN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// While the file is not open, this is how often that is looked at.
const CLOSED_FOR: Duration = Duration::from_secs(1);

/// Where the new file is made. Both are called with nothing of the new file open.
pub(super) struct Site {
    /// Makes it, empty. What an earlier pass left there goes.
    pub(super) make: Box<dyn Fn() -> Result<Database, StoreError> + Send + Sync>,
    /// Puts it in the place of the file of the rooms, which is closed.
    pub(super) replace: Box<dyn Fn() -> io::Result<()> + Send + Sync>,
    /// Removes it.
    pub(super) discard: Box<dyn Fn() + Send + Sync>,
}

/// How far a pass is.
#[derive(Clone, Debug)]
enum Stage {
    /// Rooms that have a row, after this one.
    Rooms(String),
    /// Rooms that have but chunks beside, after this one.
    Tails(String),
    /// What was written meanwhile, in its so many'th slice.
    Again(u32),
}

/// What is there is copied.
struct Pass {
    begun: Instant,
    /// How large the file was, in bytes.
    file_bytes: u64,
    stage: Stage,
    /// Rooms that were written since it began.
    touched: BTreeSet<String>,
    moved_bytes: u64,
    database: Database,
}

/// What a pass did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    before_bytes: u64,
    moved_bytes: u64,
    took: Duration,
}

/// See the module's documentation. Of the thread of the rooms.
pub(super) struct Compaction {
    site: Site,
    /// Smaller files stay as they are.
    from_bytes: u64,
    pass: Option<Pass>,
    /// Nothing is done before.
    rests_until: Option<Instant>,
}

/// What a slice has led to, and its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Copied {
    /// A part is copied.
    Some(u64),
    /// All is, and on disk: the files may change places, before anything else is written.
    All(u64),
}

impl Compaction {
    pub(super) fn new(site: Site, from_bytes: u64) -> Self {
        Self { site, from_bytes, pass: None, rests_until: None }
    }

    /// When the next slice is to be copied, of a file of which so much is used; none when none is.
    pub(super) fn due(&self, now: Instant, used_bytes: u64, file_bytes: u64) -> Option<Instant> {
        let large = file_bytes >= self.from_bytes && used_bytes < file_bytes / USED_PART;
        let at = self.rests_until.map_or(now, |until| until.max(now));
        (self.pass.is_some() || large && at == now).then_some(at)
    }

    /// These rooms were written, or may have been.
    pub(super) fn touch<'a>(&mut self, rooms: impl Iterator<Item = &'a RoomKey>) {
        if let Some(pass) = &mut self.pass {
            pass.touched.extend(rooms.map(ToString::to_string));
        }
    }

    /// Nothing can be read now: that is tried again after a while.
    pub(super) fn put_off(&mut self) {
        self.rests_until = Some(Instant::now() + CLOSED_FOR);
    }

    /// Copies a slice.
    ///
    /// # Errors
    /// What went wrong. The pass is over, and nothing is left of the copy.
    pub(super) fn slice(&mut self, rooms: &Database, file_bytes: u64) -> Result<Copied, String> {
        let begun = Instant::now();
        let pass = self.pass.take();
        let copy = || -> Result<(Pass, Copied), String> {
            let made = || Pass::begin((self.site.make)(), begun, file_bytes);
            let mut pass = pass.map_or_else(made, Ok)?;
            let copied = pass.slice(rooms).map_err(|error| error.to_string())?;
            Ok((pass, copied))
        };
        let (pass, copied) = match quiet(copy) {
            Ok(copied) => copied,
            Err(why) => return Err(self.give_up(why)),
        };
        let now = Instant::now();
        let rests = !matches!(pass.stage, Stage::Again(_));
        self.rests_until = rests.then(|| now + (now - begun) * REST);
        self.pass = Some(pass);
        Ok(copied)
    }

    /// The copy takes the place of the file, after [`Copied::All`]. Where the file is closed then, it is to be
    /// opened again; it stays open where the copy could not be finished, as on a full disk, where it could not
    /// be opened again.
    ///
    /// # Errors
    /// What went wrong. The pass is over; one of the two is there.
    pub(super) fn replace(&mut self, opened: &mut Option<Database>) -> Result<Outcome, String> {
        let Some(pass) = self.pass.take() else { return Err("nothing was copied".to_owned()) };
        let outcome = Outcome {
            before_bytes: pass.file_bytes,
            moved_bytes: pass.moved_bytes,
            took: pass.begun.elapsed(),
        };
        let rooms = opened.take().ok_or("it is closed")?;
        if let Err(why) = quiet(|| pass.end(&rooms).map_err(|error| error.to_string())) {
            *opened = Some(rooms).filter(open::works);
            return Err(self.give_up(why));
        }
        let closed = quiet(move || rooms.close().map_err(|error| error.to_string()));
        let replaced =
            closed.and_then(|()| (self.site.replace)().map_err(|error| error.to_string()));
        match replaced {
            Ok(()) => Ok(outcome),
            Err(why) => Err(self.give_up(why)),
        }
    }

    /// The file has this size after a pass.
    pub(super) fn over(&mut self, outcome: Outcome, file_bytes: u64) {
        let Outcome { before_bytes, moved_bytes, took } = outcome;
        let took_ms = took.as_millis();
        tracing::info!(
            "the file of the rooms has {file_bytes} bytes now and had {before_bytes}; {moved_bytes} were \
             copied ({took_ms} ms)"
        );
        let helped = file_bytes <= before_bytes / 4 * 3;
        self.rests_until = (!helped).then(|| Instant::now() + AGAIN_AFTER);
    }

    fn give_up(&mut self, why: String) -> String {
        (self.site.discard)();
        self.rests_until = Some(Instant::now() + AGAIN_AFTER);
        why
    }
}

impl Drop for Compaction {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            // What is half copied is of no use: that it cannot be closed well does no harm.
            let _ = quiet(move || {
                drop(pass);
                Ok(())
            });
            (self.site.discard)();
        }
    }
}

impl fmt::Debug for Compaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Compaction({:?})", self.pass.as_ref().map(|pass| &pass.stage))
    }
}

/// Does what panics where a file contradicts itself.
fn quiet<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let outcome = catch_unwind(AssertUnwindSafe(work));
    outcome.unwrap_or_else(|_| Err("the database panicked".to_owned()))
}

impl Pass {
    fn begin(
        made: Result<Database, StoreError>,
        begun: Instant,
        file_bytes: u64,
    ) -> Result<Self, String> {
        let database = made.map_err(|error| error.to_string())?;
        Ok(Self {
            begun,
            file_bytes,
            stage: Stage::Rooms(String::new()),
            touched: BTreeSet::new(),
            moved_bytes: 0,
            database,
        })
    }

    /// Copies a slice.
    fn slice(&mut self, rooms: &Database) -> Result<Copied, redb::Error> {
        let from = Source::open(&rooms.begin_read()?)?;
        let transaction = begin(&self.database)?;
        let mut copied = 0;
        let all = {
            let mut to = Tables::open(&transaction)?;
            let most = match self.stage {
                Stage::Again(slices) if slices >= AGAIN_SLICES_MAX => u64::MAX,
                _ => SLICE_BYTES,
            };
            loop {
                let Some(name) = self.next(&from)? else { break true };
                copied += ROOM_BYTES + to.copy(&name, &from)?;
                if copied >= most {
                    break false;
                }
            }
        };
        self.moved_bytes += copied;
        if let Stage::Again(slices) = &mut self.stage {
            *slices += 1;
        }
        // Each by itself: to sync all of the copy at once would keep the journal's disk busy for long.
        transaction.commit()?;
        Ok(if all { Copied::All(copied) } else { Copied::Some(copied) })
    }

    /// The next room to be copied.
    fn next(&mut self, from: &Source) -> Result<Option<String>, redb::Error> {
        if let Stage::Rooms(after) = &self.stage {
            let rest = (Bound::Excluded(after.as_str()), Bound::Unbounded);
            if let Some(row) = from.rooms.range::<&str>(rest)?.next() {
                let name = row?.0.value().to_owned();
                self.stage = Stage::Rooms(name.clone());
                return Ok(Some(name));
            }
            self.stage = Stage::Tails(String::new());
        }
        while let Stage::Tails(after) = &self.stage {
            let last = (after.as_str(), u64::MAX, u32::MAX);
            let rest = (Bound::Excluded(last), Bound::Unbounded);
            let Some(row) = from.tails.range::<(&str, u64, u32)>(rest)?.next() else {
                self.stage = Stage::Again(0);
                break;
            };
            let name = row?.0.value().0.to_owned();
            self.stage = Stage::Tails(name.clone());
            if from.rooms.get(name.as_str())?.is_none() {
                return Ok(Some(name));
            }
        }
        Ok(self.touched.pop_first())
    }

    /// Copies what is of no room, and closes the copy.
    fn end(self, rooms: &Database) -> Result<(), redb::Error> {
        let from = rooms.begin_read()?;
        let transaction = begin(&self.database)?;
        {
            let (mut to, from) = (transaction.open_table(META)?, from.open_table(META)?);
            for row in from.iter()? {
                let (name, value) = row?;
                to.insert(name.value(), value.value())?;
            }
        }
        {
            let (mut to, from) = (transaction.open_table(GONE)?, from.open_table(GONE)?);
            for row in from.iter()? {
                let (name, life) = row?;
                to.insert(name.value(), life.value())?;
            }
        }
        transaction.commit()?;
        self.database.close().map_err(|error| redb::Error::Io(io::Error::other(error)))
    }
}

fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    Ok(transaction)
}

/// What there is of rooms.
struct Source {
    rooms: ReadOnlyTable<&'static str, &'static [u8]>,
    tails: ReadOnlyTable<(&'static str, u64, u32), &'static [u8]>,
    history: ReadOnlyTable<(&'static str, u64), &'static [u8]>,
}

impl Source {
    fn open(begun: &ReadTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            rooms: begun.open_table(ROOMS)?,
            tails: begun.open_table(TAILS)?,
            history: begun.open_table(HISTORY)?,
        })
    }
}

impl Tables<'_> {
    /// Takes over all there is of a room, in place of what is here of it. Gives how many bytes.
    fn copy(&mut self, name: &str, from: &Source) -> Result<u64, redb::Error> {
        self.remove(name)?;
        let before = self.used;
        if let Some(row) = from.rooms.get(name)? {
            self.rooms.insert(name, row.value())?;
            self.used += row.value().len() as u64;
            if let Some(alarm) = format::alarm_of(row.value()) {
                self.alarms.insert((alarm, name), ())?;
            }
        }
        for row in from.tails.range((name, 0, 0)..=(name, u64::MAX, u32::MAX))? {
            let (key, chunk) = row?;
            self.tails.insert(key.value(), chunk.value())?;
            self.used += chunk.value().len() as u64;
        }
        for row in from.history.range((name, 0)..=(name, u64::MAX))? {
            let (key, chunk) = row?;
            self.history.insert(key.value(), chunk.value())?;
            self.used += chunk.value().len() as u64;
        }
        if let Some(day) = self.newest_day(name)? {
            self.days.insert((day, name), ())?;
        }
        Ok(self.used - before)
    }
}
