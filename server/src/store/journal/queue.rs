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

/// After a batch with so many chunks that were waited for, the next one gathers such chunks: a sync costs the
/// processor as much as some moves, and where many rooms move, more come before it could be missed. Postgres
/// does the same (`commit_delay`, `commit_siblings`). From 10 rooms that wait for each other's batches it
/// would only take time.
const GATHER_FROM: usize = 12;
/// A batch gathers no longer than this from the first that is waited for, and not beyond so many.
const GATHER: Duration = Duration::from_millis(1);
const GATHER_UPTO: usize = 64;

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
    /// Chunks that somebody waits for, when the first of them came, and how many the last batch had.
    gated: usize,
    gated_since: Option<Instant>,
    gated_before: usize,
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
            gated: 0,
            gated_since: None,
            gated_before: 0,
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
        self.since.get_or_insert(now);
        self.count(&item, now);
        self.waiting.push_back(item);
    }

    fn count(&mut self, item: &Item, now: Instant) {
        if item.gated {
            self.gated += 1;
            self.gated_since.get_or_insert(now);
        }
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
        if self.bytes > self.max_bytes / 2 {
            return Some(now);
        }
        let oldest = self.since.map_or(now, |since| since + self.every);
        Some(self.gated_due(now).map_or(oldest, |due| due.min(oldest)))
    }

    /// When what somebody waits for is to be written.
    fn gated_due(&self, now: Instant) -> Option<Instant> {
        let gathers = self.gated_before >= GATHER_FROM && self.gated < GATHER_UPTO;
        self.gated_since.map(|since| if gathers { since + GATHER } else { now })
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
        self.gated_before = items.iter().filter(|item| item.gated).count();
        self.gated -= self.gated_before;
        if !self.waiting.is_empty() {
            let up_to = items.last().map_or(0, |item| item.id);
            return Work { items, forgets: BTreeMap::new(), up_to };
        }
        // A removal stands behind the chunks that it is about.
        self.gated_since = None;
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
        self.since.get_or_insert(now);
        for item in work.items.into_iter().rev() {
            self.count(&item, now);
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
    fn where_many_wait_a_batch_gathers_for_a_moment() {
        let now = Instant::now();
        let after = |us| now + Duration::from_micros(us);
        let mut queue = Queue::new(1 << 20, 20, 0);
        let mut id = 0;
        let mut push = |queue: &mut Queue, count: usize, at| {
            for _ in 0..count {
                id += 1;
                queue.push(item(id, 1, true), at);
            }
        };
        push(&mut queue, GATHER_FROM, now);
        assert_eq!(queue.due(now), Some(now), "nothing is known of the batch before");
        queue.take();
        push(&mut queue, 1, after(100));
        push(&mut queue, 1, after(200));
        assert_eq!(queue.due(after(200)), Some(after(1100)), "from the first");
        push(&mut queue, GATHER_UPTO - 2, after(300));
        assert_eq!(queue.due(after(300)), Some(after(300)), "they are enough");
        queue.take();
        push(&mut queue, 1, after(400));
        assert_eq!(queue.due(after(400)), Some(after(1400)));
        queue.take();
        push(&mut queue, 1, after(1500));
        assert_eq!(queue.due(after(1500)), Some(after(1500)), "the batch before had few");
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
