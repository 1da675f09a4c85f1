//! What can go wrong, said so that the reader knows what to change.

use referee_protocol::Code;
use referee_protocol::limits::ACTIONS_KEPT_MAX;
use referee_protocol::value::ValueError;

/// Why a wish of the player was not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientError {
    /// The game has no type of that name.
    #[error("the game has no {kind} {name}; it has {}", list(known))]
    UnknownType {
        /// "action", "input", "resource", "component" or "event".
        kind: &'static str,
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The value does not fit its type.
    #[error("{kind} {name}: {problem}")]
    Value {
        /// "action" or "input".
        kind: &'static str,
        /// The type's name.
        name: String,
        /// The field, the value and what would fit.
        problem: ValueError,
    },
    /// Too many actions wait for the server.
    #[error(
        "action {name}: {ACTIONS_KEPT_MAX} actions already wait for the server, and no more are \
         kept; wait until the room is open and has taken some"
    )]
    TooManyActions {
        /// The action's name.
        name: String,
    },
    /// A spectator cannot act.
    #[error("{kind} {name}: a spectator has no seat and cannot act; join without watching")]
    Spectator {
        /// "action" or "input".
        kind: &'static str,
        /// The type's name.
        name: String,
    },
    /// The session is closed for good.
    #[error("{kind} {name}: the session is closed ({reason}); join again")]
    Closed {
        /// "action" or "input".
        kind: &'static str,
        /// The type's name.
        name: String,
        /// Why it is closed.
        reason: String,
    },
}

impl ClientError {
    /// The short name a program compares with.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnknownType { .. } => "unknown_type",
            Self::Value { .. } => "bad_value",
            Self::TooManyActions { .. } => "too_many",
            Self::Spectator { .. } => "spectator",
            Self::Closed { .. } => "closed",
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// Why a session is closed, or without a connection for now.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}: {message}", self.name())]
pub struct Reason {
    /// The server's code, or ours; none where the connection was just lost.
    pub code: Option<Code>,
    /// A sentence for people.
    pub message: String,
}

impl Reason {
    /// The code's name, `lost` where there is none.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.code.map_or("lost", Code::name)
    }
}
