//! Reading a room's state into a fresh world.
#![allow(
    unsafe_code,
    reason = "one archetype move per entity needs bevy's bundle writer: three \
    times faster than one insert per component (322 against 103 us for 1,000 entities of 5)"
)]

use bevy_ecs::bundle::BundleScratch;
use bevy_ecs::change_detection::Tick as Age;
use bevy_ecs::component::ComponentId;
use bevy_ecs::prelude::*;
use bevy_ecs::ptr::OwningPtr;
use referee_protocol::{Seat, SessionId, Tick};
use std::alloc::Layout;

use super::sets::make_sets;
use super::{Body, RestoreError, WITHOUT_CONDITIONS, WITHOUT_LAYOUTS, WITHOUT_TOLD, body, check};
use crate::alarms::Wall;
use crate::core::{Core, InputBuffer, Samples, SeatState, Setup};
use crate::evolve::rewrite;
use crate::field::{Field, LoadError, Loader};
use crate::game::Game;
use crate::layout::same_types;
use crate::params::{Rulings, Time};
use crate::random::Rng;
use crate::registry::ComponentRow;
use crate::reuse;
use crate::storage::{self, Storage};
use crate::template::Template;
use crate::types::NetId;

/// The game of a room as a snapshot holds it, and whether that is all as it was when it was written:
/// not where values were made anew because the game's types have changed.
///
/// # Errors
/// When the bytes are no snapshot that this game can read.
pub(crate) fn load(template: &Template, snapshot: &[u8]) -> Result<(Game, bool), RestoreError> {
    let body = body(snapshot)?;
    let mut game = template.build(body.has_storage()?);
    let anew = anew(template, &game, &body)?;
    let own = Own { version: body.version, has_storage: body.has_storage()? };
    match &anew {
        None => load_state(&mut game, template, own, (body.sets, body.state))?,
        Some(state) => {
            let own = Own { has_storage: game.world.contains_resource::<Storage>(), ..own };
            load_state(&mut game, template, own, (&[], state))?;
            stand_new_inputs(&mut game);
        }
    }
    Ok((game, anew.is_none()))
}

/// The game of a room, as its own snapshot holds it, in the room's own world where that may be used again.
///
/// # Errors
/// When the bytes are no snapshot of this room.
pub(crate) fn reload(
    template: &Template,
    snapshot: &[u8],
    game: &mut Game,
) -> Result<(), RestoreError> {
    let body = body(snapshot)?;
    if body.sets.is_empty() || reuse::is_too_large(&game.world) {
        *game = load(template, snapshot)?.0;
        return Ok(());
    }
    let own = Own { version: body.version, has_storage: body.has_storage()? };
    template.build_again(game, own.has_storage);
    // All of its sets are there.
    load_state(game, template, own, (&[], body.state))
}

/// The state by the types of the game; none where it is that.
fn anew(
    template: &Template,
    game: &Game,
    body: &Body<'_>,
) -> Result<Option<Vec<u8>>, RestoreError> {
    if body.version <= WITHOUT_LAYOUTS {
        check(&body.shapes()?, game)?;
        return Ok(None);
    }
    if same_types(body.types, template.type_bytes()) {
        return Ok(None);
    }
    let (types, has_storage) = body.layouts()?;
    rewrite(template, game, (&types, has_storage), body.state).map(Some)
}

/// Players who joined before there was an input of some type get its default.
fn stand_new_inputs(game: &mut Game) {
    let core = game.world.resource::<Core>();
    let players: Vec<Entity> = core.seats.values().map(|seat| seat.entity).collect();
    for input in game.inputs.iter() {
        let row = game.components.iter().find(|row| row.name == input.name && !row.resource);
        let row = row.expect("an input is a component as well");
        for player in &players {
            let Ok(mut player) = game.world.get_entity_mut(*player) else { continue };
            if !player.contains_id(row.id) {
                (input.stand)(&mut player, &input.shape, None);
            }
        }
    }
}

