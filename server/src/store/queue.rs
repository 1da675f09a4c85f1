//! What waits to be written: the newest per room, bounded in bytes.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::{Chunk, StoredRoom};
use crate::key::RoomKey;

/// Numbers reserved at a time.
pub(super) const NUMBERS_BLOCK: u64 = 1024;
/// With fewer numbers left than this, the next block is reserved.
const NUMBERS_LOW: u64 = NUMBERS_BLOCK / 2;
/// How often expired rooms are looked for.
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long changes gather for one transaction while nobody waits for them: a commit costs about as much
/// for one room as for twenty, and what came since is in the journal.
const GATHER: Duration = Duration::from_millis(200);
/// What a change costs beside its room's bytes.
const CHANGE_BYTES: usize = 128;

/// What is to be done to a room's row.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Write it.
    Save(Save),
    /// Remove it, and the chunks in the journal that its lives up to this one wrote.
    Delete(Option<u64>),
}

/// A room to be written.
#[derive(Clone, Debug)]
pub(super) struct Save {
    pub(super) room: Arc<StoredRoom>,
    /// What is kept of its past, oldest first.
    pub(super) past: Vec<Arc<Chunk>>,
    /// It was removed before, or is to be alone: what else there is of it goes.
    pub(super) anew: bool,
    /// The last life that the removal was of, where that is known.
    pub(super) gone: Option<u64>,
}

impl Change {
    pub(super) fn save(mut room: StoredRoom) -> Self {
        let past = room.history.take().map(Arc::new).into_iter().collect();
        Self::Save(Save { room: Arc::new(room), past, anew: false, gone: None })
    }

    /// What else there is of it goes.
    pub(super) fn save_alone(room: StoredRoom) -> Self {
        Self::Save(Save { room: Arc::new(room), past: vec![], anew: true, gone: None })
    }

    /// Whether it removes what was there before, be it to write the room anew.
    pub(super) fn removes(&self) -> bool {
        match self {
            Self::Delete(_) => true,
            Self::Save(save) => save.anew,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Save(save) => {
                let past: usize = save.past.iter().map(|chunk| chunk.bytes.len()).sum();
                save.room.snapshot.as_ref().map_or(0, Vec::len) + past + CHANGE_BYTES
            }
            Self::Delete(_) => CHANGE_BYTES,
        }
    }

    /// This one in place of an older one that was not written.
    fn in_place_of(self, older: &Self) -> Self {
        match (self, older) {
            (Self::Save(save), Self::Delete(gone)) => {
                Self::Save(Save { anew: true, gone: *gone, ..save })
            }
            (Self::Save(save), Self::Save(older)) if save.anew => {
                Self::Save(Save { gone: older.gone.max(save.gone), ..save })
            }
            (Self::Save(save), Self::Save(older)) => {
                let past = older.past.iter().cloned().chain(save.past).collect();
                let (anew, gone) = (older.anew || save.anew, older.gone.max(save.gone));
                Self::Save(Save { past, anew, gone, ..save })
            }
            (Self::Delete(life), Self::Delete(older)) => Self::Delete(life.max(*older)),
            (Self::Delete(life), Self::Save(older)) => Self::Delete(life.max(older.gone)),
        }
    }
}

pub(super) type Changes = BTreeMap<RoomKey, Change>;

/// One transaction's worth of work.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) changes: Arc<Changes>,
    /// The end of the numbers to reserve.
    pub(super) numbers_end: Option<u64>,
    /// Look for expired rooms as well.
    pub(super) sweep: bool,
    /// Rooms whose chunks move from the journal beside their snapshots.
    pub(super) settle: BTreeSet<RoomKey>,
    /// Changes queued up to here are durable once this batch is.
    pub(super) up_to: u64,
}

