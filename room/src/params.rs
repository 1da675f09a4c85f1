//! What systems take as parameters: actions, events, timers, time, and the room's own verbs.

use std::collections::VecDeque;
use std::time::Duration;

use bevy_ecs::prelude::*;
use bevy_ecs::system::SystemParam;
use referee_protocol::{Group, Kind, Tick};
use serde_json::Value;

use crate::alarms::Wall;
use crate::core::ticks;
use crate::field::{Action, Event, Field};

/// What time it is in the room.
#[derive(Resource, Clone, PartialEq, Debug)]
pub struct Time {
    /// The tick that runs. In a turn-based room: milliseconds since it was created.
    pub tick: Tick,
    /// Seconds since the tick before: one over the rate in a realtime room.
    pub delta: f32,
    /// The tick before.
    pub(crate) before: Tick,
    pub(crate) kind: Kind,
    pub(crate) hz: u16,
    pub(crate) public_seed: u64,
    pub(crate) wall: Wall,
}

impl Time {
    /// Ticks in a span of time, at least one.
    #[must_use]
    pub fn ticks(&self, span: Duration) -> u64 {
        ticks(self.kind, self.hz, span)
    }

    /// The tick that comes a span of time from now, at the earliest the next one.
    #[must_use]
    pub fn after(&self, span: Duration) -> Tick {
        Tick(self.tick.0.saturating_add(self.ticks(span)))
    }

    /// The wall clock's time at a tick, in milliseconds since 1970: as the room was told, and counted on.
    pub(crate) fn unix_ms(&self, at: Tick) -> u64 {
        let ticks = at.0.saturating_sub(self.wall.tick.0);
        let since_ms = match self.kind {
            Kind::TurnBased => ticks,
            Kind::Realtime => ticks.saturating_mul(1000) / u64::from(self.hz),
        };
        self.wall.unix_ms.saturating_add(since_ms)
    }

    /// Whether a new such span of the room's time has begun since the tick before: so every second, in
    /// its first tick.
    #[must_use]
    pub fn begins(&self, span: Duration) -> bool {
        let ticks = self.ticks(span);
        self.tick.0 / ticks > self.before.0 / ticks
    }

    /// Seconds the room has run: since it was created in a turn-based one.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        match self.kind {
            Kind::TurnBased => self.tick.0 as f64 / 1000.0,
            Kind::Realtime => self.tick.0 as f64 / f64::from(self.hz),
        }
    }
}

/// This tick's actions of one type.
#[derive(Resource)]
pub(crate) struct ActionQueue<T: Action>(pub(crate) Vec<(Entity, T)>);

/// The actions of one type that players did, in this tick: the player's entity and the action, in
/// order.
///
/// ```
/// # use referee_room::prelude::*;
/// # #[derive(Action)] struct Place { cell: u8 }
/// fn place(mut marks: Query<&mut Owner>, places: Actions<Place>) {
///     for (player, place) in &places {
///         println!("{player} wants cell {}", place.cell);
///     }
/// }
/// ```
#[derive(SystemParam)]
pub struct Actions<'w, T: Action> {
    queue: Res<'w, ActionQueue<T>>,
}

impl<T: Action> Actions<'_, T> {
    /// The player's entity and the action, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Entity, &T)> {
        self.queue.0.iter().map(|(player, action)| (*player, action))
    }

    /// Those of one player.
    pub fn of(&self, player: Entity) -> impl Iterator<Item = &T> {
        self.iter().filter(move |(who, _)| *who == player).map(|(_, action)| action)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.0.is_empty()
    }
}

impl<'a, T: Action> IntoIterator for &'a Actions<'_, T> {
    type Item = (Entity, &'a T);
    type IntoIter =
        std::iter::Map<std::slice::Iter<'a, (Entity, T)>, fn(&'a (Entity, T)) -> Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.queue.0.iter().map(|(player, action)| (*player, action))
    }
}

/// Who an event is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum To {
    Everyone,
    Player(Entity),
    Group(Group),
}

/// This tick's events of one type.
#[derive(Resource)]
pub(crate) struct Outbox<T: Event>(pub(crate) Vec<(To, T)>);

/// Sends one-shot events of one type to clients. They arrive with the first state of this tick or
/// later, never before; a player that is away gets them on its return.
#[derive(SystemParam)]
pub struct Events<'w, T: Event> {
    outbox: ResMut<'w, Outbox<T>>,
}

