//! A room's world, used again when the room is rebuilt: with its archetypes, and all its memory, so that the
//! ticks after a rebuild ask for none. Nothing of it can be told from a world that is new, but for the order
//! of the archetypes, which is in the snapshot (`snapshot/sets.rs`).

use bevy_ecs::entity_disabling::DefaultQueryFilters;
use bevy_ecs::prelude::*;

use crate::core::Core;
use crate::game::Game;

/// So many freed entities bevy keeps aside before it takes them up again, all at once.
pub(crate) const FREED_AT_ONCE: u32 = 128;

/// A world is kept with room for so many entities, and for so many times as many as there are.
const ROOMY_ENTITIES: usize = 1024;
const ROOMY_TIMES: usize = 8;

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
    let filters = DefaultQueryFilters::from_world(world);
    put(world, filters);
    memory
}

/// Whether a world has become much larger than what is in it: then a new one is the smaller one.
pub(crate) fn is_too_large(world: &World) -> bool {
    let entities = world.resource::<Core>().index.len();
    world.entities().len() as usize > ROOMY_ENTITIES + ROOMY_TIMES * entities
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

#[cfg(test)]
mod tests {
    use referee_protocol::Tick;

    use crate::entry::Create;
    use crate::prelude::*;
    use crate::{Room, Template};

    #[derive(Component, Replicate)]
    struct Thing(u8);

    /// Nobody registers it.
    #[derive(Component)]
    struct Stray;

    const CROWD_AT: u64 = 9;
    const STRAY_AT: u64 = 17;

    fn game(game: &mut Game) {
        game.realtime(20).replicate::<Thing>().snapshot_ticks(4);
        game.on_start(|mut commands: Commands| {
            commands.spawn(Thing(0));
        });
        game.systems(|time: Res<Time>, crowd: Query<(Entity, &Thing)>, mut commands: Commands| {
            let gone = crowd.iter().filter(|(_, thing)| thing.0 == 1);
            gone.for_each(|(entity, _)| commands.entity(entity).despawn());
            if time.tick.0 == CROWD_AT {
                commands.spawn_batch((0..5000).map(|_| Thing(1)));
            } else if time.tick.0 == STRAY_AT {
                commands.spawn(Stray);
            }
        });
    }

    #[test]
    fn rooms_of_a_game_share_what_it_registered_also_when_they_are_rebuilt() {
        let template = Template::new("test", game).expect("it can be hosted");
        let room = || Room::create(&template, &Create::default()).expect("it is created");
        let (mut first, second) = (room(), room());
        let shared = |room: &Room| room.game.components.as_ptr();
        assert_eq!(shared(&first), shared(&second));
        (1..=8).for_each(|tick| first.tick(Tick(tick)));
        assert_eq!(shared(&first), shared(&second));
    }

    #[test]
    fn a_room_keeps_its_world_while_that_is_of_its_size_and_its_own() {
        let template = Template::new("test", game).expect("it can be hosted");
        let mut room = Room::create(&template, &Create::default()).expect("it is created");
        let mut anew = vec![];
        for tick in 1..=32 {
            let before = room.game.world.id();
            room.tick(Tick(tick));
            if room.game.world.id() != before {
                anew.push(tick);
            }
        }
        // After the crowd, and for as long as a stray is in the world.
        assert_eq!(anew, [12, 20]);
    }
}
