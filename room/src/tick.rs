//! One tick: entries in their canonical order, then the systems in theirs.

use bevy_ecs::prelude::*;
use bevy_ecs::schedule::{ConditionWithAccess, ScheduleGraph, SystemSetKey};
use bevy_ecs::system::RunSystemError;
use referee_protocol::frame::Payload;
use referee_protocol::limits::{INPUT_AHEAD_MAX_MS, INPUT_REPEAT_MS};
use referee_protocol::{Code, Kind, Seat, Tick};
use serde_json::{Value, json};
use std::time::Duration;

use crate::core::{Core, Sample, ticks};
use crate::entry::{Entry, RequestEntry};
use crate::field::Words;
use crate::hooks::{NoOccasion, Reply, Request};
use crate::output::Output;
use crate::params::{Rulings, Time};
use crate::room::Room;
use crate::table::Table;
use std::ops::Bound;

impl Room {
    /// Runs everything of a tick but what looks at it from outside. Says whether the tick had a
    /// `Seal`.
    pub(crate) fn step(&mut self, at: Tick) -> bool {
        self.begin(at);
        let sealed = self.drain_all(at);
        self.stand_inputs(at);
        self.expire_seats();
        self.start_when_ready();
        self.run_systems();
        if sealed {
            self.run_on_stop();
        }
        self.conclude(at);
        sealed
    }

    /// Does what systems and hooks asked for: new timers, rulings. This tick's actions are over.
    pub(crate) fn conclude(&mut self, at: Tick) {
        self.arm_timers(at);
        self.arm_alarms();
        self.apply_rulings();
        let world = &mut self.game.world;
        self.game.actions.iter().for_each(|row| (row.clear)(world));
    }

    fn begin(&mut self, at: Tick) {
        self.clear_alarms();
        let world = &mut self.game.world;
        world.check_change_ticks();
        // What was looked at already is older than what this tick does.
        world.increment_change_tick();
        let last = {
            let mut core = world.resource_mut::<Core>();
            core.ran += 1;
            std::mem::replace(&mut core.tick, at)
        };
        let mut time = world.resource_mut::<Time>();
        (time.before, time.tick) = (last, at);
        time.delta = match time.kind {
            Kind::TurnBased => (at.0 - last.0) as f32 / 1000.0,
            Kind::Realtime => 1.0 / f32::from(time.hz),
        };
        self.game.timers.iter().for_each(|row| (row.fire)(world, at.0));
    }

    /// Drains what came since the last tick, in memory that is used again. Says whether a seal was among it.
    fn drain_all(&mut self, at: Tick) -> bool {
        let (mut entries, mut order) =
            (std::mem::take(&mut self.queue), std::mem::take(&mut self.order));
        self.put_in_order(at, &entries, &mut order);
        let mut sealed = false;
        for (_, place) in order.drain(..) {
            let entry = std::mem::replace(&mut entries[place], Entry::Seal);
            sealed |= entry == Entry::Seal;
            self.drain(entry);
        }
        entries.clear();
        (self.queue, self.order) = (entries, order);
        sealed
    }

    /// The time first; then acts, seat by seat from a rotating first one; then requests; then those who
    /// go, come back and come; the seal last. Acts of one seat keep their order, as everything else does.
    fn put_in_order(&self, at: Tick, entries: &[Entry], order: &mut Vec<((u8, u64), usize)>) {
        let seats = u64::from(self.core().setup.seats.max(1));
        let first = at.0 % seats;
        let place = |seat: &Seat| (u64::from(seat.0) + seats - first) % seats;
        let rank = |entry: &Entry| match entry {
            Entry::Create(_) | Entry::Begin { .. } => (0, 0),
            Entry::Alarm { .. } => (0, 1),
            Entry::Input { seat, .. } | Entry::Action { seat, .. } => (1, place(seat)),
            Entry::Request(_) => (2, 0),
            Entry::Drop { .. } | Entry::Leave { .. } => (3, 0),
            Entry::Resume { .. } => (4, 0),
            Entry::Join(_) => (5, 0),
            Entry::Seal => (6, 0),
        };
        order.clear();
        order.extend(entries.iter().enumerate().map(|(place, entry)| (rank(entry), place)));
        order.sort_unstable();
    }

    fn drain(&mut self, entry: Entry) {
        match entry {
            Entry::Create(_) | Entry::Seal => {} // the first made the room; the last is looked at later
            Entry::Begin { incarnation } => {
                let last = self.game.world.resource::<Time>().before;
                self.replication.begin_life(incarnation, last);
            }
            Entry::Join(join) => self.join(join),
            Entry::Resume { session, seat, generation } => self.resume(session, seat, generation),
            Entry::Drop { session } => self.drop_session(session),
            Entry::Leave { session } => self.leave(session),
            Entry::Input { seat, sample, tick, payload } => {
                self.buffer_input(seat, sample, tick, &payload);
            }
            Entry::Action { seat, number, payload } => self.act(seat, number, &payload),
            Entry::Alarm { unix_ms, lost } => self.ring(unix_ms, lost),
            Entry::Request(request) => self.request(request),
        }
    }

