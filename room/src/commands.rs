//! What systems ask to be done to the world when they have run, as bevy's `Commands`: but its memory stays
//! with the room when that is rebuilt, and its systems are made anew.
#![allow(
    unsafe_code,
    reason = "a system's parameter is an unsafe trait; bevy's own queue begins without memory in each \
    system, which is one allocation or more for each of them after every rebuild"
)]

use std::mem::take;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bevy_ecs::change_detection::Tick;
use bevy_ecs::prelude::World;
use bevy_ecs::system::{
    Commands as BevyCommands, SystemAccess, SystemMeta, SystemParam, SystemParamValidationError,
};
use bevy_ecs::world::unsafe_world_cell::UnsafeWorldCell;
use bevy_ecs::world::{CommandQueue, DeferredWorld};

use crate::core::Core;

/// Spawns, changes and despawns entities once the system has run: all that bevy's `Commands` do.
pub struct Commands<'w, 's>(BevyCommands<'w, 's>);

impl<'w, 's> Deref for Commands<'w, 's> {
    type Target = BevyCommands<'w, 's>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Commands<'_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

// SAFETY: only its own state is accessed, and of the world what may be read without saying so.
unsafe impl SystemParam for Commands<'_, '_> {
    type State = Lent;
    type Item<'w, 's> = Commands<'w, 's>;

    fn init_state(world: &mut World) -> Lent {
        world.resource::<Core>().queues.lend()
    }

    fn init_access(_: &Lent, system: &mut SystemMeta, _: &mut SystemAccess, _: &mut World) {
        system.set_has_deferred();
    }

    fn apply(state: &mut Lent, _: &SystemMeta, world: &mut World) {
        state.queue.apply(world);
    }

    fn queue(state: &mut Lent, _: &SystemMeta, mut world: DeferredWorld<'_>) {
        world.commands().append(&mut state.queue);
    }

    unsafe fn get_param<'w, 's>(
        state: &'s mut Lent,
        _: &SystemMeta,
        world: UnsafeWorldCell<'w>,
        _: Tick,
    ) -> Result<Commands<'w, 's>, SystemParamValidationError> {
        let (allocator, entities) = (world.entity_allocator(), world.entities());
        Ok(Commands(BevyCommands::new_from_entities(&mut state.queue, allocator, entities)))
    }
}

/// The queues of a room's systems, from one rebuild to the next.
#[derive(Clone, Default)]
pub(crate) struct Queues(Arc<Mutex<Shelf>>);

/// Each queue has its place, so that a system gets the one that was its own: systems are made in one order.
#[derive(Default)]
struct Shelf {
    queues: Vec<CommandQueue>,
    next: usize,
}

/// A queue while a system has it.
pub struct Lent {
    queue: CommandQueue,
    place: usize,
    home: Queues,
}

impl Queues {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on systems are made anew, the first one first.
    pub(crate) fn rewind(&self) {
        self.shelf().next = 0;
    }

    fn lend(&self) -> Lent {
        let mut shelf = self.shelf();
        let place = shelf.next;
        shelf.next += 1;
        if shelf.queues.len() == place {
            shelf.queues.push(CommandQueue::default());
        }
        Lent { queue: take(&mut shelf.queues[place]), place, home: self.clone() }
    }
}

impl Drop for Lent {
    /// What a system left undone, because it panicked, goes with it.
    fn drop(&mut self) {
        if self.queue.is_empty()
            && let Some(place) = self.home.shelf().queues.get_mut(self.place)
        {
            *place = take(&mut self.queue);
        }
    }
}
