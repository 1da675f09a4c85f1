//! Clients and requests coming to a room, speaking, and going.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use referee_protocol::frame::Ack;
use referee_protocol::limits::ACTIONS_KEPT_MAX;
use referee_protocol::message::ServerControl;
use referee_protocol::{Code, LinkId, Refusal, Seat, SessionId};
use referee_room::entry::{Entry, Join, RequestEntry};
use referee_room::room::Link;

use super::{Answer, Live};
use crate::bucket::Allowance;
use crate::directory::BUSY_RETRY_MS;
use crate::host::clock::Clock;
use crate::host::connection::{Connection, Standing, slow};
use crate::host::flight;
use crate::http::RoomRequest;
use crate::session::{self, Rate, Said, Wish};
use crate::token::Claim;
use crate::transport::{SendError, Sent, Wire};

impl Live {
    /// A client comes.
    pub(crate) fn admit(&mut self, wish: Wish, wire: Box<dyn Wire>) -> LinkId {
        let link = LinkId(self.signals.links.fetch_add(1, Ordering::Relaxed) + 1);
        let now = Instant::now();
        let config = &self.house.config;
        // A client that comes back says all again that it cannot know to be done.
        let extra = ACTIONS_KEPT_MAX as u32;
        let (per_second, burst) = (config.messages_per_second, config.messages_burst);
        let rate = Rate::new(Allowance { per_second, burst }, extra, now);
        let transport = wire.transport();
        let connection = Connection::new(SessionId(0), wish, wire, rate, now);
        self.connections.insert(link, Box::new(connection));
        self.house.metrics.connections_by(transport).up();
        self.left = false;
        self.begin(link);
        link
    }

    /// Asks the room to let a client in: back to its seat, or as somebody new.
    pub(super) fn begin(&mut self, link: LinkId) {
        let (Some(session), Some(generation)) = (self.number(link), self.number(link)) else {
            return;
        };
        let session = SessionId(session);
        let Some(connection) = self.connections.get_mut(&link) else { return };
        connection.session = session;
        let Wish { name, watch, check, claim, resume, schema, .. } = connection.wish.clone();
        self.sessions.insert(session, link);
        let claim = claim.filter(|_| connection.standing == Standing::Resuming);
        // What it knows by another schema is of no use.
        let same_schema = schema == Some(self.template.schema_hash());
        let resume = resume.filter(|_| claim.is_some() && same_schema);
        let check = check && self.house.config.test_mode;
        self.guarded(|room| {
            room.link(link, Link::Open { session, resume });
            if check {
                room.link(link, Link::Check);
            }
        });
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
    pub(super) fn number(&mut self, link: LinkId) -> Option<u64> {
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

    pub(super) fn said(&mut self, link: LinkId, said: Said, now: Instant) {
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
                self.connections.get(&link).into_iter().for_each(|of| of.pinged(now));
                let tick = self.present();
                self.tell(link, &ServerControl::Pong { nonce, tick });
            }
            Said::Leave => self.leave(link),
        }
    }

    /// The seat for which this connection acts. A spectator acts for none.
    pub(super) fn acts(&mut self, link: LinkId) -> Option<Seat> {
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

    pub(super) fn acked(&mut self, link: LinkId, ack: Ack, now: Instant) {
        let Some(connection) = self.connections.get_mut(&link) else { return };
        let news = connection.acked(ack.frames, now);
        if let (Some(news), Clock::Realtime { hz, .. }) = (news, &self.clock) {
            let window = flight::window(news, *hz);
            self.guarded(|room| room.link(link, Link::Window(window)));
        }
        self.guarded(|room| room.link(link, Link::Ack(ack)));
        // Room for a newer state: it goes out without a tick.
        self.hand_out();
    }

    /// All that waited for a client has left: it gets the newest state without a tick.
    pub(crate) fn written(&mut self, link: LinkId) {
        self.guarded(|room| room.link(link, Link::Written));
        self.hand_out();
    }

    pub(super) fn leave(&mut self, link: LinkId) {
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
        self.gone_at(link, Instant::now());
    }

    /// QUIC's own timeout is as long as ours: whichever finds that a client has fallen silent, it counts as
    /// that.
    pub(super) fn gone_at(&mut self, link: LinkId, now: Instant) {
        if let Some(connection) = self.remove(link) {
            match connection.is_silent(now) {
                true => self.house.metrics.ended(Code::Silent),
                false => self.house.metrics.gone.up(),
            }
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

    pub(super) fn remove(&mut self, link: LinkId) -> Option<Connection> {
        let connection = self.connections.remove(&link)?;
        connection.uncount(&self.house.metrics);
        self.sessions.remove(&connection.session);
        self.guarded(|room| room.link(link, Link::Close));
        if self.connections.is_empty() {
            self.quiet_since = Instant::now();
            self.stirred = true;
        }
        Some(*connection)
    }

    /// The session of one that is not in yet is dropped once the room has decided: see `joined`.
    pub(super) fn drop_session(&mut self, connection: &Connection) {
        if let Standing::In(_) = connection.standing {
            self.enter(Entry::Drop { session: connection.session }, 0);
        }
    }

    pub(super) fn tell(&mut self, link: LinkId, message: &ServerControl) {
        let metrics = &self.house.metrics;
        let sent = match self.connections.get_mut(&link) {
            Some(connection) => connection.tell(message, metrics),
            None => return,
        };
        self.after(link, sent);
    }

    pub(super) fn after(&mut self, link: LinkId, sent: Result<Sent, SendError>) {
        let error = match sent {
            Ok(Sent::Out) => return,
            Ok(Sent::Held) => {
                self.guarded(|room| room.link(link, Link::Held));
                return;
            }
            Err(error) => error,
        };
        match slow(&error) {
            Some(refusal) => self.end(link, &refusal),
            None => self.gone(link),
        }
    }

    /// Looks whether a client is still there: asks it where it is quiet, lets it go where it is silent all the
    /// same, or does not read. Gives the time at which to look again; none when it is gone.
    pub(crate) fn look(&mut self, link: LinkId, now: Instant) -> Option<Instant> {
        match self.connections.get_mut(&link)?.look(now) {
            Ok(again) => Some(again),
            Err(refusal) => {
                self.end(link, &refusal);
                None
            }
        }
    }

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
}

fn busy(text: &str) -> Refusal {
    Refusal { retry_after_ms: Some(BUSY_RETRY_MS), ..Refusal::new(Code::Busy, text) }
}
