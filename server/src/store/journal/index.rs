//! What the journal holds of which room, and which batches of the file are still needed. In memory
//! only: a start builds it from the heads of the batches.
//!
//! A batch is dead when no room needs a chunk in it. It goes when what is in the log moves on into the
//! database. One that says that a room was forgotten stays as long as there are older ones: that room may
//! have chunks in them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::batch::{Record, Spot};
use crate::key::RoomKey;
use crate::store::Chunk;
use crate::store::chain::Base;

/// A chunk that a room may still need.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Grows with each append of this process; what was found at the start comes first.
    pub(super) id: u64,
    pub(super) life: u64,
    pub(super) upto: u64,
    pub(super) place: Place,
}

/// Where a chunk is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In memory, on its way to the disk.
    Waiting(Arc<Chunk>),
    /// In this batch, as the so many'th of its chunks.
    Disk { batch: u64, nth: u32, spot: Spot },
}

impl Entry {
    fn batch(&self) -> Option<u64> {
        match self.place {
            Place::Disk { batch, .. } => Some(batch),
            Place::Waiting(_) => None,
        }
    }
}

#[derive(Default)]
struct Room {
    entries: VecDeque<Entry>,
    /// The room was removed: what its lives up to this one wrote is no more to be found, and goes
    /// when the journal says so on disk.
    gone: u64,
    /// Something of it cannot be read: nobody tries to move it any more.
    stuck: bool,
}

impl Room {
    /// The entry with this id, if the room still needs it: most often the newest.
    fn entry(&mut self, id: u64) -> Option<&mut Entry> {
        let at = match self.entries.back() {
            Some(newest) if newest.id == id => self.entries.len() - 1,
            _ => self.entries.binary_search_by_key(&id, |entry| entry.id).ok()?,
        };
        self.entries.get_mut(at)
    }
}

struct Batch {
    /// Chunks in it that a room may still need.
    live: usize,
    kind: Kind,
    since: Instant,
}

/// What a batch holds beside chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Nothing.
    Chunks,
    /// It says that a room was forgotten.
    Forgets,
}

impl Kind {
    fn of(records: &[Record]) -> Self {
        let forgets = records.iter().any(|of| matches!(of, Record::Forget(..)));
        if forgets { Self::Forgets } else { Self::Chunks }
    }
}

/// The index, behind the journal's lock.
#[derive(Default)]
pub(super) struct Index {
    rooms: HashMap<RoomKey, Room>,
    batches: BTreeMap<u64, Batch>,
    dead: BTreeSet<u64>,
    /// Dead ones that also say that a room was forgotten.
    dead_forgets: BTreeSet<u64>,
}

impl Index {
    /// How many rooms have chunks that they may need.
    pub(super) fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// These rooms.
    pub(super) fn keys(&self) -> Vec<RoomKey> {
        self.rooms.keys().cloned().collect()
    }

    /// How many batches are on disk.
    pub(super) fn batches(&self) -> usize {
        self.batches.len()
    }

    /// Whether there is a batch that nobody needs, and that may go.
    pub(super) fn has_dead(&self) -> bool {
        let first = self.batches.first_key_value().map(|(number, _)| number);
        !self.dead.is_empty() || first.is_some_and(|of| self.dead_forgets.contains(of))
    }

    /// A chunk was appended.
    pub(super) fn push(&mut self, key: &RoomKey, id: u64, chunk: Arc<Chunk>) {
        let (life, upto) = (chunk.life, chunk.upto);
        let entry = Entry { id, life, upto, place: Place::Waiting(chunk) };
        match self.rooms.get_mut(key) {
            Some(room) => room.entries.push_back(entry),
            None => {
                self.rooms.entry(key.clone()).or_default().entries.push_back(entry);
            }
        }
    }

    /// A batch is on disk, and nothing in it is needed yet.
    pub(super) fn batch(&mut self, number: u64, kind: Kind, now: Instant) {
        self.batches.insert(number, Batch { live: 0, kind, since: now });
        self.mark_dead(number);
    }

    /// An appended chunk is on disk in this batch, which is known already.
    pub(super) fn landed(&mut self, key: &RoomKey, id: u64, (batch, nth): (u64, u32), spot: Spot) {
        // A snapshot may have covered it meanwhile.
        let Some(room) = self.rooms.get_mut(key) else { return };
        let Some(entry) = room.entry(id) else { return };
        entry.place = Place::Disk { batch, nth, spot };
        if let Some(info) = self.batches.get_mut(&batch) {
            info.live += 1;
            if info.live == 1 {
                self.dead.remove(&batch);
                self.dead_forgets.remove(&batch);
            }
        }
        if spot.whole {
            self.drop_where(key, |entry| entry.id < id);
        }
    }

