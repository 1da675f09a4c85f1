//! Frames: what each link gets at the end of a tick, or as soon as its acknowledgements allow.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use referee_protocol::block::{BlockKind, Head};
use referee_protocol::codec::Codec;
use referee_protocol::frame::{EventsFrame, FrameHead, InputAck, Payload, Prelude};
use referee_protocol::limits::STATE_SILENCE_MAX_MS;
use referee_protocol::message::{self, ServerControl};
use referee_protocol::{Group, Incarnation, Kind, LinkId, Seat, SessionId, Tick, hash};
use smallvec::SmallVec;

use super::Replication;
use super::aliases::Aliases;
use super::budget::Budget;
use super::gate::Gates;
use super::group::GroupState;
use super::ladder::Rungs;
use super::links::{LinkState, Links, Role, SeatLine};
use super::lossy::Ladder;
use crate::codecs::Tools;
use crate::core::{Core, ticks};
use crate::game::Game;
use crate::output::{Frame, Output, Parts};
use crate::room::Link;
use crate::table::Table;

impl Replication {
    /// Takes in what happened on a link.
    pub(crate) fn link(
        &mut self,
        link: LinkId,
        event: Link,
        game: &Game,
        outputs: &mut VecDeque<Output>,
    ) {
        let may_catch_up = match event {
            Link::Open { session, resume } => return self.links.open(link, session, resume),
            Link::Check => return self.links.check(link),
            Link::Close => return self.links.close(link),
            Link::Lossy => return self.links.lossy(link),
            Link::Applied(applied) => {
                let now = game.world.resource::<Core>().tick;
                return self.links.applied_frames(link, &applied, self.ladder, now);
            }
            Link::Ack(ack) => self.links.acknowledge(link, ack),
            Link::Held => self.links.hold(link, true),
            Link::Written => self.links.hold(link, false),
            Link::Window(frames) => self.links.resize(link, frames),
        };
        if may_catch_up {
            let tick = game.world.resource::<Core>().tick;
            self.send_to(link, tick, true, outputs);
        }
    }

    /// The room came to another state than clients were told of.
    pub(crate) fn sever(&mut self) {
        self.links.lives.sever();
    }

    /// A life of the room begins after this tick.
    pub(crate) fn begin_life(&mut self, incarnation: Incarnation, last: Tick) {
        self.links.begin_life(incarnation, last);
    }

    /// All up to this tick is on disk. Tells so at once those clients that keep an action for it, where
    /// `at_once` says that no tick may come soon.
    pub(crate) fn durable(
        &mut self,
        upto: Tick,
        now: Tick,
        at_once: bool,
        outputs: &mut VecDeque<Output>,
    ) {
        self.links.durable(upto);
        self.gates.durable(upto);
        if !at_once {
            return;
        }
        let Links { links, seats, .. } = &self.links;
        let owed = links.iter().filter(|(_, state)| has_answer(seats, state));
        let owed: SmallVec<[LinkId; 8]> = owed.map(|(link, _)| *link).collect();
        owed.into_iter().for_each(|link| self.send_to(link, now, true, outputs));
    }

    /// See [`Links::acknowledged`].
    pub(crate) fn acknowledged(&self) -> Vec<(Seat, u64)> {
        self.links.acknowledged()
    }

    /// See [`Links::acknowledge_only`].
    pub(crate) fn acknowledge_only(&mut self, acknowledged: &[(Seat, u64)], now: Tick) {
        self.links.acknowledge_only(acknowledged, now);
    }

    /// The last action of a seat that its client need not keep.
    pub(crate) fn last_action(&self, seat: Seat) -> Option<u64> {
        self.links.last_action(seat)
    }

    pub(crate) fn seated(&mut self, session: SessionId, seat: Seat, now: Tick) {
        self.links.seated(session, seat, now);
    }

    pub(crate) fn watching(&mut self, session: SessionId) {
        self.links.watching(session);
    }

    pub(crate) fn resumed(&mut self, session: SessionId, seat: Seat, now: Tick) -> (u64, bool) {
        self.links.resumed(session, seat, now)
    }

    pub(crate) fn refused(&mut self, session: SessionId) {
        self.links.refused(session);
    }

    pub(crate) fn freed(&mut self, seat: Seat) {
        self.links.freed(seat);
    }

    pub(crate) fn sampled(&mut self, seat: Seat, sample: u64, margin: i64) {
        self.links.sampled(seat, sample, margin);
    }

