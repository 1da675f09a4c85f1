//! The builder a game function fills: what the game is made of, in the order written.
//!
//! The function runs once at start-up to be checked, and once for each room and each rebuild. It
//! registers; it does not spawn (that is `on_start`'s).

use std::any::TypeId;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use bevy_ecs::component::{Component, Mutable};
use bevy_ecs::prelude::*;
use bevy_ecs::schedule::{IntoScheduleConfigs, SystemSet};
use bevy_ecs::system::ScheduleSystem;
use glam::Vec2;
use referee_protocol::limits::{SEATS_MAX, SPECTATORS_MAX};
use referee_protocol::schema::FieldType;
use referee_protocol::{Group, Kind, Schema, TypeDef};

use crate::alarms::{AlarmQueue, AlarmRow};
use crate::evolve::Migration;
use crate::field::{Action, Audience, Bearer, Event, Field, Hints, Input, Replicate};
use crate::grid::{Grid, SIGHT_MAX};
use crate::hooks::Hooks;
use crate::order;
use crate::params::{ActionQueue, DueNow, Outbox, TimerQueue};
use crate::registry::{ActionRow, ComponentRow, EventRow, InputRow, TimerRow, short_name};
use crate::reuse::put;
use crate::rows::Rows;
use crate::rules::{Asked, Rules, Sets};
pub use crate::rules::{Durability, LateJoin};
use crate::several::{ActionTypes, EventTypes, StateTypes};
use crate::types::{Attributes, InGroups, NetId, Owner, Player, Sees, Team};

mod occasions;

/// Keeps calls of [`Game::systems`] in the order written.
#[derive(SystemSet, Clone, PartialEq, Eq, Hash, Debug)]
struct Call(usize);

/// A game in the making. Every method gives the game back, so that calls can be chained.
pub struct Game {
    pub(crate) rules: Rules,
    pub(crate) grid: Option<Grid>,
    pub(crate) world: World,
    /// How many archetypes that world had before there was any state in it.
    pub(crate) archetypes: usize,
    pub(crate) schedule: Schedule,
    pub(crate) components: Rows<ComponentRow>,
    pub(crate) inputs: Rows<InputRow>,
    pub(crate) actions: Rows<ActionRow>,
    pub(crate) events: Rows<EventRow>,
    pub(crate) timers: Rows<TimerRow>,
    pub(crate) alarms: Rows<AlarmRow>,
    pub(crate) migrations: Vec<Migration>,
    pub(crate) hooks: Hooks,
    pub(crate) problems: Vec<String>,
    types: BTreeSet<TypeId>,
    /// The full names of types whose registration failed: their faults are told already.
    pub(crate) failed: Vec<&'static str>,
    calls: usize,
    sent: u16,
}

impl Game {
    /// One that has nothing registered, around an empty world.
    pub(crate) fn new() -> Self {
        Self {
            rules: Rules::default(),
            grid: None,
            world: World::new(),
            archetypes: 0,
            schedule: Schedule::default(),
            components: Rows::default(),
            inputs: Rows::default(),
            actions: Rows::default(),
            events: Rows::default(),
            timers: Rows::default(),
            alarms: Rows::default(),
            migrations: Vec::new(),
            hooks: Hooks::default(),
            problems: Vec::new(),
            types: BTreeSet::new(),
            failed: Vec::new(),
            calls: 0,
            sent: 0,
        }
    }

    /// Forgets what was registered, systems and hooks among it; the world stays as it is.
    pub(crate) fn forget(&mut self) {
        (self.rules, self.grid) = (Rules::default(), None);
        (self.schedule, self.hooks) = (Schedule::default(), Hooks::default());
        self.components.clear();
        self.inputs.clear();
        self.actions.clear();
        self.events.clear();
        self.timers.clear();
        self.alarms.clear();
        self.migrations.clear();
        self.problems.clear();
        self.types.clear();
        self.failed.clear();
        (self.calls, self.sent) = (0, 0);
    }

    /// What every game has.
    pub(crate) fn register_own(&mut self) {
        self.world.register_component::<NetId>();
        self.replicate::<Player>();
        self.keep::<Attributes>().keep::<Owner>().keep::<Team>().keep::<InGroups>().keep::<Sees>();
    }

    /// The room ticks `hz` times a second (1 to 240).
    pub fn realtime(&mut self, hz: u16) -> &mut Self {
        if !(1..=240).contains(&hz) {
            self.problems.push(format!("realtime({hz}): a room ticks 1 to 240 times a second"));
        }
        self.rules.kind = Kind::Realtime;
        (self.rules.hz, self.rules.rate) = (hz.max(1), hz..=hz);
        self
    }

