//! Time: attempts to connect, silence, acknowledgements, pings, inputs.

use super::second::Second;
use super::{Connection, Session};
use crate::error::Reason;
use crate::link::{Link, Stage};
use crate::retry::RETRY_AFTER_MAX_MS;
use referee_protocol::frame::FrameError;
use referee_protocol::limits::LINK_SILENCE_MAX_MS;
use referee_protocol::message::{self, ClientControl};
use referee_protocol::{Code, Refusal};

/// Most connections in a row that may bring something unreadable; after one more the session
/// closes, since the two ends do not speak the same language.
pub const UNREADABLE_LINKS_MAX: u32 = 3;
/// How long a connection must have been open for the next attempts to start from the front.
const HELD_AFTER_MS: u64 = 1_000;

impl Session {
    /// When [`Self::handle_timeout`] is wanted, if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        match &self.connection {
            Connection::Waiting { until } | Connection::Dialing { until, .. } => Some(*until),
            Connection::Closed => None,
            Connection::Up(link) => {
                let inputs = self.is_open().then(|| self.inputs.timeout()).flatten();
                [link.timeout(), inputs, self.second_timeout()].into_iter().flatten().min()
            }
        }
    }

    /// Does what is due. To come early, or for nothing, does no harm.
    pub fn handle_timeout(&mut self, now: u64) {
        self.notice_sleep(now);
        match &mut self.connection {
            Connection::Waiting { until } if *until <= now => {
                let until = now + LINK_SILENCE_MAX_MS;
                self.connection = Connection::Dialing { link: self.connect(), until };
            }
            Connection::Dialing { until, .. } if *until <= now => {
                self.give_up(now, Code::Silent, "the server did not answer");
            }
            Connection::Up(link) if link.silent_at().is_some_and(|at| at <= now) => {
                self.give_up(now, Code::Silent, "the server fell silent");
            }
            Connection::Up(link) => {
                if let Some(nonce) = link.take_ping(now) {
                    self.send(message::encode(&ClientControl::Ping { nonce }));
                }
                self.flush_inputs(now);
                self.flush_ack(now);
                self.second_due(now);
            }
            Connection::Waiting { .. } | Connection::Dialing { .. } | Connection::Closed => {}
        }
    }

    pub(super) fn link(&mut self) -> Option<&mut Link> {
        match &mut self.connection {
            Connection::Up(link) => Some(link),
            Connection::Waiting { .. } | Connection::Dialing { .. } | Connection::Closed => None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open_since().is_some()
    }

    fn open_since(&self) -> Option<u64> {
        match &self.connection {
            Connection::Up(link) => match link.stage {
                Stage::Open(since) => Some(since),
                Stage::Greeting | Stage::AwaitingSchema | Stage::AwaitingState => None,
            },
            Connection::Waiting { .. } | Connection::Dialing { .. } | Connection::Closed => None,
        }
    }

    /// Whether the connection was open for long enough that its loss is the first of a run.
    pub(super) fn has_held(&self, now: u64) -> bool {
        self.open_since().is_some_and(|since| now.saturating_sub(since) >= HELD_AFTER_MS)
    }

    pub(super) fn flush_ack(&mut self, now: u64) {
        if let Some(link) = self.link().filter(|link| link.ack_is_due(now)) {
            let ack = link.take_ack();
            self.send(ack.encode());
        }
    }

    /// Closes the connection from this end, and tries again.
    pub(super) fn give_up(&mut self, now: u64, code: Code, message: &str) {
        self.disconnect(code);
        self.lost(now, Reason { code: Some(code), message: message.into() }, None);
    }

    /// The server refused or ended the connection in so many words.
    pub(super) fn refused(&mut self, now: u64, refusal: Refusal) {
        let after = refusal.retry_after_ms.map(u64::from);
        self.disconnect(refusal.code);
        let reason = Reason { code: Some(refusal.code), message: refusal.message };
        self.lost(now, reason, after);
    }

    /// What the server sent cannot be read, so nothing that is known can be trusted: a new
    /// connection asks for everything.
    pub(super) fn unreadable(&mut self, now: u64, error: &FrameError) {
        if self.has_held(now) {
            self.unreadable = 0;
        }
        self.unreadable += 1;
        self.known = None;
        self.replica = referee_protocol::Replica::new(self.hz.unwrap_or(0));
        self.schema = None;
        self.disconnect(Code::BadMessage);
        let message = format!("the server sent something unreadable: {error}");
        if self.unreadable > UNREADABLE_LINKS_MAX {
            let message = format!("{message} ({} times in a row)", self.unreadable);
            self.close(Reason { code: Some(Code::BadMessage), message });
        } else {
            self.retry_after(now, Reason { code: None, message }, None);
        }
    }

    /// The connection is gone: tries again if that may help, else closes for good.
    pub(super) fn lost(&mut self, now: u64, reason: Reason, after: Option<u64>) {
        if !reason.code.is_none_or(Code::may_retry) {
            return self.close(reason);
        }
        if let Err(reason) = self.promote_second(now, reason) {
            self.retry_after(now, reason, after);
        }
    }

    fn retry_after(&mut self, now: u64, reason: Reason, after: Option<u64>) {
        if self.has_held(now) {
            self.retry.reset();
        }
        let asked = after.unwrap_or(0).min(RETRY_AFTER_MAX_MS);
        let wait = self.retry.wait_ms().max(asked);
        self.second = Second::None;
        self.connection = Connection::Waiting { until: now + wait };
        self.become_reconnecting(reason);
    }
}
