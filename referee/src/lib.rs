//! Referee: write a multiplayer game as bevy systems, and it is hosted.
//!
//! A game crate depends on this crate alone, and begins with `use referee::prelude::*;`. The server
//! is behind the feature `host`, which is on by default and off in a browser build.
#![cfg_attr(feature = "host", doc = "```no_run")]
#![cfg_attr(not(feature = "host"), doc = "```ignore")]
//! use referee::prelude::*;
//!
//! #[derive(Resource, Replicate, Default)]
//! struct Count(u32);
//!
//! #[derive(Action)]
//! struct Press;
//!
//! fn counter(game: &mut Game) {
//!     game.turn_based().replicate::<Count>().action::<Press>();
//!     game.systems(|mut count: ResMut<Count>, presses: Actions<Press>| {
//!         count.0 += presses.len() as u32;
//!     });
//! }
//!
//! fn main() -> referee::Result {
//!     referee::run(|server| server.game("counter", counter))
//! }
//! ```

#[cfg(feature = "host")]
mod host;

#[cfg(feature = "host")]
pub use host::{Error, Hosted, Result, Server, run};
pub use referee_client::bot;
pub use referee_room::{self as room, testkit};

/// `docs/evolution.md`: its examples run with the tests.
#[cfg(all(doctest, feature = "host"))]
#[doc = include_str!("../../docs/evolution.md")]
struct Evolution;

/// Everything a game author needs, in one line: `use referee::prelude::*;`.
pub mod prelude {
    pub use referee_room::prelude::*;
}