/// The queue, behind the store's lock.
pub(super) struct Queue {
    waiting: Changes,
    /// What the writer works on; still to be found by a load.
    writing: Arc<Changes>,
    /// When those that wait have gathered for long enough.
    gathered_at: Option<Instant>,
    bytes: usize,
    max_bytes: usize,
    /// Changes refused for want of room since the last batch was written.
    pub(super) refused: u64,
    /// Changes queued so far.
    pub(super) accepted: u64,
    /// The next number to give out, and the end of what is reserved on disk.
    next_number: u64,
    numbers_end: u64,
    sweep_at: Instant,
    settle: BTreeSet<RoomKey>,
    pub(super) backoff: Backoff,
    /// Somebody waits: try now.
    pub(super) urgent: bool,
    pub(super) closing: bool,
}

impl Queue {
    pub(super) fn new(max_bytes: usize, first_number: u64, now: Instant) -> Self {
        Self {
            waiting: Changes::new(),
            writing: Arc::default(),
            gathered_at: None,
            bytes: 0,
            max_bytes,
            refused: 0,
            accepted: 0,
            next_number: first_number,
            numbers_end: first_number,
            sweep_at: now,
            settle: BTreeSet::new(),
            backoff: Backoff::default(),
            urgent: false,
            closing: false,
        }
    }

    /// Expired rooms are looked for with the next batch.
    #[cfg(test)]
    pub(super) fn sweep_next(&mut self, now: Instant) {
        self.sweep_at = now;
    }

    /// Queues a change in place of an older one of the same room; false when there is no room for
    /// it, or the store closes.
    pub(super) fn push(&mut self, key: RoomKey, change: Change) -> bool {
        let older = self.waiting.get(&key);
        let freed = older.map_or(0, Change::bytes);
        let change = match older {
            Some(older) => change.in_place_of(older),
            None => change,
        };
        let bytes = self.bytes - freed + change.bytes();
        let full = bytes > self.max_bytes && self.bytes > freed;
        if full || self.closing {
            self.refused += u64::from(full);
            return false;
        }
        self.bytes = bytes;
        self.waiting.insert(key, change);
        self.accepted += 1;
        true
    }

    /// What a removal that was just queued takes with it in the journal.
    pub(super) fn removes(&mut self, key: &RoomKey, life: Option<u64>) {
        if let Some(Change::Delete(newest)) = self.waiting.get_mut(key) {
            *newest = life.max(*newest);
        }
    }

    /// Whether a later batch removes this room, be it to write it anew.
    pub(super) fn removes_later(&self, key: &RoomKey) -> bool {
        self.waiting.get(key).is_some_and(Change::removes)
    }

    /// Whether anything waits to be written.
    pub(super) fn waits(&self) -> bool {
        self.len() > 0 || !self.settle.is_empty()
    }

    /// The newest change of a room that is not on disk yet.
    pub(super) fn find(&self, key: &RoomKey) -> Option<Change> {
        self.waiting.get(key).or_else(|| self.writing.get(key)).cloned()
    }

    /// Queues that a room's chunks are to be moved out of the journal. Each is there once.
    pub(super) fn settle(&mut self, keys: impl IntoIterator<Item = RoomKey>) {
        if !self.closing {
            self.settle.extend(keys);
            self.accepted += 1;
        }
    }

