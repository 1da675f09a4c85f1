//! How frames reach clients. A room's thread owns the write half of its clients' connections and
//! sends straight into it: no task, no channel and no copy lies between a tick and the system call.
//!
//! [`Wire`] is that write half; whoever reads the other half reports to a [`Peer`].
//!
//! | module | what it owns |
//! |---|---|
//! | `stream` | streams of bytes: TCP, TLS over TCP, QUIC, memory |
//! | `tcp`, `gather` | a TCP socket: watched by the runtime, or read by its room just before it ticks |
//! | `null` | no connection: what rooms cost without one |
//! | `websocket`, `framed` | how messages stand in a stream |
//! | `socket` | a connection in a room: any stream with any framing, and what waits for it |

use std::future::Future;
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Instant;

use referee_protocol::Refusal;

use crate::metrics::Transport;
use socket::Socket;

mod framed;
pub(crate) mod gather;
#[cfg(test)]
pub(crate) mod memory;
pub(crate) mod null;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod tcp;
mod websocket;

/// Longest reason that goes with a close, in bytes: a WebSocket's control frame holds 125, two of
/// them the code.
const CLOSE_REASON_MAX_BYTES: usize = 123;

/// The beginning of a refusal's text, as it goes with a close.
fn close_reason(refusal: &Refusal) -> &str {
    let mut reason = refusal.message.as_str();
    while reason.len() > CLOSE_REASON_MAX_BYTES {
        let mut chars = reason.chars();
        chars.next_back();
        reason = chars.as_str();
    }
    reason
}

/// The write half of a connection.
pub(crate) trait Wire {
    /// Sends one message, made of `parts` in this order. What the network does not take at once is
    /// kept, up to a bound.
    fn try_send(&self, parts: &[IoSlice<'_>]) -> Result<Sent, SendError>;

    /// Asks the other end for a sign of life that it gives without its program's doing: a browser's
    /// hidden page may sleep for minutes.
    fn probe(&self);

    /// The client has pinged, and will again after a while.
    fn pinged(&self, _now: Instant) {}

    /// Tells the client why, then ends the connection once that has left. Nothing is sent after.
    fn close(&self, refusal: &Refusal);

    /// How the client is connected.
    fn transport(&self) -> Transport;

    /// Since when bytes have waited without all of them leaving, or so many that it is progress.
    fn stalled_since(&self) -> Option<Instant>;

    /// The socket that it writes into, where it is one: that can move to another thread.
    fn socket(&self) -> Option<Rc<Socket>> {
        None
    }
}

/// Where a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sent {
    /// With the network.
    Out,
    /// Part of it waits for the network.
    Held,
}

/// Why a message was not sent.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// Too much waits for this client already.
    #[error("{waiting} bytes wait for the client; at most {limit} may")]
    Full {
        /// What waits, with this message.
        waiting: usize,
        /// What may wait.
        limit: usize,
    },
    /// The connection is gone.
    #[error("the connection is gone")]
    Gone,
}

/// Who is told of what a connection brings.
pub(crate) trait Peer {
    /// A message came. False: take no more from this client before [`Peer::ready`].
    fn message(&self, bytes: &[u8]) -> bool;

    /// Ends when more may be taken.
    fn ready(&self) -> impl Future<Output = ()>;

    /// All that waited in the server for this client has left.
    fn written(&self);

    /// The client broke a rule of the transport. The peer closes the connection.
    fn fault(&self, refusal: &Refusal);

    /// The connection is gone.
    fn gone(&self);
}
