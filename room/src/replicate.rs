//! Replication, the other half of a room: who sees what, what each client has, and the frames that
//! close the gap. No system can read it, and nothing in it is in the state or its hash.
//!
//! A tick is `collect` (what changed, read from the world) and, unless the room goes on at once,
//! `send`: update the groups, put this tick's events in line, give each link its frame. A change is
//! coded once for each group and baseline and shared as the same bytes.

mod aliases;
mod budget;
mod events;
mod frames;
mod gate;
mod gather;
mod group;
mod known;
mod ladder;
mod links;
mod lives;
mod lossy;
mod names;
mod parked;
mod renames;
mod save;
mod shown;
mod update;

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;
use std::sync::Arc;

use bevy_ecs::change_detection::Tick as Age;
use bevy_ecs::component::ComponentId;
use bevy_ecs::entity::Entity;
use referee_protocol::block::Head;
use referee_protocol::codec::Codec;
use referee_protocol::frame::Payload;
use referee_protocol::limits::SUBSCRIPTIONS_MAX;
use referee_protocol::schema::TypeDef;
use referee_protocol::words::map_references;
use referee_protocol::{Group, Kind, Seat, WireId};
use smallvec::SmallVec;

use crate::codecs::Tools;
use crate::core::Core;
use crate::field::Audience;
use crate::game::Game;
use crate::grid::{Grid, Square};
use crate::output::Output;
use crate::registry::{ComponentRow, Watch};
use crate::table::Table;
use crate::template::Template;
use crate::types::{NetId, Sees, Team};
use aliases::Aliases;
use budget::Budget;
use events::PendingEvent;
use gate::Gates;
use group::GroupState;
use known::{Change, Known};
use links::{Links, SeatLine};
use lossy::Ladder;
use names::Names;
pub use parked::ParkedLink;
use shown::{Shown, Sizes};

/// The identity under which the resources are replicated: no entity has it.
const ROOM: u32 = 0;

/// The other half of a room.
pub(crate) struct Replication {
    template: Arc<Template>,
    /// When the world was last looked at, in its own change ticks.
    since: Age,
    /// For each of the game's components.
    watches: Vec<Watch>,
    /// What is kept and not sent may say who sees an entity: any component, or this one.
    any_says_who: bool,
    place: Option<ComponentId>,
    /// Entities whose state or audience may have changed since the last send.
    dirty: Vec<Change>,
    /// What is told in a later tick.
    later: Vec<Change>,
    /// Entities that show references: the names of what they refer to may change.
    referrers: Table<u32, ()>,
    sizes: Sizes,
    /// What entities showed that show the same while nothing but values changes.
    known: Table<u32, Known>,
    /// For each entity that has a place the cell of the grid it is in.
    squares: Table<u32, Square>,
    /// Some client sees other groups than at the last send: what its own calls entities may change.
    resubscribed: bool,
    names: Names,
    aliases: Aliases,
    /// Its own, while it learns what is likely. Else its game's are used.
    learns: Option<Box<Tools>>,
    /// The rate of its setup, once it is known, and what of that a codec is told.
    hz: Option<u16>,
    codec_hz: u16,
    ladder: Ladder,
    budget: Option<Budget>,
    /// Ticks between two rungs, where that is not as the rate says.
    step: Option<NonZeroU64>,
    /// Clients of a realtime room get a state every so many ticks.
    send_every: u64,
    groups: Table<Group, GroupState>,
    pending_events: Vec<PendingEvent>,
    links: Links,
    gates: Gates,
    /// Which types of events are told once they are on disk.
    gated_events: Vec<bool>,
    /// States that were not made because a client was behind.
    skips: u64,
    /// Types of which values were clamped, and how many.
    clamped: BTreeMap<String, u32>,
    /// More entities were to be shown than a client may know.
    unshown: bool,
}

/// Working memory of a send.
#[derive(Default)]
pub(crate) struct Work {
    shown: Shown,
    moved: Vec<Moved>,
    mapped: Vec<u32>,
    wanted: Vec<Group>,
    /// Names to be drawn: for a group, and which of what is shown.
    unnamed: Vec<(Group, usize)>,
    /// What the frame that is made tells of its client's groups.
    heads: Vec<Head>,
}

/// What each group that sees an entity calls it, in order of groups.
type Called = SmallVec<[(Group, WireId); 2]>;

/// An entity that is shown to other groups than before, or may have another name.
struct Moved {
    /// Its place among what is shown.
    at: usize,
    before: Called,
}