    /// Takes an action if it is the seat's next one: exactly once, in order.
    fn act(&mut self, seat: Seat, number: u64, payload: &Payload) {
        let now = self.core().tick;
        let mut core = self.core_mut();
        let Some(state) = core.seats.get_mut(&seat) else { return };
        if number != state.last_action + 1 {
            return; // applied before, or the client skipped one
        }
        (state.last_action, state.active) = (number, now);
        let player = state.entity;
        let mut words = std::mem::take(&mut self.words);
        if payload.read_words("action", &self.template.schema().actions, &mut words).is_err() {
            words.clear();
        }
        // Out of the game while they are used: to clone a type's description for each action costs.
        let rows = std::mem::take(&mut self.game.actions);
        let good = rows.get(usize::from(payload.kind)).is_some_and(|row| {
            let index = self.index_for(row.refers);
            let entity = |id| index.find(id).copied().unwrap_or(Entity::PLACEHOLDER);
            let mut words = Words::new(&words, &entity);
            (row.push)(&mut self.game.world, player, &row.shape, &mut words)
        });
        (self.game.actions, self.words) = (rows, words);
        self.counters.bad_payloads += u64::from(!good);
    }

    /// Puts a sample into its place among those that wait.
    fn buffer_input(&mut self, seat: Seat, sample: u64, tick: Tick, payload: &Payload) {
        let mut words = std::mem::take(&mut self.words);
        let read = payload.read_words("input", &self.template.schema().inputs, &mut words);
        let sample_words = Sample::from_slice(&words);
        self.words = words;
        let now = self.core().tick;
        if read.is_err() {
            self.counters.bad_payloads += 1;
            return;
        }
        let ahead = self.span(Duration::from_millis(INPUT_AHEAD_MAX_MS));
        let late = tick.0 != 0 && tick < now;
        let target = if tick.0 == 0 || late { now } else { tick.min(Tick(now.0 + ahead)) };
        self.counters.late_inputs += u64::from(late);
        let early = i128::from(tick.0) - i128::from(now.0);
        let margin = if tick.0 == 0 { 0 } else { i64::try_from(early).unwrap_or(i64::MAX) };
        self.replication.sampled(seat, sample, margin);
        let kind = usize::from(payload.kind);
        let mut core = self.core_mut();
        let Some(state) = core.seats.get_mut(&seat) else { return };
        state.active = now;
        let Some(buffer) = state.inputs.get_mut(kind) else { return };
        // One for each tick it may wait for, the newest: so at most `ahead + 1`.
        match buffer.waiting.binary_search_by_key(&target, |(at, ..)| *at) {
            Ok(place) if buffer.waiting[place].1 < sample => {
                buffer.waiting[place] = (target, sample, sample_words);
            }
            Ok(_) => {}
            Err(place) => buffer.waiting.insert(place, (target, sample, sample_words)),
        }
    }

    /// Makes this tick's sample stand on each player's entity: the newest that is due; a missing one
    /// repeats the last for a stated time and then is the default.
    fn stand_inputs(&mut self, now: Tick) {
        if self.game.inputs.is_empty() {
            return;
        }
        let repeat = self.span(Duration::from_millis(INPUT_REPEAT_MS));
        // Out of the game while they are used: to clone a type's description for each seat costs.
        let rows = std::mem::take(&mut self.game.inputs);
        let mut from = Bound::Unbounded;
        while let Some((&seat, _)) = self.core().seats.range((from, Bound::Unbounded)).next() {
            from = Bound::Excluded(seat);
            for (kind, row) in rows.iter().enumerate() {
                let mut core = self.game.world.resource_mut::<Core>();
                let Some(state) = core.seats.get_mut(&seat) else { continue };
                let (entity, buffer) = (state.entity, &mut state.inputs[kind]);
                let mut due = None;
                while buffer.waiting.front().is_some_and(|(at, ..)| *at <= now) {
                    due = buffer.waiting.pop_front();
                }
                let stale = buffer.last.is_some_and(|last| now.0 - last.0 > repeat);
                if let Some((_, _, words)) = due {
                    buffer.last = Some(now);
                    self.stand(entity, row, Some(&words));
                } else if stale {
                    buffer.last = None;
                    self.stand(entity, row, None);
                }
            }
        }
        self.game.inputs = rows;
    }

