//! What a room is called.

use std::fmt;

use referee_protocol::{GameName, MatchId};

/// A room's address: `/{game}/{match}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RoomKey {
    /// The game that is played in it.
    pub game: GameName,
    /// Which match of that game it is.
    pub match_id: MatchId,
}

impl fmt::Display for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.game, self.match_id)
    }
}
