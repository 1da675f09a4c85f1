//! Which rooms are to be woken, and when: read from the disk, so that those of which nothing is due cost
//! nothing.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{Database, ReadableDatabase};
use tokio::sync::Notify;

use super::format::{ALARMS, TAILS};
use super::queue::{Batch, Change};
use super::{Store, StoreError};
use crate::key::RoomKey;

/// Rooms that are to be woken, soonest first.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct DueAlarms {
    /// When each was due, in milliseconds since 1970, and which it is.
    pub rooms: Vec<(u64, RoomKey)>,
    /// There may be more that are due, after the last of these.
    pub more: bool,
    /// When the next one is due that is not yet, in milliseconds since 1970.
    pub next_unix_ms: Option<u64>,
}

/// What whoever wakes rooms knows of the next alarm.
pub(super) struct Planned {
    /// The next one, in milliseconds since 1970.
    next: AtomicU64,
    earlier: Notify,
}

impl Default for Planned {
    fn default() -> Self {
        Self { next: AtomicU64::new(u64::MAX), earlier: Notify::new() }
    }
}

impl Planned {
    /// A batch is on disk.
    pub(super) fn done(&self, batch: &Batch) {
        let alarm = |change: &Change| match change {
            Change::Save(save) => save.room.alarm_unix_ms,
            Change::Delete(_) => None,
        };
        let first = batch.changes.values().filter_map(alarm).min();
        if first.is_some_and(|first| first < self.next.load(Ordering::SeqCst)) {
            self.earlier.notify_one();
        }
    }
}

impl Store {
    /// Rooms that are to be woken by now, at most so many, after one that is known already. Those of which
    /// something waits to be written are left out. Reads the disk.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn due_alarms(
        &self,
        now_ms: u64,
        after: Option<&(u64, RoomKey)>,
        max: usize,
    ) -> Result<DueAlarms, StoreError> {
        let planned = &self.shared.alarms;
        // What is written from here on is told, whether this still reads it or not.
        planned.next.store(u64::MAX, Ordering::SeqCst);
        let due = self.read_alarms(|database| read_due(database, now_ms, after, max))?;
        planned.next.store(due.next_unix_ms.unwrap_or(u64::MAX), Ordering::SeqCst);
        let queue = self.shared.queue();
        let rooms = due.rooms.into_iter().filter(|(_, key)| queue.find(key).is_none()).collect();
        Ok(DueAlarms { rooms, ..due })
    }

    /// Waits until an alarm is written that is due before the next one that [`Store::due_alarms`] told of.
    pub async fn earlier_alarm(&self) {
        self.shared.alarms.earlier.notified().await;
    }

    /// Rooms of which something happened since their snapshots: what they are to be woken for may be known
    /// from their journals alone. Reads the disk.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn unsettled(&self) -> Result<Vec<RoomKey>, StoreError> {
        let mut rooms: BTreeSet<RoomKey> = self.read_alarms(read_tails)?;
        rooms.extend(self.shared.journal.rooms());
        Ok(rooms.into_iter().collect())
    }

    fn read_alarms<T>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let database = self.shared.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| self.closed_or_failing())?;
        read(database).map_err(|error| StoreError::Read(error.to_string()))
    }
}

fn read_due(
    database: &Database,
    now_ms: u64,
    after: Option<&(u64, RoomKey)>,
    max: usize,
) -> Result<DueAlarms, redb::Error> {
    let alarms = database.begin_read()?.open_table(ALARMS)?;
    let (mut due, mut read) = (DueAlarms::default(), 0);
    let later = (now_ms.saturating_add(1), "");
    let name = after.map(|(_, key)| key.to_string()).unwrap_or_default();
    let from = (after.map_or(0, |(at, _)| *at), name.as_str());
    for row in alarms.range(from..later.max(from))?.take(max + 1) {
        let (key, _) = row?;
        let (at, name) = key.value();
        read += 1;
        if (at, name) != from || after.is_none() {
            due.rooms.extend(RoomKey::parse(name).map(|key| (at, key)));
        }
    }
    due.more = read > max;
    due.next_unix_ms = alarms.range(later..)?.next().transpose()?.map(|(key, _)| key.value().0);
    Ok(due)
}

fn read_tails(database: &Database) -> Result<BTreeSet<RoomKey>, redb::Error> {
    let tails = database.begin_read()?.open_table(TAILS)?;
    let (mut rooms, mut last) = (BTreeSet::new(), String::new());
    // One row of each room: they may be large.
    loop {
        let after = (last.as_str(), u64::MAX, u32::MAX);
        let Some(row) = tails
            .range(after..)?
            .find(|row| row.as_ref().map_or(true, |(key, _)| key.value() != after))
        else {
            return Ok(rooms);
        };
        let name = row?.0.value().0.to_owned();
        rooms.extend(RoomKey::parse(&name));
        last = name;
    }
}
