//! Handles: the numbers by which a client's program knows entities. An entity keeps its handle while any
//! group shows it, whatever they call it; no other ever gets it. It may have several ids at once, one for
//! each of its groups.

use std::collections::{BTreeMap, BTreeSet};

use smallvec::{SmallVec, smallvec};

use super::Departed;
use crate::ids::WireId;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Handles {
    of: BTreeMap<WireId, u32>,
    /// The ids, growing, of each entity that has several, as of the end of the last frame.
    several: BTreeMap<u32, SmallVec<[WireId; 2]>>,
    /// Handles that an id lost in the frame that is read, and whether their entity is gone.
    lost: BTreeMap<u32, bool>,
    departed: Vec<Departed>,
    /// The newest handle, and that at the end of the last frame.
    newest: u32,
    before: u32,
    /// Ids were joined in the frame that is read.
    joined: bool,
}

impl Handles {
    /// A frame begins.
    pub(super) fn begin(&mut self) {
        self.departed.clear();
        self.lost.clear();
        self.joined = false;
        self.before = self.newest;
    }

    /// A frame ends: what has lost its last id is seen no more.
    pub(super) fn end(&mut self) {
        if self.joined || !self.several.is_empty() {
            self.sort();
        }
        let known = |handle: &u32| *handle == self.before || is_older(*handle, self.before);
        let kept: BTreeSet<u32> = match self.lost.is_empty() {
            true => BTreeSet::new(),
            false => self.of.values().copied().collect(),
        };
        let lost = self.lost.iter().filter(|(handle, _)| known(handle) && !kept.contains(handle));
        self.departed.extend(lost.map(|(handle, gone)| Departed { handle: *handle, gone: *gone }));
    }

    /// Notes which entities have several ids.
    fn sort(&mut self) {
        let mut ids: BTreeMap<u32, SmallVec<[WireId; 2]>> = BTreeMap::new();
        self.of.iter().for_each(|(id, handle)| ids.entry(*handle).or_default().push(*id));
        ids.retain(|_, ids| ids.len() > 1);
        self.several = ids;
    }

    /// What is seen no more since the frame before.
    pub(super) fn departed(&self) -> &[Departed] {
        &self.departed
    }

    /// How many entities there are.
    pub(super) fn entities(&self) -> usize {
        let more: usize = self.several.values().map(|ids| ids.len() - 1).sum();
        self.of.len() - more
    }

    /// Each entity's smallest id, and its handle.
    pub(super) fn iter(&self) -> impl Iterator<Item = (WireId, u32)> {
        let first = |id: WireId, handle: u32| {
            self.several.is_empty() || self.several.get(&handle).is_none_or(|ids| ids[0] == id)
        };
        self.of.iter().map(|(id, handle)| (*id, *handle)).filter(move |(id, of)| first(*id, *of))
    }

    pub(super) fn find(&self, id: WireId) -> Option<u32> {
        self.of.get(&id).copied()
    }

    /// All ids of the entity that has this one; this one alone where it has no other.
    pub(super) fn ids(&self, id: WireId) -> SmallVec<[WireId; 2]> {
        if self.several.is_empty() {
            return smallvec![id];
        }
        let ids = self.find(id).and_then(|handle| self.several.get(&handle));
        ids.cloned().unwrap_or_else(|| smallvec![id])
    }

    /// Gives an id a handle that has none.
    pub(super) fn name(&mut self, id: WireId) {
        let newest = &mut self.newest;
        self.of.entry(id).or_insert_with(|| {
            *newest = newest.wrapping_add(1);
            *newest
        });
    }

    /// An id is not the entity's any more that it was.
    pub(super) fn lose(&mut self, id: WireId, gone: bool) {
        if let Some(handle) = self.of.remove(&id) {
            *self.lost.entry(handle).or_default() |= gone;
        }
    }

    pub(super) fn lose_all(&mut self) {
        for handle in std::mem::take(&mut self.of).into_values() {
            self.lost.entry(handle).or_default();
        }
    }

    /// Whoever is known by the old id is known by the new one, too. Says whether there is one.
    pub(super) fn rename(&mut self, old: WireId, new: WireId) -> bool {
        let Some(handle) = self.find(old) else { return false };
        self.joined = true;
        self.take(new, handle);
        true
    }

    /// These ids are the same entity's: all of them that are known have the oldest of their handles.
    pub(super) fn join(&mut self, ids: &[WireId]) {
        let known = ids.iter().filter_map(|id| self.find(*id));
        let Some(oldest) = known.reduce(|a, b| if is_older(a, b) { a } else { b }) else { return };
        self.joined = true;
        for id in ids {
            let Some(handle) = self.find(*id).filter(|handle| *handle != oldest) else { continue };
            // What else it is called comes along.
            let others = self.several.get(&handle).cloned().unwrap_or_default();
            let same = others.into_iter().filter(|id| self.of.get(id) == Some(&handle));
            let same: SmallVec<[WireId; 2]> = same.collect();
            same.into_iter().chain([*id]).for_each(|id| self.take(id, oldest));
        }
    }

    /// An id has this handle from now on, in place of its own.
    fn take(&mut self, id: WireId, handle: u32) {
        if let Some(own) = self.of.insert(id, handle).filter(|own| *own != handle) {
            self.lost.entry(own).or_default();
        }
    }
}

/// Whether a handle was given before another one. They begin anew after 2^32.
fn is_older(handle: u32, than: u32) -> bool {
    (handle.wrapping_sub(than) as i32) < 0
}
