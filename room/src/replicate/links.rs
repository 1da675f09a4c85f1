//! Links and sessions: which connection carries which session, what its client has, and how much
//! is on the way to it.

use std::collections::{BTreeMap, VecDeque};

use referee_protocol::frame::{Ack, Payload};
use referee_protocol::ladder::Applied;
use referee_protocol::limits::{
    EVENTS_KEPT_MAX_BYTES, FRAMES_IN_FLIGHT_LIMIT, FRAMES_IN_FLIGHT_MAX,
};
use referee_protocol::message::Resume;
use referee_protocol::{Group, Incarnation, LinkId, Seat, SessionId, Tick};

use super::budget::Purse;
use super::lives::Lives;
use super::lossy::{Ladder, Lossy};

/// How many ticks with actions of a seat may wait for the disk one by one; with more, the last ones wait
/// for each other.
const APPLIED_MAX: usize = 64;

/// What a session is to the room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Its join was not decided yet.
    Waiting,
    /// It has a seat.
    Seated(Seat),
    /// It watches.
    Watching,
}

/// One connection.
pub(super) struct LinkState {
    pub(super) session: SessionId,
    pub(super) role: Role,
    pub(super) resume: Option<Resume>,
    /// State frames sent and acknowledged on this link.
    pub(super) frames: u64,
    pub(super) acked: u64,
    /// The tick of the last state frame.
    pub(super) tick: Tick,
    /// The most state frames that may be unacknowledged.
    pub(super) window: u32,
    /// Bytes for it wait in the host: the network takes no more for now.
    pub(super) held: bool,
    /// A state was withheld: it gets the newest as soon as it may.
    pub(super) owed: bool,
    /// Whether its client has everything up to the last send.
    pub(super) in_step: bool,
    /// Its client knows nothing: the next frame is full.
    pub(super) full: bool,
    /// The groups its client has, as of `tick`, in order.
    pub(super) groups: Vec<Group>,
    /// The last action it was told of.
    pub(super) action: u64,
    /// The number of the last event sent.
    pub(super) event: u64,
    /// Events for a spectator: nothing is kept for it.
    pub(super) watched: Vec<(Tick, Payload)>,
    /// Its client is told the hash of its view after each state.
    pub(super) check: bool,
    /// What it may still get, and what waits for that.
    pub(super) purse: Purse,
    /// What is known of a client behind a link that loses; none where all arrives in order.
    pub(super) lossy: Option<Box<Lossy>>,
}

impl LinkState {
    /// Whether another state frame may go out: it would wait behind no older one.
    pub(super) fn has_room(&self) -> bool {
        !self.held && self.frames - self.acked < u64::from(self.window)
    }

    /// Whether the state that was withheld may go out now.
    fn may_catch_up(&self) -> bool {
        self.owed && self.has_room()
    }
}

/// What is kept for a seat whatever becomes of its connections.
#[derive(Default)]
pub(super) struct SeatLine {
    /// The groups its client sees, in order, and since when.
    pub(super) groups: Vec<Group>,
    pub(super) groups_since: Tick,
    /// Since when its client knows all of them, those that show nothing among them, as an ordered link
    /// has it: there both ends count them.
    pub(super) counted_since: Tick,
    /// The last action that its client need not keep any more.
    pub(super) last_action: u64,
    /// Later ones that were applied in ticks which are not on disk yet.
    pub(super) applied: VecDeque<(Tick, u64)>,
    /// The number of the last event.
    pub(super) last_event: u64,
    /// Events that the client has not acknowledged.
    pub(super) events: VecDeque<(u64, Tick, Payload)>,
    pub(super) event_bytes: usize,
    /// Events were dropped since the client was last here.
    pub(super) events_lost: bool,
    /// Where samples of its inputs fell that are not told of yet: the newest one's number, and by how
    /// much the latest of them was late, or else how early the last one came.
    pub(super) sampled: Option<(u64, i8)>,
}

impl SeatLine {
    /// The line of a seat that is there since this tick.
    pub(super) fn since(now: Tick) -> Self {
        Self { groups_since: now, ..Self::default() }
    }

    /// Whether a client that says it has the state of a tick may go on from there, on an ordered link or
    /// one that loses.
    fn may_resume(&self, tick: Tick, lossy: bool, now: Tick) -> bool {
        tick <= now && tick >= self.groups_since && (lossy || tick >= self.counted_since)
    }

