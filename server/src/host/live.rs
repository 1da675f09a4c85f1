//! A loaded room with its clients: entries in, outputs out, panics caught. Knows no socket and
//! waits for nothing; [`super::actor`] gives it its time.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use referee_protocol::frame::Lane;
use referee_protocol::limits::ACTIONS_KEPT_MAX;
use referee_protocol::message::{Resume, ServerControl, Welcome};
use referee_protocol::{Code, Incarnation, LinkId, Refusal, SessionId, Tick};
use referee_room::entry::{Entry, Join, RequestEntry};
use referee_room::output::{Frame, Joined, Output};
use referee_room::room::{Due, Link, Room, RoomInfo, Template};
use tokio::sync::{Notify, oneshot};

use super::clock::Clock;
use super::connection::{Connection, Standing, slow};
use super::{House, unix_ms};
use crate::directory::{BUSY_RETRY_MS, Directory};
use crate::http::{ConnectionSlot, RoomListing, RoomReply, RoomRequest};
use crate::key::RoomKey;
use crate::session::{self, Rate, Said, Wish};
use crate::store::StoredRoom;
use crate::token::Claim;
use crate::transport::Wire;

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
    created_unix_ms: u64,
    connections: BTreeMap<LinkId, Connection>,
    sessions: BTreeMap<SessionId, LinkId>,
    last_link: u64,
    requests: BTreeMap<u64, Answer>,
    last_request: u64,
    /// Ticks run since the room was loaded.
    ticks: u64,
    /// Bytes of entries since the last tick.
    inbox: usize,
    /// A client waits for the next tick before it may say more.
    paused: bool,
    ticked: Rc<Notify>,
    /// The last client went by its own wish, so that none is awaited back.
    left: bool,
    quiet_since: Instant,
    ended: bool,
    listing: Option<RoomListing>,
    unsaved: Option<Vec<u8>>,
    saved: Option<Instant>,
    failed: bool,
    /// Something happened after which the room's next turn may be due earlier.
    stirred: bool,
}

/// What a room is made of, once it is loaded.
pub(crate) struct Parts {
    pub(crate) house: Arc<House>,
    pub(crate) key: RoomKey,
    pub(crate) template: Arc<Template>,
    pub(crate) room: Room,
    pub(crate) incarnation: Incarnation,
    pub(crate) created_unix_ms: u64,
    pub(crate) ticked: Rc<Notify>,
}

