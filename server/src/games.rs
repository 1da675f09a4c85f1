//! The games this server hosts, each checked once before the server starts.

use std::collections::BTreeMap;
use std::sync::Arc;

pub use referee_protocol::GameName;
use referee_room::Template;

/// First path segments that belong to the server itself, so that no game can have them as a name.
pub const RESERVED_NAMES: &[&str] =
    &["api", "assets", "favicon.ico", "healthz", "metrics", "readyz", "robots.txt"];

/// A game and how it shows itself.
#[derive(Clone)]
pub struct Hosted {
    /// The game.
    pub template: Arc<Template>,
    /// What people call it; its name when there is none.
    pub title: Option<&'static str>,
    /// One sentence about it for the index page.
    pub description: Option<&'static str>,
    /// Its page; the page that is driven by the schema when there is none.
    pub page: Option<&'static str>,
}

/// The games, by name.
pub type Games = BTreeMap<GameName, Hosted>;

/// Why a game cannot have its name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// It breaks the rules for names.
    #[error("a game cannot be called {name:?}: {why}")]
    Rules {
        /// The name.
        name: String,
        /// Which rule it breaks.
        why: referee_protocol::ids::IdError,
    },
    /// The server itself uses it.
    #[error("a game cannot be called {0:?}: the server's own pages are there; take another name")]
    Reserved(String),
}

/// Checks the name of a game.
///
/// # Errors
/// When it breaks the rules for names, or the server itself uses it.
pub fn game_name(name: &str) -> Result<GameName, NameError> {
    if RESERVED_NAMES.contains(&name) {
        return Err(NameError::Reserved(name.to_owned()));
    }
    GameName::new(name).map_err(|why| NameError::Rules { name: name.to_owned(), why })
}
