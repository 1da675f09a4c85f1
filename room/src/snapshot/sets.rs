//! Which sets of components there are in a room, in the order in which they came up: bevy's archetypes. That
//! order is the order in which queries find entities. A world that is used again has also those sets that
//! no entity has at the moment, so a world that is made anew must get them as well, before it gets its
//! state.
//!
//! Where that cannot be done there is no list, and the room gets a new world at its rebuilds, with the sets that
//! its entities have: when something is in the world that is not registered, when an entity had not all that
//! its components require, when there are no entities, or too many sets.

use bevy_ecs::archetype::Archetype;
use bevy_ecs::bundle::BundleScratch;
use bevy_ecs::component::ComponentId;
use bevy_ecs::prelude::*;

use super::load::load_entity;
use crate::core::Core;
use crate::field::{LoadError, Loader};
use crate::game::Game;
use crate::registry::ComponentRow;
use crate::template::Template;
use crate::types::NetId;

/// More sets than that are forgotten at the next rebuild, but for those that entities have: a game whose
/// entities have any of many marks would make queries slower and slower.
const SETS_MAX: usize = 256;
/// As many zero bytes as one entity may take for its values to be read from them.
const BLANK_BYTES: usize = 32 * 1024;
/// Reads as a value of any type that takes all bits for a value, and no more bytes than that.
static BLANK: [u8; BLANK_BYTES] = [0; BLANK_BYTES];

fn blank() -> Loader<'static> {
    Loader::new(&BLANK, &|_| Entity::PLACEHOLDER)
}

/// Whether values of all of a game's components can be made from nothing.
pub(crate) fn can_be_made(game: &Game) -> bool {
    let mut from = blank();
    let rows = game.components.iter().filter(|row| !row.resource);
    let ages = |from: &mut Loader<'_>| from.varint().and(from.varint());
    rows.into_iter().all(|row| ages(&mut from).is_ok() && (row.try_load)(&mut from).is_ok())
}

/// Appends the list: how many there are, and a bit for each component. Nothing where there is none.
pub(super) fn write_sets(game: &Game, template: &Template, out: &mut Vec<u8>) {
    let world = &game.world;
    let archetypes = world.archetypes();
    let count = archetypes.len() - game.archetypes;
    let entities = world.resource::<Core>().index.len();
    if !template.keeps_sets() || entities == 0 || count > SETS_MAX {
        return;
    }
    // What is not an entity's, but lies in the world as well.
    if !world.storages().non_sends.is_empty() {
        return;
    }
    let begin = out.len();
    out.extend((count as u16).to_le_bytes());
    let Some(net_id) = world.components().component_id::<NetId>() else { return };
    let rows: Vec<ComponentId> = rows(game).map(|row| row.id).collect();
    for archetype in archetypes.iter().skip(game.archetypes) {
        if !write_set(archetype, net_id, &rows, out) || lacks(archetype, world) {
            return out.truncate(begin);
        }
    }
}

/// Whether something is missing that one of its components requires: somebody took it away. It would come
/// back with that component.
fn lacks(archetype: &Archetype, world: &World) -> bool {
    let infos = archetype.components().iter().filter_map(|id| world.components().get_info(*id));
    let mut required = infos.flat_map(|info| info.required_components().iter_ids());
    required.any(|id| !archetype.contains(id))
}

/// Says whether all of the set's components are registered.
fn write_set(
    archetype: &Archetype,
    net_id: ComponentId,
    rows: &[ComponentId],
    out: &mut Vec<u8>,
) -> bool {
    let begin = out.len();
    out.resize(begin + rows.len().div_ceil(8), 0);
    let mut known = 0;
    for (at, _) in rows.iter().enumerate().filter(|(_, id)| archetype.contains(**id)) {
        out[begin + at / 8] |= 1 << (at % 8);
        known += 1;
    }
    archetype.contains(net_id) && known + 1 == archetype.components().len()
}

fn rows(game: &Game) -> impl Iterator<Item = &ComponentRow> {
    game.components.iter().filter(|row| !row.resource)
}

/// Makes the sets of a list, with an entity that has nothing before and after.
pub(super) fn make_sets(game: &mut Game, entity: Entity, sets: &[u8]) -> Result<(), LoadError> {
    let mut from = Loader::new(sets, &|_| Entity::PLACEHOLDER);
    let count = usize::from(u16::from_le_bytes(from.array()?));
    let rows: Vec<ComponentRow> = rows(game).cloned().collect();
    let net_id = game.world.register_component::<NetId>();
    let mut scratch = BundleScratch::default();
    if count > SETS_MAX {
        return Err(LoadError::Number);
    }
    for _ in 0..count {
        let mask = from.raw(rows.len().div_ceil(8))?;
        let here = |at: usize| mask[at / 8] >> (at % 8) & 1 == 1;
        let rows = rows.iter().enumerate().filter(|(at, _)| here(*at)).map(|(_, row)| row);
        load_entity(&mut game.world, entity, (1, net_id), &mut scratch, rows, &mut blank())?;
        game.world.entity_mut(entity).clear();
    }
    game.world.resource_mut::<Core>().gone.clear();
    let all_made = game.world.archetypes().len() == game.archetypes + count;
    if all_made && from.rest().is_empty() { Ok(()) } else { Err(LoadError::Number) }
}
