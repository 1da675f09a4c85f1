//! Aliases: which names a client knows one entity by. Groups of which a client sees several may call an
//! entity by names of their own, and one that goes from group to group takes another name. That they are
//! the same is told to those clients alone, behind the blocks of their frames: what a group's block says
//! must not tell where else an entity is seen.
//!
//! Names are told with the blocks that a client hears them from, and again with whatever leads it past the
//! tick in which they became so. A client whose group waits, or that missed frames, hears of them then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use referee_protocol::alias::{self, Ids};
use referee_protocol::limits::REMOVALS_KEPT_MAX;
use referee_protocol::{Group, Tick, WireId};

use smallvec::SmallVec;

use super::Called;
use super::group::{Baseline, GroupState};
use super::names::Names;
use super::renames::name;
use crate::output::Part;
use crate::table::Table;

/// An entity has other names from a tick on than it had since the move before.
struct Move {
    tick: Tick,
    id: u32,
    /// None where it was not shown.
    before: Called,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Aliases {
    /// Entities with several names, and since when they have just these. None after a load.
    several: Table<u32, Option<Tick>>,
    /// The newest tick in which such an entity was named.
    newest: Tick,
    /// From oldest to newest.
    moves: VecDeque<Move>,
    /// How many moves were before those.
    forgotten: u64,
    /// The numbers of each entity's moves, from oldest to newest.
    by_entity: Table<u32, SmallVec<[u64; 2]>>,
    /// The numbers of moves from some names to others, from oldest to newest: only of these something may
    /// be told. Most entities come with one name and go with it.
    renames: VecDeque<u64>,
    /// All moves after this tick are there.
    floor: Tick,
}

/// What a frame does to a group of its client.
#[derive(Clone, Copy)]
pub(super) struct Stand {
    pub(super) group: Group,
    /// The tick up to which the client had heard all of it; none where it had nothing.
    pub(super) had: Option<Tick>,
    /// From where the frame's block leads, where it has one.
    pub(super) block: Option<Baseline>,
    /// The frame tells that its client is not in it any more.
    pub(super) leaves: bool,
    /// The client may have heard more than that. Then nobody bears a name that was another's meanwhile.
    pub(super) at_least: bool,
}

impl Stand {
    /// The frame tells nothing of a group.
    pub(super) fn quiet(group: Group, had: Option<Tick>) -> Self {
        Self { group, had, block: None, leaves: false, at_least: false }
    }

    /// Its client goes out of a group.
    pub(super) fn leaving(group: Group, had: Option<Tick>) -> Self {
        Self { leaves: true, ..Self::quiet(group, had) }
    }

    /// The same on a link that loses: what was sent later than what is known to be heard may be heard, too.
    pub(super) fn lossy(self) -> Self {
        Self { at_least: true, ..self }
    }

    /// Whether the frame tells of the group what became so in a tick.
    fn tells(&self, groups: &Table<Group, GroupState>, at: Option<Tick>) -> bool {
        let Some(block) = self.block else { return false };
        let whole = match block {
            Baseline::Nothing | Baseline::All => true,
            Baseline::At(tick) => {
                groups.find(self.group).is_none_or(|state| !state.knows_since(tick))
            }
            Baseline::Last | Baseline::Rung(_) | Baseline::Since(_) => false,
        };
        whole || at.is_none() || self.had.is_none() || self.had < at
    }

    /// Whether the frame's block tells by itself that an entity has another name.
    fn renames(&self, groups: &Table<Group, GroupState>, old: WireId, new: WireId) -> bool {
        match (self.block, self.had, groups.find(self.group)) {
            (Some(Baseline::Last | Baseline::Rung(_)), Some(had), Some(state)) => {
                state.renamed_to(old, new, had)
            }
            _ => false,
        }
    }
}

impl Aliases {
    /// An entity is called otherwise than before.
    pub(super) fn note(&mut self, id: u32, before: &Called, after: &Called, tick: Tick) {
        let several = after.windows(2).any(|pair| pair[0].1 != pair[1].1);
        if several {
            self.several.insert(id, Some(tick));
            self.newest = tick;
        } else if !self.several.is_empty() {
            self.several.remove(id);
        }
        // From one cell of a grid to the next it keeps its one name.
        let kept = |old: &WireId| after.iter().all(|(_, new)| new == old);
        if !before.is_empty() && !after.is_empty() && before.iter().all(|(_, old)| kept(old)) {
            return;
        }
        if self.moves.len() == REMOVALS_KEPT_MAX {
            self.forget_oldest();
        }
        let number = self.forgotten + self.moves.len() as u64;
        if !before.is_empty() && !after.is_empty() {
            self.renames.push_back(number);
        }
        self.by_entity.entry(id, SmallVec::new).push(number);
        self.moves.push_back(Move { tick, id, before: before.clone() });
    }