impl Replication {
    pub(crate) fn new(template: &Arc<Template>, game: &mut Game) -> Self {
        let mut replication = Self {
            template: Arc::clone(template),
            since: Age::new(0),
            watches: Vec::new(),
            any_says_who: game
                .components
                .iter()
                .any(|row| matches!(row.audience, Audience::Function(_))),
            place: game.grid.as_ref().and_then(|grid| grid.says(&game.world)),
            dirty: Vec::new(),
            later: Vec::new(),
            referrers: Table::default(),
            sizes: Sizes::default(),
            known: Table::default(),
            squares: Table::default(),
            resubscribed: false,
            names: Names::default(),
            aliases: Aliases::default(),
            learns: None,
            hz: None,
            codec_hz: 0,
            ladder: Ladder::of(0),
            budget: None,
            step: None,
            send_every: 1,
            groups: Table::default(),
            pending_events: Vec::new(),
            links: Links::default(),
            gates: Gates::default(),
            gated_events: game.events.iter().map(|row| row.gated).collect(),
            skips: 0,
            clamped: BTreeMap::new(),
            unshown: false,
        };
        replication.rebuilt(game);
        replication.since = Age::new(0);
        // What waits for a client's budget, or for the disk, differs from one run of a room to the next.
        let gated = game.components.iter().any(|row| row.gated);
        replication.links.lives.apart = game.rules.bytes_per_second > 0 || gated;
        replication
    }

    pub(crate) fn seed(&mut self, secret: [u8; 32]) {
        self.names = Names::new(secret);
    }

    /// The world was rebuilt: the values are the same, the handles are not.
    pub(crate) fn rebuilt(&mut self, game: &mut Game) {
        self.since = game.world.read_change_tick();
        self.watches.clear();
        for row in game.components.iter() {
            // Made now, with the world, and not in the first tick that looks for changes.
            let mut watch = Watch::default();
            if self.is_watched(row) {
                (row.changed)(&mut game.world, &mut watch, self.since, &mut |_| {});
            }
            self.watches.push(watch);
        }
        self.groups.values_mut().for_each(GroupState::make_room);
        self.known.values_mut().for_each(|known| known.rebuilt = true);
    }

    /// Whether changes of it matter to clients.
    fn is_watched(&self, row: &ComponentRow) -> bool {
        let says_who = row.says_who || self.any_says_who || self.place == Some(row.id);
        row.sent.is_some() || says_who
    }

    /// The room's rate is known, and does not change from here on.
    fn set_rate(&mut self, game: &Game) {
        let hz = game.world.resource::<Core>().setup.hz;
        let known = if game.rules.kind == Kind::Realtime { hz } else { 0 };
        (self.hz, self.codec_hz) = (Some(hz), known);
        self.budget = Budget::of(&game.rules, hz);
        self.ladder = match self.step {
            Some(step) => Ladder::with_step(known, step.get()),
            None => Ladder::of(known),
        };
        if self.learns.is_some() {
            self.learn();
        }
    }

    /// Does something with a codec and working memory.
    fn with_tools<R>(&mut self, act: impl FnOnce(&mut Self, &mut Tools) -> R) -> R {
        if let Some(mut own) = self.learns.take() {
            let result = act(self, &mut own);
            self.learns = Some(own);
            return result;
        }
        let template = Arc::clone(&self.template);
        let mut tools = template.lend_tools(self.codec_hz);
        act(self, &mut tools)
    }

    /// Takes in everything there is: after a load.
    pub(crate) fn collect_all(&mut self, game: &mut Game) {
        let core = game.world.resource::<Core>();
        self.dirty.push(Change::whole(ROOM));
        self.dirty.extend(core.index.keys().map(Change::whole));
        for (seat, state) in &core.seats {
            self.links.seats.entry(*seat).or_insert_with(|| SeatLine::since(core.tick));
            self.links.applied(*seat, state.last_action, core.tick);
        }
        self.since = game.world.change_tick();
    }

    /// Takes in what the tick changed. Says whether it spawned, despawned or sent an event.
    pub(crate) fn collect(&mut self, game: &mut Game) -> bool {
        let since = self.since;
        for (at, row) in game.components.iter().enumerate() {
            if !self.is_watched(row) {
                continue;
            }
            let (dirty, watch) = (&mut self.dirty, &mut self.watches[at]);
            let change = |id| match row.says_who {
                true => Change::whole(id),
                false => Change::value(id, at as u16),
            };
            if !row.resource {
                (row.changed)(&mut game.world, watch, since, &mut |id| dirty.push(change(id)));
                continue;
            }
            let entity = game.world.resource_entities().get(row.id);
            let entity = entity.expect("a registered resource is there");
            let (_, changed) = (row.ages)(game.world.entity(entity));
            if changed.is_newer_than(since, game.world.read_change_tick()) {
                dirty.push(change(ROOM));
            }
        }
        for row in game.components.iter().filter(|row| !row.resource) {
            for entity in game.world.removed_with_id(row.id) {
                let id = game.world.get::<NetId>(entity);
                self.dirty.extend(id.map(|id| Change::whole(id.0)));
            }
        }
        let gone = &mut game.world.resource_mut::<Core>().gone;
        let went = !gone.is_empty();
        self.dirty.extend(gone.drain(..).map(Change::whole));
        self.since = game.world.change_tick();
        // Here and not when a tick begins: what was removed between two ticks has not been looked at then.
        game.world.clear_trackers();
        let events = self.collect_events(game);
        events || went
    }

    /// Brings groups and links up to the tick and queues their frames.
    pub(crate) fn send(&mut self, game: &mut Game, outputs: &mut VecDeque<Output>) {
        if self.hz != Some(game.world.resource::<Core>().setup.hz) {
            self.set_rate(game);
        }
        self.with_tools(|replication, tools| replication.send_with(tools, game, outputs));
    }

