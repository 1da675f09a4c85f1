//! Identifiers, as newtypes: a seat cannot be taken for a session, nor a tick for a number.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

use crate::limits::ID_MAX_BYTES;

/// A step of a room's simulation. Realtime rooms count steps; in a turn-based room a tick is a
/// millisecond since the room was created. Comparable only within one [`Incarnation`].
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Tick(pub u64);

/// A place in a room, from 0 up to the room's maximum.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seat(pub u16);

impl Seat {
    /// No player's: no room has so many seats.
    pub const NOBODY: Self = Self(u16::MAX);
}

/// One joining of one client: a new number for each handshake, chosen by the edge.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SessionId(pub u64);

/// One connection as the room's sending half knows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LinkId(pub u64);

/// One life of a room in a process. Ticks, event numbers and wire ids compare only within one.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

/// What an entity is called on the wire: drawn from a secret generator, so that it tells nothing.
/// 0 is the room itself, which carries the resources.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WireId(pub u32);

impl WireId {
    /// The room itself: the bearer of replicated resources.
    pub const ROOM: Self = Self(0);
}

/// Who something is sent to. Ordered from wide to narrow; blocks of a frame come in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Group {
    /// Every client of the room.
    Everyone,
    /// One cell of the room's grid (area of interest).
    Cell(u32),
    /// A team, or any group a game numbers itself.
    Team(u32),
    /// The client in one seat.
    Player(Seat),
}

impl Group {
    /// The group's number on the wire: its kind in the two low bits.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Everyone => 0,
            Self::Cell(n) => u64::from(n) << 2 | 1,
            Self::Team(n) => u64::from(n) << 2 | 2,
            Self::Player(seat) => u64::from(seat.0) << 2 | 3,
        }
    }

    /// The group with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        let n = u32::try_from(number >> 2).ok()?;
        match number & 3 {
            0 if n == 0 => Some(Self::Everyone),
            1 => Some(Self::Cell(n)),
            2 => Some(Self::Team(n)),
            3 => Some(Self::Player(Seat(u16::try_from(n).ok()?))),
            _ => None,
        }
    }
}

/// Why a game name or match id is not one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdError {
    /// It is empty.
    #[error("it is empty; use 1 to {ID_MAX_BYTES} of A-Z a-z 0-9 _ -")]
    Empty,
    /// It is too long.
    #[error("it has {0} bytes; at most {ID_MAX_BYTES} are allowed")]
    TooLong(usize),
    /// It has a character that is not allowed.
    #[error("the character at byte {0} is not one of A-Z a-z 0-9 _ -")]
    Character(usize),
}

fn check_id(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_MAX_BYTES {
        return Err(IdError::TooLong(text.len()));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    text.bytes().position(|b| !allowed(b)).map_or(Ok(()), |at| Err(IdError::Character(at)))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text: 1 to 64 of `A-Z a-z 0-9 _ -`.
            ///
            /// # Errors
            /// Says which rule the text breaks.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check_id(text)?;
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// The name a game is hosted under: the first part of a room's URL.
    GameName
);
id!(
    /// The name of a match: the second part of a room's URL.
    MatchId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_the_rules() {
        assert!(MatchId::new("a-Z_09").is_ok());
        assert_eq!(MatchId::new(""), Err(IdError::Empty));
        assert_eq!(MatchId::new("a b"), Err(IdError::Character(1)));
        assert_eq!(MatchId::new("ä"), Err(IdError::Character(0)));
        assert!(GameName::new(&"x".repeat(64)).is_ok());
        assert_eq!(GameName::new(&"x".repeat(65)), Err(IdError::TooLong(65)));
    }

    #[test]
    fn group_numbers_round_trip() {
        for group in
            [Group::Everyone, Group::Cell(9), Group::Team(u32::MAX), Group::Player(Seat(7))]
        {
            assert_eq!(Group::from_number(group.number()), Some(group));
        }
        assert_eq!(Group::from_number(4), None);
        assert_eq!(Group::from_number(u64::MAX), None);
    }
}
