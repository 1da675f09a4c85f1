//! One group: what it shows, as it was sent, and the blocks that tell what changed. Blocks depend on
//! the group and the baseline alone, so each is made once and shared.

use std::collections::VecDeque;
use std::sync::Arc;

use referee_protocol::codec::{Baselines, Codec, Rungs, View};
use referee_protocol::limits::REMOVALS_KEPT_MAX;
use referee_protocol::{Tick, WireId};

use crate::output::Part;
use crate::table::Table;

/// How many sends back the baselines of ordered links lie.
pub(super) const DEPTH: u32 = 2;
/// How many blocks' memory a group keeps, to use it again.
const SPARE_MAX: usize = 8;

/// The state of one group.
pub(super) struct GroupState {
    pub(super) view: View,
    /// Whether something changed since the last send: the view has begun the next.
    news: bool,
    /// It was loaded, and nothing changed since: its last send tells nothing.
    pub(super) at_rest: bool,
    /// For each entity its name, and its slot in the view.
    pub(super) names: Table<u32, (WireId, u32)>,
    pub(super) ids: Table<WireId, u32>,
    /// What went out of view, when, and whether it was gone then.
    pub(super) removals: VecDeque<(Tick, WireId, bool)>,
    /// Removals are complete after this tick.
    pub(super) floor: Tick,
    renamed: Vec<(WireId, WireId)>,
    /// Renames of sends that may be told again, and when they were.
    renames: VecDeque<(Tick, WireId, WireId)>,
    /// Some link needs this group in whole values since so long ago, or everything of it, in this send.
    pub(super) asked: Asked,
    blocks: Vec<(Baseline, Option<Part>)>,
    spare: Vec<Part>,
}

impl Default for GroupState {
    fn default() -> Self {
        Self {
            view: View::new(DEPTH),
            news: false,
            at_rest: false,
            names: Table::default(),
            ids: Table::default(),
            removals: VecDeque::new(),
            floor: Tick(0),
            renamed: Vec::new(),
            renames: VecDeque::new(),
            asked: Asked::default(),
            blocks: Vec::new(),
            spare: Vec::new(),
        }
    }
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
    /// On a link that loses: a rung.
    Rung(Rungs),
    /// On such a link: whatever a client has that had what there was at this tick.
    Since(Tick),
    /// On such a link: nothing.
    All,
}

/// What links that lose need of a group besides what is told from rungs.
#[derive(Clone, Copy, Default)]
pub(super) struct Asked {
    /// What changed since: the oldest that any of them has.
    pub(super) since: Option<Tick>,
    /// Everything.
    pub(super) all: bool,
}

impl GroupState {
    /// The entities it shows.
    pub(super) fn members(&self) -> impl Iterator<Item = u32> {
        self.names.keys().filter(|id| *id != super::ROOM)
    }

    /// Everything it shows: names, numbers of components and their words, in order.
    pub(super) fn shown(&self) -> impl Iterator<Item = (WireId, u16, &[u32])> {
        self.view.shown()
    }

    /// The entity its members know by this name.
    pub(super) fn net_id(&self, name: WireId) -> Option<u32> {
        self.ids.find(name).copied()
    }

    /// Whether it changed since the last send.
    pub(super) fn has_news(&self) -> bool {
        self.news
    }

    /// Whether there is anything to tell those who have this baseline.
    pub(super) fn has_news_for(&self, baseline: Baseline) -> bool {
        match baseline {
            Baseline::Last => self.news,
            // Who had its last send in an earlier life may remember other ones before that.
            Baseline::At(tick) => self.view.last_tick() > tick.0 || self.at_rest,
            Baseline::Nothing | Baseline::Rung(_) | Baseline::Since(_) | Baseline::All => true,
        }
    }

    /// Whether it shows nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether a block that leads from a tick to now tells that an entity has another name.
    pub(super) fn renamed_to(&self, old: WireId, new: WireId, from: Tick) -> bool {
        let past = self.renames.iter().filter(|(at, ..)| *at > from);
        self.renamed.contains(&(old, new))
            || past.into_iter().any(|(_, a, b)| (*a, *b) == (old, new))
    }

    /// Whether what it called so went out of its view after a tick.
    pub(super) fn has_left(&self, name: WireId, after: Tick) -> bool {
        let left = self.removals.iter().rev().take_while(|(at, ..)| *at > after);
        left.into_iter().any(|(_, known, _)| *known == name)
    }

    /// What its members call an entity that it shows.
    pub(super) fn name(&self, id: u32) -> Option<WireId> {
        self.names.find(id).map(|(name, _)| *name)
    }

    /// Something changes.
    fn next(&mut self, tick: Tick) {
        if !self.news {
            self.news = true;
            self.at_rest = false;
            self.view.begin(tick.0);
        }
    }

