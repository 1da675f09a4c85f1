//! A loaded room with its clients: entries in, outputs out, panics caught. Knows no socket and
//! waits for nothing; [`super::actor`] gives it its time.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use referee_protocol::{Code, Incarnation, LinkId, Refusal, SessionId, Tick};
use referee_room::room::{Counters, NextTick, Room};
use referee_room::{Durability, Entry, Template, panic_text};
use tokio::sync::oneshot;

use super::clock::{AS_IT_IS, Clock};
use super::committed::{Committed, Signals};
use super::connection::Connection;
use super::load::{self, Cost, Meter};
use super::pulse::Pulse;
use super::{House, unix_ms};
use crate::directory::Directory;
use crate::http::{RoomListing, RoomReply};
use crate::key::RoomKey;

mod alarms;
mod clients;
mod keep;
pub(crate) mod migrate;
mod outputs;
mod park;
mod past;
#[cfg(test)]
mod tests;

use keep::Keep;
pub(crate) use keep::{Remains, line};

/// A second panic within this ends a room for good.
pub(super) const PANICS_APART: Duration = Duration::from_secs(60);

/// How long a room may go on ticking before others get their turn, in milliseconds.
const TURN_MS: u64 = 5;

/// What an entry counts for in a room's inbox beside its payload, in bytes.
const ENTRY_BYTES: usize = 64;

/// When a room wants its next turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// After the others.
    Soon,
    /// At this instant.
    At(Instant),
    /// After the next entry.
    Never,
}

/// Where the answer to a request goes.
pub(crate) type Answer = oneshot::Sender<Result<RoomReply, Refusal>>;

/// A room with its clients.
pub(crate) struct Live {
    pub(crate) house: Arc<House>,
    pub(crate) key: RoomKey,
    pub(crate) template: Arc<Template>,
    room: Room,
    clock: Clock,
    incarnation: Incarnation,
    keep: Keep,
    connections: BTreeMap<LinkId, Box<Connection>>,
    sessions: BTreeMap<SessionId, LinkId>,
    signals: Arc<Signals>,
    requests: BTreeMap<u64, Answer>,
    last_request: u64,
    /// Ticks run since the room was loaded.
    ticks: u64,
    /// What of the room's own counters is in the metrics.
    counted: Counters,
    /// Bytes of entries since the last tick.
    inbox: usize,
    /// A client waits for the next tick before it may say more.
    paused: bool,
    /// The last client went by its own wish, so that none is awaited back.
    left: bool,
    quiet_since: Instant,
    /// When the last tick ran, or the room was last found to have something to do.
    idle_since: Instant,
    ended: bool,
    /// A tick has run since the directory and the clients were told of the room as a whole.
    unannounced: bool,
    failed: bool,
    /// When the room panicked last, in this life or in one before.
    panicked: Option<Instant>,
    /// What the room is to be made from again after a panic.
    remains: Option<Remains>,
    /// Something happened after which the room's next turn may be due earlier.
    stirred: bool,
    /// The room is told the time with its next tick.
    told_time: bool,
    /// What it costs its thread.
    meter: Meter,
    /// Clients get a state every so many ticks, as the thread wishes.
    sends_every: u8,
    presence: Presence,
}

/// That a room is in memory, and how it is listed: both end with this.
struct Presence {
    house: Arc<House>,
    key: RoomKey,
    listing: Option<RoomListing>,
    /// Of the thread that has the room.
    pulse: Arc<Pulse>,
    /// It is slowed.
    slow: bool,
}

impl Presence {
    fn set_slow(&mut self, slow: bool) {
        match (std::mem::replace(&mut self.slow, slow), slow) {
            (false, true) => self.house.metrics.rooms_slowed.up(),
            (true, false) => self.house.metrics.rooms_slowed.down(),
            _ => {}
        }
    }
}

/// What a room is made of, once it is loaded.
pub(crate) struct Parts {
    pub(crate) house: Arc<House>,
    pub(crate) key: RoomKey,
    pub(crate) template: Arc<Template>,
    pub(crate) room: Room,
    pub(crate) incarnation: Incarnation,
    /// What it would take to make the room again.
    pub(crate) remains: Remains,
    /// When it panicked last.
    pub(crate) panicked: Option<Instant>,
    pub(crate) signals: Arc<Signals>,
    /// Gives it its turn from another thread.
    pub(crate) committed: Arc<Committed>,
    /// Of the thread that has it.
    pub(crate) pulse: Arc<Pulse>,
}