    /// These are the names of a room that was loaded.
    pub(super) fn loaded(names: &Names) -> Self {
        let several = |id: &u32| names.called(*id).windows(2).any(|pair| pair[0].1 != pair[1].1);
        let mut aliases = Self::default();
        for id in names.ids().filter(several) {
            aliases.several.insert(id, None);
        }
        aliases
    }

    /// What was loaded counts as named in the first tick after that.
    pub(super) fn settle(&mut self, now: Tick) {
        if self.several.values().any(Option::is_none) {
            self.floor = now;
        }
        for (_, since) in self.several.iter_mut().filter(|(_, since)| since.is_none()) {
            (*since, self.newest) = (Some(now), now);
        }
    }

    /// Everything up to now was sent: what became so longer ago than so many ticks is told to nobody any
    /// more.
    pub(super) fn sent(&mut self, now: Tick, kept: u64) {
        while self.moves.front().is_some_and(|moved| moved.tick.0 + kept <= now.0) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.moves.pop_front() else { return };
        self.floor = oldest.tick;
        if let Some(numbers) = self.by_entity.find_mut(oldest.id) {
            numbers.remove(0);
            if numbers.is_empty() {
                self.by_entity.remove(oldest.id);
            }
        }
        if self.renames.front() == Some(&self.forgotten) {
            self.renames.pop_front();
        }
        self.forgotten += 1;
    }

    fn numbered(&self, number: u64) -> &Move {
        &self.moves[(number - self.forgotten) as usize]
    }

    /// An entity's moves, from newest to oldest.
    fn moves_of(&self, id: u32) -> impl Iterator<Item = &Move> {
        let numbers = self.by_entity.find(id).map(|numbers| &numbers[..]).unwrap_or_default();
        numbers.iter().rev().map(|number| self.numbered(*number))
    }

    /// What a client is told behind the blocks of a frame, if there is anything.
    pub(super) fn told(&self, groups: &Table<Group, GroupState>, stands: &[Stand]) -> Option<Part> {
        if self.several.is_empty() && self.renames.is_empty() {
            return None;
        }
        let mut told: Vec<Ids> = Vec::new();
        let last = self.renames.back().map(|number| self.numbered(*number).tick);
        let newest = last.map_or(self.newest, |last| last.max(self.newest));
        if stands.iter().any(|stand| stand.tells(groups, Some(newest))) {
            let several = self.several.iter().map(|(id, since)| (id, *since));
            let renamed = self.renames.iter().map(|number| self.numbered(*number));
            let moved = renamed.map(|moved| (moved.id, Some(moved.tick)));
            let moved = moved.filter(|(id, _)| !self.several.contains(*id));
            let all = several.chain(moved);
            told.extend(all.filter_map(|(id, since)| self.names_of(id, since, groups, stands)));
            told.sort_unstable();
            told.dedup();
        }
        (!told.is_empty()).then(|| {
            let mut out = Vec::new();
            alias::write(&told, &mut out);
            out.into()
        })
    }

    /// Whether what a frame tells goes only together with what there is to tell of another group: an entity
    /// goes from one to the other, or is in both while the client comes or goes. Else it would be there
    /// twice, or not at all, until that is told.
    pub(super) fn bind(
        &self,
        groups: &Table<Group, GroupState>,
        told: &[Stand],
        other: &Stand,
    ) -> bool {
        if self.several.is_empty() && self.moves.is_empty() {
            return false;
        }
        let all = self.touched(groups, other);
        let told = told.iter().filter(|stand| stand.leaves || stand.block.is_some());
        told.flat_map(|stand| self.touched(groups, stand)).any(|id| all.contains(&id))
    }

