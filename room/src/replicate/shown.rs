//! What the entities that changed show, and to whom: worked out anew for each send, in memory that is
//! used again.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bevy_ecs::archetype::ArchetypeId;
use bevy_ecs::prelude::*;
use referee_protocol::codec::component_bytes;
use referee_protocol::limits::{ENTITY_BYTES, SHOWN_MAX_BYTES};
use referee_protocol::words::map_references;
use referee_protocol::{Group, Kind, Tick};
use smallvec::SmallVec;

use super::ROOM;
use super::known::{Change, Known, Place, Seen};
use crate::field::{Audience, Quantiser};
use crate::game::Game;
use crate::registry::ComponentRow;
use crate::table::Table;
use crate::types::{InGroups, NetId, Owner, Player, Team};

/// What one entity shows to one group of one component.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    pub(super) group: Group,
    pub(super) component: u16,
    /// Its row among the game's components.
    pub(super) row: u16,
    words: (usize, usize),
    /// Of an entity that is shown as it was: its slot in the group's view.
    pub(super) slot: u32,
}

/// One entity that changed.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) id: u32,
    cells: (usize, usize),
    /// It is shown as it was: these are no more than values that may be new.
    pub(super) lasts: bool,
    /// It shows this to the same groups while nothing but values changes.
    pub(super) steady: bool,
    pub(super) archetype: Option<ArchetypeId>,
    pub(super) near: Option<Group>,
}

/// What the entities that changed show.
#[derive(Default)]
pub(super) struct Shown {
    words: Vec<u32>,
    cells: Vec<Cell>,
    pub(super) entries: Vec<Entry>,
    groups: Vec<Group>,
    scratch: (Vec<u32>, Vec<u32>),
}

impl Shown {
    pub(super) fn clear(&mut self) {
        self.words.clear();
        self.cells.clear();
        self.entries.clear();
    }

    /// Takes in all that an entity shows, with `NetId`s where references stand.
    pub(super) fn add(&mut self, game: &Game, seen: Seen<'_>, clamped: &mut BTreeMap<String, u32>) {
        let Seen { id, entity, near } = seen;
        let apart = entity.and_then(|entity| entity.get::<InGroups>());
        let (first, mut steady) = (self.cells.len(), id == ROOM || entity.is_some());
        for (at, row) in (0_u16..).zip(game.components.iter()) {
            let Some(component) = row.sent.filter(|_| row.resource == (id == ROOM)) else {
                continue;
            };
            let Some(bearer) = bearer(&game.world, row, entity) else { continue };
            self.groups.clear();
            match apart {
                Some(groups) => self.groups.extend_from_slice(&groups.0),
                None => audience(bearer, row, near, &mut self.groups),
            }
            if self.groups.len() > 1 {
                self.groups.sort_unstable();
                self.groups.dedup();
            }
            steady &= !matches!(row.audience, Audience::Function(_));
            if self.groups.is_empty() {
                continue;
            }
            let (words, over) = self.quantise(&game.world, bearer, row);
            count(clamped, row, over);
            let cell = |group: &Group| Cell { group: *group, component, row: at, words, slot: 0 };
            self.cells.extend(self.groups.iter().map(cell));
        }
        self.cells[first..].sort_unstable_by_key(|cell| (cell.group, cell.component));
        let (cells, archetype) = ((first, self.cells.len()), seen.archetype());
        self.entries.push(Entry { id, cells, lasts: false, steady, archetype, near });
    }

