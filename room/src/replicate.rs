//! Replication, the other half of a room: who sees what, what each client has, and the frames that
//! close the gap. No system can read it, and nothing in it is in the state or its hash.
//!
//! A tick is `collect` (what changed, read from the world) and, unless the room goes on at once,
//! `send`: update the groups, put this tick's events in line, give each link its frame. A change is
//! coded once for each group and baseline and shared as the same bytes.

mod events;
mod frames;
mod group;
mod links;
mod names;
mod renames;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bevy_ecs::change_detection::Tick as Age;
use bevy_ecs::prelude::*;
use referee_protocol::codec::Codec;
use referee_protocol::frame::Payload;
use referee_protocol::limits::{ENTITIES_MAX, SUBSCRIPTIONS_MAX};
use referee_protocol::schema::TypeDef;
use referee_protocol::words::map_references;
use referee_protocol::{Group, Kind, Seat, Tick, WireId};

use crate::core::Core;
use crate::field::{Audience, Quantiser};
use crate::game::Game;
use crate::output::Output;
use crate::registry::{AnyQuery, ComponentRow};
use crate::template::Template;
use crate::types::{InGroups, NetId, Owner, Player, Sees, Team};
use events::PendingEvent;
use group::GroupState;
use links::Links;
use names::Names;

/// The identity under which the resources are replicated: no entity has it.
const ROOM: u32 = 0;

/// The other half of a room.
pub(crate) struct Replication {
    template: Arc<Template>,
    /// When the world was last looked at, in its own change ticks.
    since: Age,
    queries: Vec<AnyQuery>,
    removal_rows: Vec<bevy_ecs::component::ComponentId>,
    /// Entities whose state or audience may have changed since the last send.
    dirty: BTreeSet<u32>,
    /// Entities that show references: the names of what they refer to may change.
    referrers: BTreeSet<u32>,
    names: Names,
    codec: Codec,
    learns: bool,
    /// The rate the codec is for.
    hz: Option<u16>,
    groups: BTreeMap<Group, GroupState>,
    pending_events: Vec<PendingEvent>,
    links: Links,
    /// States that were not made because a client was behind.
    skips: u64,
    /// Types of which values were clamped, and how many.
    clamped: BTreeMap<String, u32>,
    /// More entities were to be shown than a client may know.
    unshown: bool,
}

/// What an entity shows to one group.
type Shown = Vec<(u16, Vec<u32>)>;
/// What an entity shows to each group that sees it.
type View = BTreeMap<Group, Shown>;
/// What each group that sees an entity calls it.
type Called = BTreeMap<Group, WireId>;

impl Replication {
    pub(crate) fn new(template: &Arc<Template>, game: &Game) -> Self {
        let rows = game.components.iter().filter(|row| !row.resource);
        let mut replication = Self {
            template: Arc::clone(template),
            since: Age::new(0),
            queries: Vec::new(),
            removal_rows: rows.map(|row| row.id).collect(),
            dirty: BTreeSet::new(),
            referrers: BTreeSet::new(),
            names: Names::default(),
            codec: Codec::new(template.schema(), 0),
            learns: false,
            hz: None,
            groups: BTreeMap::new(),
            pending_events: Vec::new(),
            links: Links::default(),
            skips: 0,
            clamped: BTreeMap::new(),
            unshown: false,
        };
        replication.rebuilt(game);
        replication.since = Age::new(0);
        replication
    }

    pub(crate) fn seed(&mut self, secret: [u8; 32]) {
        self.names = Names::new(secret);
    }

    /// The world was rebuilt: the values are the same, the handles are not.
    pub(crate) fn rebuilt(&mut self, game: &Game) {
        self.queries = game.components.iter().map(|_| None).collect();
        self.since = game.world.read_change_tick();
    }

    /// The room's rate is known, and does not change from here on.
    fn set_rate(&mut self, game: &Game) {
        let hz = game.world.resource::<Core>().setup.hz;
        let known = if game.rules.kind == Kind::Realtime { hz } else { 0 };
        (self.hz, self.codec) = (Some(hz), Codec::new(self.template.schema(), known));
        if self.learns {
            self.codec.learn();
        }
    }

    /// Takes in everything there is: after a load.
    pub(crate) fn collect_all(&mut self, game: &mut Game) {
        self.dirty.insert(ROOM);
        self.dirty.extend(game.world.resource::<Core>().index.keys());
        self.since = game.world.change_tick();
    }

