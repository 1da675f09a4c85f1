//! One connection: what was heard on it and what is due.

use crate::events::EventQueue;
use crate::output::LinkId;
use referee_protocol::frame::Ack;
use referee_protocol::limits::{
    ACK_EVERY_FRAMES, ACK_EVERY_MS, LINK_QUIET_MS, LINK_QUIET_PING_MS, LINK_SILENCE_MAX_MS,
    PING_EVERY_MS,
};

/// Frames between two acknowledgements: half of what the protocol asks for, so that one is under
/// way before the server has to wait for it.
const FRAMES_PER_ACK: u64 = ACK_EVERY_FRAMES as u64 / 2;

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// Hello is sent.
    Greeting,
    /// Welcome is here, the schema is to come.
    AwaitingSchema,
    /// The first state is to come.
    AwaitingState,
    /// State was applied; since when.
    Open(u64),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) stage: Stage,
    pub(crate) events: EventQueue,
    /// The first state must be full: the server was told of nothing it could build on.
    pub(crate) must_be_full: bool,
    frames: u64,
    acked: Ack,
    ack_due: Option<u64>,
    ping_due: u64,
    pinged_at: u64,
    /// The last ping: its number and when it went out.
    ping: Option<(u32, u64)>,
    nonce: u32,
    /// Since when an answer is waited for and nothing was heard. Only this counts as silence: a
    /// browser slows the timers of a hidden page, and a quiet room says nothing by itself.
    unanswered: Option<u64>,
    /// When something was heard last, or the client woke.
    heard_at: u64,
    /// The room speaks without being asked.
    is_realtime: bool,
}

impl Link {
    /// A connection on which Hello was just sent.
    pub(crate) fn new(now: u64, id: LinkId, must_be_full: bool) -> Self {
        Self {
            id,
            stage: Stage::Greeting,
            events: EventQueue::default(),
            must_be_full,
            frames: 0,
            acked: Ack::default(),
            ack_due: None,
            ping_due: u64::MAX,
            pinged_at: now,
            ping: None,
            nonce: 0,
            unanswered: Some(now),
            heard_at: now,
            is_realtime: false,
        }
    }

    pub(crate) fn heard(&mut self, now: u64) {
        self.unanswered = None;
        self.heard_at = now;
    }

    /// Nobody listened until now, so there was no silence.
    pub(crate) fn woke(&mut self, now: u64) {
        self.heard_at = now;
    }

    /// When it has been silent for so long that a second connection is to be tried.
    pub(crate) fn quiet_at(&self) -> Option<u64> {
        let speaks = self.is_realtime && matches!(self.stage, Stage::Open(_));
        speaks.then_some(self.heard_at + LINK_QUIET_MS)
    }

    pub(crate) fn welcomed(
        &mut self,
        now: u64,
        is_realtime: bool,
        schema_known: bool,
        events: EventQueue,
    ) {
        self.is_realtime = is_realtime;
        self.stage = if schema_known { Stage::AwaitingState } else { Stage::AwaitingSchema };
        self.acked.event = events.delivered();
        self.events = events;
        self.ping_due = now;
    }

    /// A state frame was applied, or events were delivered.
    pub(crate) fn received(&mut self, now: u64, frames: u64) {
        self.frames += frames;
        let due = if self.frames - self.acked.frames >= FRAMES_PER_ACK {
            now
        } else {
            now + ACK_EVERY_MS
        };
        self.ack_due = Some(self.ack_due.map_or(due, |was| was.min(due)));
    }

    pub(crate) fn ack_is_due(&self, now: u64) -> bool {
        self.ack_due.is_some_and(|due| due <= now)
    }

    /// The acknowledgement, which the caller sends.
    pub(crate) fn take_ack(&mut self) -> Ack {
        self.ack_due = None;
        self.acked = Ack { frames: self.frames, event: self.events.delivered() };
        self.acked
    }

    /// When the next ping is due: at last some time after the one before, earlier while the room is silent.
    fn ping_at(&self) -> u64 {
        let quiet = self.quiet_at().map(|at| at.max(self.pinged_at + LINK_QUIET_PING_MS));
        quiet.map_or(self.ping_due, |at| at.min(self.ping_due))
    }

    /// The number of a ping that is due, which the caller sends.
    pub(crate) fn take_ping(&mut self, now: u64) -> Option<u32> {
        if now < self.ping_at() {
            return None;
        }
        (self.pinged_at, self.ping_due) = (now, now + PING_EVERY_MS);
        self.nonce = self.nonce.wrapping_add(1);
        self.ping = Some((self.nonce, now));
        self.unanswered.get_or_insert(now);
        Some(self.nonce)
    }

    /// The round trip that an answer closes.
    pub(crate) fn pong(&mut self, now: u64, nonce: u32) -> Option<u64> {
        let (_, sent) = self.ping.take_if(|(number, _)| *number == nonce)?;
        Some(now.saturating_sub(sent))
    }

    /// When the connection counts as dead.
    pub(crate) fn silent_at(&self) -> Option<u64> {
        // A ping goes out after at most PING_EVERY_MS of silence.
        let patience = match self.stage {
            Stage::Greeting => LINK_SILENCE_MAX_MS,
            _ => LINK_SILENCE_MAX_MS - PING_EVERY_MS,
        };
        self.unanswered.map(|since| since + patience)
    }

    pub(crate) fn timeout(&self) -> Option<u64> {
        let ping = Some(self.ping_at()).filter(|at| *at != u64::MAX);
        [self.silent_at(), self.ack_due, ping].into_iter().flatten().min()
    }
}
