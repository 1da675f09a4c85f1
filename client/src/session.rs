//! The session: one player's stay in one match, over as many connections as it takes.

mod read;
mod receive;
mod second;
mod show;
mod timing;
mod wish;

use crate::actions::Actions;
use crate::aim::Aim;
use crate::clock::RoomClock;
use crate::config::Config;
use crate::error::Reason;
use crate::inputs::Inputs;
use crate::link::Link;
use crate::metrics::Metrics;
use crate::output::{Event, LinkId, Output, Status};
use crate::retry::Retry;
use crate::smooth::Smooth;
use referee_protocol::hash::hash;
use referee_protocol::limits::VERSIONS;
use referee_protocol::message::{self, ClientControl, Hello, Resume};
use referee_protocol::{Code, Incarnation, Replica, Schema, Seat};
use std::collections::VecDeque;

use second::Second;

pub use read::{EntityView, Named};
pub use show::{Shown, ShownEntity};
pub use timing::UNREADABLE_LINKS_MAX;

/// Most events that wait for `poll_event`. States that follow each other count as one. When there
/// are more, the oldest go and [`Event::EventsLost`] stands in their place.
pub const EVENTS_WAITING_MAX: usize = 8192;

/// The code in a WebSocket's close code, where it is one of ours.
#[must_use]
pub fn close_code(number: u16) -> Option<Code> {
    // 4000 to 4999 are an application's own.
    number.checked_sub(4000).filter(|code| *code < 1000).map(Code::from_number)
}

/// Where the connection stands.
#[derive(Debug)]
enum Connection {
    /// There is none until this time.
    Waiting { until: u64 },
    /// It is being opened; given up at this time.
    Dialing { link: LinkId, until: u64 },
    /// It is open.
    Up(Box<Link>),
    /// There will be none any more.
    Closed,
}

/// A schema and the bytes it came in, whose hash the handshake compares.
#[derive(Debug)]
struct KnownSchema {
    schema: Schema,
    bytes: Vec<u8>,
    hash: u64,
}

impl KnownSchema {
    fn new(bytes: &[u8]) -> Result<Self, referee_protocol::schema::SchemaError> {
        let schema = Schema::decode(bytes)?;
        Ok(Self { schema, bytes: bytes.to_vec(), hash: hash(bytes) })
    }
}

/// One player's stay in one match. The crate's page says how a driver works with it; [`Status`]
/// draws its states.
#[derive(Debug)]
pub struct Session {
    config: Config,
    status: Status,
    reason: Option<Reason>,
    connection: Connection,
    second: Second,
    /// Before this time no second connection is opened.
    second_from: u64,
    /// Connections asked for so far.
    links: u32,
    retry: Retry,
    /// Connections in a row that brought something unreadable.
    unreadable: u32,
    schema: Option<KnownSchema>,
    replica: Replica,
    /// What the replica holds: what the next Hello may say it knows.
    known: Option<Resume>,
    seat: Option<Seat>,
    /// Whether a Welcome has ever come.
    welcomed: bool,
    /// The room's life as the newest Welcome names it.
    incarnation: Incarnation,
    /// The hash of the schema that is to come.
    awaited_schema: u64,
    actions: Actions,
    inputs: Inputs,
    /// Ticks a second of a realtime room.
    hz: Option<u16>,
    clock: Option<RoomClock>,
    aim: Aim,
    /// Kept once someone looks.
    smooth: Option<Box<Smooth>>,
    metrics: Metrics,
    ended: Option<String>,
    /// States whose hash was compared with the server's, and those that differed.
    checks: (u64, u64),
    outputs: VecDeque<Output>,
    events: VecDeque<Event>,
}

