//! What a view keeps of one entity: when it was shown, and what its components were at the last few
//! sends.

use smallvec::SmallVec;

use super::Send;
use crate::ids::WireId;
use crate::limits::{COMPONENT_BYTES, COMPONENT_WORDS, WORD_BYTES};

/// A value, or its absence, from a send on.
#[derive(Clone, Default)]
pub(super) struct Version {
    pub(super) send: Send,
    pub(super) tick: u64,
    pub(super) shown: bool,
    pub(super) words: SmallVec<[u32; 4]>,
}

/// One component of an entity.
#[derive(Clone)]
pub(in crate::codec) struct Cell {
    pub(super) component: u16,
    /// Since which send it is what it is: most are asked for no more than that.
    since: Send,
    /// From oldest to newest: few.
    pub(super) versions: SmallVec<[Version; 3]>,
    /// The most words that it has held.
    most: u32,
}

/// Values of a component for which there is memory at once.
const VERSIONS: usize = 3;

/// What a component of so many words counts, in bytes.
#[must_use]
pub fn component_bytes(words: usize) -> usize {
    COMPONENT_BYTES + WORD_BYTES * words.saturating_sub(COMPONENT_WORDS)
}

impl Cell {
    /// One that was never anything. It counts [`COMPONENT_BYTES`].
    pub(super) fn new(component: u16) -> Self {
        Self { component, since: 0, versions: SmallVec::new(), most: COMPONENT_WORDS as u32 }
    }

    pub(super) fn version(&self, send: Send) -> Option<&Version> {
        self.versions.iter().rev().find(|version| version.send <= send)
    }

    /// The value at a send, where it was shown.
    pub(in crate::codec) fn at(&self, send: Send) -> Option<&[u32]> {
        self.version(send).filter(|version| version.shown).map(|version| &version.words[..])
    }

    /// Whether it may be something else now than at a send.
    pub(in crate::codec) fn is_newer_than(&self, send: Send) -> bool {
        self.since > send
    }

    /// Forgets all that it was, and keeps the memory.
    pub(super) fn forget(&mut self) {
        self.since = 0;
        for version in &mut self.versions {
            (version.send, version.tick, version.shown) = (0, 0, false);
        }
    }

    /// Whether it is something else at one send than at an earlier one.
    pub(in crate::codec) fn differs(&self, earlier: Send, later: Send) -> bool {
        self.is_newer_than(earlier) && !same(self.at(earlier), self.at(later))
    }

    /// What became of it between three sends, the first of them first.
    pub(super) fn seen(&self, older: Send, base: Send, now: Send) -> Seen {
        if self.since <= older {
            let Some(newest) = self.versions.last() else { return Seen::default() };
            let last = self.versions.len() as u16 - 1;
            let at = if newest.shown { [last; 3] } else { [NOT_SHOWN; 3] };
            return Seen { was: newest.shown, is: newest.shown, at, ..Seen::default() };
        }
        // From the newest on back, once.
        let mut rest = self.versions.len();
        let mut find = |send| {
            while let Some(version) = rest.checked_sub(1).and_then(|last| self.versions.get(last)) {
                if version.send <= send {
                    return if version.shown { rest as u16 - 1 } else { NOT_SHOWN };
                }
                rest -= 1;
            }
            NOT_SHOWN
        };
        let (now, old, older) = (find(now), find(base), find(older));
        let words = |at: u16| self.versions.get(usize::from(at)).map(|known| &known.words[..]);
        let differ = |a: u16, b: u16| a != b && !same(words(a), words(b));
        let changed = self.since > base && differ(old, now);
        let moved = older != NOT_SHOWN && differ(older, old);
        let (was, is) = (old != NOT_SHOWN, now != NOT_SHOWN);
        Seen { was, is, moved, changed, cell: 0, at: [older, old, now] }
    }

    /// Whether what it is at a send it became after a tick.
    pub(in crate::codec) fn changed_after(&self, send: Send, tick: u64) -> bool {
        self.version(send).is_some_and(|version| version.tick > tick)
    }

    /// Sets the value from a send on; forgets what no baseline knows. Gives how many bytes more it counts.
    pub(super) fn set(&mut self, now: &Now, words: Option<&[u32]>) -> usize {
        let (before, length) = (self.versions.len().max(VERSIONS), words.map_or(0, <[u32]>::len));
        match &self.versions[..] {
            [.., newest] if newest.send == now.send => {}
            // The oldest one's memory is used again.
            [_, second, ..] if second.send <= now.oldest => self.versions.rotate_left(1),
            _ => self.versions.push(Version::default()),
        }
        let more = self.versions.len().saturating_sub(before) * component_bytes(length);
        let grown = length.saturating_sub(self.most as usize) * WORD_BYTES;
        self.most = self.most.max(length as u32);
        let Some(version) = self.versions.last_mut() else { return 0 };
        (version.send, version.tick, version.shown) = (now.send, now.tick, words.is_some());
        version.words.clear();
        version.words.extend_from_slice(words.unwrap_or(&[]));
        self.since = now.send;
        more + grown
    }
}