/// What a snapshot says of itself.
#[derive(Clone, Copy)]
struct Own {
    version: u16,
    has_storage: bool,
}

fn load_state(
    game: &mut Game,
    template: &Template,
    Own { version, has_storage }: Own,
    (sets, state): (&[u8], &[u8]),
) -> Result<(), RestoreError> {
    let (ids, state) = entity_ids(state)?;
    let entities = spawn(game, ids);
    if let (Some((_, first)), false) = (entities.first(), sets.is_empty()) {
        make_sets(game, *first, sets)?;
    }
    // Nobody is to hear of what was removed until now: that is told in this tick and in the next.
    game.world.clear_trackers();
    game.world.clear_trackers();
    let find = |id: u32| {
        let place = entities.binary_search_by_key(&id, |(known, _)| *known);
        place.map_or(Entity::PLACEHOLDER, |at| entities[at].1)
    };
    let mut from = Loader::new(state, &find);
    load_clocks(game, &mut from)?;
    let ages = load_ages(game, template, version, &mut from)?;
    load_room(game, version, &mut from)?;
    load_seats(game, &mut from)?;
    for timer in game.timers.clone().iter() {
        (timer.load)(&mut game.world, &mut from)?;
    }
    load_alarms(game, &mut from)?;
    let there = |row: &ComponentRow| has_storage || row.name != storage::NAME;
    load_resources(game, there, &mut from)?;
    load_entities(game, &entities, &mut from)?;
    if !from.rest().is_empty() {
        return Err(RestoreError::Trailing(from.rest().len()));
    }
    if let Some(ages) = ages {
        template.initialize(game);
        ages.set(game, template)?;
    }
    Ok(())
}

/// All entities, before anything is loaded that may refer to one.
fn spawn(game: &mut Game, ids: Vec<u32>) -> Vec<(u32, Entity)> {
    // By then some have gone, or are about to.
    if ids.last().is_some_and(|last| *last > reuse::FREED_AT_ONCE) {
        reuse::make_room_for_freed(&mut game.world);
    }
    ids.into_iter().map(|id| (id, game.world.spawn_empty().id())).collect()
}

fn entity_ids(state: &[u8]) -> Result<(Vec<u32>, &[u8]), LoadError> {
    let mut from = Loader::new(state, &|_| Entity::PLACEHOLDER);
    let count = from.count()?;
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        let id = u32::try_from(from.varint()?).map_err(|_| LoadError::Number)?;
        if id == 0 || ids.last().is_some_and(|last| *last >= id) {
            return Err(LoadError::Number); // they are sorted, and 0 is none
        }
        ids.push(id);
    }
    Ok((ids, from.rest()))
}

fn load_clocks(game: &mut Game, from: &mut Loader<'_>) -> Result<(), LoadError> {
    let (tick, ran) = (Tick(from.varint()?), from.varint()?);
    let last_net_id = u32::try_from(from.varint()?).map_err(|_| LoadError::Number)?;
    let next_timer = from.varint()?;
    let (seed, position) = (from.array()?, u128::from_le_bytes(from.array()?));
    let public_seed = u64::from_le_bytes(from.array()?);
    let mut core = game.world.resource_mut::<Core>();
    (core.tick, core.ran, core.next_timer) = (tick, ran, next_timer);
    core.set_last_net_id(last_net_id);
    *game.world.resource_mut::<Rng>() = Rng::from_state(seed, position);
    let mut time = game.world.resource_mut::<Time>();
    (time.tick, time.public_seed) = (tick, public_seed);
    Ok(())
}

/// When systems and conditions ran last, and when hooks did.
struct Ages {
    systems: Vec<Age>,
    hooks: Vec<Age>,
}