    /// Puts an event in line. False when too many wait: then the oldest are not kept.
    pub(super) fn push(&mut self, tick: Tick, payload: Payload) -> bool {
        self.last_event += 1;
        self.event_bytes += event_bytes(&payload);
        self.events.push_back((self.last_event, tick, payload));
        let fits = self.event_bytes <= EVENTS_KEPT_MAX_BYTES;
        while self.event_bytes > EVENTS_KEPT_MAX_BYTES {
            self.drop_oldest();
            self.events_lost = true;
        }
        fits
    }

    /// The number of the last event before those that are kept.
    fn before_kept(&self) -> u64 {
        self.last_event - self.events.len() as u64
    }

    fn drop_oldest(&mut self) {
        if let Some((_, _, payload)) = self.events.pop_front() {
            self.event_bytes -= event_bytes(&payload);
        }
    }

    fn acknowledge(&mut self, event: u64) {
        while self.events.front().is_some_and(|(number, ..)| *number <= event) {
            self.drop_oldest();
        }
    }

    /// A client comes back that has the events up to this number; none where it has none that are known
    /// here. Says whether some are lost that it should have had.
    fn heard(&mut self, event: Option<u64>) -> bool {
        let lost = std::mem::take(&mut self.events_lost);
        match event {
            Some(event) => {
                let lost = event < self.before_kept();
                self.acknowledge(event);
                lost
            }
            None => lost,
        }
    }

    /// Which of the events that are kept were heard is not known: they are not told twice. Says whether
    /// there were any.
    fn forget(&mut self) -> bool {
        let lost = self.events_lost || !self.events.is_empty();
        self.acknowledge(u64::MAX);
        self.events_lost = false;
        lost
    }
}

/// What an event that is kept counts.
fn event_bytes(payload: &Payload) -> usize {
    payload.bits.len() + 8
}

/// All links and seats of a room.
pub(super) struct Links {
    pub(super) links: BTreeMap<LinkId, LinkState>,
    pub(super) seats: BTreeMap<Seat, SeatLine>,
    /// What clients see that have no seat, in order.
    pub(super) watched: Vec<Group>,
    pub(super) lives: Lives,
    /// Actions are acknowledged once they are on disk.
    waits_for_disk: bool,
}

impl Default for Links {
    fn default() -> Self {
        let (watched, lives) = (vec![Group::Everyone], Lives::default());
        let (links, seats) = (BTreeMap::new(), BTreeMap::new());
        Self { links, seats, watched, lives, waits_for_disk: false }
    }
}

impl Links {
    pub(super) fn open(&mut self, link: LinkId, session: SessionId, resume: Option<Resume>) {
        let state = LinkState {
            session,
            role: Role::Waiting,
            resume,
            frames: 0,
            acked: 0,
            tick: Tick(0),
            window: FRAMES_IN_FLIGHT_MAX,
            held: false,
            owed: false,
            in_step: false,
            full: true,
            groups: Vec::new(),
            action: 0,
            event: 0,
            watched: Vec::new(),
            check: false,
            purse: Purse::default(),
            lossy: None,
        };
        self.links.insert(link, state);
    }

    pub(super) fn lossy(&mut self, link: LinkId) {
        if let Some(state) = self.links.get_mut(&link) {
            state.lossy = Some(Box::default());
        }
    }

    /// The oldest of what some client still shows that waits to hear more.
    pub(super) fn oldest_waiting(&self) -> Option<Tick> {
        let waiting = self.links.values().flat_map(|link| link.purse.waiting());
        waiting.filter_map(|waiting| waiting.has).min()
    }

    /// The oldest of what some client has that has something still to hear.
    pub(super) fn oldest_behind(&self) -> Option<Tick> {
        let told = |link: &&LinkState| link.role != Role::Waiting && !link.full;
        let behind = self.links.values().filter(told).filter(|link| !link.in_step);
        behind.map(|link| link.tick).chain(self.oldest_waiting()).min()
    }

    pub(super) fn any_lossy(&self) -> bool {
        self.links.values().any(|link| link.lossy.is_some())
    }

