//! The codes with which a server refuses or ends a connection. Over WebSocket a code `c` is also
//! the close code `4000 + c`.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// Why a server refused or ended a connection.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(into = "u16", from = "u16")]
        #[repr(u16)]
        pub enum Code { $($(#[$doc])* $name = $number,)* }

        impl Code {
            /// Every code, in order of number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The short name a client program compares with.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The code with this number; [`Code::Unknown`] for one that this build does not know, so
            /// that a newer server's refusal is still one.
            #[must_use]
            pub fn from_number(number: u16) -> Self {
                match number { $($number => Self::$name,)* _ => Self::Unknown }
            }
        }
    };
}

codes! {
    /// A code this build does not know. Never sent.
    Unknown = 0, "unknown";
    /// The room has stopped; it comes back with the next visit.
    Stopped = 1, "stopped";
    /// The player left by its own wish.
    Left = 2, "left";
    /// A message could not be read.
    BadMessage = 10, "bad_message";
    /// A message was larger than its limit.
    TooLarge = 11, "too_large";
    /// The two ends share no protocol version.
    Version = 12, "version";
    /// No Hello came in time.
    HelloTimeout = 13, "hello_timeout";
    /// Nothing was heard for too long.
    Silent = 14, "silent";
    /// The client reads too slowly, or not at all.
    SlowReader = 15, "slow_reader";
    /// More messages came than the limit allows.
    TooMany = 16, "too_many";
    /// No game of that name is hosted here.
    UnknownGame = 20, "unknown_game";
    /// The match id breaks the rules for ids.
    BadMatchId = 21, "bad_match_id";
    /// The room's parameters were refused.
    BadParams = 22, "bad_params";
    /// Every seat is taken.
    Full = 23, "full";
    /// The game refused the player.
    Refused = 24, "refused";
    /// The page's Origin may not connect here.
    Origin = 25, "origin";
    /// The request's Host is not served here.
    Host = 26, "host";
    /// The game removed the player.
    Kicked = 30, "kicked";
    /// Another connection took this seat with the same token.
    Replaced = 31, "replaced";
    /// The seat stood idle for too long.
    Idle = 32, "idle";
    /// The game failed; what was saved is kept.
    Failed = 40, "failed";
    /// The stored room could not be read; it was left untouched.
    Unreadable = 41, "unreadable";
    /// The server holds as many rooms or connections as it may.
    Busy = 42, "busy";
    /// This address makes new rooms too fast.
    RoomRate = 43, "room_rate";
    /// The server is going down; it comes back by itself or with its next start.
    GoingDown = 44, "going_down";
}

impl Code {
    /// Whether a client may try again by itself.
    #[must_use]
    pub fn may_retry(self) -> bool {
        matches!(
            self,
            Self::Stopped
                | Self::HelloTimeout
                | Self::Silent
                | Self::SlowReader
                | Self::Failed
                | Self::Busy
                | Self::RoomRate
                | Self::GoingDown
        )
    }

    /// The WebSocket close code that carries this code.
    #[must_use]
    pub fn close_code(self) -> u16 {
        4000 + self as u16
    }
}

impl From<Code> for u16 {
    fn from(code: Code) -> Self {
        code as Self
    }
}

impl From<u16> for Code {
    fn from(number: u16) -> Self {
        Self::from_number(number)
    }
}

/// A refusal: a code for programs and a sentence for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {message}", code.name())]
pub struct Refusal {
    /// What kind of refusal it is.
    pub code: Code,
    /// The thing, the value, the limit and the way out, in one sentence.
    pub message: String,
    /// When trying again makes sense, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
}

impl Refusal {
    /// A refusal without a retry hint.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_come_back() {
        for code in Code::ALL {
            assert_eq!(Code::from_number(*code as u16), *code);
        }
        assert_eq!(Code::from_number(999), Code::Unknown);
        assert!(!Code::Unknown.may_retry());
    }
}