    /// How many rooms wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.writing.len()
    }

    /// How many bytes wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The next reserved number, if there is one.
    pub(super) fn take_number(&mut self) -> Option<u64> {
        let number = (self.next_number < self.numbers_end).then_some(self.next_number)?;
        self.next_number += 1;
        Some(number)
    }

    /// Whether the writer should reserve more numbers.
    pub(super) fn numbers_low(&self) -> bool {
        self.numbers_end - self.next_number < NUMBERS_LOW
    }

    /// When there will be work, if nothing else comes: none for "now".
    pub(super) fn next_work(&mut self, now: Instant) -> Option<Duration> {
        let waits = !self.settle.is_empty() || self.numbers_low();
        let gathered = match self.waiting.is_empty() {
            true => None,
            // Half of what may wait: the rest is for what comes while it is written.
            false if self.bytes > self.max_bytes / 2 => return None,
            false => Some(*self.gathered_at.get_or_insert(now + GATHER)),
        };
        let at = match self.backoff.retry_at() {
            _ if self.urgent || self.closing => return None,
            Some(retry_at) => retry_at,
            None if waits => return None,
            None => gathered.map_or(self.sweep_at, |at| at.min(self.sweep_at)),
        };
        at.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Takes all the work there is.
    pub(super) fn take(&mut self, now: Instant) -> Batch {
        (self.urgent, self.gathered_at) = (false, None);
        self.writing = Arc::new(std::mem::take(&mut self.waiting));
        Batch {
            changes: Arc::clone(&self.writing),
            numbers_end: self.numbers_low().then(|| self.numbers_end + NUMBERS_BLOCK),
            sweep: now >= self.sweep_at && !self.closing,
            settle: std::mem::take(&mut self.settle),
            up_to: self.accepted,
        }
    }

    /// The batch is durable. Returns whether writing failed before.
    pub(super) fn done(&mut self, batch: &Batch, swept_all: bool, now: Instant) -> bool {
        self.bytes -= self.writing.values().map(Change::bytes).sum::<usize>();
        self.writing = Arc::default();
        if let Some(end) = batch.numbers_end {
            self.numbers_end = end;
        }
        if batch.sweep && swept_all {
            self.sweep_at = now + SWEEP_EVERY;
        }
        self.refused = 0;
        self.backoff.worked()
    }

    /// The batch was not written, or nobody knows: what no newer change replaces waits again. `removed`
    /// are rooms that it removes, with their newest life: the next attempt may find nothing of them.
    /// Returns whether this is the first failure in a row.
    pub(super) fn failed(
        &mut self,
        batch: &Batch,
        removed: &[(RoomKey, u64)],
        why: String,
        now: Instant,
    ) -> bool {
        for (key, life) in removed {
            match Arc::make_mut(&mut self.writing).get_mut(key) {
                Some(Change::Delete(newest)) => *newest = Some(*life).max(*newest),
                Some(Change::Save(save)) => save.gone = Some(*life).max(save.gone),
                None => {}
            }
        }
        let writing = std::mem::take(&mut self.writing);
        for (key, change) in Arc::unwrap_or_clone(writing) {
            self.bytes -= change.bytes();
            let change = match self.waiting.entry(key.clone()) {
                Entry::Vacant(_) => change,
                Entry::Occupied(newer) => {
                    let newer = newer.remove();
                    self.bytes -= newer.bytes();
                    newer.in_place_of(&change)
                }
            };
            self.bytes += change.bytes();
            self.waiting.insert(key, change);
        }
        self.settle.extend(batch.settle.iter().cloned());
        self.backoff.failed(why, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::games::game_name;
    use referee_protocol::MatchId;

    fn key(name: &str) -> RoomKey {
        RoomKey { game: game_name("game").unwrap(), match_id: MatchId::new(name).unwrap() }
    }

    fn save(bytes: usize) -> Change {
        let snapshot = Some(vec![0; bytes]);
        Change::save(StoredRoom { snapshot, ..StoredRoom::default() })
    }

    #[test]
    fn the_newest_of_a_room_replaces_and_the_sum_is_bounded() {
        let now = Instant::now();
        let mut queue = Queue::new(1000, 1, now);
        assert!(queue.push(key("a"), save(700)));
        assert!(queue.push(key("a"), save(800)), "takes the place of the older one");
        assert!(!queue.push(key("b"), save(700)), "no room for two");
        assert_eq!((queue.len(), queue.bytes, queue.refused), (1, 928, 1));
        let batch = queue.take(now);
        assert!(!queue.push(key("b"), save(700)), "what is being written counts");
        queue.done(&batch, true, now);
        assert!(queue.push(key("b"), save(5000)), "one alone may be larger than the bound");
        assert_eq!(queue.bytes, 5128);
    }

    #[test]
    fn a_failed_batch_waits_again_unless_replaced() {
        let now = Instant::now();
        let mut queue = Queue::new(10_000, 1, now);
        assert!(queue.push(key("a"), save(1)) && queue.push(key("b"), save(2)));
        let batch = queue.take(now);
        assert!(queue.push(key("b"), save(3)));
        assert!(queue.failed(&batch, &[], "full".into(), now), "the first in a row");
        assert!(!queue.failed(&Batch::default(), &[], "full".into(), now));
        let Some(newest) = queue.find(&key("b")) else { panic!("b is gone") };
        assert!(
            matches!(&newest, Change::Save(save) if save.room.snapshot.as_deref() == Some(&[0; 3][..]))
        );
        assert_eq!((queue.len(), queue.bytes), (2, 128 * 2 + 1 + 3));
        assert!(queue.next_work(now).is_some(), "not at once");
        queue.urgent = true;
        assert_eq!(queue.next_work(now), None);
        let batch = queue.take(now);
        assert!(queue.done(&batch, true, now));
        assert_eq!((queue.len(), queue.bytes), (0, 0));
    }

    fn with_past(life: u64) -> Change {
        let history = Some(Chunk { life, ..Chunk::default() });
        Change::save(StoredRoom { snapshot: Some(vec![]), history, ..StoredRoom::default() })
    }

    #[test]
    fn nothing_of_the_past_is_lost_when_a_room_is_saved_twice() {
        let now = Instant::now();
        let mut queue = Queue::new(10_000, 1, now);
        let past = |queue: &Queue| match queue.find(&key("a")) {
            Some(Change::Save(save)) => {
                (save.past.iter().map(|chunk| chunk.life).collect::<Vec<_>>(), save.anew)
            }
            other => panic!("{other:?}"),
        };
        queue.push(key("a"), with_past(1));
        queue.push(key("a"), with_past(2));
        assert_eq!(past(&queue), (vec![1, 2], false));
        let batch = queue.take(now);
        queue.push(key("a"), with_past(3));
        queue.failed(&batch, &[], "full".into(), now);
        assert_eq!(past(&queue), (vec![1, 2, 3], false));
        queue.push(key("a"), Change::Delete(Some(3)));
        queue.push(key("a"), with_past(4));
        queue.push(key("a"), with_past(5));
        assert_eq!(past(&queue), (vec![4, 5], true), "what was removed does not come back");
        let batch = queue.take(now);
        queue.done(&batch, true, now);
        assert_eq!((queue.len(), queue.bytes), (0, 0));
    }

    #[test]
    fn what_a_removal_takes_along_is_not_forgotten() {
        let now = Instant::now();
        let mut queue = Queue::new(10_000, 1, now);
        let life = |queue: &Queue| match queue.find(&key("a")) {
            Some(Change::Delete(life)) => life,
            other => panic!("{other:?}"),
        };
        queue.push(key("a"), Change::Delete(None));
        let batch = queue.take(now);
        queue.failed(&batch, &[(key("a"), 4)], "full".into(), now);
        assert_eq!(life(&queue), Some(4), "it may have been removed all the same");
        queue.push(key("a"), save(1));
        queue.push(key("a"), save(2));
        queue.push(key("a"), Change::Delete(Some(3)));
        assert_eq!(life(&queue), Some(4));
    }

    #[test]
    fn numbers_come_from_reserved_blocks_only() {
        let now = Instant::now();
        let mut queue = Queue::new(1000, 7, now);
        assert_eq!(queue.take_number(), None);
        let batch = queue.take(now);
        assert_eq!(batch.numbers_end, Some(7 + NUMBERS_BLOCK));
        queue.done(&batch, true, now);
        assert_eq!(queue.take_number(), Some(7));
        assert!(!queue.numbers_low());
        while queue.take_number().is_some() {}
        assert_eq!(queue.next_number, 7 + NUMBERS_BLOCK);
        assert!(queue.numbers_low());
    }
}