    /// The rates that `on_create` may choose from, in ticks per second.
    pub fn rate(&mut self, hz: RangeInclusive<u16>) -> &mut Self {
        if !hz.contains(&self.rules.hz) || *hz.start() == 0 || *hz.end() > 240 {
            let given = self.rules.hz;
            self.problems.push(format!(
                "rate({hz:?}) must lie within 1..=240 and contain the rate of realtime({given})"
            ));
        }
        self.rules.rate = hz;
        self
    }

    /// The room ticks only when something happens or is due. A tick is a millisecond since the room
    /// was created. This is the default.
    pub fn turn_based(&mut self) -> &mut Self {
        self.rules.kind = Kind::TurnBased;
        self
    }

    /// The fewest players with whom a match starts, and the most it seats (up to 4,096). Without:
    /// 0 to 64.
    pub fn players(&mut self, range: RangeInclusive<u16>) -> &mut Self {
        if range.is_empty() || *range.end() == 0 || *range.end() > SEATS_MAX {
            self.problems.push(format!(
                "players({range:?}): the most must be at least the fewest, and 1 to {SEATS_MAX}"
            ));
        }
        self.rules.seats = *range.end();
        self.rules.players = range;
        self
    }

    /// The most players; short for `players(0..=most)`.
    pub fn max_players(&mut self, most: u16) -> &mut Self {
        self.players(0..=most)
    }

    /// How many seats a room has unless `on_create` says otherwise, within [`Game::players`].
    pub fn seats(&mut self, seats: u16) -> &mut Self {
        if !self.rules.players.contains(&seats) || seats == 0 {
            let players = &self.rules.players;
            self.problems.push(format!("seats({seats}) does not lie within players({players:?})"));
        }
        self.rules.seats = seats;
        self
    }

    /// The first visitor may ask for a whole number by this name, in its `params`: `on_create` finds it by
    /// [`Params::asked`](crate::hooks::Params::asked). A number beyond the range, or what is none, is
    /// refused by name before anything runs.
    pub fn param(&mut self, name: &'static str, allowed: RangeInclusive<u16>) -> &mut Self {
        self.ask(name, allowed, Sets::Nothing)
    }

    /// The first visitor may ask by this name for so many seats. Without, the room has the most of
    /// them, or as [`Game::seats`] says, called after this.
    pub fn seats_param(&mut self, name: &'static str, allowed: RangeInclusive<u16>) -> &mut Self {
        let fewest = *self.rules.players.start();
        if *allowed.start() < fewest.max(1) {
            self.problems.push(format!(
                "seats_param({allowed:?}): a room has at least 1 seat, and as many as the fewest \
                 players, {fewest}"
            ));
        }
        self.players(fewest..=*allowed.end()).ask(name, allowed, Sets::Seats)
    }

    /// The first visitor may ask by this name for so many ticks a second. Without, the room has the
    /// rate of [`Game::realtime`], called before this.
    pub fn rate_param(&mut self, name: &'static str, allowed: RangeInclusive<u16>) -> &mut Self {
        if self.rules.kind != Kind::Realtime {
            self.problems.push(format!("rate_param({name:?}): call .realtime(..) before"));
        }
        self.rate(allowed.clone()).ask(name, allowed, Sets::Rate)
    }

    fn ask(&mut self, name: &'static str, allowed: RangeInclusive<u16>, sets: Sets) -> &mut Self {
        if allowed.is_empty() {
            self.problems.push(format!("param {name}: the range {allowed:?} is empty"));
        }
        self.rules.asked.push(Asked { name, allowed, sets });
        self
    }

    /// Visitors beyond the seats may watch, up to so many (at most 4,096).
    pub fn spectators(&mut self, most: u16) -> &mut Self {
        self.rules.spectators = most.min(SPECTATORS_MAX);
        self
    }

    /// What happens to a visitor who comes when the match has started. Without: it gets a seat.
    pub fn late_join(&mut self, policy: LateJoin) -> &mut Self {
        self.rules.late_join = policy;
        self
    }

    /// How long the seat of a player whose connection is gone is held, while the room is loaded.
    /// Without: 30 seconds.
    pub fn grace(&mut self, span: Duration) -> &mut Self {
        self.rules.grace = span;
        self
    }

    /// Seats are held until the game frees them by `kick`: a match by mail.
    pub fn keep_seats(&mut self) -> &mut Self {
        self.rules.keep_seats = true;
        self
    }