impl Live {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { house, key, template, room, incarnation, created_unix_ms, ticked } = parts;
        let now = Instant::now();
        let info = room.info();
        let clock = match info.hz {
            Some(hz) => Clock::realtime(hz, info.tick, now),
            None => {
                let age = unix_ms().saturating_sub(created_unix_ms);
                Clock::turns(Duration::from_millis(age), now)
            }
        };
        house.metrics.rooms.up();
        let mut live = Self {
            house,
            key,
            template,
            room,
            clock,
            incarnation,
            created_unix_ms,
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            last_link: 0,
            requests: BTreeMap::new(),
            last_request: 0,
            ticks: 0,
            inbox: 0,
            paused: false,
            ticked,
            left: false,
            quiet_since: now,
            ended: info.ended.is_some(),
            listing: None,
            unsaved: None,
            saved: None,
            failed: false,
            stirred: false,
        };
        // Whoever held a seat when the room was saved has no connection to this life of it.
        for session in live.room.sessions() {
            live.enter(Entry::Drop { session }, 0);
        }
        live
    }

    /// Whether the game failed: the room is over.
    pub(crate) fn failed(&self) -> bool {
        self.failed
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
                self.fail(&super::panic_text(&*panic));
                None
            }
        }
    }

    fn fail(&mut self, panic: &str) {
        self.failed = true;
        self.stirred = true;
        self.house.metrics.rooms_failed.up();
        let running = catch_unwind(AssertUnwindSafe(|| self.room.running().map(str::to_owned)));
        let running = running.ok().flatten().unwrap_or_else(|| "the room itself".to_owned());
        tracing::error!(room = %self.key, %running, panic, "a game panicked; its room has ended");
        let text =
            format!("the game {} failed in this match; what was saved is kept", self.key.game);
        self.dismiss(&Refusal::new(Code::Failed, text));
    }

    /// Ends every connection and request.
    pub(crate) fn dismiss(&mut self, refusal: &Refusal) {
        self.sessions.clear();
        for (_, connection) in std::mem::take(&mut self.connections) {
            self.house.metrics.connections.down();
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
        self.guarded(|room| room.handle(entry));
    }

    // Clients

    /// A client comes.
    pub(crate) fn admit(
        &mut self,
        wish: Wish,
        wire: Box<dyn Wire>,
        slot: Option<ConnectionSlot>,
    ) -> LinkId {
        self.last_link += 1;
        let link = LinkId(self.last_link);
        let now = Instant::now();
        let config = &self.house.config;
        // A client that comes back says all again that it cannot know to be done.
        let extra = ACTIONS_KEPT_MAX as u32;
        let rate = Rate::new(config.messages_per_second, config.messages_burst, extra, now);
        let connection = Connection::new(SessionId(0), wish, wire, rate, slot, now);
        self.connections.insert(link, connection);
        self.house.metrics.connections.up();
        self.left = false;
        self.begin(link);
        link
    }

    /// Asks the room to let a client in: back to its seat, or as somebody new.
    fn begin(&mut self, link: LinkId) {
        let (Some(session), Some(generation)) = (self.number(link), self.number(link)) else {
            return;
        };
        let session = SessionId(session);
        let Some(connection) = self.connections.get_mut(&link) else { return };
        connection.session = session;
        let Wish { name, watch, claim, resume, .. } = connection.wish.clone();
        self.sessions.insert(session, link);
        let claim = claim.filter(|_| connection.standing == Standing::Resuming);
        // What it knows of another life of the room is of no use in this one.
        let here = |resume: &Resume| resume.incarnation == self.incarnation;
        let resume = resume.filter(|resume| claim.is_some() && here(resume));
        self.guarded(|room| room.link(link, Link::Open { session, resume }));
        let payload = name.len();
        let entry = match claim {
            Some(Claim { seat, generation }) => Entry::Resume { session, seat, generation },
            None => {
                Entry::Join(Join { session, name, attributes: BTreeMap::new(), generation, watch })
            }
        };
        self.enter(entry, payload);
    }

    /// A number of the store, or the end of the connection.
    fn number(&mut self, link: LinkId) -> Option<u64> {
        match self.house.store.next_number() {
            Ok(number) => Some(number),
            Err(error) => {
                tracing::error!(%error, "no number could be reserved");
                let text = "the server cannot write to its disk; try again in a while";
                self.end(link, &busy(text));
                None
            }
        }
    }

    /// A message of a client. False: no more before the next tick.
    pub(crate) fn message(&mut self, link: LinkId, frame: &[u8]) -> bool {
        let metrics = &self.house.metrics;
        metrics.messages_in.up();
        metrics.bytes_in.add(frame.len() as u64);
        let now = Instant::now();
        let Some(connection) = self.connections.get_mut(&link) else { return true };
        if let Err(refusal) = connection.hear(now) {
            self.end(link, &refusal);
            return true;
        }
        if frame.is_empty() {
            return true;
        }
        match session::said(frame, self.template.schema()) {
            Ok(said) => self.said(link, said, now),
            Err(refusal) => self.end(link, &refusal),
        }
        self.may_say(link)
    }

    fn said(&mut self, link: LinkId, said: Said, now: Instant) {
        match said {
            Said::Ack(ack) => self.acked(link, ack, now),
            Said::Input(input) => {
                self.acked(link, input.ack, now);
                let (sample, tick, payload) = (input.sample, input.tick, input.payload);
                let len = payload.bits.len();
                if let Some(seat) = self.acts(link) {
                    self.enter(Entry::Input { seat, sample, tick, payload }, len);
                }
            }
            Said::Action(action) => {
                let (number, payload) = (action.number, action.payload);
                let len = payload.bits.len();
                if let Some(seat) = self.acts(link) {
                    self.enter(Entry::Action { seat, number, payload }, len);
                }
            }
            Said::Ping { nonce } => {
                let tick = self.room.info().tick;
                self.tell(link, &ServerControl::Pong { nonce, tick });
            }
            Said::Leave => self.leave(link),
        }
    }

    /// The seat for which this connection acts. A spectator acts for none.
    fn acts(&mut self, link: LinkId) -> Option<referee_protocol::Seat> {
        let connection = self.connections.get_mut(&link)?;
        let Standing::In(Some(seat)) = connection.standing else {
            self.house.metrics.unseated.up();
            return None;
        };
        if !connection.queue(self.ticks) {
            self.paused = true;
        }
        Some(seat)
    }

    /// Whether a client may say more before the next tick.
    pub(crate) fn may_say(&mut self, link: LinkId) -> bool {
        let full = self.inbox > self.house.config.inbox_max_bytes;
        let connection = self.connections.get(&link);
        let may = connection.is_none_or(|c| !full && c.may_queue(self.ticks));
        self.paused |= !may;
        may
    }

    fn acked(&mut self, link: LinkId, ack: referee_protocol::frame::Ack, now: Instant) {
        let Some(connection) = self.connections.get_mut(&link) else { return };
        connection.acked(ack.frames, now);
        self.guarded(|room| room.link(link, Link::Ack(ack)));
        // Room for a newer state: it goes out without a tick.
        self.hand_out();
    }

    fn leave(&mut self, link: LinkId) {
        let Some(connection) = self.remove(link) else { return };
        if let Standing::In(_) = connection.standing {
            self.enter(Entry::Leave { session: connection.session }, 0);
        }
        let refusal = Refusal::new(Code::Left, "you left the match");
        connection.close(&refusal, &self.house.metrics);
        self.left = true;
    }

    /// The client's connection is gone.
    pub(crate) fn gone(&mut self, link: LinkId) {
        if let Some(connection) = self.remove(link) {
            self.drop_session(&connection);
        }
    }

    /// Ends a client's connection.
    pub(crate) fn end(&mut self, link: LinkId, refusal: &Refusal) {
        if let Some(connection) = self.remove(link) {
            self.drop_session(&connection);
            connection.close(refusal, &self.house.metrics);
        }
    }

    fn remove(&mut self, link: LinkId) -> Option<Connection> {
        let connection = self.connections.remove(&link)?;
        self.house.metrics.connections.down();
        self.sessions.remove(&connection.session);
        self.guarded(|room| room.link(link, Link::Close));
        if self.connections.is_empty() {
            self.quiet_since = Instant::now();
            self.stirred = true;
        }
        Some(connection)
    }

    /// The session of one that is not in yet is dropped once the room has decided: see `joined`.
    fn drop_session(&mut self, connection: &Connection) {
        if let Standing::In(_) = connection.standing {
            self.enter(Entry::Drop { session: connection.session }, 0);
        }
    }

    fn tell(&mut self, link: LinkId, message: &ServerControl) {
        let metrics = &self.house.metrics;
        let sent = match self.connections.get_mut(&link) {
            Some(connection) => connection.tell(message, metrics),
            None => return,
        };
        self.after(link, sent);
    }

    fn after(&mut self, link: LinkId, sent: Result<(), crate::transport::SendError>) {
        let Err(error) = sent else { return };
        match slow(&error) {
            Some(refusal) => self.end(link, &refusal),
            None => self.gone(link),
        }
    }

    /// Lets go of clients that are silent, or do not read.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let faults: Vec<_> = self
            .connections
            .iter()
            .filter_map(|(link, connection)| Some((*link, connection.fault(now)?)))
            .collect();
        for (link, refusal) in faults {
            self.end(link, &refusal);
        }
    }

    // Requests

    /// A request comes.
    pub(crate) fn ask(&mut self, request: RoomRequest, answer: Answer) {
        self.requests.retain(|_, answer| !answer.is_closed());
        let limit = self.house.config.requests_waiting_max;
        if self.requests.len() >= limit || self.inbox > self.house.config.inbox_max_bytes {
            let text = format!("{limit} requests wait for this room, as many as may; try again");
            let _ = answer.send(Err(busy(&text)));
            return;
        }
        self.last_request += 1;
        let id = self.last_request;
        self.requests.insert(id, answer);
        self.house.metrics.requests.up();
        self.left = false;
        let RoomRequest { method, path, body } = request;
        let len = method.len() + path.len() + body.len();
        self.enter(Entry::Request(RequestEntry { id, method, path, body }), len);
    }

    // Time

    /// Runs what is due.
    pub(crate) fn turn(&mut self) -> Next {
        let begun = Instant::now();
        self.hand_out();
        loop {
            let now = Instant::now();
            let last = self.room.info().tick;
            let (reached, slips) = self.clock.now(now, last);
            self.house.metrics.slips.add(slips);
            let due = match self.guarded(|room| room.next_due(reached)) {
                None | Some(Due::Never) => return Next::Never,
                Some(Due::At(tick)) if tick > reached => {
                    return Next::At(self.clock.when(tick));
                }
                Some(Due::Now(tick) | Due::At(tick)) => tick,
            };
            if now.saturating_duration_since(begun) > Duration::from_millis(TURN_MS) {
                return Next::Soon;
            }
            self.tick(due);
        }
    }

    fn tick(&mut self, at: Tick) {
        self.guarded(|room| room.tick(at));
        self.house.metrics.ticks.up();
        self.ticks += 1;
        self.inbox = 0;
        if std::mem::take(&mut self.paused) {
            self.ticked.notify_waiters();
        }
        self.hand_out();
        self.announce();
    }

    /// Saves the room as a planned stop does: sealed, so that nothing of its last tick is lost.
    pub(crate) fn seal(&mut self) {
        self.enter(Entry::Seal, 0);
        let last = self.room.info().tick;
        let (reached, _) = self.clock.now(Instant::now(), last);
        self.tick(Tick(reached.0.max(last.0 + 1)));
        self.save_now();
    }

    // Outputs

    fn hand_out(&mut self) {
        while let Some(Some(output)) = self.guarded(Room::poll_output) {
            match output {
                Output::Joined { session, outcome } => self.joined(session, outcome),
                Output::Send { link, frame } => self.send(link, &frame),
                Output::Reply { request, status, body } => {
                    if let Some(answer) = self.requests.remove(&request) {
                        let _ = answer.send(Ok(RoomReply { status, body }));
                        self.quiet_since = Instant::now();
                    }
                }
                Output::Disconnect { session, refusal } => {
                    if let Some(link) = self.sessions.get(&session).copied() {
                        self.end(link, &refusal);
                    }
                }
                Output::Save(snapshot) => self.unsaved = Some(snapshot),
            }
        }
    }

    fn send(&mut self, link: LinkId, frame: &Frame) {
        let metrics = &self.house.metrics;
        let sent = match self.connections.get_mut(&link) {
            Some(connection) => connection.send(frame, metrics),
            None => return,
        };
        self.after(link, sent);
    }

    fn joined(&mut self, session: SessionId, outcome: Joined) {
        let Some(link) = self.sessions.get(&session).copied() else {
            // It went before the room let it in.
            if !matches!(outcome, Joined::Refused(_)) {
                self.enter(Entry::Drop { session }, 0);
            }
            return;
        };
        let Some(connection) = self.connections.get_mut(&link) else { return };
        match outcome {
            Joined::Refused(_) if connection.standing == Standing::Resuming => {
                // The seat is gone; the client is welcome as somebody new.
                connection.standing = Standing::Joining;
                self.sessions.remove(&session);
                self.guarded(|room| room.link(link, Link::Close));
                self.begin(link);
            }
            Joined::Refused(refusal) => self.end(link, &refusal),
            Joined::Watching => {
                connection.standing = Standing::In(None);
                self.welcome(link, |_| {});
            }
            Joined::Seated { seat, generation, resumed, last_action, last_event, events_lost } => {
                connection.standing = Standing::In(Some(seat));
                let token = self.house.tokens.issue(&self.key, Claim { seat, generation });
                self.welcome(link, |welcome| {
                    welcome.seat = Some(seat);
                    welcome.token = Some(token);
                    welcome.resumed = resumed;
                    welcome.last_action = last_action;
                    welcome.last_event = last_event;
                    welcome.events_lost = events_lost;
                });
            }
        }
    }

    fn welcome(&mut self, link: LinkId, fill: impl FnOnce(&mut Welcome)) {
        let info = self.room.info();
        let Some(connection) = self.connections.get(&link) else { return };
        let schema = self.template.schema_hash();
        let has_schema = connection.wish.schema == Some(schema);
        let mut welcome = Welcome {
            version: connection.wish.version,
            session: connection.session,
            seat: None,
            token: None,
            resumed: false,
            incarnation: self.incarnation,
            tick: info.tick,
            hz: info.hz,
            schema,
            last_action: 0,
            last_event: 0,
            events_lost: false,
            ended: info.ended,
        };
        fill(&mut welcome);
        self.tell(link, &ServerControl::Welcome(welcome));
        if has_schema {
            return;
        }
        let bytes = self.template.schema_bytes().clone();
        let parts = [IoSlice::new(&[Lane::Schema as u8]), IoSlice::new(&bytes)];
        let metrics = &self.house.metrics;
        let sent = match self.connections.get_mut(&link) {
            Some(connection) => connection.send_parts(&parts, metrics),
            None => return,
        };
        self.after(link, sent);
    }

    /// Tells the clients of the end of the match, and the directory of what it lists.
    fn announce(&mut self) {
        let info = self.room.info();
        if !self.ended
            && let Some(result) = &info.ended
        {
            self.ended = true;
            let ended = ServerControl::Ended { result: result.clone() };
            let inside = |c: &Connection| matches!(c.standing, Standing::In(_));
            let links: Vec<_> =
                self.connections.iter().filter(|(_, c)| inside(c)).map(|(link, _)| *link).collect();
            for link in links {
                self.tell(link, &ended);
            }
        }
        let listing = self.listing_of(&info);
        if listing != self.listing {
            self.house.directory.list(&self.key, listing.clone());
            self.listing = listing;
        }
    }

    fn listing_of(&self, info: &RoomInfo) -> Option<RoomListing> {
        info.public.then(|| RoomListing {
            game: self.key.game.to_string(),
            match_id: self.key.match_id.to_string(),
            players: info.players,
            seats: info.seats,
        })
    }

    // Saving

    /// When the newest snapshot is to be saved, if there is one.
    pub(crate) fn save_due(&self) -> Option<Instant> {
        self.unsaved.as_ref()?;
        let every = Duration::from_millis(self.house.config.save_every_ms);
        Some(self.saved.map_or_else(Instant::now, |saved| saved + every))
    }

    /// Saves the newest snapshot, if the room is worth keeping.
    pub(crate) fn save_now(&mut self) {
        let Some(snapshot) = self.unsaved.take() else { return };
        if self.failed || !self.room.info().lasting {
            return;
        }
        self.saved = Some(Instant::now());
        let room = StoredRoom {
            created_unix_ms: self.created_unix_ms,
            incarnation: self.incarnation.0,
            saved_unix_ms: unix_ms(),
            snapshot,
        };
        self.house.store.save(self.key.clone(), room);
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

impl Drop for Live {
    fn drop(&mut self) {
        self.house.metrics.rooms.down();
        if self.listing.is_some() {
            self.house.directory.list(&self.key, None);
        }
    }
}

fn busy(text: &str) -> Refusal {
    Refusal { retry_after_ms: Some(BUSY_RETRY_MS), ..Refusal::new(Code::Busy, text) }
}