    /// Takes in what the tick changed. Says whether it spawned, despawned or sent an event.
    pub(crate) fn collect(&mut self, game: &mut Game) -> bool {
        let (since, dirty) = (self.since, &mut self.dirty);
        for (row, query) in game.components.iter().zip(&mut self.queries) {
            if !row.resource {
                (row.changed)(&mut game.world, query, since, &mut |id| {
                    dirty.insert(id);
                });
                continue;
            }
            let entity = game.world.resource_entities().get(row.id);
            let entity = entity.expect("a registered resource is there");
            let (_, changed) = (row.ages)(game.world.entity(entity));
            if changed.is_newer_than(since, game.world.read_change_tick()) {
                dirty.insert(ROOM);
            }
        }
        for id in &self.removal_rows {
            for entity in game.world.removed_with_id(*id) {
                dirty.extend(game.world.get::<NetId>(entity).map(|id| id.0));
            }
        }
        let gone = std::mem::take(&mut game.world.resource_mut::<Core>().gone);
        dirty.extend(&gone);
        self.since = game.world.change_tick();
        let events = self.collect_events(game);
        events || !gone.is_empty()
    }

    /// Brings groups and links up to the tick and queues their frames.
    pub(crate) fn send(&mut self, game: &mut Game, outputs: &mut VecDeque<Output>) {
        let tick = game.world.resource::<Core>().tick;
        self.subscribe(game);
        if self.hz != Some(game.world.resource::<Core>().setup.hz) {
            self.set_rate(game);
        }
        // Blocks made between ticks, for late acknowledgements, tell of the send before.
        self.groups.values_mut().for_each(GroupState::forget_blocks);
        self.update_groups(game, tick);
        self.queue_events(outputs);
        self.send_frames(game, tick, outputs);
        self.groups.values_mut().for_each(GroupState::sent);
        self.names.sent();
        let links = &self.links;
        self.groups.retain(|group, state| !state.is_empty() || links.knows(*group));
    }

    /// Begins to learn what is likely.
    pub(crate) fn learn(&mut self) {
        self.learns = true;
        self.codec.learn();
    }

    /// What was seen since.
    pub(crate) fn learnt(&self) -> &[[u32; 2]] {
        self.codec.counts()
    }

    /// How many states were not made because a client was behind.
    pub(crate) fn skips(&self) -> u64 {
        self.skips
    }

    /// Whether more entities were to be shown than a client may know.
    pub(crate) fn has_unshown(&self) -> bool {
        self.unshown
    }

    /// Types of which values had to be clamped since the last call, and how many.
    pub(crate) fn take_clamped(&mut self) -> BTreeMap<String, u32> {
        std::mem::take(&mut self.clamped)
    }

    /// Works out what each changed entity shows to whom, and tells the groups.
    fn update_groups(&mut self, game: &Game, tick: Tick) {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.extend(&self.referrers);
        let mut views: Vec<(u32, View)> =
            dirty.iter().map(|id| (*id, view_of(game, *id, &mut self.clamped))).collect();
        // Names are drawn in an order that follows from what those see who are told them: that of the
        // entities' numbers would depend on the order in which hidden things came.
        views.sort_by_cached_key(|(_, view)| widest(game, view));
        // Names first: what an entity shows may refer to any other.
        let mut named = Vec::with_capacity(views.len());
        for (id, mut view) in views {
            // What a client could not take in would lock it out for good.
            if self.names.len() >= ENTITIES_MAX && id != ROOM && !self.names.knows(id) {
                self.unshown |= !view.is_empty();
                view.clear();
            }
            let before = self.names.called(id);
            if id != ROOM {
                self.names.show(id, &view.keys().copied().collect(), &self.links);
            }
            named.push((id, before, view));
        }
        for (id, before, view) in named {
            self.update_entity(game, id, &before, view, tick);
        }
    }

    fn update_entity(&mut self, game: &Game, id: u32, before: &Called, view: View, tick: Tick) {
        let after = self.names.called(id);
        for group in before.keys().filter(|group| !view.contains_key(group)) {
            let stays = renames::wider(*group, &after, &self.links);
            if let Some(state) = self.groups.get_mut(group) {
                state.leave(id, stays, tick);
            }
        }
        let mut refers = false;
        for (group, mut shown) in view {
            for (component, words) in &mut shown {
                let row = row_of(game, *component);
                if row.shape.has_references() {
                    refers = true;
                    let names = &self.names;
                    map_references(&row.shape, words, &mut |id| names.of(id, group).0)
                        .expect("our own words follow their type");
                }
            }
            let name = after.get(&group).copied().unwrap_or(WireId::ROOM);
            let was = renames::wider(group, before, &self.links);
            self.groups.entry(group).or_default().show(id, name, was, &shown, tick);
        }
        if refers {
            self.referrers.insert(id);
        } else {
            self.referrers.remove(&id);
        }
        if *before != after {
            self.rename_for_seats(before, &after, tick);
        }
    }