    /// Gives every link its frames of this tick.
    pub(super) fn send_frames(
        &mut self,
        tools: &mut Tools,
        game: &Game,
        tick: Tick,
        outputs: &mut VecDeque<Output>,
    ) {
        let core = game.world.resource::<Core>();
        let silence = Duration::from_millis(STATE_SILENCE_MAX_MS);
        let silence = ticks(game.rules.kind, core.setup.hz, silence);
        let realtime = game.rules.kind == Kind::Realtime;
        let due = !realtime || tick.0.is_multiple_of(self.send_every);
        let (links, mut sender) = self.sender(tools, outputs);
        sender.climb(links, tick);
        for (link, state) in links {
            let quiet = realtime && tick.0.saturating_sub(state.tick.0) >= silence;
            if quiet || due || state.frames == 0 {
                sender.send(*link, state, tick, quiet);
            } else {
                sender.pass_over(*link, state);
            }
        }
    }

    fn send_to(&mut self, link: LinkId, tick: Tick, force: bool, outputs: &mut VecDeque<Output>) {
        self.with_tools(|replication, tools| {
            let (links, mut sender) = replication.sender(tools, outputs);
            if let Some(state) = links.get_mut(&link) {
                sender.send(link, state, tick, force);
            }
        });
    }

    fn sender<'a>(
        &'a mut self,
        tools: &'a mut Tools,
        outputs: &'a mut VecDeque<Output>,
    ) -> (&'a mut BTreeMap<LinkId, LinkState>, Sender<'a>) {
        let Links { links, seats, watched, .. } = &mut self.links;
        let (gates, gated_events) = (&self.gates, &self.gated_events[..]);
        let (groups, skips) = (&mut self.groups, &mut self.skips);
        let (codec, heads) = (&mut tools.codec, &mut tools.work.heads);
        let (ladder, rungs, budget) = (self.ladder, Rungs::new(), self.budget);
        let aliases = &self.aliases;
        let sender = Sender {
            seats,
            watched,
            groups,
            codec,
            skips,
            heads,
            outputs,
            ladder,
            rungs,
            budget,
            gates,
            gated_events,
            aliases,
        };
        (links, sender)
    }
}

/// Makes the frames of links, one after the other.
pub(super) struct Sender<'a> {
    pub(super) seats: &'a mut BTreeMap<Seat, SeatLine>,
    pub(super) watched: &'a [Group],
    pub(super) groups: &'a mut Table<Group, GroupState>,
    pub(super) codec: &'a mut Codec,
    pub(super) skips: &'a mut u64,
    /// What the frame that is made tells of its client's groups.
    pub(super) heads: &'a mut Vec<Head>,
    pub(super) outputs: &'a mut VecDeque<Output>,
    pub(super) ladder: Ladder,
    /// From where is told on links that lose.
    pub(super) rungs: Rungs,
    pub(super) budget: Option<Budget>,
    gates: &'a Gates,
    /// Which types of events are told once they are on disk.
    gated_events: &'a [bool],
    pub(super) aliases: &'a Aliases,
}