    /// An entity is shown to the group from now on. `was` is what the members called it so far through
    /// a wider group. Gives its slot, which stays the same while it is shown by this name.
    pub(super) fn show(&mut self, id: u32, name: WireId, was: Option<WireId>, tick: Tick) -> u32 {
        match self.names.find(id).copied() {
            None => {
                self.next(tick);
                self.renamed.extend(was.filter(|was| *was != name).map(|was| (was, name)));
                let slot = self.view.enter(name);
                self.names.insert(id, (name, slot));
                self.ids.insert(name, id);
                slot
            }
            Some((old, _)) if old != name => self.rename(id, old, name, tick),
            Some((_, slot)) => slot,
        }
    }

    /// The entity in a slot shows no other components than these any more.
    pub(super) fn hide_others(&mut self, slot: u32, shows: impl Fn(u16) -> bool, tick: Tick) {
        loop {
            let mut hidden = self.view.components_in(slot).map(|(component, _)| component);
            let Some(component) = hidden.find(|component| !shows(*component)) else { return };
            drop(hidden);
            self.next(tick);
            self.view.set_in(slot, component, None);
        }
    }

    /// What a component of the entity in a slot is from now on.
    pub(super) fn set(&mut self, slot: u32, component: u16, words: &[u32], tick: Tick) {
        // The view has begun the next send only where there is news.
        if self.news || self.view.component_in(slot, component) != Some(words) {
            self.next(tick);
            self.view.set_in(slot, component, Some(words));
        }
    }

    /// What a component of the entity in a slot is, as it is told.
    pub(super) fn component(&self, slot: u32, component: u16) -> Option<&[u32]> {
        self.view.component_in(slot, component)
    }

    fn rename(&mut self, id: u32, old: WireId, new: WireId, tick: Tick) -> u32 {
        self.next(tick);
        // To a client that is not in step it is another entity.
        let slot = self.view.rename(old, new);
        self.names.insert(id, (new, slot));
        self.ids.remove(old);
        self.ids.insert(new, id);
        self.renamed.push((old, new));
        self.remember(tick, old, false);
        slot
    }

    /// An entity is out of the group's view: gone, or out of sight, which it stays though it goes later.
    /// `stays` is what the members call it from now on through a wider group.
    pub(super) fn leave(&mut self, id: u32, gone: bool, stays: Option<WireId>, tick: Tick) {
        let Some((name, _)) = self.names.remove(id) else { return };
        self.next(tick);
        self.ids.remove(name);
        self.view.go(name, gone);
        self.remember(tick, name, gone);
        self.renamed.extend(stays.filter(|new| *new != name).map(|new| (name, new)));
    }

    fn remember(&mut self, tick: Tick, name: WireId, gone: bool) {
        if self.removals.len() >= REMOVALS_KEPT_MAX
            && let Some((forgotten, ..)) = self.removals.pop_front()
        {
            self.floor = forgotten;
        }
        self.removals.push_back((tick, name, gone));
    }

    /// Makes room for what will have left by the next time that the room is rebuilt, so that no tick has to.
    pub(super) fn make_room(&mut self) {
        let kept = self.removals.len();
        let wanted = (kept + kept / 4).min(REMOVALS_KEPT_MAX);
        self.removals.reserve(wanted - kept);
    }

    /// What was made between two sends is of no use for the next.
    pub(super) fn forget_blocks(&mut self) {
        self.spare.extend(self.blocks.drain(..).filter_map(|(_, block)| block));
        self.spare.truncate(SPARE_MAX);
    }

    /// Everything up to now was sent. What is told again for so many ticks is remembered.
    pub(super) fn sent(&mut self, tick: Tick, ladder: u64) {
        if ladder > 0 {
            self.renames.extend(self.renamed.iter().map(|(old, new)| (tick, *old, *new)));
        }
        while self.renames.front().is_some_and(|(at, ..)| at.0 + ladder < tick.0) {
            self.renames.pop_front();
        }
        self.renamed.clear();
        self.forget_blocks();
        self.asked = Asked::default();
        self.news = false;
        // A room tells no entity from another by its name.
        drop(self.view.take_reborn());
    }

    /// Remembers so many sends, for links that lose.
    pub(super) fn deepen(&mut self, sends: u32) {
        self.view.deepen(sends);
    }

    /// When it last changed.
    pub(super) fn last_tick(&self) -> u64 {
        self.view.last_tick()
    }

    /// When what it was at a tick was sent.
    pub(super) fn sent_by(&self, tick: Tick) -> Option<Tick> {
        self.view.tick(self.view.send_at(tick.0)?).map(Tick)
    }

    /// Whether it is known that something had been sent of it by a tick.
    pub(super) fn has_shown_by(&self, tick: Tick) -> bool {
        self.view.send_at(tick.0).is_some_and(|send| send > 0)
    }

    /// Whether what it was at two rungs is still known.
    pub(super) fn has_rungs(&self, rungs: Rungs) -> bool {
        rungs.of(&self.view).is_some_and(|from| self.view.remembers(from.older))
    }

    /// Whether all that went after a tick is still known.
    pub(super) fn knows_since(&self, tick: Tick) -> bool {
        tick >= self.floor
    }

