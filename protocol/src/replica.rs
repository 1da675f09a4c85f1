//! The replica: what one client knows, built from state frames alone. It is the receiving half of
//! the delta law, apply(delta(a, b), a) = b, and both the client and the room's own tests use it.

use std::collections::BTreeMap;

use crate::block::{Baseline, Block, BlockKind};
use crate::frame::{FrameError, Prelude};
use crate::hash::view_hash;
use crate::ids::{Group, Tick, WireId};
use crate::limits::ENTITIES_MAX;
use crate::schema::Schema;

/// What one group shows of one entity: component numbers, sorted, and their words.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Shown(Vec<(u16, Vec<u32>)>);

impl Shown {
    fn place(&self, component: u16) -> Result<usize, usize> {
        self.0.binary_search_by_key(&component, |(c, _)| *c)
    }

    fn set(&mut self, component: u16, words: Vec<u32>) {
        match self.place(component) {
            Ok(at) => self.0[at].1 = words,
            Err(at) => self.0.insert(at, (component, words)),
        }
    }

    fn remove(&mut self, component: u16) {
        if let Ok(at) = self.place(component) {
            self.0.remove(at);
        }
    }

    fn words(&self, component: u16) -> Option<&[u32]> {
        self.place(component).ok().map(|at| &self.0[at].1[..])
    }
}

/// What one client knows of a room.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Replica {
    tick: Tick,
    groups: BTreeMap<Group, BTreeMap<WireId, Shown>>,
    handles: BTreeMap<WireId, u32>,
    next_handle: u32,
}

impl Baseline for Replica {
    fn words(&self, group: Group, id: WireId, component: u16) -> Option<&[u32]> {
        self.groups.get(&group)?.get(&id)?.words(component)
    }
}

impl Replica {
    /// The tick of the last state applied.
    #[must_use]
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// Sets the tick that the next state frame counts from, without touching what is known.
    pub fn set_tick(&mut self, tick: Tick) {
        self.tick = tick;
    }

    /// Applies the body of a state frame and returns its prelude. After an error the replica is in
    /// no defined state: drop it and ask for full state.
    ///
    /// # Errors
    /// When the frame is malformed or does not fit what is known.
    pub fn apply(&mut self, schema: &Schema, mut body: &[u8]) -> Result<Prelude, FrameError> {
        let prelude = Prelude::decode(&mut body, self.tick)?;
        if prelude.full {
            self.groups.clear();
            self.handles.clear();
        }
        self.tick = prelude.tick;
        let mut left = Vec::new();
        while !body.is_empty() {
            let block = Block::read(schema, self, &mut body)?;
            left.push(self.enter(block));
        }
        // What leaves goes last: a block after it may show the entity in another group.
        for (group, removed, removed_components) in left {
            self.leave(group, &removed, &removed_components);
        }
        self.forget_unseen();
        if self.handles.len() > ENTITIES_MAX {
            return Err(FrameError::Block("too many entities"));
        }
        Ok(prelude)
    }

    fn enter(&mut self, block: Block) -> (Group, Vec<WireId>, Vec<(WireId, u16)>) {
        let shown = self.groups.entry(block.group).or_default();
        if block.kind == BlockKind::Whole {
            shown.clear();
        }
        for (old, new) in &block.renamed {
            if let Some(entity) = shown.remove(old) {
                shown.insert(*new, entity);
            }
            // The handle stays with the entity, so that a page sees no despawn.
            if let Some(handle) = self.handles.remove(old) {
                self.handles.insert(*new, handle);
            }
        }
        for record in block.records {
            let entity = shown.entry(record.id).or_default();
            if record.new {
                entity.0.clear();
            }
            for (component, words) in record.components {
                entity.set(component, words);
            }
            if record.id != WireId::ROOM {
                let next = &mut self.next_handle;
                self.handles.entry(record.id).or_insert_with(|| {
                    *next = next.wrapping_add(1);
                    *next
                });
            }
        }
        (block.group, block.removed, block.removed_components)
    }

    fn leave(&mut self, group: Group, removed: &[WireId], components: &[(WireId, u16)]) {
        let Some(shown) = self.groups.get_mut(&group) else { return };
        for id in removed {
            shown.remove(id);
        }
        for (id, component) in components {
            if let Some(entity) = shown.get_mut(id) {
                entity.remove(*component);
            }
        }
        if shown.is_empty() {
            self.groups.remove(&group);
        }
    }

    fn forget_unseen(&mut self) {
        let groups = &self.groups;
        self.handles.retain(|id, _| groups.values().any(|shown| shown.contains_key(id)));
    }

    /// Every entity: its wire id and the number this replica gave it, which stays while the entity
    /// is seen, whatever its wire id becomes.
    pub fn entities(&self) -> impl Iterator<Item = (WireId, u32)> {
        self.handles.iter().map(|(id, handle)| (*id, *handle))
    }

    /// The number this replica gave an entity, where it is seen.
    #[must_use]
    pub fn handle(&self, id: WireId) -> Option<u32> {
        self.handles.get(&id).copied()
    }

    /// The wire id of the entity that has this number.
    #[must_use]
    pub fn wire_id(&self, handle: u32) -> Option<WireId> {
        self.handles.iter().find(|(_, h)| **h == handle).map(|(id, _)| *id)
    }

    /// The components of an entity (or of the room: its resources), by number, sorted.
    #[must_use]
    pub fn components(&self, id: WireId) -> BTreeMap<u16, &[u32]> {
        let shown = self.groups.values().filter_map(|group| group.get(&id));
        shown.flat_map(|entity| entity.0.iter().map(|(c, words)| (*c, &words[..]))).collect()
    }

    /// One component of an entity, or a resource of the room. Where several groups show it, the
    /// narrowest one's counts: its references reach furthest.
    #[must_use]
    pub fn component(&self, id: WireId, component: u16) -> Option<&[u32]> {
        self.groups.values().rev().find_map(|group| group.get(&id)?.words(component))
    }

    /// A hash over everything known, equal for replicas that know the same.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let ids = std::iter::once(WireId::ROOM).chain(self.handles.keys().copied());
        let of = |id| self.components(id).into_iter().map(move |(c, words)| (id, c, words));
        view_hash(ids.flat_map(of))
    }
}

#[cfg(test)]
mod tests;