    /// Takes what a client behind a link that loses says it has applied.
    pub(super) fn applied_frames(
        &mut self,
        link: LinkId,
        applied: &Applied,
        ladder: Ladder,
        now: Tick,
    ) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let Some(lossy) = &mut state.lossy else { return };
        lossy.acknowledge(applied, ladder, now);
        if let Role::Seated(seat) = state.role
            && let Some(line) = self.seats.get_mut(&seat)
        {
            line.acknowledge(applied.event.min(state.event));
        }
    }

    pub(super) fn check(&mut self, link: LinkId) {
        if let Some(state) = self.links.get_mut(&link) {
            state.check = true;
        }
    }

    pub(super) fn close(&mut self, link: LinkId) {
        self.links.remove(&link);
    }

    /// Takes an acknowledgement. Says whether the link may have a frame now that it waited for.
    pub(super) fn acknowledge(&mut self, link: LinkId, ack: Ack) -> bool {
        let Some(state) = self.links.get_mut(&link) else { return false };
        state.acked = state.acked.max(ack.frames.min(state.frames));
        if let Role::Seated(seat) = state.role
            && let Some(line) = self.seats.get_mut(&seat)
        {
            line.acknowledge(ack.event.min(state.event));
        }
        state.may_catch_up()
    }

    /// Bytes for a link wait in the host, or have left. Says whether the link may have a frame now
    /// that it waited for.
    pub(super) fn hold(&mut self, link: LinkId, held: bool) -> bool {
        self.links.get_mut(&link).is_some_and(|state| {
            state.held = held;
            state.may_catch_up()
        })
    }

    /// Sets how many frames may be unacknowledged. Says whether the link may have a frame now that
    /// it waited for.
    pub(super) fn resize(&mut self, link: LinkId, window: u32) -> bool {
        self.links.get_mut(&link).is_some_and(|state| {
            state.window = window.clamp(1, FRAMES_IN_FLIGHT_LIMIT);
            state.may_catch_up()
        })
    }

    /// What clients were told means nothing from here on. Who waits for events has lost them.
    pub(super) fn leave_all(&mut self) {
        for line in self.seats.values_mut() {
            line.events_lost = line.forget();
            line.groups.clear();
        }
        self.lives.sever();
    }

    /// A life of the room begins with what there was after this tick.
    pub(super) fn begin_life(&mut self, incarnation: Incarnation, last: Tick) {
        let events = self.seats.iter().map(|(seat, line)| (*seat, line.last_event)).collect();
        self.lives.begin(incarnation, last, events);
    }

    fn by_session(&mut self, session: SessionId) -> Option<&mut LinkState> {
        self.links.values_mut().find(|link| link.session == session)
    }

    pub(super) fn seated(&mut self, session: SessionId, seat: Seat, now: Tick) {
        let line = SeatLine::since(now);
        self.seats.insert(seat, line);
        if let Some(link) = self.by_session(session) {
            link.role = Role::Seated(seat);
        }
    }

    pub(super) fn watching(&mut self, session: SessionId) {
        if let Some(link) = self.by_session(session) {
            link.role = Role::Watching;
        }
    }

    /// A session has a seat again. Gives the number of the last event before those it gets, and
    /// whether some are lost.
    pub(super) fn resumed(&mut self, session: SessionId, seat: Seat, now: Tick) -> (u64, bool) {
        for link in self.links.values_mut() {
            if link.role == Role::Seated(seat) && link.session != session {
                link.role = Role::Waiting; // replaced: the host closes it
            }
        }
        let line = self.seats.entry(seat).or_insert_with(|| SeatLine::since(now));
        line.sampled = None; // samples are numbered anew
        let Some(link) = self.links.values_mut().find(|link| link.session == session) else {
            return (line.before_kept(), line.heard(None));
        };
        link.role = Role::Seated(seat);
        let lives = &self.lives;
        let common = |resume: Resume| Some((resume, lives.common(seat, resume, now)));
        let lost = match link.resume.and_then(common) {
            None => line.heard(None),
            // It comes from a life of which nothing is known any more.
            Some((_, None)) => line.forget(),
            Some((resume, Some(common))) => {
                let lost = line.heard(Some(resume.event.min(common.event)));
                // Its client knows the groups as they were: what changed since is enough.
                // A client says what it likes: what it claims to know must lie behind us.
                let lossy = link.lossy.is_some();
                let known =
                    lives.holds(resume, common, lossy) && line.may_resume(resume.tick, lossy, now);
                if !lost && known {
                    (link.full, link.tick) = (false, resume.tick);
                    link.groups.clone_from(&line.groups);
                }
                lost
            }
        };
        link.event = line.before_kept();
        (link.event, lost)
    }

    pub(super) fn refused(&mut self, session: SessionId) {
        self.links.retain(|_, link| link.session != session);
    }

    pub(super) fn freed(&mut self, seat: Seat) {
        self.seats.remove(&seat);
        self.links.retain(|_, link| link.role != Role::Seated(seat));
    }

    /// Sets the groups a seat's client sees, in order. Says whether that is new.
    pub(super) fn subscribe(&mut self, seat: Seat, groups: &[Group], now: Tick) -> bool {
        let line = self.seats.entry(seat).or_insert_with(|| SeatLine::since(now));
        let new = line.groups != groups;
        if new {
            line.groups.clear();
            line.groups.extend_from_slice(groups);
            line.groups_since = now;
        }
        new
    }

    /// Whoever has no seat sees everyone's group, and the cells that the first player sees.
    pub(super) fn watch_first(&mut self) {
        self.watched.clear();
        self.watched.push(Group::Everyone);
        let first = self.seats.values().next().into_iter().flat_map(|line| &line.groups);
        self.watched.extend(first.filter(|group| matches!(group, Group::Cell(_))));
    }

    /// A seat's last action, as of this tick.
    pub(super) fn applied(&mut self, seat: Seat, action: u64, now: Tick) {
        let Some(line) = self.seats.get_mut(&seat) else { return };
        if !self.waits_for_disk {
            line.last_action = action;
        } else if line.applied.back().map_or(line.last_action, |(_, last)| *last) != action {
            if line.applied.len() == APPLIED_MAX {
                line.applied.pop_back();
            }
            line.applied.push_back((now, action));
        }
    }

    /// All up to this tick is on disk; what comes after it is acknowledged once it is, too.
    pub(super) fn durable(&mut self, upto: Tick) {
        self.waits_for_disk = true;
        for line in self.seats.values_mut() {
            while let Some((_, action)) = line.applied.pop_front_if(|(tick, _)| *tick <= upto) {
                line.last_action = action;
            }
        }
    }

    /// The last action of each seat that its client need not keep.
    pub(super) fn acknowledged(&self) -> Vec<(Seat, u64)> {
        self.seats.iter().map(|(seat, line)| (*seat, line.last_action)).collect()
    }

    /// No more than this was on disk, and what came after it is acknowledged once it is, too.
    pub(super) fn acknowledge_only(&mut self, acknowledged: &[(Seat, u64)], now: Tick) {
        self.waits_for_disk = true;
        for (seat, line) in &mut self.seats {
            let known = acknowledged.iter().find(|(of, _)| of == seat);
            let upto = known.map_or(0, |(_, action)| *action);
            if line.last_action > upto {
                line.applied.push_back((now, line.last_action));
                line.last_action = upto;
            }
        }
    }

    /// The last action of a seat that its client need not keep; none where the seat is not known.
    pub(super) fn last_action(&self, seat: Seat) -> Option<u64> {
        self.seats.get(&seat).map(|line| line.last_action)
    }

    pub(super) fn sampled(&mut self, seat: Seat, sample: u64, margin: i64) {
        if let Some(line) = self.seats.get_mut(&seat) {
            let margin = margin.clamp(i64::from(i8::MIN), i64::from(i8::MAX)) as i8;
            // Until it is told, that one came too late is not hidden by one that did not; and neither
            // hides that the newest has come.
            line.sampled = Some(match line.sampled {
                Some((newest, late)) if late < 0 => (newest.max(sample), late.min(margin)),
                Some((newest, _)) => (newest.max(sample), margin),
                None => (sample, margin),
            });
        }
    }

    pub(super) fn groups_of(&self, seat: Seat) -> &[Group] {
        self.seats.get(&seat).map(|line| &line.groups[..]).unwrap_or_default()
    }

    pub(super) fn sees(&self, seat: Seat, group: Group) -> bool {
        self.groups_of(seat).binary_search(&group).is_ok()
    }

    /// Whether some client has this group or may come back to it: what went out of it is still to be
    /// told.
    pub(super) fn knows(&self, group: Group) -> bool {
        let has = |groups: &[Group]| groups.binary_search(&group).is_ok();
        self.seats.values().any(|line| has(&line.groups))
            || self.links.values().any(|link| has(&link.groups))
    }

    pub(super) fn watchers(&self) -> usize {
        self.links.values().filter(|link| link.role == Role::Watching).count()
    }
}
