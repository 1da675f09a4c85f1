//! A room's world, used again when the room is rebuilt: with its archetypes, and all its memory, so that the
//! ticks after a rebuild ask for none. Nothing of it can be told from a world that is new, but for the order
//! of the archetypes, which is in the snapshot (`snapshot/sets.rs`).

use bevy_ecs::entity_disabling::DefaultQueryFilters;
use bevy_ecs::prelude::*;

use crate::core::Core;
use crate::game::Game;

/// So many freed entities bevy keeps aside before it takes them up again, all at once.
pub(crate) const FREED_AT_ONCE: u32 = 128;

/// What of a room's own resources outlives its state: their memory.
pub(crate) struct Memory {
    pub(crate) core: Core,
    /// Each puts the memory of a queue back, once that stands in the world again.
    pub(crate) actions: Vec<Box<dyn FnOnce(&mut World)>>,
}

impl Memory {
    /// Takes it out of a room whose state is no longer needed.
    pub(crate) fn of(game: &mut Game) -> Self {
        let world = &mut game.world;
        let actions = game.actions.iter().map(|row| (row.keep)(world)).collect();
        Self { core: world.resource_mut::<Core>().again(), actions }
    }
}

/// Takes all entities out of a world, resources among them, and makes it as it was when it was new.
pub(crate) fn empty(game: &mut Game) -> Memory {
    let memory = Memory::of(game);
    // With them their queues go to where the next systems find them.
    game.forget();
    let world = &mut game.world;
    world.clear_entities();
    // Twice, as what was removed is told of in this tick and in the next.
    world.clear_trackers();
    world.clear_trackers();
    let filters = DefaultQueryFilters::from_world(world);
    put(world, filters);
    memory
}

/// Puts a resource into a world that is new, or has been emptied: there each has the entity that it had.
pub(crate) fn put<R: Resource>(world: &mut World, value: R) {
    let id = world.register_component::<R>();
    let known = world.resource_entities().get(id);
    let Some(known) = known.filter(|known| !world.entities().contains_spawned(*known)) else {
        return world.insert_resource(value);
    };
    let entity = world.entity_allocator().alloc();
    assert_eq!(entity, known, "a game registers the same for each of its rooms, in the same order");
    world.spawn_at(entity, value).expect("whatever has just been allocated is not spawned");
}

/// Has the allocator of entities make room for those that are freed, which it would else do in a tick.
/// From then on it gives out the same entities as if this had not been done.
pub(crate) fn make_room_for_freed(world: &mut World) {
    let allocator = world.entity_allocator_mut();
    // One more than it keeps aside: then they go to where it takes them from.
    let mut next: Vec<Entity> = allocator.alloc_many(FREED_AT_ONCE + 1).collect();
    // The last one comes out first.
    next.reverse();
    allocator.free_many(&next);
}