/// None from a format that does not say how many there are: then the systems have them already.
fn load_ages(
    game: &mut Game,
    template: &Template,
    version: u16,
    from: &mut Loader<'_>,
) -> Result<Option<Ages>, LoadError> {
    let now = game.world.read_change_tick();
    if version <= WITHOUT_TOLD {
        template.initialize(game);
        let (order, graph) = (template.order(), game.schedule.graph_mut());
        order.set_last_runs(graph, version > WITHOUT_CONDITIONS, || age(now, from))?;
        game.hooks.set_last_runs(|| age(now, from))?;
        return Ok(None);
    }
    let (systems, hooks) = (ages(now, from)?, ages(now, from)?);
    Ok(Some(Ages { systems, hooks }))
}

fn ages(now: Age, from: &mut Loader<'_>) -> Result<Vec<Age>, LoadError> {
    (0..from.count()?).map(|_| age(now, from)).collect()
}

impl Ages {
    /// Sets them in systems that are ready to run. Where others were saved, by another build of the game,
    /// all of them have just run: they see what changes from now on.
    fn set(self, game: &mut Game, template: &Template) -> Result<(), LoadError> {
        let now = game.world.read_change_tick();
        let (order, graph) = (template.order(), game.schedule.graph_mut());
        let for_all = |saved: Vec<Age>, count: usize| match saved.len() == count {
            true => saved.into_iter(),
            false => vec![now; count].into_iter(),
        };
        let mut systems = for_all(self.systems, order.last_runs(graph).len());
        let mut hooks = for_all(self.hooks, game.hooks.last_runs().count());
        order.set_last_runs(graph, true, || systems.next().ok_or(LoadError::Number))?;
        game.hooks.set_last_runs(|| hooks.next().ok_or(LoadError::Number))
    }
}

/// A tick that lies as far back as the next number says.
fn age(now: Age, from: &mut Loader<'_>) -> Result<Age, LoadError> {
    let age = u32::try_from(from.varint()?).map_err(|_| LoadError::Number)?;
    Ok(Age::new(now.get().wrapping_sub(age)))
}

fn load_room(game: &mut Game, version: u16, from: &mut Loader<'_>) -> Result<(), LoadError> {
    let (seats, hz, public) = (u16::load(from)?, u16::load(from)?, bool::load(from)?);
    let whole_map = version > WITHOUT_TOLD && bool::load(from)?;
    let (started, lasting) = (bool::load(from)?, bool::load(from)?);
    let ended = Option::<String>::load(from)?;
    let has_ended = ended.is_some();
    let mut core = game.world.resource_mut::<Core>();
    core.setup = Setup { seats, hz: hz.max(1), public, whole_map };
    (core.started, core.lasting, core.ended) = (started, lasting, ended);
    game.world.resource_mut::<Time>().hz = hz.max(1);
    let mut rulings = game.world.resource_mut::<Rulings>();
    (rulings.started, rulings.ended) = (started, has_ended);
    Ok(())
}

fn load_seats(game: &mut Game, from: &mut Loader<'_>) -> Result<(), LoadError> {
    let mut spare = std::mem::take(&mut game.world.resource_mut::<Core>().spare);
    for _ in 0..from.count()? {
        let seat = Seat(u16::try_from(from.varint()?).map_err(|_| LoadError::Number)?);
        let state = SeatState {
            entity: from.entity()?,
            generation: from.varint()?,
            connected: bool::load(from)?,
            session: SessionId(from.varint()?),
            dropped: Tick(from.varint()?),
            active: Tick(from.varint()?),
            last_action: from.varint()?,
            inputs: (0..from.count()?)
                .map(|_| load_inputs(&mut spare, from))
                .collect::<Result<_, _>>()?,
        };
        if state.inputs.len() != game.inputs.len() || state.entity == Entity::PLACEHOLDER {
            return Err(LoadError::Number);
        }
        game.world.resource_mut::<Core>().seats.insert(seat, state);
    }
    Ok(())
}