    /// The block that leads from a baseline to now, if there is anything to tell. The frame's tick is
    /// `tick`.
    pub(super) fn block(
        &mut self,
        codec: &mut Codec,
        baseline: Baseline,
        tick: Tick,
    ) -> Option<Part> {
        let baseline = match baseline {
            Baseline::At(tick) if tick < self.floor => Baseline::Nothing,
            other => other,
        };
        if let Some((_, block)) = self.blocks.iter().find(|(known, _)| *known == baseline) {
            return block.clone();
        }
        let block = self.has_news_for(baseline).then(|| self.coded(codec, baseline, tick));
        self.blocks.push((baseline, block.clone()));
        block
    }

    fn coded(&mut self, codec: &mut Codec, baseline: Baseline, tick: Tick) -> Part {
        let mut part = self.part();
        let out = Arc::make_mut(&mut part);
        match baseline {
            Baseline::Last => self.delta(codec, out),
            Baseline::At(known) => self.since(codec, tick, known, out),
            Baseline::Nothing => codec.encode_whole(&mut self.view, tick.0, out),
            Baseline::Rung(rungs) => self.climb(codec, rungs, out),
            Baseline::Since(since) => {
                let gone = self.removed(|at| at > since);
                codec.encode_news(&mut self.view, since.0, &gone, out);
            }
            Baseline::All => codec.encode_all(&mut self.view, out),
        }
        part
    }

    /// Memory that no frame has any more.
    fn part(&mut self) -> Part {
        let free = self.spare.iter().position(|part| Arc::strong_count(part) == 1);
        let mut part = free.map(|at| self.spare.swap_remove(at)).unwrap_or_default();
        Arc::make_mut(&mut part).clear();
        part
    }

    /// What left at some times, sorted, and whether it was gone the last time that it did.
    fn removed(&self, when: impl Fn(Tick) -> bool) -> Vec<(WireId, bool)> {
        let left = self.removals.iter().rev().filter(|(at, ..)| when(*at));
        let mut left: Vec<(WireId, bool)> = left.map(|(_, name, gone)| (*name, *gone)).collect();
        left.sort_by_key(|(name, _)| *name);
        left.dedup_by_key(|(name, _)| *name);
        left
    }

    fn climb(&mut self, codec: &mut Codec, rungs: Rungs, out: &mut Vec<u8>) {
        let past = self.renames.iter().filter(|(at, ..)| at.0 > rungs.base);
        let mut renamed: Vec<_> = past.map(|(_, old, new)| (*old, *new)).collect();
        renamed.extend_from_slice(&self.renamed);
        codec.encode_from(&mut self.view, rungs, &mut renamed, out);
    }

    fn delta(&mut self, codec: &mut Codec, out: &mut Vec<u8>) {
        let base = self.view.now().saturating_sub(1);
        let from = Baselines { older: base.saturating_sub(1), base };
        self.renamed.sort_unstable();
        codec.encode(&mut self.view, from, &self.renamed, out);
    }

    fn since(&mut self, codec: &mut Codec, tick: Tick, known: Tick, out: &mut Vec<u8>) {
        let last = self.view.last_tick();
        // Whoever bears a name that was another's comes as a new one: its last bearer leaves first.
        let removed = self.removed(|at| at > known && (at.0 < last || self.at_rest));
        codec.encode_since(&mut self.view, tick.0, (known.0, &removed), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use referee_protocol::{Kind, Schema};

    #[test]
    fn a_client_older_than_the_removals_kept_gets_the_whole_group() {
        let schema = Schema {
            kind: Kind::Realtime,
            components: vec![],
            inputs: vec![],
            actions: vec![],
            events: vec![],
            tables: vec![],
        };
        let mut codec = Codec::new(&schema, 30);
        let mut group = GroupState::default();
        let past = REMOVALS_KEPT_MAX as u32 + 10;
        for id in 1..=past {
            let tick = Tick(u64::from(id));
            group.show(id, WireId(id), None, tick);
            group.sent(tick, 0);
            group.leave(id, true, None, tick);
            group.sent(tick, 0);
        }
        let now = Tick(u64::from(past));
        let mut block = |baseline| group.block(&mut codec, baseline, now);
        let whole = block(Baseline::Nothing);
        assert_eq!(block(Baseline::At(Tick(5))), whole);
        assert_ne!(block(Baseline::At(Tick(now.0 - 3))), whole);
    }

    #[test]
    fn what_leaves_between_two_rebuilds_finds_room() {
        let mut group = GroupState::default();
        for id in 0..3 * REMOVALS_KEPT_MAX as u32 {
            if id.is_multiple_of(60) {
                group.make_room();
            }
            let before = group.removals.capacity();
            group.remember(Tick(u64::from(id)), WireId(id), true);
            let grew = group.removals.capacity() > before;
            assert!(!grew || id < 4 * 60, "it grew in a tick, at {id}");
        }
        assert_eq!(group.removals.len(), REMOVALS_KEPT_MAX);
        assert_eq!(group.removals.capacity(), REMOVALS_KEPT_MAX);
    }
}
