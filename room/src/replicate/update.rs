//! From what changed in the world to what the groups show: look at each entity that changed, name those
//! that are shown to others than before, tell the groups.

use bevy_ecs::world::EntityRef;
use referee_protocol::limits::ENTITIES_MAX;
use referee_protocol::{Group, Tick, WireId};

use super::group::GroupState;
use super::known::{Change, Known, Places, Seen};
use super::names::Draw;
use super::shown::{Cell, Entry, Shown, name_all};
use super::{Called, Moved, ROOM, Replication, Work, renames};
use crate::core::Core;
use crate::game::Game;
use crate::grid::Grid;

impl Replication {
    /// Works out what each changed entity shows to whom, and tells the groups.
    pub(super) fn update_groups(&mut self, game: &Game, tick: Tick, work: &mut Work) {
        self.look(game, &mut work.shown);
        self.name(game, tick, work);
        let Work { shown, moved, mapped, .. } = work;
        let mut next = moved.iter().peekable();
        for (at, entry) in shown.entries.iter().enumerate() {
            if entry.lasts {
                self.update_values(game, (shown, *entry), tick, mapped);
                continue;
            }
            let before = next.next_if(|moved| moved.at == at).map(|moved| &moved.before);
            self.update_entity(game, (shown, *entry), before, tick, mapped);
        }
        moved.clear();
    }

    /// What each changed entity shows.
    fn look(&mut self, game: &Game, shown: &mut Shown) {
        shown.clear();
        self.dirty.append(&mut self.later);
        self.dirty.extend(self.referrers.keys().map(Change::references));
        self.dirty.sort_unstable();
        self.dirty.dedup();
        let core = game.world.resource::<Core>();
        let grid = game.grid.as_ref().filter(|_| !core.setup.whole_map);
        let mut unnamed = 0;
        let mut dirty = std::mem::take(&mut self.dirty);
        for changes in dirty.chunk_by(|a, b| a.id == b.id) {
            let id = changes[0].id;
            let entity = if id == ROOM { None } else { core.index.find(id) };
            let entity = entity.and_then(|entity| game.world.get_entity(*entity).ok());
            let near = grid.and_then(|grid| self.near(grid, id, entity));
            let seen = Seen { id, entity, near };
            if !self.look_at_values(game, shown, seen, changes) {
                self.look_at_whole(game, shown, seen, &mut unnamed);
            }
        }
        dirty.clear();
        self.dirty = dirty;
    }

    /// Looks at no more than the values that changed, where an entity is shown as it was. Says whether it is.
    fn look_at_values(
        &mut self,
        game: &Game,
        shown: &mut Shown,
        seen: Seen<'_>,
        changes: &[Change],
    ) -> bool {
        // What the room calls entities may depend on who sees them together with others.
        let known = if self.resubscribed { None } else { self.known.find(seen.id) };
        known.is_some_and(|known| {
            known.holds(&seen, changes)
                && shown.add_values(game, seen, known, changes, &mut self.clamped)
        })
    }

    fn look_at_whole(
        &mut self,
        game: &Game,
        shown: &mut Shown,
        seen: Seen<'_>,
        unnamed: &mut usize,
    ) {
        shown.add(game, seen, &mut self.clamped);
        let new = seen.id != ROOM && !self.names.knows(seen.id);
        *unnamed += usize::from(new);
        // What a client could not take in would lock it out for good.
        let many = new && self.names.len() + *unnamed > ENTITIES_MAX;
        let bytes = if many { 0 } else { shown.last_bytes() };
        if !self.sizes.fit(seen.id, bytes) || many {
            self.unshown |= shown.last_bytes() > 0;
            shown.hide_last();
        }
    }

    /// Names those that are shown to other groups than before. Comes before any value is told: it may
    /// refer to any of them.
    fn name(&mut self, game: &Game, tick: Tick, work: &mut Work) {
        let Work { shown, moved, wanted, unnamed, .. } = work;
        moved.clear();
        for (at, entry) in shown.entries.iter().enumerate() {
            if entry.id == ROOM || entry.lasts {
                continue;
            }
            if self.resubscribed || !self.names.is_shown_to(entry.id, shown.groups(*entry)) {
                moved.push(Moved { at, before: self.names.called(entry.id) });
            }
        }
        self.resubscribed = false;
        unnamed.clear();
        for moved in moved.iter() {
            let entry = shown.entries[moved.at];
            wanted.clear();
            wanted.extend(shown.groups(entry));
            let unnamed = |group| unnamed.push((group, moved.at));
            self.names.show(entry.id, wanted, &self.links, unnamed);
        }
        // Names are drawn in an order that follows from what those see who are told them: that of the
        // entities' numbers would depend on the order in which hidden things came, and what another group
        // sees of them is nothing of theirs.
        unnamed.sort_unstable_by(|(group, a), (other, b)| {
            let (first, second) = (shown.entries[*a], shown.entries[*b]);
            let same = || shown.compare(game, *group, first, second).then(a.cmp(b));
            group.cmp(other).then_with(same)
        });
        let how = Draw { tick, budgeted: self.budget.is_some() };
        for (group, at) in unnamed.iter() {
            self.names.give(shown.entries[*at].id, *group, how);
        }
    }

