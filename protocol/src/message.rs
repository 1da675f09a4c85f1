//! Control messages: the handshake, pings, refusals. MessagePack with named fields, so that a field
//! may be added without a new protocol version; unknown fields are ignored.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::code::Refusal;
use crate::frame::{FrameError, Lane};
use crate::ids::{Incarnation, Seat, SessionId, Tick};
use crate::limits::{PARAMS_MAX_BYTES, PLAYER_NAME_MAX_BYTES, TOKEN_MAX_BYTES, VERSIONS};

/// What a client says on the control lane.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum ClientControl {
    /// The first message of a connection.
    Hello(Hello),
    /// Asks for a [`ServerControl::Pong`].
    Ping {
        /// Comes back in the answer.
        nonce: u32,
    },
    /// The player gives up the seat.
    Leave,
}

/// A client's wish to join.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol versions the client speaks, best first.
    pub versions: Vec<u16>,
    /// The game, on transports without a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub game: Option<String>,
    /// The match, on transports without a URL.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub match_id: Option<String>,
    /// The player's name; the server cuts it to its limit.
    #[serde(default)]
    pub name: String,
    /// The hash of the schema the client has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<u64>,
    /// The resume token of a seat the client holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What the client still knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// Parameters for a room that does not exist yet, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<String>,
    /// The client only wants to watch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub watch: bool,
    /// The client asks for the hash of its view after each state; only a server in test mode sends it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub check: bool,
}

/// What a returning client still knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Resume {
    /// The room's life in which it learned it.
    pub incarnation: Incarnation,
    /// The tick of the last state it applied.
    pub tick: Tick,
    /// The number of the last event it received.
    pub event: u64,
}

/// What a server says on the control lane.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum ServerControl {
    /// The client is in.
    Welcome(Welcome),
    /// The client is refused, or its connection ends.
    Refused(Refusal),
    /// The answer to a ping.
    Pong {
        /// The ping's number.
        nonce: u32,
        /// The tick that time has reached; in a turn-based room its clock, whatever ran last.
        tick: Tick,
    },
    /// The match has ended.
    Ended {
        /// Its result as JSON.
        result: String,
    },
    /// What the client sees after the state frame before. Sent only to those who asked for it.
    Check {
        /// The [`crate::hash::view_hash`] of its view.
        hash: u64,
    },
}

/// Everything a client needs to take part.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol version of this connection.
    pub version: u16,
    /// This session's number.
    pub session: SessionId,
    /// The client's seat; none for a spectator.
    pub seat: Option<Seat>,
    /// The token with which to come back to the seat.
    pub token: Option<String>,
    /// Whether the client came back to a seat it held.
    pub resumed: bool,
    /// The room's present life.
    pub incarnation: Incarnation,
    /// The room's tick.
    pub tick: Tick,
    /// Ticks per second; none in a turn-based room.
    pub hz: Option<u16>,
    /// The hash of the room's schema; a frame on the schema lane follows when the client has another.
    pub schema: u64,
    /// The number of the seat's last applied action; the client drops those up to it and sends the
    /// rest again.
    pub last_action: u64,
    /// The number of the last event before the first one that will come.
    pub last_event: u64,
    /// Events were lost because too many waited; the state that follows is full.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub events_lost: bool,
    /// The match's result as JSON, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

/// Why a Hello cannot be accepted as it stands.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HelloError {
    /// No common version.
    #[error(
        "the client speaks versions {0:?}, this server {VERSIONS:?}: update the older of the two"
    )]
    Version(Vec<u16>),
    /// The parameters are too large.
    #[error("params have {0} bytes; at most {PARAMS_MAX_BYTES} are allowed")]
    Params(usize),
    /// The token is too long to be one.
    #[error("the token has {0} bytes; at most {TOKEN_MAX_BYTES} are allowed")]
    Token(usize),
}

