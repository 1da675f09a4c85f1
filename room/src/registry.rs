//! The registry: everything a game registered, without its types. One row per component or resource,
//! with the few functions the core needs of it.

use std::alloc::Layout;
use std::any::{Any, TypeId};

use bevy_ecs::archetype::ArchetypeGeneration;
use bevy_ecs::change_detection::{DetectChanges, DetectChangesMut, Ref, Tick};
use bevy_ecs::component::{Component, ComponentId, Mutable};
use bevy_ecs::prelude::*;
use bevy_ecs::ptr::OwningPtr;
use bevy_ecs::query::QueryState;
use bevy_ecs::world::EntityRef;
use referee_protocol::schema::FieldType;

use crate::field::{
    Action, Audience, Event, Field, Input, LoadError, Loader, Quantiser, Replicate, Saver, Words,
};
use crate::layout::{self, WordsOf};
use crate::params::{ActionQueue, DueNow, Outbox, TimerQueue, To};
use crate::rows::Row;
use crate::types::{InGroups, NetId, Owner, Player, Team};

/// Receives a loaded component, to put it into a bundle.
pub(crate) type Push<'a> = &'a mut dyn FnMut(OwningPtr<'_>, Layout);
/// Looks for changes of one component in a world.
#[derive(Default)]
pub(crate) struct Watch {
    /// A query made once per world and kept.
    query: Option<Box<dyn Any + Send + Sync>>,
    /// With so many archetypes no entity can have the component.
    none: Option<ArchetypeGeneration>,
}

/// A registered component or resource.
#[derive(Clone)]
pub(crate) struct ComponentRow {
    /// Which type it is of: no other one's functions may stand for it.
    pub(crate) of: TypeId,
    pub(crate) id: ComponentId,
    /// The type's name without its path: its identity on the wire and on disk.
    pub(crate) name: String,
    pub(crate) resource: bool,
    /// Its number on the wire; none when it is only kept.
    pub(crate) sent: Option<u16>,
    pub(crate) shape: FieldType,
    pub(crate) layout: fn() -> layout::Layout,
    /// Whether its values may hold references to entities.
    pub(crate) refers: bool,
    pub(crate) audience: Audience,
    /// It says who sees its entity, or parts of it.
    pub(crate) says_who: bool,
    /// Changes of its value are told in every so many ticks only.
    pub(crate) every: u16,
    /// It is told once it is on disk.
    pub(crate) gated: bool,
    /// The name of the component that says how it moves.
    pub(crate) moves_by: Option<String>,
    /// It rarely changes while its entity does.
    pub(crate) rarely: bool,
    pub(crate) save: fn(EntityRef<'_>, &mut Saver<'_>),
    pub(crate) load: fn(&mut Loader<'_>, Push<'_>) -> Result<(), LoadError>,
    /// Loads a value and forgets it.
    pub(crate) try_load: fn(&mut Loader<'_>) -> Result<(), LoadError>,
    /// Loads onto an entity that has the component: a resource.
    pub(crate) load_onto: fn(&mut Loader<'_>, &mut EntityWorldMut<'_>) -> Result<(), LoadError>,
    /// When it was added and last changed.
    pub(crate) ages: fn(EntityRef<'_>) -> (Tick, Tick),
    pub(crate) set_ages: fn(&mut EntityWorldMut<'_>, Tick, Tick),
    pub(crate) quantise: fn(EntityRef<'_>, &FieldType, &mut Quantiser<'_>),
    /// The `NetId`s of entities on which it changed since a tick.
    pub(crate) changed: fn(&mut World, &mut Watch, Tick, &mut dyn FnMut(u32)),
}

/// What says who sees an entity.
const SAY_WHO: [fn() -> TypeId; 4] =
    [TypeId::of::<Owner>, TypeId::of::<Player>, TypeId::of::<Team>, TypeId::of::<InGroups>];

impl ComponentRow {
    pub(crate) fn of<C>(id: ComponentId, shape: FieldType, resource: bool) -> Self
    where
        C: Replicate + Component<Mutability = Mutable>,
    {
        let moves_by = C::moves_by().map(without_path);
        let (audience, rarely) = (C::audience(), C::rarely());
        Self { audience, moves_by, rarely, ..Self::plain::<C>(id, shape, resource) }
    }

    /// A row for a type that is kept and not sent, such as a sampled input.
    pub(crate) fn plain<C>(id: ComponentId, shape: FieldType, resource: bool) -> Self
    where
        C: Field + Component<Mutability = Mutable>,
    {
        Self {
            of: TypeId::of::<C>(),
            id,
            name: short_name::<C>(),
            resource,
            sent: None,
            refers: shape.has_references(),
            shape,
            layout: C::layout,
            audience: Audience::Everyone,
            says_who: SAY_WHO.iter().any(|of| of() == TypeId::of::<C>()),
            every: 1,
            gated: false,
            moves_by: None,
            rarely: false,
            save: |entity, out| component::<C>(&entity).save(out),
            load: |from, push| {
                let value = C::load(from)?;
                OwningPtr::make(value, |pointer| push(pointer, Layout::new::<C>()));
                Ok(())
            },
            try_load: |from| C::load(from).map(drop),
            load_onto: |from, entity| {
                let value = C::load(from)?;
                *entity.get_mut::<C>().expect("a registered resource is there") = value;
                Ok(())
            },
            ages: |entity| {
                let reference = entity.get_ref::<C>().expect("the caller saw the component");
                (reference.added(), reference.last_changed())
            },
            set_ages: |entity, added, changed| {
                let mut value = entity.get_mut::<C>().expect("the component was just loaded");
                value.set_last_added(added);
                value.set_last_changed(changed);
            },
            quantise: |entity, ty, out| component::<C>(&entity).quantise(ty, out),
            changed: changed::<C>,
        }
    }
}

impl Row for ComponentRow {
    fn is_same(&self, other: &Self) -> bool {
        let flags = |row: &Self| (row.of, row.id, row.resource, row.sent, row.every, row.gated);
        flags(self) == flags(other) && self.shape == other.shape && self.name == other.name
    }
}

impl Row for InputRow {
    fn is_same(&self, other: &Self) -> bool {
        self.of == other.of && self.shape == other.shape
    }
}

impl Row for ActionRow {
    fn is_same(&self, other: &Self) -> bool {
        self.of == other.of && self.shape == other.shape
    }
}

impl Row for EventRow {
    fn is_same(&self, other: &Self) -> bool {
        self.of == other.of && self.gated == other.gated && self.shape == other.shape
    }
}

impl Row for TimerRow {
    fn is_same(&self, other: &Self) -> bool {
        self.of == other.of
    }
}

fn component<'a, C: Component>(entity: &'a EntityRef<'_>) -> &'a C {
    entity.get::<C>().expect("the caller saw the component")
}

fn changed<C: Component>(
    world: &mut World,
    watch: &mut Watch,
    since: Tick,
    found: &mut dyn FnMut(u32),
) {
    let generation = world.archetypes().generation();
    if watch.none == Some(generation) {
        return;
    }
    let now = world.change_tick();
    let query = watch.query.get_or_insert_with(|| Box::new(world.query::<(&NetId, Ref<'_, C>)>()));
    let query = query
        .downcast_mut::<QueryState<(&'static NetId, Ref<'static, C>)>>()
        .expect("each row keeps its own query");
    for (id, value) in query.iter(world) {
        if value.last_changed().is_newer_than(since, now) {
            found(id.0);
        }
    }
    if query.matched_archetypes().next().is_none() {
        *watch = Watch { query: None, none: Some(generation) };
    }
}

/// A registered sampled input.
#[derive(Clone)]
pub(crate) struct InputRow {
    of: TypeId,
    pub(crate) name: String,
    pub(crate) shape: FieldType,
    /// Whether its values may hold references to entities.
    pub(crate) refers: bool,
    /// Makes a sample stand on a player's entity; no words: the default. Says whether the words were
    /// a value.
    pub(crate) stand: fn(&mut EntityWorldMut<'_>, &FieldType, Option<&mut Words<'_>>) -> bool,
    pub(crate) layout: fn() -> layout::Layout,
    pub(crate) words: WordsOf,
}

impl InputRow {
    pub(crate) fn of<T: Input>(shape: FieldType) -> Self {
        Self {
            of: TypeId::of::<T>(),
            name: short_name::<T>(),
            refers: shape.has_references(),
            shape,
            stand: |entity, ty, words| {
                let value = match words {
                    Some(words) => T::restore(ty, words),
                    None => Some(T::default()),
                };
                let good = value.is_some();
                if let Some(value) = value {
                    entity.insert(value);
                }
                good
            },
            layout: T::layout,
            words: words_of::<T>,
        }
    }
}

/// The wire words of an exact value; references in both are numbers.
fn words_of<T: Field>(exact: &[u8], ty: &FieldType, out: &mut Vec<u32>) -> Result<(), LoadError> {
    let value = T::load(&mut Loader::new(exact, &entity_of_number))?;
    value.quantise(ty, &mut Quantiser::new(out, &number_of_entity));
    Ok(())
}

/// Stands for the entity of this number outside of any world.
pub(crate) fn entity_of_number(number: u32) -> Entity {
    let entity = if number == 0 { None } else { Entity::from_raw_u32(number) };
    entity.unwrap_or(Entity::PLACEHOLDER)
}

/// The number for which an entity of [`entity_of_number`] stands.
pub(crate) fn number_of_entity(entity: Entity) -> u32 {
    if entity == Entity::PLACEHOLDER { 0 } else { entity.index_u32() }
}

/// A registered action.
#[derive(Clone)]
pub(crate) struct ActionRow {
    of: TypeId,
    pub(crate) name: String,
    pub(crate) shape: FieldType,
    /// Whether its values may hold references to entities.
    pub(crate) refers: bool,
    /// Queues it for this tick. Says whether the words were a value.
    pub(crate) push: fn(&mut World, Entity, &FieldType, &mut Words<'_>) -> bool,
    pub(crate) clear: fn(&mut World),
    /// Takes the queue's memory out; the function puts it back into the queue of the room made anew.
    pub(crate) keep: fn(&mut World) -> Box<dyn FnOnce(&mut World)>,
    pub(crate) layout: fn() -> layout::Layout,
    pub(crate) words: WordsOf,
}

impl ActionRow {
    pub(crate) fn of<T: Action>(shape: FieldType) -> Self {
        Self {
            of: TypeId::of::<T>(),
            name: short_name::<T>(),
            refers: shape.has_references(),
            shape,
            push: |world, player, ty, words| {
                let value = T::restore(ty, words);
                let good = value.is_some();
                if let Some(value) = value {
                    world.resource_mut::<ActionQueue<T>>().0.push((player, value));
                }
                good
            },
            clear: |world| world.resource_mut::<ActionQueue<T>>().0.clear(),
            keep: |world| {
                let mut queue = std::mem::take(&mut world.resource_mut::<ActionQueue<T>>().0);
                queue.clear();
                Box::new(move |world| world.resource_mut::<ActionQueue<T>>().0 = queue)
            },
            layout: T::layout,
            words: words_of::<T>,
        }
    }
}

/// A registered event.
#[derive(Clone)]
pub(crate) struct EventRow {
    of: TypeId,
    pub(crate) name: String,
    pub(crate) shape: FieldType,
    /// Takes this tick's events out of the outbox: who for, and the words with `NetId`s in them.
    pub(crate) take: TakeEvents,
    /// It is told once it is on disk.
    pub(crate) gated: bool,
}

/// Empties an outbox; see [`EventRow::take`]. The last number is how many values were clamped.
pub(crate) type TakeEvents =
    fn(&mut World, &FieldType, &dyn Fn(&World, Entity) -> u32, &mut dyn FnMut(To, Vec<u32>, u32));

impl EventRow {
    pub(crate) fn of<T: Event>(shape: FieldType) -> Self {
        Self {
            of: TypeId::of::<T>(),
            name: short_name::<T>(),
            shape,
            gated: false,
            take: |world, ty, net_id, found| {
                if world.resource::<Outbox<T>>().0.is_empty() {
                    return;
                }
                let events = std::mem::take(&mut world.resource_mut::<Outbox<T>>().0);
                let name = |entity| net_id(world, entity);
                for (to, event) in events {
                    let mut words = Vec::new();
                    let mut out = Quantiser::new(&mut words, &name);
                    event.quantise(ty, &mut out);
                    let clamped = out.clamped;
                    found(to, words, clamped);
                }
            },
        }
    }
}

/// A registered type of timer.
#[derive(Clone)]
pub(crate) struct TimerRow {
    of: TypeId,
    pub(crate) name: String,
    pub(crate) layout: fn() -> layout::Layout,
    /// Makes what is due at a tick readable through `Due`.
    pub(crate) fire: fn(&mut World, u64),
    /// Takes in this tick's new timers; the number counts all timers of the room.
    pub(crate) arm: fn(&mut World, u64, &mut u64),
    /// When the next one is due.
    pub(crate) next: fn(&World) -> Option<u64>,
    pub(crate) save: fn(&World, &mut Saver<'_>),
    pub(crate) load: fn(&mut World, &mut Loader<'_>) -> Result<(), LoadError>,
}

impl TimerRow {
    pub(crate) fn of<T: Field>() -> Self {
        Self {
            of: TypeId::of::<T>(),
            name: short_name::<T>(),
            layout: T::layout,
            fire: |world, now| {
                let soon = world.resource::<TimerQueue<T>>().waiting.front();
                let soon = soon.is_some_and(|(at, ..)| at.0 <= now);
                if !soon && world.resource::<DueNow<T>>().0.is_empty() {
                    return;
                }
                let mut queue = world.resource_mut::<TimerQueue<T>>();
                let count = queue.waiting.partition_point(|(at, ..)| at.0 <= now);
                let due = queue.waiting.drain(..count).map(|(_, _, value)| value).collect();
                world.resource_mut::<DueNow<T>>().0 = due;
            },
            arm: |world, now, number| {
                if world.resource::<TimerQueue<T>>().new.is_empty() {
                    return;
                }
                let mut queue = world.resource_mut::<TimerQueue<T>>();
                for (ticks, value) in std::mem::take(&mut queue.new) {
                    *number += 1;
                    let at = referee_protocol::Tick(now.saturating_add(ticks));
                    let place = queue.waiting.partition_point(|(t, n, _)| (*t, *n) < (at, *number));
                    queue.waiting.insert(place, (at, *number, value));
                }
            },
            next: |world| world.resource::<TimerQueue<T>>().waiting.front().map(|w| w.0.0),
            save: |world, out| {
                let queue = world.resource::<TimerQueue<T>>();
                out.varint(queue.waiting.len() as u64);
                for (at, number, value) in &queue.waiting {
                    out.varint(at.0);
                    out.varint(*number);
                    value.save(out);
                }
            },
            load: |world, from| {
                let count = from.count()?;
                let mut queue = world.resource_mut::<TimerQueue<T>>();
                for _ in 0..count {
                    let (at, number) = (referee_protocol::Tick(from.varint()?), from.varint()?);
                    queue.waiting.push_back((at, number, T::load(from)?));
                }
                Ok(())
            },
        }
    }
}

/// A type's name without its path.
pub(crate) fn short_name<T>() -> String {
    without_path(std::any::type_name::<T>())
}

fn without_path(full: &str) -> String {
    full.rsplit("::").next().unwrap_or(full).to_owned()
}
