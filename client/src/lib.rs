//! The client's side of a match, without I/O: what to send, what to believe, when to try again.
//!
//! A [`Session`] owns no socket and reads no clock. A driver (the browser's, tokio's, a test's)
//! feeds it what happened and when, and does what it asks for; the same session runs in all three.
//!
//! The contract between the two:
//!
//! 1. The driver calls one of `handle_open`, `handle_frame`, `handle_close`, `handle_timeout`, or a
//!    wish of the player (`send_action`, `set_input`, `leave`).
//! 2. After every such call it drains `poll_output` and does what it says, drains `poll_event`, and
//!    arms one timer for `poll_timeout`. A new session has a timeout at 0: it wants to connect.
//! 3. There are at most two connections, told apart by a [`LinkId`]: the second is opened while the
//!    first is silent, and one of them is closed soon. What the driver still feeds of one after its
//!    [`Output::Disconnect`] is ignored.
//!
//! Times are milliseconds on any clock that never goes back.
//!
//! A driver that draws calls [`Session::show`] for each picture and reads what it gives: what is seen
//! at a moment a little behind the newest state, with motions between states made even.

mod actions;
mod aim;
pub mod bot;
mod clock;
mod config;
mod error;
mod events;
mod inputs;
mod link;
mod metrics;
mod output;
mod random;
mod references;
mod retry;
mod session;
mod smooth;

pub use config::Config;
pub use error::{ClientError, Reason};
pub use metrics::Metrics;
pub use output::{Dropped, Event, Kind, LinkId, Output, Status};
pub use random::Random;
pub use referee_protocol as protocol;
pub use retry::{RETRY_AFTER_MAX_MS, RETRY_MAX_MS, Retry};
pub use session::{
    EVENTS_WAITING_MAX, EntityView, Named, Session, Shown, ShownEntity, UNREADABLE_LINKS_MAX,
    close_code,
};