impl Hello {
    /// The best protocol version both ends speak, after checking every limit.
    ///
    /// # Errors
    /// Names the value and the limit.
    pub fn check(&self) -> Result<u16, HelloError> {
        let params = self.params.as_ref().map_or(0, String::len);
        if params > PARAMS_MAX_BYTES {
            return Err(HelloError::Params(params));
        }
        let token = self.token.as_ref().map_or(0, String::len);
        if token > TOKEN_MAX_BYTES {
            return Err(HelloError::Token(token));
        }
        let common = VERSIONS.iter().find(|version| self.versions.contains(version));
        common
            .copied()
            .ok_or_else(|| HelloError::Version(self.versions.iter().take(8).copied().collect()))
    }

    /// The player's name: without control characters, trimmed, and cut to its limit.
    #[must_use]
    pub fn player_name(&self) -> String {
        let clean: String = self.name.chars().filter(|c| !c.is_control()).collect();
        let mut name = clean.trim().to_owned();
        while name.len() > PLAYER_NAME_MAX_BYTES {
            name.pop();
        }
        name
    }
}

/// A control message as a frame.
///
/// # Panics
/// Never: control messages hold only plain data.
#[must_use]
pub fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    let mut out = vec![Lane::Control as u8];
    let mut writer = rmp_serde::Serializer::new(&mut out).with_struct_map();
    message.serialize(&mut writer).expect("control messages hold only plain data");
    out
}

/// Reads the body of a control frame.
///
/// # Errors
/// When it is no message of this direction.
pub fn decode<M: DeserializeOwned>(body: &[u8]) -> Result<M, FrameError> {
    let mut rest = body;
    let mut reader = rmp_serde::Deserializer::new(&mut rest);
    reader.set_max_depth(32);
    let message = M::deserialize(&mut reader).map_err(|e| FrameError::Control(e.to_string()))?;
    match rest.len() {
        0 => Ok(message),
        left => Err(FrameError::Trailing(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes() {
        let ping = encode(&ClientControl::Ping { nonce: 7 });
        assert_eq!(ping, b"\x00\x81\xa4Ping\x81\xa5nonce\x07");
        assert_eq!(encode(&ClientControl::Leave), b"\x00\xa5Leave");
        let refused = ServerControl::Refused(Refusal::new(Code::Full, "no"));
        assert_eq!(encode(&refused), b"\x00\x81\xa7Refused\x82\xa4code\x17\xa7message\xa2no");
        assert_eq!(decode::<ServerControl>(&encode(&refused)[1..]), Ok(refused));
        let check = encode(&ServerControl::Check { hash: 0x0102_0304_0506_0708 });
        assert_eq!(check, b"\x00\x81\xa5Check\x81\xa4hash\xcf\x01\x02\x03\x04\x05\x06\x07\x08");
        let hello = encode(&ClientControl::Hello(Hello { check: true, ..Hello::default() }));
        assert_eq!(hello, b"\x00\x81\xa5Hello\x83\xa8versions\x90\xa4name\xa0\xa5check\xc3");
        assert_eq!(decode::<ClientControl>(b"\xa5Leave\x00"), Err(FrameError::Trailing(1)));
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let bytes = b"\x81\xa5Hello\x82\xa8versions\x91\x01\xa3new\xc3";
        let hello = Hello { versions: vec![1], ..Hello::default() };
        assert_eq!(decode::<ClientControl>(bytes), Ok(ClientControl::Hello(hello.clone())));
        assert_eq!(hello.check(), Ok(1));
        let old = Hello { versions: vec![9999], ..Hello::default() };
        assert!(matches!(old.check(), Err(HelloError::Version(_))));
    }

    #[test]
    fn names_are_cut_at_a_character() {
        let hello = Hello { name: format!(" \u{7}{} ", "ä".repeat(50)), ..Hello::default() };
        assert_eq!(hello.player_name(), "ä".repeat(32));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = decode::<ClientControl>(&bytes);
            let _ = decode::<ServerControl>(&bytes);
        }
    }
}