    /// Replaces the wire ids in what a client sent by the room's own.
    pub(crate) fn to_net_ids(&self, seat: Seat, payload: &mut Payload, types: &[TypeDef]) {
        let Some(def) = types.get(usize::from(payload.kind)) else { return };
        if !def.ty.has_references() {
            return;
        }
        let Ok(mut words) = payload.to_words("action", types) else { return };
        let groups = self.links.groups_of(seat);
        let mut known = |id| {
            let find = |group| self.groups.get(group)?.net_id(WireId(id));
            groups.iter().find_map(find).unwrap_or(0)
        };
        if map_references(&def.ty, &mut words, &mut known).is_ok() {
            *payload = Payload::from_words(payload.kind, &def.ty, &words);
        }
    }

    /// Works out which groups each seat's client sees.
    fn subscribe(&mut self, game: &Game) {
        let core = game.world.resource::<Core>();
        for (seat, state) in &core.seats {
            let mut groups = BTreeSet::from([Group::Everyone, Group::Player(*seat)]);
            groups.extend(game.world.get::<Team>(state.entity).map(|team| Group::Team(team.0)));
            if let Some(sees) = game.world.get::<Sees>(state.entity) {
                let seen = sees.0.iter().filter(|g| !matches!(g, Group::Player(_)));
                groups.extend(seen.take(SUBSCRIPTIONS_MAX - groups.len()));
            }
            if self.links.subscribe(*seat, groups, core.tick) {
                // What only this player sees may have another name now.
                let own = self.groups.get(&Group::Player(*seat));
                self.dirty.extend(own.into_iter().flat_map(GroupState::members));
            }
            self.links.applied(*seat, state.last_action);
        }
    }

    /// What a group calls an entity, for the test kit.
    pub(crate) fn name_in(&self, id: u32, group: Group) -> WireId {
        self.names.of(id, group)
    }

    pub(crate) fn watchers(&self) -> usize {
        self.links.watchers()
    }
}

fn row_of(game: &Game, component: u16) -> &ComponentRow {
    let row = game.components.iter().find(|row| row.sent == Some(component));
    row.expect("a component that was sent is registered")
}

/// What an entity shows to the widest group that sees it, but for whom it refers to.
fn widest(game: &Game, view: &View) -> Option<(Group, Shown)> {
    let (group, shown) = view.first_key_value()?;
    let mut shown = shown.clone();
    for (component, words) in &mut shown {
        let row = row_of(game, *component);
        if row.shape.has_references() {
            map_references(&row.shape, words, &mut |id| id.min(1))
                .expect("our own words follow their type");
        }
    }
    Some((*group, shown))
}

/// What an entity shows, by group, with `NetId`s where references stand.
fn view_of(game: &Game, id: u32, clamped: &mut BTreeMap<String, u32>) -> View {
    let mut view = View::new();
    let world = &game.world;
    let net_id = |entity: Entity| world.get::<NetId>(entity).map_or(0, |id| id.0);
    for row in game.components.iter().filter(|row| row.resource == (id == ROOM)) {
        let (Some(component), Some(entity)) = (row.sent, bearer(world, row, id)) else { continue };
        let groups = audience(world, row, entity);
        if groups.is_empty() {
            continue;
        }
        let mut words = Vec::new();
        let mut out = Quantiser::new(&mut words, &net_id);
        (row.quantise)(world.entity(entity), &row.shape, &mut out);
        if out.clamped > 0 {
            *clamped.entry(row.name.clone()).or_default() += out.clamped;
        }
        for group in groups {
            view.entry(group).or_default().push((component, words.clone()));
        }
    }
    view
}

/// The entity that carries the row's component for this identity, where there is one.
fn bearer(world: &World, row: &ComponentRow, id: u32) -> Option<Entity> {
    if id == ROOM {
        return world.resource_entities().get(row.id);
    }
    let entity = *world.resource::<Core>().index.get(&id)?;
    world.get_entity(entity).ok().filter(|e| e.contains_id(row.id)).map(|_| entity)
}

/// The groups that see a component of an entity.
fn audience(world: &World, row: &ComponentRow, entity: Entity) -> Vec<Group> {
    if let Some(groups) = world.get::<InGroups>(entity) {
        return groups.0.clone();
    }
    match row.audience {
        Audience::Everyone => vec![Group::Everyone],
        Audience::Owner => {
            let owner = world.get::<Owner>(entity).map(|owner| owner.0);
            let owner = owner.or_else(|| world.get::<Player>(entity).map(|player| player.seat));
            owner.map(Group::Player).into_iter().collect()
        }
        Audience::Team => {
            world.get::<Team>(entity).map(|team| Group::Team(team.0)).into_iter().collect()
        }
        Audience::Function(function) => {
            let mut groups = function(world.entity(entity));
            groups.sort_unstable();
            groups.dedup();
            groups
        }
    }
}