impl Session {
    /// A session that wants to connect: its timeout is at 0.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let retry = Retry::new(config.seed);
        // A schema from elsewhere that is damaged is none; the server sends its own.
        let schema = config.schema.as_deref().and_then(|bytes| KnownSchema::new(bytes).ok());
        Self {
            config,
            status: Status::Connecting,
            reason: None,
            connection: Connection::Waiting { until: 0 },
            second: Second::None,
            second_from: 0,
            links: 0,
            retry,
            unreadable: 0,
            schema,
            replica: Replica::default(),
            known: None,
            seat: None,
            welcomed: false,
            incarnation: Incarnation::default(),
            awaited_schema: 0,
            actions: Actions::default(),
            inputs: Inputs::default(),
            hz: None,
            clock: None,
            aim: Aim::default(),
            smooth: None,
            metrics: Metrics::default(),
            ended: None,
            checks: (0, 0),
            outputs: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The next thing the driver is to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The connection that [`Output::Connect`] asked for is open.
    pub fn handle_open(&mut self, now: u64, link: LinkId) {
        match self.connection {
            Connection::Dialing { link: dialed, .. } if dialed == link => self.greet(now, link),
            Connection::Up(_) if self.is_second(link) => self.second_open(now, link),
            _ => {}
        }
    }

    fn is_second(&self, link: LinkId) -> bool {
        matches!(self.second, Second::Dialing { link: dialed, .. } if dialed == link)
    }

    /// Asks for a connection.
    fn connect(&mut self) -> LinkId {
        self.links = self.links.wrapping_add(1);
        let link = LinkId(self.links);
        self.outputs.push_back(Output::Connect { link });
        link
    }

    /// Says Hello on a connection that was just opened.
    fn greet(&mut self, now: u64, link: LinkId) {
        let hello = Hello {
            versions: VERSIONS.to_vec(),
            game: Some(self.config.game.to_string()),
            match_id: Some(self.config.match_id.to_string()),
            name: self.config.name.clone(),
            schema: self.schema.as_ref().map(|schema| schema.hash),
            token: self.config.token.clone().filter(|_| !self.config.watch),
            resume: self.known,
            params: self.config.params.clone(),
            watch: self.config.watch,
            check: self.config.check,
        };
        self.connection = Connection::Up(Box::new(Link::new(now, link, self.known.is_none())));
        self.send(message::encode(&ClientControl::Hello(hello)));
    }

    /// A connection was closed by the other end, broke, or could not be opened. `code` is the
    /// server's, where it gave one (see [`close_code`]).
    pub fn handle_close(&mut self, now: u64, link: LinkId, code: Option<Code>, text: &str) {
        if self.first() == Some(link) {
            let text = if text.is_empty() { "the connection was lost" } else { text };
            self.lost(now, Reason { code, message: text.into() }, None);
        } else if self.is_second(link) {
            self.second_failed(now);
        }
    }

    /// The connection that is open, or else is being opened.
    fn first(&self) -> Option<LinkId> {
        match &self.connection {
            Connection::Dialing { link, .. } => Some(*link),
            Connection::Up(link) => Some(link.id),
            Connection::Waiting { .. } | Connection::Closed => None,
        }
    }

    /// Gives up the seat and closes for good.
    pub fn leave(&mut self) {
        if self.status == Status::Closed {
            return;
        }
        if matches!(self.connection, Connection::Up(_)) {
            self.send(message::encode(&ClientControl::Leave));
        }
        self.disconnect(Code::Left);
        let message = "the player left".into();
        self.close(Reason { code: Some(Code::Left), message });
    }

    fn send(&mut self, frame: Vec<u8>) {
        if let Some(link) = self.first() {
            self.outputs.push_back(Output::Send { link, frame });
        }
    }

    /// Closes the first connection, where there is one, from this end.
    fn disconnect(&mut self, code: Code) {
        if let Some(link) = self.first() {
            self.outputs.push_back(Output::Disconnect { link, code });
        }
    }

    /// Closes the session for good.
    fn close(&mut self, reason: Reason) {
        self.drop_second();
        self.connection = Connection::Closed;
        self.actions = Actions::default();
        self.inputs.clear();
        if matches!(reason.code, Some(Code::Left | Code::Kicked | Code::Idle)) {
            // The seat is gone, and its token with it.
            self.store_token(None);
        }
        self.set_status(Status::Closed, Some(reason));
    }

    fn store_token(&mut self, token: Option<String>) {
        // Who only watches leaves the seat of an earlier session alone.
        if !self.config.watch && self.config.token != token {
            self.config.token.clone_from(&token);
            self.outputs.push_back(Output::StoreToken(token));
        }
    }

    fn set_status(&mut self, status: Status, reason: Option<Reason>) {
        if self.status != status || self.reason != reason {
            assert!(self.status.leads_to(status), "{:?} to {status:?}", self.status);
            self.status = status;
            self.reason.clone_from(&reason);
            self.push_event(Event::Status { status, reason });
        }
    }

    fn push_event(&mut self, event: Event) {
        if let (Event::State { .. }, Some(last @ Event::State { .. })) =
            (&event, self.events.back_mut())
        {
            *last = event;
            return;
        }
        self.events.push_back(event);
        if self.events.len() > EVENTS_WAITING_MAX {
            self.events.drain(..2);
            self.events.push_front(Event::EventsLost);
        }
    }
}
