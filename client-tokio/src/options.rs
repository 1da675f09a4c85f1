//! Where to connect, and as whom.

use referee_client::Config;
use referee_protocol::ids::IdError;
use referee_protocol::{GameName, MatchId};
use std::hash::{BuildHasher, Hasher, RandomState};
use tokio_tungstenite::tungstenite::http::Uri;

/// As whom to connect.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// The player's name.
    pub name: String,
    /// Parameters for a room that does not exist yet, as JSON.
    pub params: Option<String>,
    /// Only watch: take no seat.
    pub watch: bool,
    /// Compare what is seen with what a server in test mode says: [`crate::Session::checks`].
    pub check: bool,
    /// The token of a seat held from before ([`crate::Session::token`]).
    pub token: Option<String>,
    /// The schema an earlier session left ([`crate::Session::schema_bytes`]).
    pub schema: Option<Vec<u8>>,
    /// The `Origin` header. Native programs send none; a test may.
    pub origin: Option<String>,
    /// The SHA-256 of the server's self-signed certificate, as [`fn@crate::transports`] tells it: with
    /// it `wss` and `quic` take this certificate and no other. None: the system's roots decide.
    pub pin: Option<[u8; 32]>,
    /// Seeds the jitter of retries; drawn where none is given.
    pub seed: Option<u64>,
}

/// Why a URL names no match.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UrlError {
    /// It is no URL, or of another scheme.
    #[error("{0:?} is no URL of a match; use ws://host:port/game/match, or wss:// or quic://")]
    Form(String),
    /// The game's name breaks the rules.
    #[error("{name:?} is no game name: {problem}")]
    Game {
        /// The name.
        name: String,
        /// The rule it breaks.
        problem: IdError,
    },
    /// The match's id breaks the rules.
    #[error("{id:?} is no match id: {problem}")]
    Match {
        /// The id.
        id: String,
        /// The rule it breaks.
        problem: IdError,
    },
}

/// What carries a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// WebSocket, in the open.
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// QUIC.
    Quic,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Quic => "quic",
        }
    }
}

/// A match on a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// How to get there.
    pub scheme: Scheme,
    /// Host and port, as the `Host` header names them.
    pub authority: String,
    /// The game.
    pub game: GameName,
    /// The match.
    pub match_id: MatchId,
}

impl Target {
    /// Reads `ws://host:port/game/match`, `wss://..` or `quic://..`; `http` is taken for `ws`,
    /// `https` for `wss`.
    ///
    /// # Errors
    /// Says which part is wrong.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let form = || UrlError::Form(url.into());
        let uri: Uri = url.parse().map_err(|_| form())?;
        let scheme = match uri.scheme_str() {
            Some("ws" | "http") => Scheme::Ws,
            Some("wss" | "https") => Scheme::Wss,
            Some("quic") => Scheme::Quic,
            _ => return Err(form()),
        };
        let authority = uri.authority().ok_or_else(form)?.as_str().to_owned();
        let mut parts = uri.path().trim_matches('/').split('/');
        let (Some(game), Some(id), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(form());
        };
        let game_error = |problem| UrlError::Game { name: game.into(), problem };
        let match_error = |problem| UrlError::Match { id: id.into(), problem };
        Ok(Self {
            scheme,
            authority,
            game: GameName::new(game).map_err(game_error)?,
            match_id: MatchId::new(id).map_err(match_error)?,
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}/{}/{}", self.scheme.name(), self.authority, self.game, self.match_id)
    }

    pub(crate) fn config(&self, options: &Options) -> Config {
        let mut config = Config::new(self.game.clone(), self.match_id.clone());
        config.name.clone_from(&options.name);
        config.params.clone_from(&options.params);
        config.watch = options.watch;
        config.check = options.check;
        config.token.clone_from(&options.token);
        config.schema.clone_from(&options.schema);
        // A hasher's keys are drawn anew for each: enough for jitter, and no dependency.
        config.seed = options.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_match() {
        let target = Target::parse("ws://localhost:7777/counter/lobby").unwrap();
        assert_eq!(target.url(), "ws://localhost:7777/counter/lobby");
        assert_eq!(Target::parse("http://[::1]:1/a/b/").unwrap().authority, "[::1]:1");
        for url in ["wss://h/a/b", "quic://h:1/a/b"] {
            assert_eq!(Target::parse(url).unwrap().url(), url);
        }
        assert_eq!(Target::parse("https://h/a/b").unwrap().scheme, Scheme::Wss);
        for bad in ["", "localhost", "ftp://h/a/b", "ws://h/a", "ws://h/a/b/c", "quic:///a/b"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
        let error = Target::parse("ws://h/a/b.c").unwrap_err().to_string();
        assert!(error.contains("\"b.c\" is no match id"), "{error}");
    }
}
