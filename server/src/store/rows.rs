//! One transaction on the file of the rooms: their rows, what is beside them, and when they expire.

use std::collections::BTreeSet;

use redb::{Database, Durability, ReadableTable, Table, WriteTransaction};

use super::chain::Base;
use super::format::{
    self, ALARMS, DAYS, GONE, HISTORY, META, META_NUMBERS, META_USED, ROOMS, TAILS,
};
use super::queue::{Batch, Change, Save};
use super::{Chunk, JournalKeep};
use crate::key::RoomKey;

/// Expired rooms removed in one transaction, so that a save never waits long behind them.
const SWEEP_MAX: usize = 256;

/// What a transaction does.
pub(super) struct Transaction<'a> {
    pub(super) batch: &'a Batch,
    pub(super) settling: &'a [Settling],
    /// Rooms of which the journal says by now that what they did up to this life is forgotten.
    pub(super) forgotten: &'a [(RoomKey, u64)],
    pub(super) keep: JournalKeep,
    pub(super) now_ms: u64,
    /// What was saved before this day has expired.
    pub(super) expired_before: u32,
    /// Rooms that were loaded when they had nearly expired: what they do now follows on what is here.
    pub(super) visited: &'a BTreeSet<RoomKey>,
}

/// A room's chunks, on their way out of the journal.
pub(super) struct Settling {
    pub(super) key: RoomKey,
    /// With the batch in which each is, and its place there.
    pub(super) chunks: Vec<((u64, u32), Chunk)>,
    /// The id of the last.
    pub(super) upto_id: u64,
}

/// What there is of rooms, in a transaction.
pub(super) struct Tables<'t> {
    pub(super) rooms: Table<'t, &'static str, &'static [u8]>,
    pub(super) days: Table<'t, (u32, &'static str), ()>,
    pub(super) alarms: Table<'t, (u64, &'static str), ()>,
    pub(super) tails: Table<'t, (&'static str, u64, u32), &'static [u8]>,
    pub(super) history: Table<'t, (&'static str, u64), &'static [u8]>,
    /// Bytes of all values in rooms, tails and history.
    pub(super) used: u64,
}

/// What a transaction did.
#[derive(Default)]
pub(super) struct Outcome {
    /// No expired rooms are left.
    pub(super) swept_all: bool,
    /// The rooms that were removed, with the newest life that anything was of. The journal's file may
    /// still have chunks of them, also where snapshots had covered those.
    pub(super) removed: Vec<(RoomKey, u64)>,
    /// Bytes of all values of rooms, from now on.
    pub(super) used_bytes: u64,
}

/// Does all of it durably. `outcome` says what it did, or would have done where it fails: it may have
/// been done all the same.
pub(super) fn transact(
    database: &Database,
    what: &Transaction<'_>,
    outcome: &mut Outcome,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    // Otherwise the start after a crash walks the whole file.
    transaction.set_quick_repair(true);
    {
        let mut tables = Tables::open(&transaction)?;
        for (key, change) in &*what.batch.changes {
            match change {
                Change::Save(save) => {
                    let gone = tables.save(&key.to_string(), save, what)?;
                    outcome.removed.extend(gone.map(|life| (key.clone(), life)));
                }
                Change::Delete(life) => {
                    let newest = tables.remove(&key.to_string())?.max(*life);
                    outcome.removed.extend(newest.map(|life| (key.clone(), life)));
                }
            }
        }
        for settling in what.settling {
            tables.settle(&settling.key.to_string(), &settling.chunks, what.now_ms)?;
        }
        if what.batch.sweep {
            outcome.swept_all = tables.sweep(what, &mut outcome.removed)?;
        }
        outcome.used_bytes = tables.used;
    }
    note_gone(&transaction, what.forgotten, &outcome.removed)?;
    {
        let mut meta = transaction.open_table(META)?;
        if let Some(end) = what.batch.numbers_end {
            meta.insert(META_NUMBERS, end.to_le_bytes().as_slice())?;
        }
        meta.insert(META_USED, outcome.used_bytes.to_le_bytes().as_slice())?;
    }
    transaction.commit()?;
    Ok(())
}

