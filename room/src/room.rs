//! The room: one state machine. `handle` only queues; `tick` runs exactly one step; `poll_output`
//! says what to do outside. No clock, no I/O, no threads: time and bytes come in as arguments.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::Arc;

use bevy_ecs::change_detection::DetectChangesMut;
use referee_protocol::frame::{Ack, Payload};
use referee_protocol::hash::hash;
use referee_protocol::ladder::Applied;
use referee_protocol::limits::SETTLE_TICKS_MAX;
use referee_protocol::message::Resume;
use referee_protocol::{Code, Kind, LinkId, Refusal, Seat, SessionId, Tick};
use serde_json::Value;

use crate::core::{Core, Setup};
use crate::entry::{Create, Entry};
use crate::game::Game;
use crate::hooks::{NoOccasion, Params};
use crate::journal::{Journal, Span};
use crate::output::Output;
use crate::params::{Rulings, Time};
use crate::random::{Rng, derived_seed};
use crate::replicate::Replication;
use crate::snapshot::{self, Cover, RestoreError};
use crate::storage::Storage;
use crate::template::Template;
use crate::warnings::Warnings;

pub use crate::replicate::ParkedLink;

/// What happens on a link; neither journaled nor readable by the simulation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Link {
    /// A connection carries this session from now on. Comes before the session's Join or Resume.
    Open {
        /// The session.
        session: SessionId,
        /// What the client still knows, of whichever life of the room; none where it knows nothing by
        /// the room's present schema.
        resume: Option<Resume>,
    },
    /// What is sent on it may get lost, come twice, late or in another order, as datagrams do. Comes
    /// right after `Open`. Its client says by `Applied` what it has.
    Lossy,
    /// The client acknowledged frames and events.
    Ack(Ack),
    /// The client of a link that loses said what it has applied.
    Applied(Applied),
    /// After each state from now on the client is told the hash of what it should see then.
    Check,
    /// The network takes no more for this client at the moment: no state is made for it.
    Held,
    /// All that waited for this client has left: it gets the newest state at once, if there is one.
    Written,
    /// So many state frames may be unacknowledged from now on.
    Window(u32),
    /// The connection is gone.
    Close,
}

/// When the room wants to tick next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NextTick {
    /// At once, as this tick.
    Now(Tick),
    /// When time has reached this tick, as this tick.
    At(Tick),
    /// Only after an entry.
    Never,
}

/// What a room is like at the moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomInfo {
    /// The last tick that ran.
    pub tick: Tick,
    /// Ticks per second; none in a turn-based room (there a tick is a millisecond).
    pub hz: Option<u16>,
    /// Seats taken, connected or held.
    pub players: u16,
    /// Most seats.
    pub seats: u16,
    /// Sessions that are connected, spectators included.
    pub connected: u32,
    /// Listed in public.
    pub public: bool,
    /// Something happened in it that is worth keeping on disk.
    pub lasting: bool,
    /// The match's result as JSON, once it has ended.
    pub ended: Option<String>,
}

/// Things that went wrong and were survived, counted since the room was made or loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Commands on entities that were gone.
    pub dropped_commands: u64,
    /// Values outside their declared range, clamped on the wire.
    pub clamped_values: u64,
    /// Inputs that came after their tick and stood for the next one.
    pub late_inputs: u64,
    /// Inputs and actions whose bits were no value of their type.
    pub bad_payloads: u64,
    /// States that were not made because a client was behind.
    pub skipped_states: u64,
    /// Alarms that came due.
    pub alarms: u64,
    /// Times a turn-based room was still changing after its most ticks at once.
    pub unsettled: u64,
}

/// A room: see the module's documentation for its verbs and their order.
pub struct Room {
    pub(crate) template: Arc<Template>,
    pub(crate) game: Game,
    pub(crate) queue: Vec<Entry>,
    /// Working memory of a tick: in which order that is drained.
    pub(crate) order: Vec<((u8, u64), usize)>,
    pub(crate) replication: Replication,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) counters: Counters,
    /// How many ticks ran at once because the one before changed something; 0 when at rest.
    pub(crate) settling: u32,
    pub(crate) running: String,
    /// The place of the system that runs, in their order.
    pub(crate) running_step: Option<usize>,
    pub(crate) journal: Journal,
    /// How many ticks had run at the last rebuild.
    pub(crate) rebuilt: u64,
    pub(crate) warnings: Warnings,
    scratch: Vec<u8>,
    /// What [`Room::content_hash`] gives, where it is known: after a tick of a turn-based room.
    content: Option<u64>,
    pub(crate) words: Vec<u32>,
    /// The snapshot from which the room is to be made anew before it runs again.
    pub(crate) door: Option<Vec<u8>>,
}

