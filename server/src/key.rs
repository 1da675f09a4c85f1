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

impl RoomKey {
    /// The key that is written so; none when it is no room's.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (game, match_id) = text.split_once('/')?;
        Some(Self { game: GameName::new(game).ok()?, match_id: MatchId::new(match_id).ok()? })
    }
}

impl fmt::Display for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.game, self.match_id)
    }
}