    /// Entities of which a client that is told of a group hears that they came, went, or go by another name.
    fn touched(&self, groups: &Table<Group, GroupState>, stand: &Stand) -> BTreeSet<u32> {
        let Some(state) = groups.find(stand.group) else { return BTreeSet::new() };
        let shows = |id| state.name(id).is_some();
        let since = |moved: &&Move| stand.had.is_none_or(|had| had < moved.tick);
        // From cell to cell of a grid it keeps its name, and that is no move.
        let left = |name| stand.had.is_some_and(|had| state.has_left(name, had));
        let names = |moved: &&Move| {
            let before = &moved.before;
            name(before, stand.group).is_some()
                || shows(moved.id)
                || matches!(stand.group, Group::Cell(_)) && before.iter().any(|(_, old)| left(*old))
        };
        let moves = self.moves.iter().filter(since).filter(names).map(|moved| moved.id);
        let whole = stand.leaves || stand.had.is_none();
        let several = self.several.keys().filter(|id| whole && shows(*id));
        moves.chain(several).collect()
    }

    /// For each further name that these groups have for an entity the smallest one.
    pub(super) fn first_names(
        &self,
        groups: &Table<Group, GroupState>,
        seen: &[Group],
    ) -> BTreeMap<WireId, WireId> {
        let mut first = BTreeMap::new();
        for (id, _) in self.several.iter() {
            let names = seen.iter().filter_map(|group| groups.find(*group)?.name(id));
            let names: Ids = names.collect();
            let least = names.iter().min().copied();
            first
                .extend(least.into_iter().flat_map(|least| names.iter().map(move |n| (*n, least))));
        }
        first
    }

    /// The names by which a client knows an entity, where it is to be told that they are the same.
    fn names_of(
        &self,
        id: u32,
        since: Option<Tick>,
        groups: &Table<Group, GroupState>,
        stands: &[Stand],
    ) -> Option<Ids> {
        let named = self.named(id);
        let called = |stand: &Stand| {
            let state = groups.find(stand.group)?;
            // What is not told of in this frame goes by the name that the client has heard.
            let heard = |had| named <= had || Tick(state.last_tick()) <= had;
            let known = stand.block.is_some() || stand.at_least || stand.had.is_some_and(heard);
            state.name(id).filter(|_| known)
        };
        let news = |stand: &&Stand| stand.tells(groups, since) && called(stand).is_some();
        stands.iter().find(news)?;
        let mut names: Ids = stands.iter().filter_map(called).collect();
        for old in self.before(id, stands) {
            let bearer = |stand: &Stand| groups.find(stand.group)?.net_id(old);
            let renamed = |new: &WireId| stands.iter().any(|s| s.renames(groups, old, *new));
            if stands.iter().filter_map(bearer).all(|bearer| bearer == id)
                && !names.iter().any(renamed)
            {
                names.push(old);
            }
        }
        names.sort_unstable();
        names.dedup();
        (names.len() > 1).then_some(names)
    }

    /// Since when an entity has the names that it has; at the latest, where that is forgotten.
    fn named(&self, id: u32) -> Tick {
        let since = self.several.find(id).copied().flatten();
        let moved = || self.moves_of(id).next();
        since.unwrap_or_else(|| moved().map_or(self.floor, |moved| moved.tick))
    }

    /// What a client that had heard of these groups still calls an entity, as long as it saw it all along.
    fn before(&self, id: u32, stands: &[Stand]) -> SmallVec<[WireId; 4]> {
        let mut known = SmallVec::new();
        let mut moves = self.moves_of(id).peekable();
        while let Some(Move { tick, before, .. }) = moves.next() {
            let names = stands.iter().filter_map(|s| Some((*s, name(before, s.group)?)));
            let names: SmallVec<[_; 8]> = names.collect();
            if names.is_empty() {
                break;
            }
            // By then it had these names: earlier they may have been another's.
            let since = moves.peek().map_or(self.floor, |earlier| earlier.tick);
            let heard = |(stand, _): &(Stand, WireId)| {
                stand.had.is_some_and(|had| had < *tick && (had >= since || stand.at_least))
            };
            known.extend(names.into_iter().filter(heard).map(|(_, name)| name));
        }
        known
    }
}
