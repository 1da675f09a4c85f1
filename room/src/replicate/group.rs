//! One group: what it shows, as it was sent last, and the blocks that tell what changed. Blocks
//! depend on the group and the baseline alone, so each is made once and shared.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use referee_protocol::block::BlockWriter;
use referee_protocol::limits::REMOVALS_KEPT_MAX;
use referee_protocol::{BlockKind, Group, Schema, Tick, WireId};

use super::Shown;

/// A component as the group's members see it.
struct Sent {
    words: Vec<u32>,
    /// The tick at which its wire value last differed.
    changed: Tick,
}

/// An entity as the group's members see it.
struct Member {
    id: u32,
    /// The tick at which it came into view under its present name.
    entered: Tick,
    components: BTreeMap<u16, Sent>,
}

/// What happened to one entity since the last send.
#[derive(Default)]
struct Touched {
    new: bool,
    /// Components that changed, with what was sent before.
    components: BTreeMap<u16, Option<Vec<u32>>>,
}

/// Something that went out of view.
struct Removal {
    tick: Tick,
    name: WireId,
    component: Option<u16>,
}

/// The state of one group.
#[derive(Default)]
pub(super) struct GroupState {
    members: BTreeMap<WireId, Member>,
    names: BTreeMap<u32, WireId>,
    removals: VecDeque<Removal>,
    /// Removals are complete after this tick.
    floor: Tick,
    renamed: Vec<(WireId, WireId)>,
    removed: BTreeSet<WireId>,
    removed_components: Vec<(WireId, u16)>,
    touched: BTreeMap<WireId, Touched>,
    blocks: Vec<(Baseline, Option<Arc<[u8]>>)>,
}

/// What a block is relative to, for sharing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Baseline {
    /// The send before.
    Last,
    /// What a client has that was in step at this tick.
    At(Tick),
    /// Nothing.
    Nothing,
}

impl GroupState {
    /// The entities it shows.
    pub(super) fn members(&self) -> impl Iterator<Item = u32> {
        self.names.keys().copied().filter(|id| *id != super::ROOM)
    }

    /// Everything it shows: names, numbers of components and their words, in order.
    pub(super) fn shown(&self) -> impl Iterator<Item = (WireId, u16, &[u32])> {
        self.members.iter().flat_map(|(name, member)| {
            member.components.iter().map(|(component, sent)| (*name, *component, &sent.words[..]))
        })
    }

    /// The entity its members know by this name.
    pub(super) fn net_id(&self, name: WireId) -> Option<u32> {
        self.members.get(&name).map(|member| member.id)
    }

    /// Whether it changed since the last send.
    pub(super) fn has_news(&self) -> bool {
        !(self.renamed.is_empty()
            && self.removed.is_empty()
            && self.removed_components.is_empty()
            && self.touched.is_empty())
    }

    /// Whether it shows nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether the next block tells that an entity has another name.
    pub(super) fn renamed_to(&self, old: WireId, new: WireId) -> bool {
        self.renamed.contains(&(old, new))
    }

    /// The next block tells that an entity this group does not show has another name.
    pub(super) fn renamed_elsewhere(&mut self, old: WireId, new: WireId) {
        self.renamed.push((old, new));
    }

    /// An entity shows this to the group from now on. `was` is what the members called it so far
    /// through a wider group.
    pub(super) fn show(
        &mut self,
        id: u32,
        name: WireId,
        was: Option<WireId>,
        shown: Shown,
        tick: Tick,
    ) {
        match self.names.get(&id).copied() {
            None => {
                self.renamed.extend(was.filter(|was| *was != name).map(|was| (was, name)));
                let member = Member { id, entered: tick, components: BTreeMap::new() };
                self.members.insert(name, member);
                self.names.insert(id, name);
                self.touched.entry(name).or_default().new = true;
            }
            Some(old) if old != name => self.rename(id, old, name, tick),
            Some(_) => {}
        }
        let Some(member) = self.members.get_mut(&name) else { return };
        let gone: Vec<u16> = member
            .components
            .keys()
            .filter(|c| shown.iter().all(|s| s.0 != **c))
            .copied()
            .collect();
        for component in gone {
            self.hide_component(name, component, tick);
        }
        for (component, words) in shown {
            self.show_component(name, component, words, tick);
        }
    }