impl Live {
    pub(crate) fn new(mut parts: Parts) -> Box<Self> {
        let (now, info) = (Instant::now(), parts.room.info());
        let clock = match info.hz {
            Some(hz) => Clock::realtime(hz, info.tick, now),
            None => {
                // A wall clock that was set back does not turn the room's time back.
                let age = unix_ms().saturating_sub(parts.remains.created_unix_ms).max(info.tick.0);
                Clock::turns(Duration::from_millis(age), now)
            }
        };
        let (incarnation, acknowledged) = (parts.incarnation, parts.remains.acknowledged.take());
        let mut live = Box::new(Self::with(parts, clock, now, info.lasting));
        live.journal();
        live.enter(Entry::Begin { incarnation }, 0);
        live.begins_on_disk(acknowledged.as_deref());
        // Whoever held a seat when the room was saved has no connection to this life of it.
        for session in live.room.sessions() {
            live.enter(Entry::Drop { session }, 0);
        }
        // One that was just created knows.
        if live.template.has_alarms() && info.tick > Tick(0) {
            live.tell_time();
        }
        if info.hz.is_none() && info.tick > Tick(0) {
            live.tick_now();
        }
        live
    }

    /// `begins` says whether that a life of a stored room begins is still to be written down.
    fn with(parts: Parts, clock: Clock, now: Instant, begins: bool) -> Self {
        let Parts { house, key, template, room, incarnation, remains, .. } = parts;
        let past = house.config.store.journal_keep;
        let durability = match house.config.journal {
            true => template.durability(),
            false => Durability::Ephemeral,
        };
        let info = room.info();
        parts.signals.belong_to(&parts.committed);
        let line = line(&parts.signals, info.hz.is_some());
        let keep = Keep::new(durability, past, line, remains, begins);
        house.metrics.rooms.up();
        let (of, pulse) = (house.clone(), parts.pulse);
        let presence = Presence { house: of, key: key.clone(), listing: None, pulse, slow: false };
        Self {
            house,
            key,
            template,
            room,
            clock,
            incarnation,
            keep,
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            signals: parts.signals,
            requests: BTreeMap::new(),
            last_request: 0,
            ticks: 0,
            counted: Counters::default(),
            inbox: 0,
            paused: false,
            left: false,
            quiet_since: now,
            idle_since: now,
            ended: info.ended.is_some(),
            unannounced: true,
            failed: false,
            panicked: parts.panicked,
            remains: None,
            stirred: false,
            told_time: false,
            meter: Meter::new(now),
            sends_every: 1,
            presence,
        }
    }

    /// Whether the game failed: the room is over, also for those who came since.
    pub(crate) fn failed(&mut self) -> bool {
        if self.failed {
            self.dismiss(&self.failure());
        }
        self.failed
    }

    fn failure(&self) -> Refusal {
        let game = &self.key.game;
        match &self.remains {
            Some(_) => {
                let text = format!("the game {game} stumbled; the match goes on where it was");
                Refusal::new(Code::Stopped, text)
            }
            None => {
                let text = format!("the game {game} failed in this match; what was saved is kept");
                Refusal::new(Code::Failed, text)
            }
        }
    }

    /// What the room is to be made from again, where a panic ended it and it may go on.
    pub(crate) fn take_remains(&mut self) -> Option<Remains> {
        self.remains.take()
    }