    /// What a start found in a batch; batches come in their order.
    pub(super) fn found(&mut self, number: u64, records: Vec<Record>, next_id: &mut u64) {
        self.batch(number, Kind::of(&records), Instant::now());
        let mut nth = 0;
        for record in records {
            match record {
                Record::Chunk(key, spot) => {
                    *next_id += 1;
                    let place = Place::Disk { batch: number, nth, spot };
                    let entry = Entry { id: *next_id, life: spot.life, upto: spot.upto, place };
                    let room = self.rooms.entry(key.clone()).or_default();
                    room.entries.push_back(entry);
                    self.landed(&key, *next_id, (number, nth), spot);
                    nth += 1;
                }
                Record::Forget(key, life) => self.forgotten(&key, life),
            }
        }
    }

    /// What is there of a room, in the order in which it was written.
    pub(super) fn list(&self, key: &RoomKey) -> Vec<Entry> {
        let Some(room) = self.rooms.get(key) else { return vec![] };
        room.entries.iter().filter(|entry| entry.life > room.gone).cloned().collect()
    }

    /// A snapshot of this room is on disk: what it holds is not needed any more.
    pub(super) fn cover(&mut self, key: &RoomKey, base: Base) {
        self.drop_where(key, |entry| base.covers(entry.life, entry.upto));
    }

    /// A room is removed: what is there of it is no more to be found from now on. Gives its newest
    /// life, if there is anything.
    pub(super) fn hide(&mut self, key: &RoomKey) -> Option<u64> {
        let room = self.rooms.get_mut(key)?;
        let newest = room.entries.iter().map(|entry| entry.life).max()?;
        room.gone = room.gone.max(newest);
        Some(newest)
    }

    /// The journal says on disk that what this room's lives up to this one wrote is forgotten.
    pub(super) fn forgotten(&mut self, key: &RoomKey, life: u64) {
        self.drop_where(key, |entry| entry.life <= life);
    }

    /// What this room had in batches up to this id is elsewhere now.
    pub(super) fn moved(&mut self, key: &RoomKey, upto_id: u64) {
        self.drop_where(key, |entry| entry.id <= upto_id && entry.batch().is_some());
    }

    /// Something of this room cannot be read.
    pub(super) fn give_up(&mut self, key: &RoomKey) {
        if let Some(room) = self.rooms.get_mut(key) {
            room.stuck = true;
        }
    }

    /// Rooms that hold a batch which was written before this.
    pub(super) fn holding(&self, before: Instant, max: usize) -> Vec<RoomKey> {
        let old = |entry: &Entry| {
            let batch = entry.batch().and_then(|batch| self.batches.get(&batch));
            batch.is_some_and(|batch| batch.since <= before)
        };
        // Nothing is older than the first that is needed.
        let first = self.batches.values().find(|batch| batch.live > 0);
        if first.is_none_or(|batch| batch.since > before) {
            return vec![];
        }
        let rooms = self.rooms.iter();
        let holding = rooms.filter(|(_, room)| !room.stuck && room.entries.iter().any(old));
        let mut holding: Vec<&RoomKey> = holding.map(|(key, _)| key).collect();
        // The same on every run.
        holding.sort_unstable();
        holding.into_iter().take(max).cloned().collect()
    }

    /// Takes dead batches out, at most so many, and none from this number on.
    pub(super) fn take_dead(&mut self, max: usize, before: u64) -> Vec<u64> {
        let mut taken = Vec::new();
        while taken.len() < max {
            let oldest = self.batches.first_key_value().map(|(number, _)| *number);
            let forgets =
                oldest.filter(|number| *number < before && self.dead_forgets.remove(number));
            let first = || self.dead.first().copied().filter(|number| *number < before);
            let Some(number) = forgets.or_else(first) else { break };
            self.dead.remove(&number);
            self.batches.remove(&number);
            taken.push(number);
        }
        taken
    }

    /// Whether a batch was not taken out.
    pub(super) fn has(&self, batch: u64) -> bool {
        self.batches.contains_key(&batch)
    }

    fn drop_where(&mut self, key: &RoomKey, goes: impl Fn(&Entry) -> bool) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        let mut freed = Vec::new();
        room.entries.retain(|entry| {
            let goes = goes(entry);
            if goes {
                freed.extend(entry.batch());
            }
            !goes
        });
        if room.entries.is_empty() {
            self.rooms.remove(key);
        }
        for number in freed {
            if let Some(batch) = self.batches.get_mut(&number) {
                batch.live -= 1;
                self.mark_dead(number);
            }
        }
    }

    fn mark_dead(&mut self, number: u64) {
        match self.batches.get(&number) {
            Some(Batch { live: 0, kind: Kind::Forgets, .. }) => self.dead_forgets.insert(number),
            Some(Batch { live: 0, .. }) => self.dead.insert(number),
            _ => false,
        };
    }
}

#[cfg(test)]
mod tests;
