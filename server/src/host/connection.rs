//! What a room knows of one of its connections.

use std::io::IoSlice;
use std::rc::Rc;
use std::time::{Duration, Instant};

use referee_protocol::frame::{Lane, lane};
use referee_protocol::limits::{ACTIONS_PER_TICK_MAX, LINK_SILENCE_MAX_MS, PING_EVERY_MS};
use referee_protocol::message::{self, ServerControl};
use referee_protocol::{Code, Refusal, Seat, SessionId};
use referee_room::output::Frame;
use referee_room::room::ParkedLink;
use smallvec::SmallVec;

use super::flight::{Flight, News};
use super::wheel;
use crate::metrics::{Metrics, Transport};
use crate::session::{Rate, Wish};
use crate::transport::null::Null;
use crate::transport::socket::{Socket, Traveller};
use crate::transport::{SendError, Sent, Wire, tcp};

/// How long a client may take next to nothing of what waits for it, or leave what it got
/// unacknowledged, in milliseconds.
pub(crate) const STALL_MAX_MS: u64 = LINK_SILENCE_MAX_MS;

/// Within which a peer that is gone without a word is found, whatever was on its way, in
/// milliseconds. Everyone else has answered a probe by then.
pub(crate) const DEAD_PEER_FOUND_WITHIN_MS: u64 = LINK_SILENCE_MAX_MS + wheel::STEP_MS;

// Two probes at least are without an answer by then.
const _: () = assert!(2 * (PING_EVERY_MS + wheel::STEP_MS) < LINK_SILENCE_MAX_MS);
// The kernel does not end a connection before its room could say why.
const _: () = assert!(DEAD_PEER_FOUND_WITHIN_MS < tcp::USER_TIMEOUT_MS);

/// Whether the room has let a client in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// It showed a token; the room has not decided.
    Resuming,
    /// It wants a seat; the room has not decided.
    Joining,
    /// It holds this seat, or watches.
    In(Option<Seat>),
}

/// One connection in a room.
pub(crate) struct Connection {
    pub(crate) session: SessionId,
    pub(crate) standing: Standing,
    pub(crate) wish: Wish,
    wire: Box<dyn Wire>,
    pulse: Pulse,
    flight: Flight,
    /// Entries since the tick of this number.
    queued: (u64, usize),
}

/// When a client said something, and how much it may say.
pub(crate) struct Pulse {
    probed: Instant,
    rate: Rate,
}

/// What is kept of a connection that is in a room which is out of memory.
pub(crate) struct ParkedConnection {
    wire: Box<dyn Wire>,
    pulse: Pulse,
}

/// A connection on its way to another thread.
pub(crate) struct TravellingConnection {
    session: SessionId,
    standing: Standing,
    wish: Wish,
    /// None when its socket is broken.
    socket: Option<Traveller>,
    transport: Transport,
    pulse: Pulse,
    flight: Flight,
    queued: (u64, usize),
}

impl TravellingConnection {
    /// On the thread of the caller, with its socket; without one when that is broken.
    pub(crate) fn land(self) -> (Connection, Option<Rc<Socket>>) {
        let Self { session, standing, wish, socket, transport, pulse, flight, queued } = self;
        let socket = socket.and_then(|socket| socket.land().ok());
        let wire: Box<dyn Wire> = match &socket {
            Some(socket) => Box::new(socket.clone()),
            None => Box::new(Null(transport)),
        };
        (Connection { session, standing, wish, wire, pulse, flight, queued }, socket)
    }
}

impl Connection {
    /// Its socket, where it has one that can move to another thread.
    pub(crate) fn socket(&self) -> Option<Rc<Socket>> {
        self.wire.socket()
    }

    /// Leaves its thread. Nobody else may hold its socket.
    pub(crate) fn depart(self) -> TravellingConnection {
        let Self { session, standing, wish, wire, pulse, flight, queued } = self;
        let (transport, socket) = (wire.transport(), wire.socket());
        drop(wire);
        let socket = socket.and_then(Socket::depart);
        TravellingConnection { session, standing, wish, socket, transport, pulse, flight, queued }
    }

