//! Alarms: timers by the wall clock. They come due while the room is not loaded, too, and wake it.
//!
//! The room has no clock of its own. [`Entry::Alarm`](crate::Entry::Alarm) tells it what time it is, and
//! what is due by then comes due in that tick: in order, at most [`ALARMS_PER_TICK_MAX`] at once, and the
//! rest with the next such entry. Between two of them the room counts on by its ticks, from the time that it
//! was told when it was created or loaded. So a replay needs no clock either.

use std::any::TypeId;
use std::collections::VecDeque;
use std::time::Duration;

use bevy_ecs::prelude::*;
use bevy_ecs::system::SystemParam;
use referee_protocol::Tick;
use referee_protocol::limits::ALARMS_PER_TICK_MAX;

use crate::entry::Lost;
use crate::field::{Field, LoadError, Loader, Saver};
use crate::layout::Layout;
use crate::params::{DueNow, Time};
use crate::registry::short_name;
use crate::room::Room;
use crate::rows::Row;

/// What the wall clock said last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Wall {
    /// Milliseconds since 1970.
    pub(crate) unix_ms: u64,
    /// In this tick.
    pub(crate) tick: Tick,
}

/// Alarms of one type that wait.
#[derive(Resource)]
pub(crate) struct AlarmQueue<T: Field> {
    /// When, the number among all timers and alarms, value; sorted by both.
    waiting: VecDeque<(u64, u64, T)>,
    /// New ones of this tick.
    new: Vec<(u64, T)>,
}

impl<T: Field> Default for AlarmQueue<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), new: Vec::new() }
    }
}

/// Sets alarms of one type: timers by the wall clock, registered by `game.alarm::<T>()`. When one is due, its
/// value is read in that tick through [`Due`](crate::params::Due), like a timer's.
///
/// Alarms outlive a restart, and wake a room that nobody is in. None is lost that is on disk, as the act that
/// set it is. Each comes due in its order: at most 64 in a tick, the others in the ticks after it; those that
/// came due while no server ran, as soon as one does. After a crash one may come due once more, if what it led
/// to is lost as well. They go with their match.
///
/// ```
/// use referee_room::prelude::*;
///
/// /// Whoever does not move for two days has lost.
/// #[derive(Replicate)]
/// struct Deadline { of: Seat }
///
/// fn moved(moves: Actions<Move>, players: Query<&Player>, mut alarms: Alarms<Deadline>) {
///     for (player, _) in &moves {
///         alarms.cancel(|_| true);
///         for other in players.iter().filter(|other| other.entity != player) {
///             alarms.after(Duration::from_secs(2 * 24 * 60 * 60), Deadline { of: other.seat });
///         }
///     }
/// }
///
/// fn overdue(deadlines: Due<Deadline>, mut referee: Referee) {
///     for deadline in &deadlines {
///         referee.end(json!({ "lost": deadline.of.0 }));
///     }
/// }
/// # #[derive(Action)] struct Move;
/// # use referee_room::testkit::TestRoom;
///
/// let mut room = TestRoom::new(|game: &mut Game| {
///     game.turn_based().keep_seats().action::<Move>().alarm::<Deadline>();
///     game.systems((moved, overdue));
/// });
/// let (ann, bob) = (room.join("Ann"), room.join("Bob"));
/// room.act(ann, Move);
/// room.restart_after(Duration::from_secs(3 * 24 * 60 * 60));
/// assert_eq!(room.room().info().ended, Some(r#"{"lost":1}"#.to_owned()));
/// ```
#[derive(SystemParam)]
pub struct Alarms<'w, T: Field> {
    queue: ResMut<'w, AlarmQueue<T>>,
    time: Res<'w, Time>,
}

impl<T: Field> Alarms<'_, T> {
    /// What time it is by the wall clock, in milliseconds since 1970: as the room was told, and counted on
    /// by its ticks.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.time.unix_ms(self.time.tick)
    }

    /// Makes `value` due at this time of the wall clock, in milliseconds since 1970. What lies in the past
    /// is due in a millisecond.
    pub fn at(&mut self, unix_ms: u64, value: T) {
        // So an alarm that sets itself again does not keep its room running.
        let soonest = self.now().saturating_add(1);
        self.queue.new.push((unix_ms.max(soonest), value));
    }

    /// Makes `value` due after a span of time, whether the room is loaded meanwhile or not.
    pub fn after(&mut self, span: Duration, value: T) {
        let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.at(self.now().saturating_add(span_ms), value);
    }

    /// Forgets every waiting alarm for which `which` is true.
    pub fn cancel(&mut self, which: impl Fn(&T) -> bool) {
        self.queue.waiting.retain(|(_, _, value)| !which(value));
        self.queue.new.retain(|(_, value)| !which(value));
    }

    /// The waiting alarms, soonest first, with the time at which each is due.
    pub fn waiting(&self) -> impl Iterator<Item = (u64, &T)> {
        self.queue.waiting.iter().map(|(at, _, value)| (*at, value))
    }
}