    /// Whether something happened after which the room's next turn may be due earlier.
    pub(crate) fn take_stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred)
    }

    /// Runs code of the game. None when it panicked, now or before.
    fn guarded<R>(&mut self, run: impl FnOnce(&mut Room) -> R) -> Option<R> {
        if self.failed {
            return None;
        }
        match catch_unwind(AssertUnwindSafe(|| run(&mut self.room))) {
            Ok(result) => Some(result),
            Err(panic) => {
                self.fail(panic_text(&*panic));
                None
            }
        }
    }

    fn fail(&mut self, panic: &str) {
        self.failed = true;
        self.stirred = true;
        self.give();
        self.house.metrics.rooms_failed.up();
        let running = catch_unwind(AssertUnwindSafe(|| self.room.running().map(str::to_owned)));
        let running = running.ok().flatten().unwrap_or_else(|| "the room itself".to_owned());
        // First, with what led there: a life that goes on may end before it saves anything.
        self.save_now();
        let again = self.panicked.is_none_or(|at| at.elapsed() >= PANICS_APART);
        self.remains = if again { self.remains() } else { None };
        match &self.remains {
            Some(_) => tracing::error!(
                room = %self.key, %running, panic,
                "a game panicked; its room goes on from the tick before, without what broke it"
            ),
            None => tracing::error!(
                room = %self.key, %running, panic, "a game panicked; its room has ended"
            ),
        }
        self.dismiss(&self.failure());
    }

    /// Ends every connection and request.
    pub(crate) fn dismiss(&mut self, refusal: &Refusal) {
        self.sessions.clear();
        for (_, connection) in std::mem::take(&mut self.connections) {
            connection.uncount(&self.house.metrics);
            connection.close(refusal, &self.house.metrics);
        }
        for (_, answer) in std::mem::take(&mut self.requests) {
            let _ = answer.send(Err(refusal.clone()));
        }
    }

    fn enter(&mut self, entry: Entry, payload: usize) {
        // A realtime room's next tick is due when it is due.
        self.stirred |= matches!(self.clock, Clock::Turns { .. });
        self.inbox += payload + ENTRY_BYTES;
        self.house.metrics.entries[usize::from(entry.number())].up();
        self.guarded(|room| room.handle(entry));
    }

    /// Runs what is due.
    pub(crate) fn turn(&mut self) -> Next {
        let begun = Instant::now();
        self.note_durable();
        let waited = self.keep.waits();
        let opens = self.keep.opens_at(begun);
        self.hand_out();
        let offer = self.keep.is_gated().then(|| self.offer_again(begun)).flatten();
        if waited {
            self.announce();
        }
        let next = self.run(begun);
        // Also of a turn that others interrupt.
        self.give();
        let due = [offer, opens, self.next_alarm(begun)].into_iter().flatten().min();
        match (next, due) {
            (Next::Never, Some(due)) => Next::At(due),
            (Next::At(at), Some(due)) => Next::At(at.min(due)),
            (next, _) => next,
        }
    }

    fn run(&mut self, begun: Instant) -> Next {
        // Of a gated room that has to wait, no more is to be told.
        while !self.failed && !self.keep.is_full() && !self.is_disowned() {
            let now = Instant::now();
            let last = self.room.last_tick();
            let (reached, slips) = self.clock.now(now, last);
            if self.is_attended() {
                self.house.metrics.slips.add(slips);
            }
            self.see_to_alarms(slips, reached);
            let due = match self.guarded(|room| room.next_due(reached)) {
                None | Some(NextTick::Never) => return Next::Never,
                Some(NextTick::At(tick)) if tick > reached => {
                    return Next::At(self.clock.opens(tick));
                }
                Some(NextTick::Now(tick) | NextTick::At(tick)) => tick,
            };
            if now.saturating_duration_since(begun) > Duration::from_millis(TURN_MS) {
                return Next::Soon;
            }
            if let (Clock::Realtime { .. }, true) = (&self.clock, self.is_attended()) {
                let late = now.saturating_duration_since(self.clock.when(due));
                self.meter.note_late(late, self.clock.period().unwrap_or_default());
                self.house.metrics.tick_lateness.observe(late);
            }
            self.tick(due, now);
        }
        Next::Never
    }

    /// Runs a tick, which began just `now`.
    fn tick(&mut self, at: Tick, now: Instant) {
        self.note_durable();
        self.guarded(|room| room.tick(at));
        if self.is_disowned() {
            // Another thread has the room, as it was stored.
            return;
        }
        while let Some(warning) = self.guarded(Room::take_warning).flatten() {
            tracing::warn!(room = %self.key, "{warning}");
        }
        self.ticks += 1;
        self.unannounced = true;
        self.inbox = 0;
        self.idle_since = now;
        self.told_time = false;
        if std::mem::take(&mut self.paused) {
            self.signals.ticked.notify_waiters();
        }
        if !self.failed {
            self.journal();
            self.hand_out();
        }
        if !self.failed {
            self.announce();
        }
        let took = now.elapsed();
        self.meter.note(took);
        self.note(took);
    }

    /// What the room costs its thread, and whether it may go to another one. Slows it while it costs more
    /// than it may.
    pub(crate) fn cost(&mut self, now: Instant) -> (Cost, bool) {
        let cost = self.meter.cost(now);
        self.slow(cost);
        self.pace(cost);
        (cost, self.meter.may_move(now) && !self.failed)
    }

    fn slow(&mut self, cost: Cost) {
        let Some(period) = self.clock.period().filter(|_| cost.ticks > 0) else { return };
        let before = self.clock.stretch();
        let stretch = load::stretch(cost.tick, period, before);
        if stretch == before {
            return;
        }
        self.clock.set_stretch(stretch, self.room.last_tick());
        let (is_slow, was_slow) = (stretch > AS_IT_IS, before > AS_IT_IS);
        self.presence.set_slow(is_slow);
        match (was_slow, is_slow) {
            (false, true) => tracing::warn!(
                room = %self.key, tick_ms = cost.tick.as_millis(), period_ms = period.as_millis(),
                "a room's ticks take more than it may take: it is slowed until they are shorter"
            ),
            (true, false) => {
                tracing::info!(room = %self.key, "a room is as fast again as it should be")
            }
            _ => {}
        }
    }

    /// The thread wishes that clients get a state every so many ticks. They do as soon as it is known what
    /// the room costs.
    pub(crate) fn send_every(&mut self, ticks: u8) {
        self.sends_every = ticks;
    }

    fn pace(&mut self, cost: Cost) {
        if let Some(ticks) = NonZeroU64::new(load::send_every(self.sends_every, cost.ticks)) {
            self.guarded(|room| room.send_every(ticks));
        }
    }

    /// Whether the thread was given up meanwhile: nobody may hear of what the room does any more.
    pub(super) fn is_disowned(&self) -> bool {
        self.presence.pulse.is_given_up()
    }

    /// Whether it ticks at a fixed rate, and no longer apart than this.
    pub(crate) fn ticks_within(&self, most: Duration) -> bool {
        let slowed = self.clock.stretch() > AS_IT_IS;
        !slowed && self.clock.period().is_some_and(|period| period <= most)
    }

    /// Whether somebody is connected. A room that waits for its players to come back costs next to
    /// nothing: its ticks would make those that somebody feels look shorter than they are.
    fn is_attended(&self) -> bool {
        !self.connections.is_empty()
    }

    /// Counts a tick that took so long, and what happened in it.
    fn note(&mut self, took: Duration) {
        let metrics = &self.house.metrics;
        metrics.ticks.up();
        match self.is_attended() {
            true => {
                metrics.tick_seconds.observe(took);
                let overran = self.clock.period().is_some_and(|period| took > period);
                metrics.overruns.add(u64::from(overran));
                metrics.ticks_paced.add(u64::from(self.sends_every > 1));
            }
            false => metrics.ticks_unattended.up(),
        }
        let (now, before) = (self.room.counters(), self.counted);
        // Counting nothing would cost as much as counting something.
        if now != before {
            metrics.skips.add(now.skipped_states - before.skipped_states);
            metrics.inputs_late.add(now.late_inputs - before.late_inputs);
            metrics.alarms.add(now.alarms - before.alarms);
            self.counted = now;
        }
    }

    /// Runs one tick at the present time. A turn-based room that comes back begins with it: time
    /// went on without it, but not for those who held seats, and what was due meanwhile is due now,
    /// once, however long it was away.
    fn tick_now(&mut self) {
        let last = self.room.last_tick();
        let now = Instant::now();
        let (reached, _) = self.clock.now(now, last);
        self.tick(Tick(reached.0.max(last.0 + 1)), now);
        self.give();
    }

    /// The tick that clients are told when they ask. In a turn-based room the clock's: the last one that
    /// ran would tell when somebody else acted.
    fn present(&mut self) -> Tick {
        let last = self.room.last_tick();
        match &self.clock {
            Clock::Turns { .. } => self.clock.now(Instant::now(), last).0,
            Clock::Realtime { .. } => last,
        }
    }

    /// Saves the room as a planned stop does: sealed, so that nothing of its last tick is lost.
    pub(crate) fn seal(&mut self) {
        if self.failed {
            return;
        }
        self.enter(Entry::Seal, 0);
        self.tick_now();
        self.save_now();
        self.renew_storage();
    }

    /// Stays another grace time, as if somebody had just been here.
    pub(crate) fn stay(&mut self) {
        self.quiet_since = Instant::now();
        self.left = false;
    }

    /// Whether the match has ended.
    pub(crate) fn match_ended(&self) -> bool {
        self.ended
    }

    /// Since when nobody has been here; none while somebody is.
    pub(crate) fn quiet_since(&mut self) -> Option<Instant> {
        if !self.connections.is_empty() {
            return None;
        }
        if !self.requests.is_empty() {
            self.requests.retain(|_, answer| !answer.is_closed());
            if !self.requests.is_empty() {
                return None;
            }
            self.quiet_since = Instant::now();
        }
        Some(self.quiet_since)
    }

    /// Whether the last client left by its own wish.
    pub(crate) fn was_left(&self) -> bool {
        self.left
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.set_slow(false);
        self.house.metrics.rooms.down();
        // A thread that was given up has it no more: it may be listed by another.
        if self.listing.is_some() && !self.pulse.is_given_up() {
            self.house.directory.list(&self.key, None);
        }
    }
}
