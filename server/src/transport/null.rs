//! A connection that is none: what is sent is thrown away, and nothing comes. For measurements of what a
//! room costs without its sockets.

use std::io::IoSlice;
use std::time::Instant;

use referee_protocol::Refusal;

use super::{SendError, Sent, Wire};
use crate::metrics::Transport;

/// See the module's documentation.
pub(crate) struct Null(pub(crate) Transport);

impl Wire for Null {
    fn try_send(&self, _: &[IoSlice<'_>]) -> Result<Sent, SendError> {
        Ok(Sent::Out)
    }

    fn probe(&self) {}

    fn close(&self, _: &Refusal) {}

    fn transport(&self) -> Transport {
        self.0
    }

    fn stalled_since(&self) -> Option<Instant> {
        None
    }
}
