//! What a view keeps of one entity: when it was shown, and its components.

use smallvec::SmallVec;

use super::Send;
use super::cells::{Cell, Cells, Seen};
use crate::ids::WireId;

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
    pub(in crate::codec) cells: Cells,
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

    pub(in crate::codec) fn cell(&self, component: u16) -> Option<Cell<'_>> {
        self.cells.find(component)
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
            let seen = cell.seen(place, [older, base, now]);
            recomposed |= seen.was != seen.is;
            if let Some(out) = out.get_mut(usize::from(cell.component())) {
                *out = seen;
            }
        }
        recomposed
    }

    /// The words of a component at the three sends for which it was seen; none where it was not shown.
    /// Holds as long as nothing of the entity was set since.
    pub(in crate::codec) fn words(&self, seen: &Seen) -> [Option<&[u32]>; 3] {
        self.cells.words(seen)
    }
}

/// The send that is being made.
#[derive(Clone, Copy, Default)]
pub(super) struct Now {
    pub(super) send: Send,
    pub(super) tick: u64,
    pub(super) oldest: Send,
}