impl<T: Event> Events<'_, T> {
    /// To every client, spectators included.
    pub fn all(&mut self, event: T) {
        self.outbox.0.push((To::Everyone, event));
    }

    /// To one player, by its entity.
    pub fn player(&mut self, player: Entity, event: T) {
        self.outbox.0.push((To::Player(player), event));
    }

    /// To the members of a group.
    pub fn group(&mut self, group: Group, event: T) {
        self.outbox.0.push((To::Group(group), event));
    }
}

/// This tick's due timers or alarms of one type: a resource of its own, so that a system may read these and set
/// new ones.
#[derive(Resource)]
pub(crate) struct DueNow<T: Field>(pub(crate) Vec<T>);

/// Timers of one type that run.
#[derive(Resource)]
pub(crate) struct TimerQueue<T: Field> {
    /// Tick, number among all timers, value; sorted by both.
    pub(crate) waiting: VecDeque<(Tick, u64, T)>,
    /// New ones of this tick, with how many ticks from now.
    pub(crate) new: Vec<(u64, T)>,
}

/// Sets timers of one type. A timer is data: its value is kept, and read in its tick through
/// [`Due`].
#[derive(SystemParam)]
pub struct Timers<'w, T: Field> {
    queue: ResMut<'w, TimerQueue<T>>,
    time: Res<'w, Time>,
}

impl<T: Field> Timers<'_, T> {
    /// Makes `value` due after a span of time, at the earliest in the next tick.
    pub fn after(&mut self, span: Duration, value: T) {
        let ticks = self.time.ticks(span);
        self.queue.new.push((ticks, value));
    }

    /// Forgets every waiting timer for which `which` is true.
    pub fn cancel(&mut self, which: impl Fn(&T) -> bool) {
        self.queue.waiting.retain(|(_, _, value)| !which(value));
        self.queue.new.retain(|(_, value)| !which(value));
    }

    /// The waiting timers, soonest first, with how many ticks are left.
    pub fn waiting(&self) -> impl Iterator<Item = (u64, &T)> {
        let now = self.time.tick.0;
        self.queue.waiting.iter().map(move |(at, _, value)| (at.0.saturating_sub(now), value))
    }
}

/// The timers, or alarms, of one type that are due in this tick.
#[derive(SystemParam)]
pub struct Due<'w, T: Field> {
    due: Res<'w, DueNow<T>>,
}

impl<T: Field> Due<'_, T> {
    /// The values, in the order in which they were due.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.due.0.iter()
    }

    /// Whether none is due.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due.0.is_empty()
    }
}

impl<'a, T: Field> IntoIterator for &'a Due<'_, T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.due.0.iter()
    }
}

/// What systems ask of the room.
#[derive(Resource, Default)]
pub(crate) struct Rulings {
    pub(crate) kicks: Vec<(Entity, String)>,
    pub(crate) end: Option<String>,
    pub(crate) public: Option<bool>,
    pub(crate) started: bool,
    pub(crate) ended: bool,
}

/// The referee: what a game may decide about the room itself. Where a system only asks how far the match
/// is, and in `run_if`, it is [`Match`](crate::conditions::Match), `started` and `ended`.
#[derive(SystemParam)]
pub struct Referee<'w> {
    rulings: ResMut<'w, Rulings>,
}

impl Referee<'_> {
    /// Removes a player, by its entity, and tells it why.
    pub fn kick(&mut self, player: Entity, reason: impl Into<String>) {
        self.rulings.kicks.push((player, reason.into()));
    }

    /// Ends the match with a result. The room shows its result until the last client goes; the next
    /// visit starts afresh.
    pub fn end(&mut self, result: impl Into<Value>) {
        self.rulings.end = Some(result.into().to_string());
    }

    /// Lists the room in public, or no longer.
    pub fn list(&mut self, public: bool) {
        self.rulings.public = Some(public);
    }

    /// Whether the match has ended. Systems run on all the same: it is for the game to take no more
    /// moves.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.rulings.ended
    }

    /// Whether the minimum of players was there once, so that the match has started.
    #[must_use]
    pub fn started(&self) -> bool {
        self.rulings.started
    }
}