    /// Each player hears only of what is near: of entities whose `place`, in units from the map's
    /// corner, is within `sight` of its own entity's, along either axis, and a little more. Entities
    /// without a place, and types that say `to = everyone`, are seen by all. `cell` is the edge of the
    /// cells that the map is cut into: half of the sight is a good size, and at least two fifths.
    /// Whoever only watches sees what the first player sees. A room can do without:
    /// [`Game::whole_map`], [`Setup::whole_map`](crate::core::Setup::whole_map).
    pub fn grid<C: Component>(
        &mut self,
        place: fn(&C) -> Vec2,
        cell: f32,
        sight: f32,
    ) -> &mut Self {
        if !(cell > 0.0 && sight >= 0.0 && sight <= cell * SIGHT_MAX) {
            self.problems.push(format!(
                "grid: cells of {cell} and a sight of {sight}; a sight of 0 to {SIGHT_MAX} cells, and \
                 cells larger than 0, are possible"
            ));
        }
        self.grid = Some(Grid::new(place, cell, sight));
        self
    }

    /// In a game with a grid: rooms with at most so many seats do without it, and show the whole map to
    /// all.
    pub fn whole_map(&mut self, seats: u16) -> &mut Self {
        self.rules.whole_map = seats;
        self
    }

    /// In a realtime game: clients hear of changes of this type in every so many ticks only, all of them
    /// in the same ones, and then of the newest. That a thing has come or gone they hear at once.
    pub fn every<C: Replicate>(&mut self, ticks: u16) -> &mut Self {
        let name = short_name::<C>();
        let ticks = self.checked("every", ticks);
        match self.components.iter_mut().find(|row| row.name == name && row.sent.is_some()) {
            Some(row) => row.every = ticks,
            None => self.problems.push(format!(
                "every::<{name}>: no such type is sent; call .replicate::<{name}>() before"
            )),
        }
        self
    }

    /// In a realtime game that is [`Game::logged`]: clients hear of values of this type, or of events of
    /// it, only once they are on disk, so that no crash takes back what a player has seen of them: what
    /// was won, or bought. They see the newest such value, with all else as it is now. That a thing
    /// comes or goes they hear at once. A turn-based game is [`Game::gated`] as a whole, which costs it
    /// nothing.
    pub fn gate<T: Field>(&mut self) -> &mut Self {
        let name = short_name::<T>();
        let values = self.components.iter_mut().filter(|row| row.sent.is_some());
        let values = values.map(|row| (&row.name, &mut row.gated));
        let events = self.events.iter_mut().map(|row| (&row.name, &mut row.gated));
        match values.chain(events).find(|(of, _)| **of == name) {
            Some((_, gated)) => *gated = true,
            None => self.problems.push(format!(
                "gate::<{name}>: no such type is sent; call .replicate::<{name}>() or \
                 .event::<{name}>() before"
            )),
        }
        self
    }

    /// In a realtime game with a grid: clients hear in every so many ticks only how what is near has
    /// changed. That a thing has come into sight or gone out of it they hear at once.
    pub fn grid_every(&mut self, ticks: u16) -> &mut Self {
        self.rules.grid_every = self.checked("grid_every", ticks);
        self
    }

    fn checked(&mut self, call: &str, ticks: u16) -> u16 {
        if ticks == 0 {
            self.problems.push(format!("{call}: 0 ticks; 1 or more are possible"));
        }
        ticks.max(1)
    }

    /// A client gets about so many bytes of state in a second at most. What does not fit waits: what
    /// one group shows (everyone, a cell of the grid, a team, a player) goes as a whole or not at all,
    /// what has waited longest goes first, and then it is told as it is by then. Events do not count.
    pub fn bytes_per_second(&mut self, bytes: u32) -> &mut Self {
        self.rules.bytes_per_second = bytes;
        self
    }

    /// With [`Game::bytes_per_second`]: how urgent it is what a group shows. What is three times as
    /// urgent (3 to another's 1) counts as if it had waited three times as long. Nothing waits for
    /// good, and 0 is as 1.
    pub fn urgency(&mut self, of: fn(Group) -> u16) -> &mut Self {
        self.rules.urgency = of;
        self
    }

    /// What is likely in this game's state, learnt from matches: `referee_loadtest::train` (for the examples
    /// `cargo xtask train`) writes it to a file that the game includes by `include_bytes!`. It makes what is sent smaller and changes
    /// nothing else. Tables that were made for other types than the game has now are left out.
    pub fn tables(&mut self, tables: &'static [u8]) -> &mut Self {
        self.rules.tables = tables;
        self
    }

    /// Nobody sees what came of an act before the act is on disk: a move that was shown is never taken
    /// back, not even by a crash. It costs each act the time of a write.
    pub fn gated(&mut self) -> &mut Self {
        self.rules.durability = Durability::Gated;
        self
    }