impl Room {
    /// A new room, after its `on_create` and, where no players are waited for, its `on_start`.
    ///
    /// # Errors
    /// The game refused the parameters, or they are not JSON.
    pub fn create(template: &Arc<Template>, create: &Create) -> Result<Self, Refusal> {
        let params = match create.params.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&create.params).map_err(|e| {
                Refusal::new(Code::BadParams, format!("the room's params are not JSON: {e}"))
            })?,
        };
        let storage = Storage::from_bytes(&create.storage).map_err(|error| {
            let text = format!("what an earlier match left in its storage is damaged: {error}");
            Refusal::new(Code::Unreadable, text)
        })?;
        let mut game = template.build(!storage.is_empty());
        if !storage.is_empty() {
            game.world.insert_resource(storage);
        }
        template.initialize(&mut game);
        *game.world.resource_mut::<Rng>() = Rng::new(derived_seed(&create.seed, 1));
        let public = derived_seed(&create.seed, 2);
        game.world.resource_mut::<Time>().public_seed =
            u64::from_le_bytes(std::array::from_fn(|at| public[at]));
        game.world.resource_mut::<Time>().wall.unix_ms = create.unix_ms;
        let mut room = Self::with(template, game);
        room.run_on_create(Params(params))?;
        room.replication.seed(derived_seed(&create.seed, 3));
        room.start_when_ready();
        room.conclude(Tick(0));
        room.note_kept();
        room.replication.collect(&mut room.game);
        Ok(room)
    }

    /// The room a snapshot holds. The host then drops each of [`Room::sessions`] by an entry.
    ///
    /// What its clients were told goes on where it was, so that they may as well. `secret` seeds the
    /// names that entities have on the wire where the snapshot does not tell them: new for every load.
    ///
    /// # Errors
    /// When the bytes are no snapshot of this game, or of an earlier version of it that says nothing of
    /// what became of its types ([`crate::evolve`]); they are left as they are.
    pub fn restore(
        template: &Arc<Template>,
        snapshot: &[u8],
        secret: [u8; 32],
    ) -> Result<Self, RestoreError> {
        let (game, as_it_was) = snapshot::load(template, snapshot)?;
        let mut room = Self::with(template, game);
        let told = snapshot::told(snapshot)?;
        if !told.map_or(Ok(false), |told| room.replication.load(told, as_it_was))? {
            room.replication.seed(secret);
        }
        room.replication.collect_all(&mut room.game);
        Ok(room)
    }

    fn with(template: &Arc<Template>, mut game: Game) -> Self {
        Self {
            template: Arc::clone(template),
            journal: Journal::new(game.world.resource::<Core>().tick),
            replication: Replication::new(template, &mut game),
            // A snapshot is made at a rebuild.
            rebuilt: game.world.resource::<Core>().ran,
            game,
            queue: Vec::new(),
            order: Vec::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            settling: 0,
            running: String::new(),
            running_step: None,
            warnings: Warnings::default(),
            scratch: Vec::new(),
            content: None,
            words: Vec::new(),
            door: None,
        }
    }

    fn run_on_create(&mut self, params: Params) -> Result<(), Refusal> {
        let mut setup = self.core().setup.clone();
        setup.public = params.get("public").and_then(Value::as_bool).unwrap_or(false);
        let game = &mut self.game;
        let refused = |reason| Refusal::new(Code::BadParams, reason);
        game.rules.set_up(&params, &mut setup).map_err(refused)?;
        game.world.insert_resource(setup);
        for hook in &mut game.hooks.on_create {
            self.running = hook.name();
            if let Some(created) = hook.run(params.clone(), &mut game.world) {
                created.0?;
            }
        }
        self.running.clear();
        let rules = &game.rules;
        let mut setup = game.world.remove_resource::<Setup>().expect("it was inserted above");
        setup.whole_map |= setup.seats <= rules.whole_map;
        let most = (*rules.players.start()).max(1)..=*rules.players.end();
        if !most.contains(&setup.seats) {
            let text = format!("{} seats are asked for; {most:?} are allowed", setup.seats);
            return Err(refused(text));
        }
        if rules.kind == Kind::Realtime && !rules.rate.contains(&setup.hz) {
            let text =
                format!("a rate of {} Hz is asked for; {:?} is allowed", setup.hz, rules.rate);
            return Err(refused(text));
        }
        game.world.resource_mut::<Time>().hz = setup.hz;
        game.world.resource_mut::<Core>().setup = setup;
        Ok(())
    }

    /// Queues an entry for the next tick. Entities that a client named by their wire ids are named by
    /// their identity in the room from here on, so that the entry means the same in every replay.
    pub fn handle(&mut self, mut entry: Entry) {
        let schema = self.template.schema();
        let (actions, inputs) = (&self.game.actions, &self.game.inputs);
        let kind = |payload: &Payload| usize::from(payload.kind);
        let (seat, payload, types, refers) = match &mut entry {
            Entry::Action { seat, payload, .. } => {
                let refers = actions.get(kind(payload)).is_some_and(|row| row.refers);
                (*seat, payload, &schema.actions, refers)
            }
            Entry::Input { seat, payload, .. } => {
                let refers = inputs.get(kind(payload)).is_some_and(|row| row.refers);
                (*seat, payload, &schema.inputs, refers)
            }
            _ => return self.queue.push(entry),
        };
        if refers {
            self.replication.to_net_ids(seat, payload, types);
        }
        self.queue.push(entry);
    }

    /// Tells the sending half what happens on a link.
    pub fn link(&mut self, link: LinkId, event: Link) {
        self.replication.link(link, event, &self.game, &mut self.outputs);
    }

    /// From now on clients of a realtime room get a state every so many ticks, and what changed since their
    /// last one in it; events come as before. For a host that has too much to do. It is not in the state,
    /// and a turn-based room does as always.
    pub fn send_every(&mut self, ticks: NonZeroU64) {
        self.replication.set_send_every(ticks);
    }

    /// What is to be kept of each link while the room is out of memory, in the order of links: it sleeps on
    /// disk as [`Room::snapshot`] now has it, and its clients notice nothing. None while it has something
    /// still to do, or to tell.
    #[must_use]
    pub fn parked(&self) -> Option<Vec<(LinkId, ParkedLink)>> {
        let rests = self.settling == 0 && self.queue.is_empty() && self.outputs.is_empty();
        if rests { self.replication.parked() } else { None }
    }

    /// A link goes on in a room that was restored from the snapshot of the moment in which it was parked.
    pub fn unpark(&mut self, link: LinkId, parked: &ParkedLink) {
        self.replication.unpark(link, parked, &self.game);
    }

    /// All that the room did up to this tick is on disk. From the first such call on a client is told that
    /// its action is applied only once that is; until then it keeps it, and says it again to a later life
    /// of the room which does not have it. In a turn-based room those who wait are told at once.
    pub fn durable(&mut self, upto: Tick) {
        let (now, at_once) = (self.core().tick, self.game.rules.kind == Kind::TurnBased);
        self.replication.durable(upto, now, at_once && self.settling == 0, &mut self.outputs);
    }

    /// The last action of each seat that was acknowledged, for [`Room::acknowledge_only`].
    #[must_use]
    pub fn acknowledged(&self) -> Vec<(Seat, u64)> {
        self.replication.acknowledged()
    }

    /// In place of the first [`Room::durable`], where the room was made again from memory and not from what
    /// is on disk: of what it did, only these actions had been acknowledged.
    pub fn acknowledge_only(&mut self, acknowledged: &[(Seat, u64)]) {
        let now = self.core().tick;
        self.replication.acknowledge_only(acknowledged, now);
    }

    /// When to tick next, given the time (in ticks).
    #[must_use]
    pub fn next_due(&self, now: Tick) -> NextTick {
        let next = Tick(self.core().tick.0 + 1);
        if self.game.rules.kind == Kind::Realtime {
            return NextTick::At(next);
        }
        if self.settling > 0 {
            return NextTick::Now(next);
        }
        let timer = self.next_timer().map(|at| at.max(next));
        match timer {
            // A timer that is due runs in its own tick, before what has arrived since.
            Some(at) if at <= now => NextTick::Now(at),
            _ if !self.queue.is_empty() => NextTick::Now(next.max(now)),
            Some(at) => NextTick::At(at),
            None => NextTick::Never,
        }
    }

    /// When the next timer, seat or idle limit is due.
    fn next_timer(&self) -> Option<Tick> {
        let timers = self.game.timers.iter().filter_map(|row| (row.next)(&self.game.world));
        timers.map(Tick).chain(self.next_expiry()).min()
    }

    /// Runs exactly one tick. `at` comes from [`Room::next_due`].
    ///
    /// # Panics
    /// When game code panics, or `at` is not after the last tick. The room must not be used again
    /// after a panic, but for [`Room::running`], [`Room::take_journal`] and [`Room::broken_tick`].
    pub fn tick(&mut self, at: Tick) {
        assert!(at > self.core().tick, "tick {at:?} comes after {:?}", self.core().tick);
        self.go_through();
        let turn_based = self.game.rules.kind == Kind::TurnBased;
        let acting = self.queue.iter().any(Entry::is_act);
        let was_lasting = self.core().lasting;
        let watch = turn_based || acting && !was_lasting;
        let before = watch.then(|| self.content_before());
        self.journal.begin(at, &self.queue);
        let dropped = crate::errors::dropped_commands();
        let sealed = self.step(at);
        self.note_unregistered();
        self.counters.dropped_commands += crate::errors::dropped_commands() - dropped;
        let events = self.replication.collect(&mut self.game);
        let after = watch.then(|| self.content_hash());
        let changed = watch && (events || before != after);
        if acting && changed {
            self.core_mut().lasting = true;
        }
        self.note_kept();
        self.content = after.filter(|_| turn_based && was_lasting == self.core().lasting);
        self.settle(turn_based && changed && !sealed);
        if self.settling == 0 {
            self.replication.send(&mut self.game, &mut self.outputs);
            self.note_clamped();
            self.note_unshown();
        }
        let (ran, every) = (self.core().ran, self.game.rules.snapshot_ticks());
        self.journal.end();
        // Not in the middle of a turn: what it has still to tell is not in the state.
        if sealed {
            self.stand_at_door();
        } else if self.settling == 0 && ran / every > self.rebuilt / every {
            self.rebuild();
        }
    }

    /// What is put into the storage is meant to last, whoever had it put there.
    fn note_kept(&mut self) {
        if self.core().lasting {
            return;
        }
        let storage = self.game.world.get_resource_mut::<Storage>();
        if storage.is_some_and(|mut storage| storage.bypass_change_detection().take_changed()) {
            self.core_mut().lasting = true;
        }
    }

    /// A turn-based room goes on at once while its state changes, up to a limit.
    fn settle(&mut self, changed: bool) {
        self.settling = if changed { self.settling + 1 } else { 0 };
        if self.settling >= SETTLE_TICKS_MAX {
            self.counters.unsettled += 1;
            self.settling = 0;
        }
    }

    /// The content's hash before a tick. Between ticks nothing changes it.
    fn content_before(&mut self) -> u64 {
        let known = self.content.take();
        debug_assert!(known.is_none_or(|known| known == self.content_hash()), "it changed unseen");
        known.unwrap_or_else(|| self.content_hash())
    }

    /// The state was changed by other means than a tick.
    pub(crate) fn forget_content(&mut self) {
        self.content = None;
    }

    /// Whether the room goes on at once, in the same turn: nothing of its last tick was told yet, but for
    /// answers to requests.
    #[must_use]
    pub fn is_settling(&self) -> bool {
        self.settling > 0
    }

    /// Begins to write the journal, for [`Room::take_journal`].
    pub fn record(&mut self) {
        self.journal.kept = true;
    }

    /// Appends what happened since the last call to `out`, for the journal. None when no tick ran
    /// since [`Room::record`] or the last call.
    pub fn take_journal(&mut self, out: &mut Vec<u8>) -> Option<Span> {
        self.journal.take(out)
    }

    /// The tick that panicked, and its entries. It has left nothing in the journal.
    #[must_use]
    pub fn broken_tick(&self) -> Option<(Tick, Vec<Entry>)> {
        self.journal.broken()
    }

    /// Queues an entry that a room wrote into its journal: names in it are the room's own.
    pub(crate) fn repeat(&mut self, entry: Entry) {
        self.queue.push(entry);
    }

    /// The snapshot of the last tick, where the room rebuilt itself in it: out of turn, for who has to know
    /// it before anything else runs.
    pub fn take_save(&mut self) -> Option<Vec<u8>> {
        let place = self.outputs.iter().rposition(|output| matches!(output, Output::Save(_)))?;
        self.outputs.remove(place)?.saved()
    }

    /// The next thing to do outside. Call until none after every `tick` and `link`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The room as bytes, for [`Room::restore`].
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let mut out = snapshot::header(&self.template, &self.game);
        snapshot::put_part(&mut out, |out| {
            snapshot::write_state(&self.game, &self.template, Cover::All, out);
        });
        self.replication.save(&mut out);
        // It is kept until the next.
        out.shrink_to_fit();
        out
    }

    /// A hash over the whole state: equal for equal seed and entries.
    pub fn state_hash(&mut self) -> u64 {
        self.hash_of(Cover::All)
    }

    /// A hash over what a game means by its state, without clocks.
    pub(crate) fn content_hash(&mut self) -> u64 {
        self.hash_of(Cover::Content)
    }

    fn hash_of(&mut self, cover: Cover) -> u64 {
        self.scratch.clear();
        snapshot::write_state(&self.game, &self.template, cover, &mut self.scratch);
        hash(&self.scratch)
    }

    /// Begins to count what its state blocks say, for [`referee_protocol::codec::Training`].
    pub fn learn(&mut self) {
        self.replication.learn();
    }

    /// Sets how many ticks lie between the baselines for links that lose, to measure what that costs.
    /// Comes before the first link.
    pub fn set_ladder_step(&mut self, ticks: NonZeroU64) {
        self.replication.set_step(ticks);
    }

    /// What was counted since [`Room::learn`].
    #[must_use]
    pub fn learnt(&self) -> &[[u32; 2]] {
        self.replication.learnt()
    }

    /// What the room is like.
    #[must_use]
    pub fn info(&self) -> RoomInfo {
        let core = self.core();
        let seated = core.seats.values().filter(|seat| seat.connected).count();
        RoomInfo {
            tick: core.tick,
            hz: (self.game.rules.kind == Kind::Realtime).then_some(core.setup.hz),
            players: core.seats.len() as u16,
            seats: core.setup.seats,
            connected: seated as u32 + self.replication.watchers() as u32,
            public: core.setup.public,
            lasting: core.lasting,
            ended: core.ended.clone(),
        }
    }

    /// The last tick that ran, as in [`Room::info`].
    #[must_use]
    pub fn last_tick(&self) -> Tick {
        self.core().tick
    }

    /// Whether something happened in it that is worth keeping on disk.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        self.core().lasting
    }

    /// What the storage holds, for the [`Create`] of the next match under the same id; empty where it
    /// holds nothing.
    #[must_use]
    pub fn storage(&self) -> Vec<u8> {
        self.game.world.get_resource::<Storage>().map_or_else(Vec::new, Storage::to_bytes)
    }

    /// Sessions that hold a seat, connected or not.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionId> {
        self.core().seats.values().map(|seat| seat.session).collect()
    }

    /// What went wrong and was survived.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { skipped_states: self.replication.skips(), ..self.counters }
    }

    /// What was running when a tick panicked: a system's or a hook's name.
    #[must_use]
    pub fn running(&self) -> Option<&str> {
        let steps = self.template.order().steps();
        let step = self.running_step.and_then(|at| steps.get(at)).map(|step| step.name.as_str());
        step.or_else(|| (!self.running.is_empty()).then_some(self.running.as_str()))
    }

    pub(crate) fn core(&self) -> &Core {
        self.game.world.resource::<Core>()
    }

    pub(crate) fn core_mut(&mut self) -> bevy_ecs::change_detection::Mut<'_, Core> {
        self.game.world.resource_mut::<Core>()
    }

    /// Starts the match once the fewest players are there.
    pub(crate) fn start_when_ready(&mut self) {
        let core = self.core();
        if core.started || core.seats.len() < usize::from(*self.game.rules.players.start()) {
            return;
        }
        self.core_mut().started = true;
        let game = &mut self.game;
        game.world.resource_mut::<Rulings>().started = true;
        for hook in &mut game.hooks.on_start {
            self.running = hook.name();
            hook.run(NoOccasion, &mut game.world);
        }
        self.running.clear();
    }
}
