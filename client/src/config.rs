//! What a session is told before it starts.

use referee_protocol::{GameName, MatchId};

/// What a session is told before it starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The game.
    pub game: GameName,
    /// The match.
    pub match_id: MatchId,
    /// The player's name; the server cuts it to its limit.
    pub name: String,
    /// Parameters for a room that does not exist yet, as JSON.
    pub params: Option<String>,
    /// Only watch: take no seat.
    pub watch: bool,
    /// Ask a server in test mode for the hash of what should be seen after each state, and compare:
    /// [`crate::Session::checks`].
    pub check: bool,
    /// The game's schema as an earlier session left it ([`crate::Session::schema_bytes`]); the
    /// server then need not send it.
    pub schema: Option<Vec<u8>>,
    /// The token of a seat held from before.
    pub token: Option<String>,
    /// Seeds the jitter of retries, so that clients of one server do not come back in step.
    pub seed: u64,
}

impl Config {
    /// A new player without a name.
    #[must_use]
    pub fn new(game: GameName, match_id: MatchId) -> Self {
        Self {
            game,
            match_id,
            name: String::new(),
            params: None,
            watch: false,
            check: false,
            schema: None,
            token: None,
            seed: 0,
        }
    }

    /// The path of the match's URL.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/{}/{}", self.game, self.match_id)
    }
}
