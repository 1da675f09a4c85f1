//! What waits to be written into the journal: everything, in order, bounded in bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::JournalLine;
use crate::key::RoomKey;
use crate::store::Chunk;
use crate::store::backoff::Backoff;

/// Beyond this, what waits goes into another batch. One chunk alone may be larger.
const BATCH_MAX_BYTES: usize = 8 << 20;
/// What a waiting chunk costs beside its bytes.
const ITEM_BYTES: usize = 128;

/// A chunk on its way to the disk.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) key: RoomKey,
    /// Grows with each append.
    pub(super) id: u64,
    pub(super) chunk: Arc<Chunk>,
    pub(super) gated: bool,
    pub(super) line: Arc<JournalLine>,
    /// Its number on that line.
    pub(super) number: u64,
}

impl Item {
    fn bytes(&self) -> usize {
        self.chunk.bytes.len() + ITEM_BYTES
    }
}

/// What goes into one batch.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) items: Vec<Item>,
    /// Rooms that were removed, and the last life that did not outlive it.
    pub(super) forgets: BTreeMap<RoomKey, u64>,
    /// What was queued up to here is durable once this is.
    pub(super) up_to: u64,
}

impl Work {
    /// The chunks' bytes.
    pub(super) fn bytes(&self) -> usize {
        self.items.iter().map(|item| item.chunk.bytes.len()).sum()
    }
}

/// The queue, behind the journal's lock.
pub(super) struct Queue {
    waiting: VecDeque<Item>,
    forgets: BTreeMap<RoomKey, u64>,
    /// Of what waits and what is being written.
    bytes: usize,
    chunks: usize,
    max_bytes: usize,
    every: Duration,
    /// When the oldest that waits came.
    since: Option<Instant>,
    /// Somebody waits for one of the chunks.
    gated: bool,
    /// Chunks refused for want of room: since the last write that worked, and in all.
    pub(super) refused: u64,
    pub(super) refused_ever: u64,
    /// Chunks and removals queued so far.
    pub(super) accepted: u64,
    pub(super) backoff: Backoff,
    /// Somebody waits for all of it: try now.
    pub(super) urgent: bool,
    /// No more chunks are taken.
    pub(super) shut: bool,
}

impl Queue {
    /// `accepted` are the ids that were given out already.
    pub(super) fn new(max_bytes: usize, every_ms: u64, accepted: u64) -> Self {
        Self {
            waiting: VecDeque::new(),
            forgets: BTreeMap::new(),
            bytes: 0,
            chunks: 0,
            max_bytes,
            every: Duration::from_millis(every_ms),
            since: None,
            gated: false,
            refused: 0,
            refused_ever: 0,
            accepted,
            backoff: Backoff::default(),
            urgent: false,
            shut: false,
        }
    }

    /// Whether a chunk of so many bytes may come. One alone may be larger than the bound.
    pub(super) fn takes(&mut self, bytes: usize) -> bool {
        let full = self.chunks > 0 && self.bytes + bytes + ITEM_BYTES > self.max_bytes;
        if full && !self.shut {
            self.refused += 1;
            self.refused_ever += 1;
        }
        !full && !self.shut
    }

    /// Queues a chunk that fits.
    pub(super) fn push(&mut self, item: Item, now: Instant) {
        self.bytes += item.bytes();
        self.chunks += 1;
        self.accepted = item.id;
        self.gated |= item.gated;
        self.since.get_or_insert(now);
        self.waiting.push_back(item);
    }

    /// Queues that a room was removed. There are at most as many of them as rooms that were removed
    /// since the last write that worked.
    pub(super) fn forget(&mut self, key: RoomKey, life: u64, now: Instant) {
        let newest = self.forgets.entry(key).or_insert(life);
        *newest = life.max(*newest);
        self.accepted += 1;
        self.since.get_or_insert(now);
    }