impl Sender<'_> {
    /// Gives one link its events and, where there is anything to tell or `force` says so, a state
    /// frame.
    fn send(&mut self, link: LinkId, state: &mut LinkState, tick: Tick, force: bool) {
        if state.role != Role::Waiting {
            let force = self.send_events(link, state) || force;
            match state.lossy {
                Some(_) => self.send_lossy(link, state, tick, force),
                None => self.send_state(link, state, tick, force),
            }
        }
    }

    fn send_state(&mut self, link: LinkId, state: &mut LinkState, tick: Tick, force: bool) {
        if !state.has_room() {
            return self.withhold(state, force);
        }
        let parts = self.blocks(state, tick);
        let (action, input) = self.acknowledged(state);
        // The first frame of a link is sent in any case: the client waits for it. And it is told of each
        // group that it comes into or goes out of: both ends count them.
        let moves = |head: &Head| !head.known || head.kind == BlockKind::Farewell;
        let moved = self.heads.iter().any(moves);
        let force = force || state.frames == 0 || moved;
        if parts.is_empty() && !state.full && !force && action.is_none() && input.is_none() {
            state.in_step = true;
            return;
        }
        let prelude = Prelude { full: state.full, tick, action, input };
        let head = prelude.encode(state.tick, self.heads);
        self.outputs.push_back(Output::Send { link, frame: Frame { head, parts } });
        state.frames += 1;
        (state.tick, state.in_step, state.full) = (tick, true, false);
        state.owed = false;
        if moved {
            let stays = self.heads.iter().filter(|head| head.kind != BlockKind::Farewell);
            state.groups.clear();
            state.groups.extend(stays.map(|head| head.group));
        }
        self.note_waiting(state, tick);
        if state.check && state.purse.waiting().is_empty() {
            let hash = view_hash(self.groups, self.aliases, &state.groups);
            let told = message::encode(&ServerControl::Check { hash });
            self.outputs.push_back(plain(link, told));
        }
    }

    /// A link gets its events, but no state in this tick: states are fewer for a while.
    fn pass_over(&mut self, link: LinkId, state: &mut LinkState) {
        if state.role != Role::Waiting {
            self.send_events(link, state);
            self.note_news(state);
        }
    }

    /// Whether what a link has is what the next block begins from: not where it misses news.
    fn note_news(&self, state: &mut LinkState) {
        let steady = seen_by(self.seats, self.watched, state.role) == state.groups;
        state.in_step &= steady && !self.has_news(&state.groups);
    }

    /// A link takes no state now. Never behind an older one: it gets the newest as soon as it may.
    fn withhold(&mut self, state: &mut LinkState, force: bool) {
        self.note_news(state);
        if !state.in_step || force || has_answer(self.seats, state) {
            state.owed = true;
            *self.skips += 1;
        }
    }

    /// A client that has not heard of everything cannot come back with what it has.
    pub(super) fn note_waiting(&mut self, state: &LinkState, tick: Tick) {
        if let Role::Seated(seat) = state.role
            && !state.purse.waiting().is_empty()
            && let Some(line) = self.seats.get_mut(&seat)
        {
            line.groups_since = Tick(tick.0 + 1);
        }
    }

    /// Whether any of these groups changed since the last send.
    fn has_news(&self, groups: &[Group]) -> bool {
        groups.iter().any(|group| self.groups.find(*group).is_some_and(GroupState::has_news))
    }

    /// What the prelude tells a seat's client about its acts.
    pub(super) fn acknowledged(
        &mut self,
        state: &mut LinkState,
    ) -> (Option<u16>, Option<InputAck>) {
        let Role::Seated(seat) = state.role else { return (None, None) };
        let Some(line) = self.seats.get_mut(&seat) else { return (None, None) };
        let news = state.action != line.last_action;
        state.action = line.last_action;
        let note = |(newest, margin)| InputAck { sample: newest as u8, margin };
        (news.then_some(line.last_action as u16), line.sampled.take().map(note))
    }

    /// Sends what waits in line for a link. Says whether there was anything.
    fn send_events(&mut self, link: LinkId, state: &mut LinkState) -> bool {
        // What waits for the disk holds up what comes after it: they are numbered.
        let waits = |tick: Tick, kind: u16| {
            self.gated_events[usize::from(kind)] && !self.gates.is_open(tick)
        };
        let events: Vec<(Tick, Payload)> = match state.role {
            Role::Watching => {
                let ready = state.watched.iter().take_while(|(tick, of)| !waits(*tick, of.kind));
                let ready = ready.count();
                state.watched.drain(..ready).collect()
            }
            Role::Seated(seat) => {
                let line = self.seats.get(&seat);
                let queued = line.into_iter().flat_map(|line| &line.events);
                let new = queued.filter(|(number, ..)| *number > state.event);
                let ready = new.take_while(|(_, tick, of)| !waits(*tick, of.kind));
                ready.map(|(_, tick, payload)| (*tick, payload.clone())).collect()
            }
            Role::Waiting => Vec::new(),
        };
        for run in events.chunk_by(|a, b| a.0 == b.0) {
            let frame = EventsFrame {
                first: state.event + 1,
                tick: run[0].0,
                events: run.iter().map(|(_, payload)| payload.clone()).collect(),
            };
            state.event += run.len() as u64;
            self.outputs.push_back(plain(link, frame.encode()));
        }
        !events.is_empty()
    }
}

/// Whether a seat's client is still to be told of its last action.
fn has_answer(seats: &BTreeMap<Seat, SeatLine>, state: &LinkState) -> bool {
    let Role::Seated(seat) = state.role else { return false };
    seats.get(&seat).is_some_and(|line| line.last_action != state.action)
}

/// The groups a client sees, in order.
pub(super) fn seen_by<'a>(
    seats: &'a BTreeMap<Seat, SeatLine>,
    watched: &'a [Group],
    role: Role,
) -> &'a [Group] {
    match role {
        Role::Seated(seat) => seats.get(&seat).map(|line| &line.groups[..]).unwrap_or_default(),
        Role::Watching => watched,
        Role::Waiting => &[],
    }
}

/// The hash of what a client of these groups sees, from what the groups themselves hold: it says
/// nothing of the blocks that told the client, which is why it finds a fault in them.
pub(super) fn view_hash(
    groups: &Table<Group, GroupState>,
    aliases: &Aliases,
    seen: &[Group],
) -> u64 {
    let (mut view, first) = (BTreeMap::new(), aliases.first_names(groups, seen));
    // Wide groups first: what a narrower one shows counts.
    for group in seen.iter().filter_map(|group| groups.find(*group)) {
        view.extend(group.shown().map(|(name, component, words)| {
            ((first.get(&name).copied().unwrap_or(name), component), words)
        }));
    }
    hash::view_hash(view.into_iter().map(|((name, component), words)| (name, component, words)))
}

/// A frame that has no head of its own.
pub(super) fn plain(link: LinkId, bytes: Vec<u8>) -> Output {
    let frame = Frame { head: FrameHead::new(), parts: Parts::from_iter([bytes.into()]) };
    Output::Send { link, frame }
}