    /// Takes in those values of an entity that changed, where it is shown as it was. Not where one of them
    /// has another length: then what it counts for clients is another.
    pub(super) fn add_values(
        &mut self,
        game: &Game,
        seen: Seen<'_>,
        known: &Known,
        changes: &[Change],
        clamped: &mut BTreeMap<String, u32>,
    ) -> bool {
        let (first, start) = (self.cells.len(), self.words.len());
        let mut overs: SmallVec<[(&ComponentRow, u32); 4]> = SmallVec::new();
        for place in changes.iter().flat_map(|change| known.places(change.what)) {
            let row = &game.components[usize::from(place.row)];
            let told = self.cells[first..].last().filter(|last| last.row == place.row);
            let words = match told.map(|last| last.words) {
                Some(words) => Some(words),
                None => bearer(&game.world, row, seen.entity).map(|bearer| {
                    let (words, over) = self.quantise(&game.world, bearer, row);
                    overs.push((row, over));
                    words
                }),
            };
            let Some(words) = words.filter(|words| words.1 - words.0 == place.words) else {
                self.cells.truncate(first);
                self.words.truncate(start);
                return false;
            };
            let Place { group, component, slot, row, .. } = *place;
            self.cells.push(Cell { group, component, row, words, slot });
        }
        overs.iter().for_each(|(row, over)| count(clamped, row, *over));
        if self.cells.len() > first {
            let (id, cells) = (seen.id, (first, self.cells.len()));
            let Known { archetype, near, .. } = *known;
            self.entries.push(Entry { id, cells, lasts: true, steady: true, archetype, near });
        }
        true
    }

    /// The words of a component, and how many of its values were clamped.
    fn quantise(
        &mut self,
        world: &World,
        bearer: EntityRef<'_>,
        row: &ComponentRow,
    ) -> ((usize, usize), u32) {
        let from = self.words.len();
        let net_id = |entity: Entity| world.get::<NetId>(entity).map_or(0, |id| id.0);
        let mut out = Quantiser::new(&mut self.words, &net_id);
        (row.quantise)(bearer, &row.shape, &mut out);
        let clamped = out.clamped;
        ((from, self.words.len()), clamped)
    }

    /// What the last entity taken in counts for clients, over all groups that see it, in bytes.
    pub(super) fn last_bytes(&self) -> usize {
        let Some(entry) = self.entries.last() else { return 0 };
        let cells = self.cells(*entry);
        let groups = self.by_group(*entry).count();
        let components = cells.iter().map(|cell| component_bytes(cell.words.1 - cell.words.0));
        groups * ENTITY_BYTES + components.sum::<usize>()
    }

    /// The last entity taken in shows nothing.
    pub(super) fn hide_last(&mut self) {
        if let Some(entry) = self.entries.last_mut() {
            entry.cells.1 = entry.cells.0;
            entry.steady = false;
        }
    }

    /// What an entity shows, in order of groups and components.
    pub(super) fn cells(&self, entry: Entry) -> &[Cell] {
        &self.cells[entry.cells.0..entry.cells.1]
    }

    /// The groups that see an entity, in order.
    pub(super) fn groups(&self, entry: Entry) -> impl Iterator<Item = Group> {
        self.by_group(entry).filter_map(|cells| Some(cells.first()?.group))
    }

    /// What an entity shows to each group that sees it.
    pub(super) fn by_group(&self, entry: Entry) -> impl Iterator<Item = &[Cell]> {
        self.cells(entry).chunk_by(|a, b| a.group == b.group)
    }

    /// Words with `NetId`s where references stand.
    pub(super) fn words(&self, cell: &Cell) -> &[u32] {
        &self.words[cell.words.0..cell.words.1]
    }

    /// Orders entities by what they show to a group, but for whom they refer to: by what those see whom a
    /// name is told.
    pub(super) fn compare(&mut self, game: &Game, group: Group, a: Entry, b: Entry) -> Ordering {
        let mut scratch = std::mem::take(&mut self.scratch);
        self.words_for(game, group, a, &mut scratch.0);
        self.words_for(game, group, b, &mut scratch.1);
        let order = scratch.0.cmp(&scratch.1);
        self.scratch = scratch;
        order
    }

    fn words_for(&self, game: &Game, group: Group, entry: Entry, out: &mut Vec<u32>) {
        out.clear();
        for cell in self.cells(entry).iter().filter(|cell| cell.group == group) {
            out.push(cell.component.into());
            let from = out.len();
            out.extend_from_slice(self.words(cell));
            let row = &game.components[usize::from(cell.row)];
            if row.refers {
                name_all(row, &mut out[from..], &mut |id| id.min(1));
            }
        }
    }
}