/// Notes which rooms are removed, in the transaction that does it: were there a crash before the journal
/// knows, it would bring back what it still has of them, which need not be all that there was.
fn note_gone(
    transaction: &WriteTransaction,
    forgotten: &[(RoomKey, u64)],
    removed: &[(RoomKey, u64)],
) -> Result<(), redb::Error> {
    let mut gone = transaction.open_table(GONE)?;
    for (key, life) in forgotten {
        let name = key.to_string();
        if gone.get(name.as_str())?.is_some_and(|noted| noted.value() <= *life) {
            gone.remove(name.as_str())?;
        }
    }
    for (key, life) in removed {
        let name = key.to_string();
        let noted = gone.get(name.as_str())?.map_or(0, |noted| noted.value());
        gone.insert(name.as_str(), noted.max(*life))?;
    }
    Ok(())
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            rooms: transaction.open_table(ROOMS)?,
            days: transaction.open_table(DAYS)?,
            alarms: transaction.open_table(ALARMS)?,
            tails: transaction.open_table(TAILS)?,
            history: transaction.open_table(HISTORY)?,
            used: used_bytes(&transaction.open_table(META)?)?,
        })
    }

    /// Writes a room. Where it was removed before, and is written anew, gives the newest life that was
    /// removed: the journal has to forget it, or it would be back once this one is removed as well.
    fn save(
        &mut self,
        name: &str,
        save: &Save,
        what: &Transaction<'_>,
    ) -> Result<Option<u64>, redb::Error> {
        let room = &save.room;
        let bytes = format::encode(room);
        let mut gone = None;
        if save.anew {
            // Its own row is there already where an attempt failed and was done all the same.
            let newest = self.newest_life(name)?.filter(|life| *life < room.incarnation);
            gone = save.gone.max(newest);
        }
        let old = self.rooms.insert(name, bytes.as_slice())?;
        let freed = old.as_ref().map_or(0, |old| old.value().len());
        self.used = self.used.saturating_sub(freed as u64) + bytes.len() as u64;
        let alarm = old.as_ref().and_then(|old| format::alarm_of(old.value()));
        let old = old.and_then(|old| format::day_of(old.value()));
        let day = Some(format::day(room.saved_unix_ms));
        self.list(name, old, day)?;
        self.set_alarm(name, alarm, room.alarm_unix_ms)?;
        let base = Base { life: room.incarnation, tick: Some(room.tick) };
        self.drop_tails(name, |life, upto| save.anew || base.covers(life, upto))?;
        self.keep_past(name, save, what)?;
        Ok(gone)
    }

    /// Removes a room and all that is beside it; gives the newest life that any of it was of.
    pub(super) fn remove(&mut self, name: &str) -> Result<Option<u64>, redb::Error> {
        let newest = self.newest_life(name)?;
        let old = self.rooms.remove(name)?;
        let freed = old.as_ref().map_or(0, |old| old.value().len());
        self.used = self.used.saturating_sub(freed as u64);
        let alarm = old.as_ref().and_then(|old| format::alarm_of(old.value()));
        let day = old.and_then(|old| format::day_of(old.value()));
        self.list(name, day, None)?;
        self.set_alarm(name, alarm, None)?;
        self.drop_tails(name, |_, _| true)?;
        self.drop_past(name, 0, |_| true)?;
        Ok(newest)
    }

    /// The newest life that anything of a room is of.
    fn newest_life(&self, name: &str) -> Result<Option<u64>, redb::Error> {
        let row = self.rooms.get(name)?.and_then(|row| format::base_of(row.value()));
        let mut newest = row.map(|base| base.life);
        for row in self.tails.range((name, 0, 0)..=(name, u64::MAX, u32::MAX))? {
            newest = newest.max(format::reach_of(row?.1.value()).map(|(life, _)| life));
        }
        Ok(newest)
    }

    /// Lists a room under another day.
    fn list(&mut self, name: &str, old: Option<u32>, day: Option<u32>) -> Result<(), redb::Error> {
        if old == day {
            return Ok(());
        }
        if let Some(old) = old {
            self.days.remove((old, name))?;
        }
        if let Some(day) = day {
            self.days.insert((day, name), ())?;
        }
        Ok(())
    }

    /// Has a room woken at another time.
    fn set_alarm(
        &mut self,
        name: &str,
        old: Option<u64>,
        alarm: Option<u64>,
    ) -> Result<(), redb::Error> {
        if old == alarm {
            return Ok(());
        }
        if let Some(old) = old {
            self.alarms.remove((old, name))?;
        }
        if let Some(alarm) = alarm {
            self.alarms.insert((alarm, name), ())?;
        }
        Ok(())
    }

    fn drop_tails(
        &mut self,
        name: &str,
        goes: impl Fn(u64, u64) -> bool,
    ) -> Result<(), redb::Error> {
        let range = (name, 0, 0)..=(name, u64::MAX, u32::MAX);
        // Most rooms have none, and then nothing is to be written.
        if self.tails.range(range.clone())?.next().is_some() {
            let goes =
                |bytes: &[u8]| format::reach_of(bytes).is_some_and(|(life, upto)| goes(life, upto));
            let mut freed = 0;
            self.tails.retain_in(range, |_, bytes| stays(bytes, goes(bytes), &mut freed))?;
            self.used = self.used.saturating_sub(freed);
        }
        Ok(())
    }

    /// Drops what is kept of a room's past, from this tick on.
    fn drop_past(
        &mut self,
        name: &str,
        from: u64,
        goes: impl Fn(&[u8]) -> bool,
    ) -> Result<(), redb::Error> {
        let (range, mut freed) = ((name, from)..=(name, u64::MAX), 0);
        self.history.retain_in(range, |_, bytes| stays(bytes, goes(bytes), &mut freed))?;
        self.used = self.used.saturating_sub(freed);
        Ok(())
    }

    fn keep_past(
        &mut self,
        name: &str,
        save: &Save,
        what: &Transaction<'_>,
    ) -> Result<(), redb::Error> {
        let oldest_ms = match what.keep {
            _ if save.anew => u64::MAX,
            JournalKeep::None => u64::MAX,
            JournalKeep::Minutes(minutes) => {
                what.now_ms.saturating_sub(u64::from(minutes) * 60_000)
            }
            JournalKeep::Match => 0,
        };
        let all = (name, 0)..=(name, u64::MAX);
        let expired = |bytes: &[u8]| format::chunk_saved(bytes).is_some_and(|ms| ms < oldest_ms);
        let first = self.history.range(all.clone())?.next().transpose()?;
        if first.is_some_and(|(_, first)| expired(first.value())) {
            self.drop_past(name, 0, expired)?;
        }
        if what.keep == JournalKeep::None {
            return Ok(());
        }
        for chunk in &save.past {
            // Time went back: what came after was of a life that did not come back.
            if let Some(later) = chunk.after.checked_add(1) {
                self.drop_past(name, later, |_| true)?;
            }
            let bytes = format::encode_chunk(chunk, what.now_ms);
            let old = self.history.insert((name, chunk.upto), bytes.as_slice())?;
            let freed = old.map_or(0, |old| old.value().len());
            self.used = self.used.saturating_sub(freed as u64) + bytes.len() as u64;
        }
        Ok(())
    }

    /// Puts chunks of a room beside its snapshot, as far as that has not got them.
    fn settle(
        &mut self,
        name: &str,
        chunks: &[((u64, u32), Chunk)],
        now_ms: u64,
    ) -> Result<(), redb::Error> {
        let base = self.rooms.get(name)?.and_then(|row| format::base_of(row.value()));
        let mut any = false;
        for ((batch, nth), chunk) in chunks {
            if base.is_some_and(|base| base.covers(chunk.life, chunk.upto)) {
                continue;
            }
            if chunk.whole {
                let mut freed = 0;
                let before = (name, 0, 0)..(name, *batch, *nth);
                self.tails.retain_in(before, |_, bytes| stays(bytes, true, &mut freed))?;
                self.used = self.used.saturating_sub(freed);
            }
            let bytes = format::encode_chunk(chunk, now_ms);
            let old = self.tails.insert((name, *batch, *nth), bytes.as_slice())?;
            let freed = old.map_or(0, |old| old.value().len());
            self.used = self.used.saturating_sub(freed as u64) + bytes.len() as u64;
            any = true;
        }
        if any {
            self.days.insert((format::day(now_ms), name), ())?;
        }
        Ok(())
    }

    /// Removes some of the rooms that have expired; true when none are left. One that is still to be woken, or
    /// was just loaded, stays.
    fn sweep(
        &mut self,
        what: &Transaction<'_>,
        removed: &mut Vec<(RoomKey, u64)>,
    ) -> Result<bool, redb::Error> {
        let mut expired = Vec::new();
        for row in self.days.range(..(what.expired_before, ""))?.take(SWEEP_MAX) {
            let (day, name) = row.map(|(key, _)| (key.value().0, key.value().1.to_owned()))?;
            expired.push((day, name));
        }
        for (day, name) in &expired {
            let alarm =
                self.rooms.get(name.as_str())?.and_then(|row| format::alarm_of(row.value()));
            let visited = || RoomKey::parse(name).is_some_and(|key| what.visited.contains(&key));
            if alarm.is_some() || visited() {
                self.days.insert((format::day(what.now_ms), name.as_str()), ())?;
            } else if self.newest_day(name)?.is_none_or(|newest| newest <= *day) {
                let newest = self.remove(name)?;
                removed.extend(RoomKey::parse(name).zip(newest));
            }
            self.days.remove((*day, name.as_str()))?;
        }
        Ok(expired.len() < SWEEP_MAX)
    }

    /// The last day on which something was written of a room.
    pub(super) fn newest_day(&self, name: &str) -> Result<Option<u32>, redb::Error> {
        let saved = self.rooms.get(name)?.and_then(|row| format::day_of(row.value()));
        let mut tails = self.tails.range((name, 0, 0)..=(name, u64::MAX, u32::MAX))?;
        let settled = match tails.next_back() {
            Some(row) => format::chunk_saved(row?.1.value()).map(format::day),
            None => None,
        };
        Ok(saved.max(settled))
    }
}

/// Whether a value stays; where it does not, its bytes are freed.
fn stays(bytes: &[u8], goes: bool, freed: &mut u64) -> bool {
    if goes {
        *freed += bytes.len() as u64;
    }
    !goes
}

/// The bytes of all values of rooms, as it is noted.
pub(super) fn used_bytes(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<u64, redb::Error> {
    let noted = meta.get(META_USED)?.and_then(|used| used.value().first_chunk().copied());
    Ok(noted.map_or(0, u64::from_le_bytes))
}