    fn show_component(&mut self, name: WireId, component: u16, words: Vec<u32>, tick: Tick) {
        let Some(member) = self.members.get_mut(&name) else { return };
        let before = match member.components.get_mut(&component) {
            Some(sent) if sent.words == words => return,
            Some(sent) => {
                sent.changed = tick;
                Some(std::mem::replace(&mut sent.words, words))
            }
            None => {
                member.components.insert(component, Sent { words, changed: tick });
                None
            }
        };
        let touched = self.touched.entry(name).or_default();
        touched.components.entry(component).or_insert(before);
    }

    fn hide_component(&mut self, name: WireId, component: u16, tick: Tick) {
        if let Some(member) = self.members.get_mut(&name) {
            member.components.remove(&component);
        }
        self.removed_components.push((name, component));
        self.remember(Removal { tick, name, component: Some(component) });
    }

    fn rename(&mut self, id: u32, old: WireId, new: WireId, tick: Tick) {
        if let Some(member) = self.members.remove(&old) {
            // To a client that is not in step it is another entity.
            self.members.insert(new, Member { entered: tick, ..member });
        }
        self.names.insert(id, new);
        self.renamed.push((old, new));
        self.remember(Removal { tick, name: old, component: None });
    }

    /// An entity is out of the group's view. `stays` is what the members call it from now on through
    /// a wider group.
    pub(super) fn leave(&mut self, id: u32, stays: Option<WireId>, tick: Tick) {
        let Some(name) = self.names.remove(&id) else { return };
        self.members.remove(&name);
        self.remember(Removal { tick, name, component: None });
        let new = stays.unwrap_or(name);
        if new != name {
            self.renamed.push((name, new));
        }
        self.removed.insert(new);
    }

    fn remember(&mut self, removal: Removal) {
        self.removals.push_back(removal);
        if self.removals.len() > REMOVALS_KEPT_MAX
            && let Some(forgotten) = self.removals.pop_front()
        {
            self.floor = forgotten.tick;
        }
    }

    /// What was made between two sends is of no use for the next.
    pub(super) fn forget_blocks(&mut self) {
        self.blocks.clear();
    }

    /// Everything up to now was sent.
    pub(super) fn sent(&mut self) {
        self.renamed.clear();
        self.removed.clear();
        self.removed_components.clear();
        self.touched.clear();
        self.blocks.clear();
    }

    /// The block that brings a client from a baseline up to now; none where nothing happened.
    pub(super) fn block(
        &mut self,
        schema: &Schema,
        group: Group,
        baseline: Baseline,
    ) -> Option<Arc<[u8]>> {
        let baseline = match baseline {
            Baseline::At(tick) if tick < self.floor => Baseline::Nothing,
            other => other,
        };
        if let Some((_, block)) = self.blocks.iter().find(|(known, _)| *known == baseline) {
            return block.clone();
        }
        let block: Option<Arc<[u8]>> = match baseline {
            Baseline::Last => self.delta(schema, group),
            Baseline::At(tick) => self.since(schema, group, tick),
            Baseline::Nothing => Some(self.whole(schema, group)),
        }
        .map(Into::into);
        self.blocks.push((baseline, block.clone()));
        block
    }

    fn delta(&self, schema: &Schema, group: Group) -> Option<Vec<u8>> {
        if !self.has_news() {
            return None;
        }
        let mut out = Vec::new();
        let mut block = BlockWriter::new(schema, group, BlockKind::Delta, &mut out);
        block.renamed(&self.renamed);
        block.removed(&self.removed.iter().copied().collect::<Vec<_>>());
        block.removed_components(&self.removed_components);
        block.records(self.touched.len());
        for (name, touched) in &self.touched {
            let member = &self.members[name];
            let here = |c: &u16| member.components.contains_key(c);
            block.record(*name, touched.new, touched.components.keys().copied().filter(here));
            for (component, before) in &touched.components {
                if let Some(sent) = member.components.get(component) {
                    block.component(*component, before.as_deref(), &sent.words);
                }
            }
        }
        block.finish();
        Some(out)
    }

