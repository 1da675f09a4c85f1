//! The second connection. A realtime room speaks several times a second; where it has not for a
//! while, the connection may be dead without anyone saying so. To find out costs one more
//! connection: whichever of the two answers first is kept. No Hello goes out on the second before
//! the first is given up, so the room never sees the player twice.

use super::{Connection, Session};
use crate::error::Reason;
use crate::output::{LinkId, Output, Status};
use referee_protocol::Code;
use referee_protocol::limits::{LINK_ASLEEP_MS, LINK_SECOND_EVERY_MS, LINK_SILENCE_MAX_MS};

/// A second connection that is not open after so long is not waited for when the first is gone, in
/// milliseconds: longer than most round trips.
const SECOND_STALE_MS: u64 = 300;

/// Where the second connection stands. There is one only beside a first that is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Second {
    /// The first speaks, or has not been silent for long.
    #[default]
    None,
    /// It could not be opened; tried again at this time.
    Waiting { until: u64 },
    /// It is being opened; given up at this time.
    Dialing { link: LinkId, until: u64 },
}

impl Session {
    /// When the second connection needs attention.
    pub(super) fn second_timeout(&self) -> Option<u64> {
        let Connection::Up(link) = &self.connection else { return None };
        match self.second {
            Second::None => link.quiet_at().map(|at| at.max(self.second_from)),
            Second::Waiting { until } | Second::Dialing { until, .. } => Some(until),
        }
    }

    /// Opens the second connection, or gives it up, when that is due.
    pub(super) fn second_due(&mut self, now: u64) {
        if self.second_timeout().is_none_or(|at| at > now) {
            return;
        }
        if let Second::Dialing { link, .. } = self.second {
            self.outputs.push_back(Output::Disconnect { link, code: Code::Silent });
            self.second = Second::Waiting { until: now + self.retry.wait_ms() };
            return;
        }
        if self.second == Second::None && self.has_held(now) {
            self.retry.reset();
        }
        self.second_from = now + LINK_SECOND_EVERY_MS;
        self.second = Second::Dialing { link: self.connect(), until: now + LINK_SILENCE_MAX_MS };
    }

    /// The first has spoken, or goes for good: a second is closed unused.
    pub(super) fn drop_second(&mut self) {
        if let Second::Dialing { link, .. } = std::mem::take(&mut self.second) {
            self.outputs.push_back(Output::Disconnect { link, code: Code::Left });
        }
    }

    /// The second could not be opened: the first is left alone.
    pub(super) fn second_failed(&mut self, now: u64) {
        self.second = Second::Waiting { until: now + self.retry.wait_ms() };
    }

    /// The second is open, and the first has not spoken: the second is the first from now on.
    pub(super) fn second_open(&mut self, now: u64, link: LinkId) {
        if self.has_held(now) {
            self.retry.reset();
        }
        self.second = Second::None;
        self.disconnect(Code::Silent);
        let message = "the server fell silent; a new connection took over".into();
        self.become_reconnecting(Reason { code: Some(Code::Silent), message });
        self.greet(now, link);
    }

    /// The first is gone while the second is being opened: nothing else is opened, unless it has been for
    /// long. Then nobody was there when it began, and what it said is said again only after growing
    /// times, while somebody is there now.
    pub(super) fn promote_second(&mut self, now: u64, reason: Reason) -> Result<(), Reason> {
        let Second::Dialing { link, until } = self.second else { return Err(reason) };
        if until.saturating_sub(now) < LINK_SILENCE_MAX_MS - SECOND_STALE_MS {
            self.drop_second();
            return Err(reason);
        }
        self.second = Second::None;
        self.connection = Connection::Dialing { link, until };
        self.become_reconnecting(reason);
        Ok(())
    }

    /// What was not sent yet cannot be sent any more, and is worth nothing elsewhere.
    pub(super) fn become_reconnecting(&mut self, reason: Reason) {
        self.outputs.retain(|output| !matches!(output, Output::Send { .. }));
        let was_open = self.status == Status::Open;
        let status = if was_open { Status::Reconnecting } else { self.status };
        self.set_status(status, Some(reason));
    }

    /// A timeout that comes much later than it was asked for: the page was hidden or the machine
    /// suspended, and nobody listened. What waits in the socket is heard first.
    pub(super) fn notice_sleep(&mut self, now: u64) {
        let slept = self.poll_timeout().is_some_and(|at| now > at + LINK_ASLEEP_MS);
        if slept && let Some(link) = self.link() {
            link.woke(now);
        }
    }
}