fn load_inputs(spare: &mut Vec<Samples>, from: &mut Loader<'_>) -> Result<InputBuffer, LoadError> {
    let last = from.varint()?.checked_sub(1).map(Tick);
    let mut waiting = spare.pop().unwrap_or_default();
    for _ in 0..from.count()? {
        let (tick, number) = (Tick(from.varint()?), from.varint()?);
        let words = (0..from.count()?).map(|_| Ok(u32::from_le_bytes(from.array()?)));
        waiting.push_back((tick, number, words.collect::<Result<_, LoadError>>()?));
    }
    Ok(InputBuffer { waiting, last })
}

fn load_alarms(game: &mut Game, from: &mut Loader<'_>) -> Result<(), LoadError> {
    if !game.alarms.is_empty() {
        let wall = Wall { unix_ms: from.varint()?, tick: Tick(from.varint()?) };
        game.world.resource_mut::<Time>().wall = wall;
    }
    game.alarms.iter().try_for_each(|row| (row.load)(&mut game.world, from))
}

fn load_resources(
    game: &mut Game,
    there: impl Fn(&ComponentRow) -> bool,
    from: &mut Loader<'_>,
) -> Result<(), LoadError> {
    for row in game.components.iter().filter(|row| row.resource && there(row)) {
        let now = game.world.read_change_tick();
        let (added, changed) = (age(now, from)?, age(now, from)?);
        let entity = game.world.resource_entities().get(row.id);
        let entity = entity.expect("a registered resource is there");
        // Onto the one that is there: a second one would lose the restored value.
        let mut entity = game.world.entity_mut(entity);
        (row.load_onto)(from, &mut entity)?;
        (row.set_ages)(&mut entity, added, changed);
    }
    Ok(())
}

fn load_entities(
    game: &mut Game,
    entities: &[(u32, Entity)],
    from: &mut Loader<'_>,
) -> Result<(), LoadError> {
    let components = game.components.clone();
    let rows: Vec<&ComponentRow> = components.iter().filter(|row| !row.resource).collect();
    let net_id = game.world.register_component::<NetId>();
    let mut scratch = BundleScratch::default();
    for (id, entity) in entities {
        let mask = from.raw(rows.len().div_ceil(8))?;
        let here = |at: usize| mask[at / 8] >> (at % 8) & 1 == 1;
        let rows = rows.iter().enumerate().filter(|(at, _)| here(*at)).map(|(_, row)| *row);
        load_entity(&mut game.world, *entity, (*id, net_id), &mut scratch, rows, from)?;
    }
    Ok(())
}

pub(super) fn load_entity<'a>(
    world: &mut World,
    entity: Entity,
    (id, net_id): (u32, ComponentId),
    scratch: &mut BundleScratch,
    mut rows: impl Iterator<Item = &'a ComponentRow>,
    from: &mut Loader<'_>,
) -> Result<(), LoadError> {
    let now = world.read_change_tick();
    let mut ages = Vec::new();
    let mut bundle = scratch.writer();
    OwningPtr::make(NetId(id), |pointer| {
        // SAFETY: `net_id` is NetId's id in this world, the layout is NetId's.
        unsafe { bundle.push_component_by_id(net_id, pointer, Layout::new::<NetId>()) };
    });
    let loaded = rows.try_for_each(|row| {
        ages.push((row.set_ages, age(now, from)?, age(now, from)?));
        (row.load)(from, &mut |pointer, layout| {
            // SAFETY: id, value and layout come from one registry row, which the game function made
            // for this very world.
            unsafe { bundle.push_component_by_id(row.id, pointer, layout) };
        })
    });
    if let Err(error) = loaded {
        // SAFETY: everything in the scratch was pushed above, for this world.
        unsafe { scratch.manual_drop(world.components()) };
        return Err(error);
    }
    let mut entity = world.entity_mut(entity);
    // SAFETY: everything in the bundle was pushed above, for this world.
    unsafe { bundle.write(&mut entity) };
    // Last: writing made everything new.
    for (set_ages, added, changed) in ages {
        set_ages(&mut entity, added, changed);
    }
    Ok(())
}