    pub(crate) fn new(
        session: SessionId,
        wish: Wish,
        wire: Box<dyn Wire>,
        rate: Rate,
        now: Instant,
    ) -> Self {
        let standing = if wish.claim.is_some() { Standing::Resuming } else { Standing::Joining };
        Self {
            session,
            standing,
            wish,
            wire,
            pulse: Pulse { probed: now, rate },
            flight: Flight::new(now),
            queued: (0, 0),
        }
    }

    /// Sends a frame of the room.
    pub(crate) fn send(&mut self, frame: &Frame, metrics: &Metrics) -> Result<Sent, SendError> {
        let head = frame.head.as_slice();
        let mut parts: SmallVec<[IoSlice<'_>; 13]> = SmallVec::new();
        parts.push(IoSlice::new(head));
        parts.extend(frame.parts.iter().map(|part| IoSlice::new(part)));
        if head.first().is_some_and(|first| lane(*first) == Some(Lane::State)) {
            self.flight.send(Instant::now);
        }
        self.send_parts(&parts, metrics)
    }

    /// Sends a control message.
    pub(crate) fn tell(
        &mut self,
        message: &ServerControl,
        metrics: &Metrics,
    ) -> Result<Sent, SendError> {
        self.send_parts(&[IoSlice::new(&message::encode(message))], metrics)
    }

    /// Sends one message, made of these parts.
    pub(crate) fn send_parts(
        &mut self,
        parts: &[IoSlice<'_>],
        metrics: &Metrics,
    ) -> Result<Sent, SendError> {
        send_parts(&*self.wire, parts, metrics)
    }

    /// Something was heard of the client.
    pub(crate) fn hear(&mut self, now: Instant) -> Result<(), Refusal> {
        self.pulse.hear(now)
    }

    /// The client has received so many state frames. Gives what is new of the way to it.
    pub(crate) fn acked(&mut self, frames: u64, now: Instant) -> Option<News> {
        self.flight.acknowledge(frames, now)
    }

    /// The client has pinged.
    pub(crate) fn pinged(&self, now: Instant) {
        self.wire.pinged(now);
    }

    /// One more entry since the tick of this number. False when that was the last one that may come
    /// before the next tick.
    pub(crate) fn queue(&mut self, tick: u64) -> bool {
        let count = if self.queued.0 == tick { self.queued.1 + 1 } else { 1 };
        self.queued = (tick, count);
        self.may_queue(tick)
    }

    /// Whether entries may come before the next tick.
    pub(crate) fn may_queue(&self, tick: u64) -> bool {
        self.queued.0 != tick || self.queued.1 < ACTIONS_PER_TICK_MAX
    }

    /// Asks for a sign of life where none has come for a while. Gives the time at which to look
    /// again, or what is wrong with the client.
    pub(crate) fn look(&mut self, now: Instant) -> Result<Instant, Refusal> {
        self.pulse.look(&*self.wire, self.flight.stuck_since(), now)
    }

    /// Whether bytes wait for the client.
    pub(crate) fn has_waiting(&self) -> bool {
        self.wire.stalled_since().is_some()
    }

    /// What is kept of it while its room is out of memory. Only of one that the room has let in.
    pub(crate) fn park(self) -> ParkedConnection {
        let Self { wire, pulse, .. } = self;
        ParkedConnection { wire, pulse }
    }

    /// It has a seat or watches from now on.
    pub(crate) fn let_in(&mut self, seat: Option<Seat>, metrics: &Metrics) {
        self.standing = Standing::In(seat);
        if seat.is_some() {
            metrics.players.up();
        }
    }

    /// It is in the room no longer.
    pub(crate) fn uncount(&self, metrics: &Metrics) {
        metrics.connections_by(self.wire.transport()).down();
        if let Standing::In(Some(_)) = self.standing {
            metrics.players.down();
        }
    }

    /// Whether it has not even answered when it was asked for a sign of life.
    pub(crate) fn is_silent(&self, now: Instant) -> bool {
        let quiet = now.saturating_duration_since(self.pulse.heard());
        quiet >= Duration::from_millis(LINK_SILENCE_MAX_MS - PING_EVERY_MS)
    }

    /// Tells the client why, and ends the connection.
    pub(crate) fn close(self, refusal: &Refusal, metrics: &Metrics) {
        metrics.ended(refusal.code);
        self.wire.close(refusal);
    }
}

impl Pulse {
    /// Something was heard of the client.
    fn hear(&mut self, now: Instant) -> Result<(), Refusal> {
        self.rate.take(now)
    }

    /// When that was last.
    fn heard(&self) -> Instant {
        self.rate.used()
    }

    /// See [`Connection::look`]. `stuck` says since when the client leaves unacknowledged what it got.
    fn look(
        &mut self,
        wire: &dyn Wire,
        stuck: Option<Instant>,
        now: Instant,
    ) -> Result<Instant, Refusal> {
        if let Some(refusal) = self.fault(wire, stuck, now) {
            return Err(refusal);
        }
        let quiet = self.heard().max(self.probed) + Duration::from_millis(PING_EVERY_MS);
        if quiet <= now {
            self.probed = now;
            wire.probe();
        }
        let next_probe = self.heard().max(self.probed) + Duration::from_millis(PING_EVERY_MS);
        let ends = [
            Some(self.heard() + Duration::from_millis(LINK_SILENCE_MAX_MS)),
            wire.stalled_since().map(|since| since + Duration::from_millis(STALL_MAX_MS)),
            stuck.map(|since| since + Duration::from_millis(STALL_MAX_MS)),
        ];
        Ok(ends.into_iter().flatten().fold(next_probe, Instant::min))
    }

    /// What is wrong with the client, if anything is.
    fn fault(&self, wire: &dyn Wire, stuck: Option<Instant>, now: Instant) -> Option<Refusal> {
        let over = |since: Instant, limit_ms| {
            now.saturating_duration_since(since) >= Duration::from_millis(limit_ms)
        };
        if over(self.heard(), LINK_SILENCE_MAX_MS) {
            let text = format!("nothing was heard for {LINK_SILENCE_MAX_MS} ms");
            return Some(Refusal::new(Code::Silent, text));
        }
        if wire.stalled_since().is_some_and(|since| over(since, STALL_MAX_MS)) {
            let text = format!("the client took next to nothing for {STALL_MAX_MS} ms");
            return Some(Refusal::new(Code::SlowReader, text));
        }
        if stuck.is_some_and(|since| over(since, STALL_MAX_MS)) {
            let text = format!("the client acknowledged no state for {STALL_MAX_MS} ms");
            return Some(Refusal::new(Code::SlowReader, text));
        }
        None
    }
}

impl ParkedConnection {
    /// See [`Connection::hear`].
    pub(crate) fn hear(&mut self, now: Instant) -> Result<(), Refusal> {
        self.pulse.hear(now)
    }

    /// See [`Connection::look`]. Nothing is sent that it could leave unacknowledged.
    pub(crate) fn look(&mut self, now: Instant) -> Result<Instant, Refusal> {
        self.pulse.look(&*self.wire, None, now)
    }

    /// See [`Connection::tell`].
    pub(crate) fn tell(
        &mut self,
        message: &ServerControl,
        metrics: &Metrics,
    ) -> Result<Sent, SendError> {
        send_parts(&*self.wire, &[IoSlice::new(&message::encode(message))], metrics)
    }

    /// The connection in the room that is back. The rest of what is known of it the room has kept.
    pub(crate) fn unpark(self, state: &ParkedLink, now: Instant) -> Connection {
        let Self { wire, pulse } = self;
        Connection {
            session: state.session(),
            standing: Standing::In(state.seat()),
            // It has been granted.
            wish: Wish::default(),
            wire,
            pulse,
            flight: Flight::again(state.frames(), now),
            queued: (0, 0),
        }
    }
}

fn send_parts(
    wire: &dyn Wire,
    parts: &[IoSlice<'_>],
    metrics: &Metrics,
) -> Result<Sent, SendError> {
    let sent = wire.try_send(parts)?;
    metrics.messages_out.up();
    metrics.bytes_out.add(parts.iter().map(|part| part.len() as u64).sum());
    if sent == Sent::Held {
        metrics.messages_held.up();
    }
    Ok(sent)
}

/// The refusal that a failed send amounts to; none when the client is gone anyway.
pub(crate) fn slow(error: &SendError) -> Option<Refusal> {
    match error {
        SendError::Full { .. } => Some(Refusal::new(Code::SlowReader, error.to_string())),
        SendError::Gone => None,
    }
}
