//! The components of one entity: what each was at the last few sends. What is asked of all of them in
//! each send stands together, apart from the values: most have not changed.

use smallvec::SmallVec;

use super::Send;
use super::slot::Now;
use crate::limits::{COMPONENT_BYTES, COMPONENT_WORDS, WORD_BYTES};

/// Values of a component for which there is memory at once.
const VERSIONS: usize = 3;
/// The place of a value that is not there.
const NOT_SHOWN: u16 = u16::MAX;

/// See the module's documentation. Sorted by component.
#[derive(Clone, Default)]
pub(in crate::codec) struct Cells {
    heads: SmallVec<[Head; 6]>,
    values: Vec<Values>,
}

/// One component.
#[derive(Clone, Copy)]
struct Head {
    component: u16,
    /// The place of the newest value; [`NOT_SHOWN`] where there is none.
    newest: u16,
    /// Since which send it is what it is: most are asked for no more than that.
    since: Send,
}

/// What it was.
#[derive(Clone)]
struct Values {
    /// From oldest to newest: few.
    versions: SmallVec<[Version; VERSIONS]>,
    /// The most words that it has held.
    most: u32,
}

/// The words of a value: mostly few.
pub(super) type Words = SmallVec<[u32; 4]>;

/// A value, or its absence, from a send on.
#[derive(Clone, Default)]
struct Version {
    send: Send,
    tick: u64,
    shown: bool,
    words: Words,
}

/// One component of an entity.
#[derive(Clone, Copy)]
pub(in crate::codec) struct Cell<'a> {
    head: Head,
    values: &'a Values,
}

/// What a component of so many words counts, in bytes.
#[must_use]
pub fn component_bytes(words: usize) -> usize {
    COMPONENT_BYTES + WORD_BYTES * words.saturating_sub(COMPONENT_WORDS)
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        self.heads.len()
    }

    /// Where a component is, or would be.
    pub(super) fn place(&self, component: u16) -> Result<usize, usize> {
        self.heads.binary_search_by_key(&component, |head| head.component)
    }

    pub(super) fn get(&self, place: usize) -> Option<Cell<'_>> {
        let (head, values) = (self.heads.get(place)?, self.values.get(place)?);
        Some(Cell { head: *head, values })
    }

    pub(super) fn find(&self, component: u16) -> Option<Cell<'_>> {
        self.place(component).ok().and_then(|place| self.get(place))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Cell<'_>> {
        self.heads.iter().zip(&self.values).map(|(head, values)| Cell { head: *head, values })
    }

    /// Puts in one that was never anything. It counts [`COMPONENT_BYTES`].
    pub(super) fn insert(&mut self, place: usize, component: u16) {
        self.heads.insert(place, Head { component, newest: NOT_SHOWN, since: 0 });
        let most = COMPONENT_WORDS as u32;
        // An entity has few, and mostly gets them once.
        self.values.reserve_exact(1);
        self.values.insert(place, Values { versions: SmallVec::new(), most });
    }

    /// Sets the value in a place from a send on; forgets what no baseline knows. Gives how many bytes more it
    /// counts.
    pub(super) fn set(&mut self, place: usize, now: &Now, words: Option<&[u32]>) -> usize {
        let more = self.values[place].set(now, words);
        let last = self.values[place].versions.len() as u16 - 1;
        let head = &mut self.heads[place];
        (head.since, head.newest) = (now.send, if words.is_some() { last } else { NOT_SHOWN });
        more
    }

    /// All are shown no more from a send on.
    pub(super) fn hide(&mut self, now: &Now) -> usize {
        (0..self.len()).map(|place| self.set(place, now, None)).sum()
    }

    /// Forgets all that they were, and keeps the memory.
    pub(super) fn forget(&mut self) {
        for head in &mut self.heads {
            (head.since, head.newest) = (0, NOT_SHOWN);
        }
        for version in self.values.iter_mut().flat_map(|values| &mut values.versions) {
            (version.send, version.tick, version.shown) = (0, 0, false);
        }
    }

    /// The words of a component at the three sends for which it was seen; none where it was not shown.
    /// Holds as long as nothing of the entity was set since.
    pub(super) fn words(&self, seen: &Seen) -> [Option<&[u32]>; 3] {
        let values = self.values.get(usize::from(seen.cell));
        let versions = values.map_or(&[][..], |values| &values.versions);
        seen.at.map(|at| versions.get(usize::from(at)).map(|version| &version.words[..]))
    }
}

impl Values {
    fn set(&mut self, now: &Now, words: Option<&[u32]>) -> usize {
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
        more + grown
    }
}

impl<'a> Cell<'a> {
    pub(super) fn component(&self) -> u16 {
        self.head.component
    }

    fn version(&self, send: Send) -> Option<&'a Version> {
        self.values.versions.iter().rev().find(|version| version.send <= send)
    }

    /// The value at a send, where it was shown.
    pub(in crate::codec) fn at(&self, send: Send) -> Option<&'a [u32]> {
        if self.head.since <= send {
            let newest = self.values.versions.get(self.place()?);
            return newest.map(|newest| &newest.words[..]);
        }
        self.version(send).filter(|version| version.shown).map(|version| &version.words[..])
    }

    /// The place of its newest value, where it is shown.
    fn place(&self) -> Option<usize> {
        (self.head.newest != NOT_SHOWN).then_some(usize::from(self.head.newest))
    }

    /// What became of it last, if anything ever did: when, and its value where it is shown.
    pub(super) fn last(&self) -> Option<(u64, Option<&'a [u32]>)> {
        // What another entity left behind in this place is nothing of this one's.
        let last = self.values.versions.last().filter(|last| last.send > 0)?;
        Some((last.tick, last.shown.then_some(&last.words[..])))
    }

    /// Whether it is something else at one send than at an earlier one.
    pub(super) fn differs(&self, earlier: Send, later: Send) -> bool {
        self.head.since > earlier && !same(self.at(earlier), self.at(later))
    }

    /// Whether what it is at a send it became after a tick.
    pub(in crate::codec) fn changed_after(&self, send: Send, tick: u64) -> bool {
        self.version(send).is_some_and(|version| version.tick > tick)
    }

    /// What became of it between three sends, the first of them first. `cell` is its place.
    pub(super) fn seen(&self, cell: usize, [older, base, now]: [Send; 3]) -> Seen {
        let cell = cell as u16;
        if self.head.since <= older {
            let newest = self.head.newest;
            let shown = newest != NOT_SHOWN;
            return Seen { was: shown, is: shown, cell, at: [newest; 3], ..Seen::default() };
        }
        // From the newest on back, once.
        let versions = &self.values.versions;
        let mut rest = versions.len();
        let mut find = |send| {
            while let Some(version) = rest.checked_sub(1).and_then(|last| versions.get(last)) {
                if version.send <= send {
                    return if version.shown { rest as u16 - 1 } else { NOT_SHOWN };
                }
                rest -= 1;
            }
            NOT_SHOWN
        };
        let (now, old, older) = (find(now), find(base), find(older));
        let words = |at: u16| versions.get(usize::from(at)).map(|known| &known.words[..]);
        let differ = |a: u16, b: u16| a != b && !same(words(a), words(b));
        let changed = self.head.since > base && differ(old, now);
        let moved = older != NOT_SHOWN && differ(older, old);
        let (was, is) = (old != NOT_SHOWN, now != NOT_SHOWN);
        Seen { was, is, moved, changed, cell, at: [older, old, now] }
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

impl Default for Seen {
    fn default() -> Self {
        let at = [NOT_SHOWN; 3];
        Self { was: false, is: false, moved: false, changed: false, cell: 0, at }
    }
}