/// Whether two values are the same. Most are of a word or two, for which a call to compare memory costs
/// more than to compare them.
pub(super) fn same(a: Option<&[u32]>, b: Option<&[u32]>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// What became of a component from an older baseline over a baseline to now.
#[derive(Clone, Copy)]
pub(in crate::codec) struct Seen {
    /// It was shown at the baseline, and is now.
    pub(in crate::codec) was: bool,
    pub(in crate::codec) is: bool,
    /// It was shown at the older baseline, and not as at the baseline.
    pub(in crate::codec) moved: bool,
    /// It is not now what it was at the baseline.
    pub(in crate::codec) changed: bool,
    /// Its place among the entity's cells, and of its values at the three sends among the cell's.
    cell: u16,
    at: [u16; 3],
}

/// The place of a value that is not there.
const NOT_SHOWN: u16 = u16::MAX;

impl Default for Seen {
    fn default() -> Self {
        let at = [NOT_SHOWN; 3];
        Self { was: false, is: false, moved: false, changed: false, cell: 0, at }
    }
}

/// What there is to tell of an entity.
#[derive(Clone, Copy, Default)]
pub(in crate::codec) struct Mark {
    /// It moved from the older baseline to the baseline.
    pub(in crate::codec) active: bool,
    /// It changed since the baseline.
    pub(in crate::codec) changed: bool,
    /// It left since the baseline.
    pub(in crate::codec) gone: bool,
}

/// An entity that is or was shown.
#[derive(Clone)]
pub(in crate::codec) struct Slot {
    pub(in crate::codec) id: WireId,
    /// From which send, and its tick, on it was shown, or not. From oldest to newest.
    pub(super) life: SmallVec<[(Send, u64, bool); 2]>,
    /// Where it is not shown: it is gone for good, and not only out of sight.
    pub(in crate::codec) gone: bool,
    /// Sorted by component.
    pub(super) cells: Vec<Cell>,
    /// Whose mark it is.
    pub(super) marked: u32,
    pub(super) mark: Mark,
    /// What it counts, in bytes.
    pub(super) bytes: usize,
}

impl Slot {
    pub(super) fn state(&self, send: Send) -> Option<&(Send, u64, bool)> {
        // Mostly nothing became of it for long.
        if let Some(last) = self.life.last().filter(|(from, ..)| *from <= send) {
            return Some(last);
        }
        self.life.iter().rev().find(|(from, ..)| *from <= send)
    }

    pub(in crate::codec) fn is_in(&self, send: Send) -> bool {
        self.state(send).is_some_and(|(.., shown)| *shown)
    }

    pub(super) fn is_shown(&self) -> bool {
        self.life.last().is_some_and(|(.., shown)| *shown)
    }

    pub(super) fn show(&mut self, now: &Now, shown: bool) {
        if self.life.last().is_some_and(|(at, ..)| *at == now.send) {
            self.life.pop();
        }
        while self.life.get(1).is_some_and(|(at, ..)| *at <= now.oldest) {
            self.life.remove(0);
        }
        self.life.push((now.send, now.tick, shown));
    }

    /// Whether no baseline knows it.
    pub(super) fn is_forgotten(&self, oldest: Send) -> bool {
        self.life.last().is_some_and(|(at, _, shown)| !shown && *at <= oldest)
    }

    /// Whether it is shown at a send, and came after a tick.
    pub(in crate::codec) fn entered_after(&self, send: Send, tick: u64) -> bool {
        self.state(send).is_some_and(|(_, at, shown)| *shown && *at > tick)
    }

    /// Whether it is shown at a send, and something of it became so after a tick.
    pub(in crate::codec) fn is_new_since(&self, send: Send, tick: u64) -> bool {
        self.is_in(send)
            && (self.entered_after(send, tick)
                || self.cells.iter().any(|cell| cell.changed_after(send, tick)))
    }

    pub(in crate::codec) fn cell(&self, component: u16) -> Option<&Cell> {
        let at = self.cells.binary_search_by_key(&component, |cell| cell.component).ok()?;
        self.cells.get(at)
    }

    pub(in crate::codec) fn at(&self, component: u16, send: Send) -> Option<&[u32]> {
        self.cell(component)?.at(send)
    }

    /// Whether it shows something else at one send than at an earlier one.
    pub(in crate::codec) fn differs(&self, earlier: Send, later: Send) -> bool {
        self.cells.iter().any(|cell| cell.differs(earlier, later))
    }

    /// What became of each component, by number. Says whether they are others now than at the baseline.
    pub(in crate::codec) fn seen(
        &self,
        older: Send,
        base: Send,
        now: Send,
        out: &mut [Seen],
    ) -> bool {
        out.fill(Seen::default());
        let mut recomposed = false;
        for (place, cell) in self.cells.iter().enumerate() {
            let seen = cell.seen(older, base, now);
            recomposed |= seen.was != seen.is;
            if let Some(out) = out.get_mut(usize::from(cell.component)) {
                *out = Seen { cell: place as u16, ..seen };
            }
        }
        recomposed
    }

    /// The words of a component at the three sends for which it was seen; none where it was not shown.
    /// Holds as long as nothing of the entity was set since.
    pub(in crate::codec) fn words(&self, seen: &Seen) -> [Option<&[u32]>; 3] {
        let versions =
            self.cells.get(usize::from(seen.cell)).map_or(&[][..], |cell| &cell.versions);
        seen.at.map(|at| versions.get(usize::from(at)).map(|version| &version.words[..]))
    }
}

/// The send that is being made.
#[derive(Clone, Copy, Default)]
pub(super) struct Now {
    pub(super) send: Send,
    pub(super) tick: u64,
    pub(super) oldest: Send,
}