    /// Acts are on disk a moment (20 ms) after they are seen: a crash takes the match back by that
    /// much. This is the default.
    pub fn logged(&mut self) -> &mut Self {
        self.rules.durability = Durability::Logged;
        self
    }

    /// Only snapshots are on disk: a crash takes the match back by a second or more. For what is worth
    /// less than the writing.
    pub fn ephemeral(&mut self) -> &mut Self {
        self.rules.durability = Durability::Ephemeral;
        self
    }

    /// A player who does nothing for so long loses the seat.
    pub fn idle_limit(&mut self, span: Duration) -> &mut Self {
        self.rules.idle = Some(span);
        self
    }

    /// After how many ticks that ran the room rebuilds itself from its own snapshot (1 or more), which
    /// is then saved. Without: 128 in a turn-based game, 60 in a realtime one. Part of the game:
    /// changing it changes what a stored match replays to.
    pub fn snapshot_ticks(&mut self, ticks: u64) -> &mut Self {
        self.rules.snapshot_ticks = Some(ticks.max(1));
        self
    }

    /// State that is kept and sent: a component, or a resource, whose default is put in. Several in one
    /// call as a tuple: `replicate::<(Position, Ship, Round)>()`.
    pub fn replicate<T: StateTypes>(&mut self) -> &mut Self {
        T::replicate(self);
        self
    }

    /// State that is kept and never sent: a component, or a resource, whose default is put in. Several
    /// in one call as a tuple.
    pub fn keep<T: StateTypes>(&mut self) -> &mut Self {
        T::keep(self);
        self
    }

    /// What a resource holds in a new room, where that is not its default, or it has none. Comes before
    /// it is registered.
    ///
    /// ```
    /// # use referee_room::prelude::*;
    /// #[derive(Resource, Replicate)]
    /// struct Lives(u8);
    ///
    /// fn game(game: &mut Game) {
    ///     game.begin_with(Lives(3)).replicate::<Lives>();
    /// }
    /// # referee_room::testkit::TestRoom::new(game);
    /// ```
    pub fn begin_with(&mut self, resource: impl Resource) -> &mut Self {
        put(&mut self.world, resource);
        self
    }

    pub(crate) fn replicate_type<C: Replicate + Component<Mutability = Mutable>>(&mut self) {
        let number = self.sent;
        if let Some(row) = self.register::<C>() {
            row.sent = Some(number);
            self.sent += 1;
        }
    }

    pub(crate) fn keep_type<C: Replicate + Component<Mutability = Mutable>>(&mut self) {
        self.register::<C>();
    }

    fn register<C: Replicate + Component<Mutability = Mutable>>(
        &mut self,
    ) -> Option<&mut ComponentRow> {
        let shape = self.shape_of::<C>("replicate or keep")?;
        let hooks = [C::on_add(), C::on_insert(), C::on_discard(), C::on_remove(), C::on_despawn()];
        if hooks.iter().any(Option::is_some) {
            self.problems.push(format!(
                "{}: it has hooks of its own, which would run again at every rebuild; use an \
                 observer or a system",
                short_name::<C>()
            ));
        }
        let id = self.world.register_component::<C>();
        let resource = match C::bearer() {
            Bearer::Resource(default) => {
                if !self.world.contains_resource_by_id(id) {
                    default(&mut self.world);
                }
                true
            }
            Bearer::Component => {
                // Comes in the same archetype move as the component.
                let _ = self.world.try_register_required_components::<C, NetId>();
                false
            }
            Bearer::ResourceWithoutDefault if self.world.contains_resource_by_id(id) => true,
            Bearer::ResourceWithoutDefault => {
                self.problems.push(format!(
                    "{}: a resource needs something to start with; add #[derive(Default)], or call \
                     .begin_with(..) before",
                    short_name::<C>()
                ));
                self.failed.push(std::any::type_name::<C>());
                return None;
            }
        };
        if resource && matches!(C::audience(), Audience::Owner | Audience::Team) {
            self.problems.push(format!(
                "{}: a resource has no owner and no team, so nobody would see it; make it a component of \
                 what has one, or let it say #[replicate(to = everyone)]",
                short_name::<C>()
            ));
        }
        self.components.push(ComponentRow::of::<C>(id, shape, resource));
        self.components.last_mut()
    }

