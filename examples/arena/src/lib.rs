//! Arena: a top-down shooter.

use referee::prelude::*;

/// The game.
pub fn arena(game: &mut Game) {
    game.realtime(30);
}