    fn since(&self, schema: &Schema, group: Group, tick: Tick) -> Option<Vec<u8>> {
        let later = || self.removals.iter().filter(|removal| removal.tick > tick);
        let removed: BTreeSet<WireId> = later()
            .filter(|r| r.component.is_none() && !self.members.contains_key(&r.name))
            .map(|r| r.name)
            .collect();
        let here = |name: &WireId, c: u16| {
            self.members.get(name).is_none_or(|m| m.components.contains_key(&c))
        };
        let lost: BTreeSet<(WireId, u16)> = later()
            .filter_map(|r| r.component.map(|c| (r.name, c)))
            .filter(|(name, c)| !here(name, *c))
            .collect();
        let changed = |member: &Member| {
            member.entered > tick || member.components.values().any(|sent| sent.changed > tick)
        };
        let records: Vec<_> = self.members.iter().filter(|(_, m)| changed(m)).collect();
        if removed.is_empty() && lost.is_empty() && records.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        let mut block = BlockWriter::new(schema, group, BlockKind::Since, &mut out);
        block.renamed(&[]);
        block.removed(&removed.into_iter().collect::<Vec<_>>());
        block.removed_components(&lost.into_iter().collect::<Vec<_>>());
        write_records(&mut block, &records, tick);
        block.finish();
        Some(out)
    }

    fn whole(&self, schema: &Schema, group: Group) -> Vec<u8> {
        let mut out = Vec::new();
        let mut block = BlockWriter::new(schema, group, BlockKind::Whole, &mut out);
        block.renamed(&[]);
        block.removed(&[]);
        block.removed_components(&[]);
        block.records(self.members.len());
        for (name, member) in &self.members {
            block.record(*name, true, member.components.keys().copied());
            for (component, sent) in &member.components {
                block.component(*component, None, &sent.words);
            }
        }
        block.finish();
        out
    }
}

/// The block that tells a client that it no longer belongs to a group.
pub(super) fn farewell(schema: &Schema, group: Group) -> Arc<[u8]> {
    GroupState::default().whole(schema, group).into()
}

/// The members that changed after a tick, in whole values.
fn write_records(block: &mut BlockWriter<'_>, records: &[(&WireId, &Member)], tick: Tick) {
    block.records(records.len());
    for (name, member) in records {
        let new = member.entered > tick;
        let fresh = |sent: &Sent| new || sent.changed > tick;
        let components = || member.components.iter().filter(|(_, sent)| fresh(sent));
        block.record(**name, new, components().map(|(component, _)| *component));
        for (component, sent) in components() {
            block.component(*component, None, &sent.words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use referee_protocol::Kind;

    #[test]
    fn a_client_older_than_the_removals_kept_gets_the_whole_group() {
        let schema = Schema {
            kind: Kind::Realtime,
            components: vec![],
            inputs: vec![],
            actions: vec![],
            events: vec![],
        };
        let mut group = GroupState::default();
        let past = REMOVALS_KEPT_MAX as u32 + 10;
        for id in 1..=past {
            let tick = Tick(u64::from(id));
            group.show(id, WireId(id), None, vec![], tick);
            group.sent();
            group.leave(id, None, tick);
            group.sent();
        }
        let whole = group.block(&schema, Group::Team(1), Baseline::Nothing);
        assert_eq!(group.block(&schema, Group::Team(1), Baseline::At(Tick(5))), whole);
        let late = Baseline::At(Tick(u64::from(past) - 3));
        assert_ne!(group.block(&schema, Group::Team(1), late), whole);
    }
}