    /// Tells the groups what an entity shows them. `before` is what they called it so far, where that
    /// may have changed.
    fn update_entity(
        &mut self,
        game: &Game,
        (shown, entry): (&Shown, Entry),
        before: Option<&Called>,
        tick: Tick,
        mapped: &mut Vec<u32>,
    ) {
        let id = entry.id;
        let after = before.map(|_| self.names.called(id));
        if let (Some(before), Some(after)) = (before, &after) {
            let gone = game.world.resource::<Core>().index.find(id).is_none();
            for (group, _) in
                before.iter().filter(|(group, _)| renames::name(after, *group).is_none())
            {
                let stays = renames::wider(*group, after, &self.links);
                if let Some(state) = self.groups.find_mut(*group) {
                    state.leave(id, gone, stays, tick);
                }
            }
        }
        let (mut refers, mut places) = (false, self.take_places(id));
        for cells in shown.by_group(entry) {
            let group = cells[0].group;
            let name = if id == ROOM { WireId::ROOM } else { self.names.of(id, group) };
            let was = before.and_then(|before| renames::wider(group, before, &self.links));
            let state = self.groups.entry(group, GroupState::default);
            let slot = state.show(id, name, was, tick);
            state.hide_others(
                slot,
                |component| cells.iter().any(|c| c.component == component),
                tick,
            );
            for cell in cells {
                let told =
                    self.update_cell(game, (id, shown.words(cell)), (cell, slot), tick, mapped);
                places.push(cell.place(slot, told));
                refers |= told;
            }
        }
        self.gates
            .keep(id, |component| shown.cells(entry).iter().any(|c| c.component == component));
        if refers {
            self.referrers.insert(id, ());
        } else if !self.referrers.is_empty() {
            self.referrers.remove(id);
        }
        if let (Some(before), Some(after)) = (before, after)
            && *before != after
        {
            self.aliases.note(id, before, &after, tick);
        }
        self.remember(entry, places);
    }

    /// Memory for where an entity's components are shown.
    fn take_places(&mut self, id: u32) -> Places {
        let mut places = self
            .known
            .find_mut(id)
            .map(|known| std::mem::take(&mut known.places))
            .unwrap_or_default();
        places.clear();
        places
    }

    /// Remembers what an entity shows, if it shows that while nothing but values changes.
    fn remember(&mut self, entry: Entry, mut places: Places) {
        if !entry.steady {
            self.known.remove(entry.id);
            return;
        }
        let Entry { archetype, near, .. } = entry;
        // Of one component all places follow on another.
        places.sort_unstable_by_key(|place| (place.row, place.group));
        self.known.insert(entry.id, Known { archetype, near, places, rebuilt: false });
    }

    /// Tells the groups values of an entity that is shown to them as it was.
    fn update_values(
        &mut self,
        game: &Game,
        (shown, entry): (&Shown, Entry),
        tick: Tick,
        mapped: &mut Vec<u32>,
    ) {
        for cell in shown.cells(entry) {
            let words = shown.words(cell);
            self.update_cell(game, (entry.id, words), (cell, cell.slot), tick, mapped);
        }
    }

    /// Tells a group one component of an entity. Says whether it may refer to others.
    fn update_cell(
        &mut self,
        game: &Game,
        (id, mut words): (u32, &[u32]),
        (cell, slot): (&Cell, u32),
        tick: Tick,
        mapped: &mut Vec<u32>,
    ) -> bool {
        let Some(state) = self.groups.find_mut(cell.group) else { return false };
        if cell.is_gated(game) {
            let (told, waits) = self.gates.told((id, cell.component), words, tick);
            if waits {
                self.later.push(Change::value(id, cell.row));
            }
            let Some(told) = told else { return cell.refers(game).is_some() };
            words = told;
        }
        if !cell.is_due(game, tick)
            && let Some(known) = state.component(slot, cell.component)
        {
            let refers = cell.refers(game).is_some();
            if refers || known != words {
                self.later.push(Change::value(id, cell.row));
            }
            return refers;
        }
        let Some(row) = cell.refers(game) else {
            state.set(slot, cell.component, words, tick);
            return false;
        };
        mapped.clear();
        mapped.extend_from_slice(words);
        let (names, links) = (&self.names, &self.links);
        name_all(row, mapped, &mut |id| names.known(id, cell.group, links));
        state.set(slot, cell.component, mapped, tick);
        true
    }

    /// The cell of the grid that an entity is in.
    fn near(&mut self, grid: &Grid, id: u32, entity: Option<EntityRef<'_>>) -> Option<Group> {
        let Some(place) = entity.and_then(|entity| grid.place(entity)) else {
            self.squares.remove(id);
            return None;
        };
        let square = Grid::square(place, self.squares.find(id).copied());
        self.squares.insert(id, square);
        Some(square.group())
    }
}

#[cfg(test)]
mod tests;