    /// A sampled input: a stick. It stands as a component on each player's entity, with its default
    /// from the join on.
    pub fn input<T: Input>(&mut self) -> &mut Self {
        let Some(shape) = self.shape_of::<T>("input") else { return self };
        let id = self.world.register_component::<T>();
        let _ = self.world.try_register_required_components::<T, NetId>();
        self.components.push(ComponentRow::plain::<T>(id, shape.clone(), false));
        self.inputs.push(InputRow::of::<T>(shape));
        self
    }

    /// An act of a player, read through `Actions<T>`. Several in one call as a tuple.
    pub fn action<T: ActionTypes>(&mut self) -> &mut Self {
        T::register(self);
        self
    }

    pub(crate) fn action_type<T: Action>(&mut self) {
        if let Some(shape) = self.shape_of::<T>("action") {
            put(&mut self.world, ActionQueue::<T>(Vec::new()));
            self.actions.push(ActionRow::of::<T>(shape));
        }
    }

    /// A one-shot event, sent through `Events<T>`. Several in one call as a tuple.
    pub fn event<T: EventTypes>(&mut self) -> &mut Self {
        T::register(self);
        self
    }

    pub(crate) fn event_type<T: Event>(&mut self) {
        if let Some(shape) = self.shape_of::<T>("event") {
            put(&mut self.world, Outbox::<T>(Vec::new()));
            self.events.push(EventRow::of::<T>(shape));
        }
    }

    /// A type of timer, set through `Timers<T>` and read through `Due<T>`. Any type with
    /// `#[derive(Replicate)]`.
    pub fn timer<T: Field>(&mut self) -> &mut Self {
        if self.shape_of::<T>("timer").is_some() {
            let (waiting, new) = Default::default();
            put(&mut self.world, TimerQueue::<T> { waiting, new });
            put(&mut self.world, DueNow::<T>(Vec::new()));
            self.timers.push(TimerRow::of::<T>());
        }
        self
    }

    /// A type of alarm, a timer by the wall clock that wakes the room: set through
    /// [`Alarms<T>`](crate::alarms::Alarms) and read through `Due<T>`. Any type with
    /// `#[derive(Replicate)]`.
    pub fn alarm<T: Field>(&mut self) -> &mut Self {
        if self.shape_of::<T>("alarm").is_some() {
            put(&mut self.world, AlarmQueue::<T>::default());
            put(&mut self.world, DueNow::<T>(Vec::new()));
            self.alarms.push(AlarmRow::of::<T>());
        }
        self
    }

    fn shape_of<T: Field>(&mut self, call: &str) -> Option<FieldType> {
        let name = short_name::<T>();
        if !self.types.insert(TypeId::of::<T>()) {
            self.problems.push(format!("{name}: it is registered twice; remove one {call}"));
            return None;
        }
        let shape = T::shape(&Hints::default()).and_then(|ty| ty.check().map(|()| ty));
        shape
            .map_err(|problem| {
                self.failed.push(std::any::type_name::<T>());
                self.problems.push(format!("{name}: {problem}"));
            })
            .ok()
    }

    /// Systems, in the order written, call after call: functions, closures, tuples of them and of such
    /// tuples; with `.run_if(..)` on each and on tuples, see [`crate::conditions`].
    pub fn systems<M>(
        &mut self,
        systems: impl IntoScheduleConfigs<ScheduleSystem, M>,
    ) -> &mut Self {
        let systems = order::chained(systems.into_configs());
        self.schedule.add_systems(systems.in_set(Call(self.calls)));
        if self.calls > 0 {
            self.schedule.configure_sets(Call(self.calls).after(Call(self.calls - 1)));
        }
        self.calls += 1;
        self
    }

    /// What clients must know of the game.
    pub(crate) fn schema(&self) -> Schema {
        let def = |name: &String, ty: &FieldType, resource| TypeDef {
            name: name.clone(),
            resource,
            ty: ty.clone(),
            moves_by: None,
            rarely: false,
        };
        let number = |name: &String| {
            let row = self.components.iter().find(|row| row.name == *name && !row.resource);
            row.and_then(|row| row.sent)
        };
        let component = |row: &ComponentRow| TypeDef {
            moves_by: row.moves_by.as_ref().and_then(number),
            rarely: row.rarely,
            ..def(&row.name, &row.shape, row.resource)
        };
        let sent = self.components.iter().filter(|row| row.sent.is_some());
        Schema {
            kind: self.rules.kind,
            components: sent.map(component).collect(),
            inputs: self.inputs.iter().map(|row| def(&row.name, &row.shape, false)).collect(),
            actions: self.actions.iter().map(|row| def(&row.name, &row.shape, false)).collect(),
            events: self.events.iter().map(|row| def(&row.name, &row.shape, false)).collect(),
            tables: self.rules.tables.to_vec(),
        }
    }
}