/// What the room shows counts so many bytes for its clients.
#[derive(Default)]
pub(super) struct Sizes {
    of: Table<u32, usize>,
    pub(super) all: usize,
}

impl Sizes {
    /// An entity counts so many bytes from now on. Says whether the room may show that; else it counts none.
    pub(super) fn fit(&mut self, id: u32, bytes: usize) -> bool {
        let before = self.of.find(id).copied().unwrap_or(0);
        let others = self.all - before;
        let fits = others + bytes <= SHOWN_MAX_BYTES;
        let bytes = if fits { bytes } else { 0 };
        self.all = others + bytes;
        if bytes == 0 {
            self.of.remove(id);
        } else if bytes != before {
            self.of.insert(id, bytes);
        }
        fits
    }
}

impl Cell {
    /// Where it is shown, in which slot, and whether its values may hold references.
    pub(super) fn place(&self, slot: u32, refers: bool) -> Place {
        Place {
            group: self.group,
            slot,
            component: self.component,
            row: self.row,
            refers,
            words: self.words.1 - self.words.0,
        }
    }

    /// Whether changes of it are told in this tick.
    pub(super) fn is_due(&self, game: &Game, tick: Tick) -> bool {
        let rules = &game.rules;
        let near = if matches!(self.group, Group::Cell(_)) { rules.grid_every } else { 1 };
        let every = game.components[usize::from(self.row)].every.max(near);
        rules.kind == Kind::TurnBased || tick.0.is_multiple_of(every.into())
    }

    /// Whether its values are told once they are on disk.
    pub(super) fn is_gated(&self, game: &Game) -> bool {
        game.components[usize::from(self.row)].gated
    }

    /// The component's row, where its values may hold references.
    pub(super) fn refers<'g>(&self, game: &'g Game) -> Option<&'g ComponentRow> {
        Some(&game.components[usize::from(self.row)]).filter(|row| row.refers)
    }
}

/// Who bears a component: the entity, of a resource another one.
fn bearer<'w>(
    world: &'w World,
    row: &ComponentRow,
    entity: Option<EntityRef<'w>>,
) -> Option<EntityRef<'w>> {
    let bearer = match row.resource {
        true => world.resource_entities().get(row.id).and_then(|at| world.get_entity(at).ok()),
        false => entity,
    };
    bearer.filter(|bearer| bearer.contains_id(row.id))
}

/// Counts values that were clamped.
fn count(clamped: &mut BTreeMap<String, u32>, row: &ComponentRow, over: u32) {
    if over > 0 {
        *clamped.entry(row.name.clone()).or_default() += over;
    }
}

/// Replaces the references in a component's words.
pub(super) fn name_all(row: &ComponentRow, words: &mut [u32], name: &mut impl FnMut(u32) -> u32) {
    map_references(&row.shape, words, name).expect("our own words follow their type");
}

/// The groups that see a component of an entity which has none of its own.
fn audience(entity: EntityRef<'_>, row: &ComponentRow, near: Option<Group>, out: &mut Vec<Group>) {
    match row.audience {
        Audience::Near => out.push(near.unwrap_or(Group::Everyone)),
        Audience::Everyone => out.push(Group::Everyone),
        Audience::Owner => {
            let owner = entity.get::<Owner>().map(|owner| owner.0);
            let owner = owner.or_else(|| entity.get::<Player>().map(|player| player.seat));
            out.extend(owner.map(Group::Player));
        }
        Audience::Team => out.extend(entity.get::<Team>().map(|team| Group::Team(team.0))),
        Audience::Function(function) => out.append(&mut function(entity)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_shows_no_more_than_its_clients_keep() {
        let mut sizes = Sizes::default();
        assert!(sizes.fit(1, SHOWN_MAX_BYTES - 10));
        assert!(!sizes.fit(2, 11));
        assert!(sizes.fit(2, 10));
        assert!(sizes.fit(1, 1_000), "it shows less");
        assert!(sizes.fit(3, SHOWN_MAX_BYTES - 1_010));
        assert!(!sizes.fit(1, 1_001), "and may not show more again");
        assert!(sizes.fit(4, 1_000), "what is hidden counts nothing");
    }
}