    fn stand(&mut self, entity: Entity, row: &crate::registry::InputRow, words: Option<&[u32]>) {
        let index = self.index_for(row.refers);
        let find = |id| index.find(id).copied().unwrap_or(Entity::PLACEHOLDER);
        let Ok(mut entity) = self.game.world.get_entity_mut(entity) else { return };
        let mut words = words.map(|words| Words::new(words, &find));
        let good = (row.stand)(&mut entity, &row.shape, words.as_mut());
        self.counters.bad_payloads += u64::from(!good);
    }

    /// `NetId` to entity, for reading a value of this type: empty where it has no references.
    fn index_for(&self, refers: bool) -> Table<u32, Entity> {
        match refers {
            true => self.core().index.clone(),
            false => Table::default(),
        }
    }

    fn request(&mut self, entry: RequestEntry) {
        let id = entry.id;
        let reply = self.answer(entry);
        let body = reply.body.to_string().into_bytes();
        self.outputs.push_back(Output::Reply { request: id, status: reply.status, body });
    }

    fn answer(&mut self, entry: RequestEntry) -> Reply {
        let body = match entry.body.is_empty() {
            true => Ok(Value::Null),
            false => serde_json::from_slice(&entry.body),
        };
        let error = |status, text: String| Reply::status(status, json!({ "message": text }));
        let body = match body {
            Ok(body) => body,
            Err(e) => return error(400, format!("the request's body is not JSON: {e}")),
        };
        let Some(hook) = &mut self.game.hooks.on_request else {
            return error(404, "this game answers no requests".into());
        };
        self.running = hook.name();
        let request = Request { method: entry.method, path: entry.path, body };
        let reply = hook.run(request, &mut self.game.world);
        self.running.clear();
        reply.unwrap_or_else(|| error(503, "the room cannot answer at the moment".into()))
    }

    fn run_systems(&mut self) {
        let game = &mut self.game;
        let mut asked: Vec<(SystemSetKey, bool)> = Vec::new();
        for (at, step) in self.template.order().steps().iter().enumerate() {
            let ScheduleGraph { systems, system_sets, .. } = game.schedule.graph_mut();
            let mut go = true;
            for group in &step.groups {
                let known = asked.iter().find(|(key, _)| key == group).map(|(_, go)| *go);
                go &= known.unwrap_or_else(|| {
                    let hold = all_hold(system_sets.get_conditions_mut(*group), &mut game.world);
                    asked.push((*group, hold));
                    hold
                });
            }
            go &= all_hold(systems.get_conditions_mut(step.system), &mut game.world);
            // Where the checked order has a sync point there is no system here: commands are applied
            // after each system anyway.
            let Some(system) = systems.get_mut(step.system).filter(|_| go) else { continue };
            self.running_step = Some(at);
            if let Err(RunSystemError::Failed(error)) = system.run((), &mut game.world) {
                panic!("{} failed: {error}", step.name);
            }
        }
        self.running_step = None;
    }

    fn run_on_stop(&mut self) {
        let game = &mut self.game;
        for hook in &mut game.hooks.on_stop {
            self.running = hook.name();
            hook.run(NoOccasion, &mut game.world);
        }
        self.running.clear();
    }

    fn arm_timers(&mut self, now: Tick) {
        let world = &mut self.game.world;
        let mut number = world.resource::<Core>().next_timer;
        self.game.timers.iter().for_each(|row| (row.arm)(world, now.0, &mut number));
        if world.resource::<Core>().next_timer != number {
            world.resource_mut::<Core>().next_timer = number;
        }
    }

    /// Does what systems asked of the referee in this tick.
    fn apply_rulings(&mut self) {
        let rulings = self.game.world.resource::<Rulings>();
        if rulings.kicks.is_empty() && rulings.end.is_none() && rulings.public.is_none() {
            return;
        }
        let mut rulings = self.game.world.resource_mut::<Rulings>();
        let (kicks, end) = (std::mem::take(&mut rulings.kicks), rulings.end.take());
        let public = rulings.public.take();
        rulings.ended |= end.is_some();
        for (entity, reason) in kicks {
            self.kick(entity, Code::Kicked, reason);
        }
        let mut core = self.core_mut();
        if let Some(public) = public {
            core.setup.public = public;
        }
        if let (Some(result), None) = (end, &core.ended) {
            core.ended = Some(result);
        }
    }

    /// Ticks in a span of time in this room.
    pub(crate) fn span(&self, span: Duration) -> u64 {
        ticks(self.game.rules.kind, self.core().setup.hz, span)
    }
}

/// Asks all conditions: each is to know when it was asked last.
fn all_hold(conditions: Option<&mut Vec<ConditionWithAccess>>, world: &mut World) -> bool {
    let mut hold = true;
    for condition in conditions.into_iter().flatten() {
        hold &= condition.run((), world).unwrap_or(false);
    }
    hold
}