    fn send_with(&mut self, tools: &mut Tools, game: &Game, outputs: &mut VecDeque<Output>) {
        let tick = game.world.resource::<Core>().tick;
        self.subscribe(game, &mut tools.work);
        // Blocks made between ticks, for late acknowledgements, tell of the send before.
        self.groups.values_mut().for_each(GroupState::forget_blocks);
        // As long as something sent may have to be told again.
        let again = if self.links.any_lossy() { self.ladder.ticks } else { 0 };
        self.aliases.settle(tick);
        self.update_groups(game, tick, &mut tools.work);
        self.queue_events(outputs);
        self.send_frames(tools, game, tick, outputs);
        let depth = u32::try_from(again).unwrap_or(u32::MAX);
        for group in self.groups.values_mut() {
            group.deepen(depth);
            group.sent(tick, again);
        }
        // One tick more: what went in the oldest tick from which something is told. Whether links lose
        // makes no difference: which names are drawn must follow from the room alone, so that they are
        // the same when it runs again.
        let waited = self.links.oldest_waiting().map_or(0, |has| tick.0.saturating_sub(has.0) + 1);
        self.names
            .sent(tick, waited.max(if self.ladder.ticks > 0 { self.ladder.ticks + 1 } else { 0 }));
        let behind = self.links.oldest_behind().map_or(0, |had| tick.0.saturating_sub(had.0));
        self.aliases.sent(tick, behind.max(again));
        let links = &self.links;
        self.groups.retain(|group, state| !state.is_empty() || links.knows(group));
    }

    /// Begins to learn what is likely.
    pub(crate) fn learn(&mut self) {
        let mut codec = Codec::new(self.template.schema(), self.codec_hz);
        codec.learn();
        self.learns = Some(Box::new(Tools::new(codec)));
    }

    /// Sets how many ticks lie between two rungs.
    pub(crate) fn set_step(&mut self, step: NonZeroU64) {
        (self.step, self.hz) = (Some(step), None);
    }

    /// Sets every how many ticks clients of a realtime room get a state.
    pub(crate) fn set_send_every(&mut self, ticks: NonZeroU64) {
        self.send_every = ticks.get();
    }

    /// What was seen since.
    pub(crate) fn learnt(&self) -> &[[u32; 2]] {
        self.learns.as_ref().map_or(&[], |tools| tools.codec.counts())
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

    /// Replaces the wire ids in what a client sent by the room's own. Its type has references.
    pub(crate) fn to_net_ids(&self, seat: Seat, payload: &mut Payload, types: &[TypeDef]) {
        let Some(def) = types.get(usize::from(payload.kind)) else { return };
        let Ok(mut words) = payload.to_words("action", types) else { return };
        let groups = self.links.groups_of(seat);
        let mut known = |id| {
            let find = |group: &Group| self.groups.find(*group)?.net_id(WireId(id));
            groups.iter().find_map(find).unwrap_or(0)
        };
        if map_references(&def.ty, &mut words, &mut known).is_ok() {
            *payload = Payload::from_words(payload.kind, &def.ty, &words);
        }
    }

    /// Works out which groups each seat's client sees.
    fn subscribe(&mut self, game: &Game, work: &mut Work) {
        let core = game.world.resource::<Core>();
        for (seat, state) in &core.seats {
            let groups = &mut work.wanted;
            groups.clear();
            groups.extend([Group::Everyone, Group::Player(*seat)]);
            groups.extend(game.world.get::<Team>(state.entity).map(|team| Group::Team(team.0)));
            if let Some(grid) = game.grid.as_ref().filter(|_| !core.setup.whole_map) {
                look_around(game, grid, state.entity, self.links.groups_of(*seat), groups);
            }
            if let Some(sees) = game.world.get::<Sees>(state.entity) {
                let seen = sees.0.iter().filter(|group| !matches!(group, Group::Player(_)));
                groups.extend(seen.take(SUBSCRIPTIONS_MAX - groups.len()));
            }
            groups.sort_unstable();
            groups.dedup();
            if self.links.subscribe(*seat, groups, core.tick) {
                // What only this player sees may have another name now.
                let own = self.groups.find(Group::Player(*seat));
                let members = own.into_iter().flat_map(GroupState::members);
                self.dirty.extend(members.map(Change::whole));
                self.resubscribed = true;
            }
            self.links.applied(*seat, state.last_action, core.tick);
        }
        if game.grid.is_some() {
            self.links.watch_first();
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

/// Adds the cells that a player sees, who saw these groups. Whose entity has no place goes on to see
/// what it saw.
fn look_around(game: &Game, grid: &Grid, entity: Entity, seen: &[Group], groups: &mut Vec<Group>) {
    match game.world.get_entity(entity).ok().and_then(|entity| grid.place(entity)) {
        Some(place) => grid.seen_from(place, seen, groups),
        None => groups.extend(seen.iter().filter(|group| matches!(group, Group::Cell(_)))),
    }
}
