//! Writing a room's state.

use bevy_ecs::change_detection::Tick as Age;
use bevy_ecs::prelude::*;
use bevy_ecs::world::EntityRef;

use crate::core::{Core, SeatState};
use crate::field::{Field, Saver};
use crate::game::Game;
use crate::params::Time;
use crate::random::Rng;
use crate::registry::ComponentRow;
use crate::template::Template;
use crate::types::NetId;

/// What the bytes cover.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cover {
    /// Everything: what a snapshot needs, and what the state hash is over.
    All,
    /// Only what a game means by a change: registered values, entities, timers, alarms, seats. No clocks,
    /// no ages, no generator.
    Content,
}

/// What is older than so many of bevy's ticks is of one age. Less than bevy itself can tell, which would
/// else, after some days, set ages back at moments that are others in a restored room.
const AGE_MAX: u32 = 1 << 31;

/// How long ago something was, up to a limit.
fn age(now: Age, then: Age, max: u32) -> u64 {
    u64::from(now.get().wrapping_sub(then.get()).min(max))
}

/// Appends the state.
pub(crate) fn write_state(game: &Game, template: &Template, cover: Cover, out: &mut Vec<u8>) {
    let world = &game.world;
    let core = world.resource::<Core>();
    let net_id = |entity: Entity| world.get::<NetId>(entity).map_or(0, |id| id.0);
    let mut out = Saver::new(out, &net_id);
    // First, so that a reader knows every entity before anything refers to one.
    out.varint(core.index.len() as u64);
    core.index.keys().for_each(|id| out.varint(u64::from(id)));
    if cover == Cover::All {
        write_clocks(game, core, &mut out);
        write_ages(game, template, &mut out);
    }
    write_room(core, &mut out);
    out.varint(core.seats.len() as u64);
    for (seat, state) in &core.seats {
        out.varint(u64::from(seat.0));
        write_seat(state, cover, &mut out);
    }
    game.timers.iter().for_each(|row| (row.save)(world, &mut out));
    if cover == Cover::All && !game.alarms.is_empty() {
        let wall = world.resource::<Time>().wall;
        out.varint(wall.unix_ms);
        out.varint(wall.tick.0);
    }
    game.alarms.iter().for_each(|row| (row.save)(world, &mut out));
    for row in game.components.iter().filter(|row| row.resource) {
        let entity = world.resource_entities().get(row.id).expect("a registered resource is there");
        write_component(world, row, world.entity(entity), cover, &mut out);
    }
    for entity in core.index.values() {
        write_entity(game, world.entity(*entity), cover, &mut out);
    }
}

fn write_clocks(game: &Game, core: &Core, out: &mut Saver<'_>) {
    let (seed, position) = game.world.resource::<Rng>().state();
    out.varint(core.tick.0);
    out.varint(core.ran);
    out.varint(u64::from(core.last_net_id()));
    out.varint(core.next_timer);
    out.raw(&seed);
    out.raw(&position.to_le_bytes());
    out.raw(&game.world.resource::<Time>().public_seed.to_le_bytes());
}

/// How long ago each system, condition and hook ran, in bevy's ticks.
fn write_ages(game: &Game, template: &Template, out: &mut Saver<'_>) {
    let now = game.world.read_change_tick();
    // With their number: the next build of the game may have others.
    let systems = template.order().last_runs(game.schedule.graph());
    for lasts in [systems, game.hooks.last_runs().collect()] {
        out.varint(lasts.len() as u64);
        lasts.iter().for_each(|last| out.varint(age(now, *last, AGE_MAX)));
    }
}

fn write_room(core: &Core, out: &mut Saver<'_>) {
    core.setup.seats.save(out);
    core.setup.hz.save(out);
    core.setup.public.save(out);
    core.setup.whole_map.save(out);
    core.started.save(out);
    core.lasting.save(out);
    core.ended.save(out);
}

fn write_seat(seat: &SeatState, cover: Cover, out: &mut Saver<'_>) {
    out.entity(seat.entity);
    out.varint(seat.generation);
    seat.connected.save(out);
    if cover == Cover::Content {
        return;
    }
    out.varint(seat.session.0);
    out.varint(seat.dropped.0);
    out.varint(seat.active.0);
    out.varint(seat.last_action);
    out.varint(seat.inputs.len() as u64);
    for buffer in &seat.inputs {
        out.varint(buffer.last.map_or(0, |tick| tick.0 + 1));
        out.varint(buffer.waiting.len() as u64);
        for (tick, number, words) in &buffer.waiting {
            out.varint(tick.0);
            out.varint(*number);
            out.varint(words.len() as u64);
            words.iter().for_each(|word| out.raw(&word.to_le_bytes()));
        }
    }
}

fn write_entity(game: &Game, entity: EntityRef<'_>, cover: Cover, out: &mut Saver<'_>) {
    let rows = || game.components.iter().filter(|row| !row.resource);
    let here: Vec<bool> = rows().map(|row| entity.contains_id(row.id)).collect();
    for byte in here.chunks(8) {
        out.raw(&[byte.iter().rev().fold(0, |bits, here| bits << 1 | u8::from(*here))]);
    }
    for (row, _) in rows().zip(here).filter(|(_, here)| *here) {
        write_component(&game.world, row, entity, cover, out);
    }
}

fn write_component(
    world: &World,
    row: &ComponentRow,
    entity: EntityRef<'_>,
    cover: Cover,
    out: &mut Saver<'_>,
) {
    if cover == Cover::All {
        let now = world.read_change_tick();
        let (added, changed) = (row.ages)(entity);
        // Less than of systems: one that has never run sees all as new.
        out.varint(age(now, added, AGE_MAX - 1));
        out.varint(age(now, changed, AGE_MAX - 1));
    }
    (row.save)(entity, out);
}