/// A registered type of alarm.
#[derive(Clone)]
pub(crate) struct AlarmRow {
    of: TypeId,
    pub(crate) name: String,
    pub(crate) layout: fn() -> Layout,
    /// When the next one is due, and its number.
    next: fn(&World) -> Option<(u64, u64)>,
    /// Takes the next one out, and makes it readable through `Due`, unless it is not to be.
    fire: fn(&mut World, Told),
    /// What was due in the tick before is not any more.
    clear: fn(&mut World),
    /// Takes in this tick's new ones; the number counts all timers and alarms of the room.
    arm: fn(&mut World, &mut u64),
    pub(crate) save: fn(&World, &mut Saver<'_>),
    pub(crate) load: fn(&mut World, &mut Loader<'_>) -> Result<(), LoadError>,
}

impl Row for AlarmRow {
    fn is_same(&self, other: &Self) -> bool {
        self.of == other.of
    }
}

/// Whether systems hear of an alarm.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Yes,
    No,
}

impl AlarmRow {
    pub(crate) fn of<T: Field>() -> Self {
        Self {
            of: TypeId::of::<T>(),
            name: short_name::<T>(),
            layout: T::layout,
            next: |world| {
                let first = world.resource::<AlarmQueue<T>>().waiting.front();
                first.map(|(at, number, _)| (*at, *number))
            },
            fire: |world, told| {
                let first = world.resource_mut::<AlarmQueue<T>>().waiting.pop_front();
                if let (Some((_, _, value)), Told::Yes) = (first, told) {
                    world.resource_mut::<DueNow<T>>().0.push(value);
                }
            },
            clear: |world| {
                if !world.resource::<DueNow<T>>().0.is_empty() {
                    world.resource_mut::<DueNow<T>>().0.clear();
                }
            },
            arm: |world, number| {
                if world.resource::<AlarmQueue<T>>().new.is_empty() {
                    return;
                }
                let mut queue = world.resource_mut::<AlarmQueue<T>>();
                for (at, value) in std::mem::take(&mut queue.new) {
                    *number += 1;
                    let place = queue.waiting.partition_point(|(t, n, _)| (*t, *n) < (at, *number));
                    queue.waiting.insert(place, (at, *number, value));
                }
            },
            save: |world, out| {
                let queue = world.resource::<AlarmQueue<T>>();
                out.varint(queue.waiting.len() as u64);
                for (at, number, value) in &queue.waiting {
                    out.varint(*at);
                    out.varint(*number);
                    value.save(out);
                }
            },
            load: |world, from| {
                let count = from.count()?;
                let mut queue = world.resource_mut::<AlarmQueue<T>>();
                for _ in 0..count {
                    let (at, number) = (from.varint()?, from.varint()?);
                    queue.waiting.push_back((at, number, T::load(from)?));
                }
                Ok(())
            },
        }
    }
}

impl Room {
    /// When the next alarm is due, in milliseconds since 1970. Then an [`Entry::Alarm`](crate::Entry::Alarm)
    /// is to tell the room the time; again, for as long as what this gives is past.
    #[must_use]
    pub fn next_alarm(&self) -> Option<u64> {
        let next = self.game.alarms.iter().filter_map(|row| (row.next)(&self.game.world));
        next.min().map(|(at, _)| at)
    }

    /// What time the room takes it to be at a tick, in milliseconds since 1970: as it was told last, and
    /// counted on. Where the wall clock says something else, somebody has set it, and an
    /// [`Entry::Alarm`](crate::Entry::Alarm) is to tell the room.
    #[must_use]
    pub fn unix_ms(&self, at: Tick) -> u64 {
        self.game.world.resource::<Time>().unix_ms(at)
    }

    /// The room is told the time: what is due by then is due in this tick, as far as there is room for it.
    /// Of what is lost no system hears.
    pub(crate) fn ring(&mut self, unix_ms: u64, lost: Lost) {
        let (world, alarms) = (&mut self.game.world, &self.game.alarms);
        let tick = world.resource::<Time>().tick;
        world.resource_mut::<Time>().wall = Wall { unix_ms, tick };
        for nth in 1..=ALARMS_PER_TICK_MAX as u16 {
            let next = alarms.iter().filter_map(|row| Some(((row.next)(world)?, row)));
            let due = next.filter(|((at, _), _)| *at <= unix_ms);
            let Some((_, row)) = due.min_by_key(|(when, _)| *when) else { return };
            let told =
                if lost == Lost::All || lost == Lost::One(nth) { Told::No } else { Told::Yes };
            (row.fire)(world, told);
            self.counters.alarms += 1;
            if lost == Lost::One(nth) {
                return;
            }
        }
    }

    /// What came due in the tick before has been.
    pub(crate) fn clear_alarms(&mut self) {
        let world = &mut self.game.world;
        self.game.alarms.iter().for_each(|row| (row.clear)(world));
    }

    /// Takes in new alarms. A room that has any is worth keeping: somebody counts on them.
    pub(crate) fn arm_alarms(&mut self) {
        let before = self.core().next_timer;
        let (world, mut number) = (&mut self.game.world, before);
        self.game.alarms.iter().for_each(|row| (row.arm)(world, &mut number));
        if number != before {
            let mut core = self.core_mut();
            (core.next_timer, core.lasting) = (number, true);
        }
    }
}