    /// Chunks that are not on disk, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.chunks, self.bytes)
    }

    /// Whether nothing waits that is not being written already.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.forgets.is_empty()
    }

    /// When what waits is to be written. None when nothing does.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        if self.is_empty() {
            return None;
        }
        if self.urgent || self.shut {
            return Some(now);
        }
        if let Some(retry_at) = self.backoff.retry_at() {
            return Some(retry_at);
        }
        let at_once = self.gated || self.bytes > self.max_bytes / 2;
        let oldest = self.since.map_or(now, |since| since + self.every);
        Some(if at_once { now } else { oldest })
    }

    /// Takes what goes into the next batch.
    pub(super) fn take(&mut self) -> Work {
        self.urgent = false;
        let (mut bytes, mut count) = (0, 0);
        for item in &self.waiting {
            bytes += item.bytes();
            if count > 0 && bytes > BATCH_MAX_BYTES {
                break;
            }
            count += 1;
        }
        let items: Vec<_> = self.waiting.drain(..count).collect();
        if !self.waiting.is_empty() {
            let up_to = items.last().map_or(0, |item| item.id);
            return Work { items, forgets: BTreeMap::new(), up_to };
        }
        // A removal stands behind the chunks that it is about.
        self.gated = false;
        self.since = None;
        Work { items, forgets: std::mem::take(&mut self.forgets), up_to: self.accepted }
    }

    /// The work is durable. Returns whether writing failed before.
    pub(super) fn done(&mut self, work: &Work) -> bool {
        self.bytes -= work.items.iter().map(Item::bytes).sum::<usize>();
        self.chunks -= work.items.len();
        self.refused = 0;
        self.backoff.worked()
    }

    /// The work was not written: it waits again, before all else. Returns whether this is the first
    /// failure in a row.
    pub(super) fn failed(&mut self, work: Work, why: String, now: Instant) -> bool {
        self.gated |= work.items.iter().any(|item| item.gated);
        self.since.get_or_insert(now);
        for item in work.items.into_iter().rev() {
            self.waiting.push_front(item);
        }
        for (key, life) in work.forgets {
            let newest = self.forgets.entry(key).or_insert(life);
            *newest = life.max(*newest);
        }
        self.backoff.failed(why, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: u64, bytes: usize, gated: bool) -> Item {
        let chunk = Arc::new(Chunk { bytes: vec![0; bytes], ..Chunk::default() });
        let line = JournalLine::new(|| {});
        let key = RoomKey::parse("g/a").unwrap();
        Item { key, id, chunk, gated, line, number: id }
    }

    fn ids(work: &Work) -> Vec<u64> {
        work.items.iter().map(|item| item.id).collect()
    }

    #[test]
    fn what_somebody_waits_for_is_due_at_once_and_else_when_the_oldest_is_old_enough() {
        let now = Instant::now();
        let later = now + Duration::from_millis(7);
        let mut queue = Queue::new(1000, 20, 0);
        assert_eq!(queue.due(now), None);
        queue.push(item(1, 1, false), now);
        queue.push(item(2, 1, false), later);
        assert_eq!(queue.due(later), Some(now + Duration::from_millis(20)));
        queue.push(item(3, 1, true), later);
        assert_eq!(queue.due(later), Some(later));
        assert_eq!(ids(&queue.take()), [1, 2, 3]);
        assert_eq!(queue.due(later), None);
        queue.push(item(4, 600, false), later);
        assert_eq!(queue.due(later), Some(later), "half full");
    }

    #[test]
    fn what_waits_is_bounded_and_what_is_being_written_counts() {
        let now = Instant::now();
        let mut queue = Queue::new(1000, 20, 0);
        assert!(queue.takes(5000), "one alone");
        queue.push(item(1, 700, false), now);
        assert!(!queue.takes(200));
        let work = queue.take();
        assert!(!queue.takes(200));
        assert_eq!(queue.refused, 2);
        queue.done(&work);
        assert!(queue.takes(200));
        assert_eq!((queue.refused, queue.refused_ever, queue.size()), (0, 2, (0, 0)));
    }

    #[test]
    fn what_failed_comes_first_again_and_waits_its_time() {
        let now = Instant::now();
        let mut queue = Queue::new(1000, 20, 0);
        queue.push(item(1, 1, true), now);
        queue.push(item(2, 1, false), now);
        let work = queue.take();
        queue.push(item(3, 1, true), now);
        assert!(queue.failed(work, "full".into(), now), "the first in a row");
        assert!(queue.due(now).unwrap() > now, "also when somebody waits");
        queue.urgent = true;
        assert_eq!(queue.due(now), Some(now));
        let work = queue.take();
        assert_eq!((ids(&work), work.up_to), (vec![1, 2, 3], 3));
        assert!(!queue.failed(work, "full".into(), now));
        let work = queue.take();
        assert!(queue.done(&work), "it had failed");
        assert_eq!(queue.size(), (0, 0));
    }

    #[test]
    fn a_batch_has_a_bound_and_removals_come_behind_all_chunks() {
        let now = Instant::now();
        let mut queue = Queue::new(100 << 20, 20, 0);
        for id in 1..=3 {
            queue.push(item(id, BATCH_MAX_BYTES / 2, true), now);
        }
        queue.forget(RoomKey::parse("g/a").unwrap(), 5, now);
        let first = queue.take();
        assert_eq!((ids(&first), first.up_to, first.forgets.len()), (vec![1], 1, 0));
        assert_eq!(queue.due(now), Some(now), "somebody still waits");
        queue.take();
        let last = queue.take();
        assert_eq!((ids(&last), last.up_to, last.forgets.len()), (vec![3], 4, 1));
    }
}
