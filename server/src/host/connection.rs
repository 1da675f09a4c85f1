//! What a room knows of one of its connections.

use std::io::IoSlice;
use std::time::{Duration, Instant};

use referee_protocol::frame::Lane;
use referee_protocol::limits::{
    ACTIONS_PER_TICK_MAX, FRAMES_IN_FLIGHT_MAX, LINK_SILENCE_MAX_MS, PING_EVERY_MS,
};
use referee_protocol::message::{self, ServerControl};
use referee_protocol::{Code, Refusal, Seat, SessionId};
use referee_room::output::Frame;
use smallvec::SmallVec;

use crate::metrics::Metrics;
use crate::session::{Rate, Wish};
use crate::transport::{SendError, Sent, Wire};

/// How long a client may take nothing of what waits for it, or leave what it got unacknowledged, in
/// milliseconds.
pub(crate) const STALL_MAX_MS: u64 = LINK_SILENCE_MAX_MS;

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
    pub(crate) rate: Rate,
    wire: Box<dyn Wire>,
    heard: Instant,
    probed: Instant,
    states: States,
    /// Entries since the tick of this number.
    queued: (u64, usize),
}

/// State frames sent and acknowledged.
struct States {
    sent: u64,
    acked: u64,
    /// When the last frame that may be in flight left, or the client last acknowledged some.
    moved: Instant,
}

impl Connection {
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
            rate,
            wire,
            heard: now,
            probed: now,
            states: States { sent: 0, acked: 0, moved: now },
            queued: (0, 0),
        }
    }

    /// Sends a frame of the room.
    pub(crate) fn send(&mut self, frame: &Frame, metrics: &Metrics) -> Result<Sent, SendError> {
        let head = frame.head.as_slice();
        let mut parts: SmallVec<[IoSlice<'_>; 8]> = SmallVec::new();
        parts.push(IoSlice::new(head));
        parts.extend(frame.parts.iter().map(|part| IoSlice::new(part)));
        if head.first() == Some(&(Lane::State as u8)) {
            self.states.sent += 1;
            if self.states.sent - self.states.acked == u64::from(FRAMES_IN_FLIGHT_MAX) {
                self.states.moved = Instant::now();
            }
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
        let sent = self.wire.try_send(parts)?;
        metrics.messages_out.up();
        metrics.bytes_out.add(parts.iter().map(|part| part.len() as u64).sum());
        if sent == Sent::Held {
            metrics.messages_held.up();
        }
        Ok(sent)
    }

    /// Something was heard of the client.
    pub(crate) fn hear(&mut self, now: Instant) -> Result<(), Refusal> {
        self.heard = now;
        self.rate.take(now)
    }

    /// The client has received so many state frames.
    pub(crate) fn acked(&mut self, frames: u64, now: Instant) {
        if frames > self.states.acked {
            self.states.acked = frames.min(self.states.sent);
            self.states.moved = now;
        }
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

    /// Asks for a sign of life where none has come for a while.
    pub(crate) fn probe(&mut self, now: Instant) {
        let last = self.heard.max(self.probed);
        if now.saturating_duration_since(last) >= Duration::from_millis(PING_EVERY_MS) {
            self.probed = now;
            self.wire.probe();
        }
    }

    /// What is wrong with the client, if anything is.
    pub(crate) fn fault(&self, now: Instant) -> Option<Refusal> {
        let over = |since: Instant, limit_ms| {
            now.saturating_duration_since(since) > Duration::from_millis(limit_ms)
        };
        if over(self.heard, LINK_SILENCE_MAX_MS) {
            let text = format!("nothing was heard for {LINK_SILENCE_MAX_MS} ms");
            return Some(Refusal::new(Code::Silent, text));
        }
        if self.wire.stalled_since().is_some_and(|since| over(since, STALL_MAX_MS)) {
            let text = format!("the client took nothing for {STALL_MAX_MS} ms");
            return Some(Refusal::new(Code::SlowReader, text));
        }
        let in_flight = self.states.sent - self.states.acked;
        if in_flight >= u64::from(FRAMES_IN_FLIGHT_MAX) && over(self.states.moved, STALL_MAX_MS) {
            let text = format!("the client acknowledged no state for {STALL_MAX_MS} ms");
            return Some(Refusal::new(Code::SlowReader, text));
        }
        None
    }

    /// Tells the client why, and ends the connection.
    pub(crate) fn close(self, refusal: &Refusal, metrics: &Metrics) {
        metrics.ended(refusal.code);
        self.wire.close(refusal);
    }
}

/// The refusal that a failed send amounts to; none when the client is gone anyway.
pub(crate) fn slow(error: &SendError) -> Option<Refusal> {
    match error {
        SendError::Full { .. } => Some(Refusal::new(Code::SlowReader, error.to_string())),
        SendError::Gone => None,
    }
}
