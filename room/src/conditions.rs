//! When systems run: conditions for `.run_if(..)`, which only look.
//!
//! ```
//! # use referee_room::prelude::*;
//! # fn deal() {} fn play() {} fn score() {} fn tidy() {}
//! # fn game(game: &mut Game) {
//! game.systems((deal, play, score).run_if(started).run_if(not(ended)));
//! game.systems(tidy.run_if(every(Duration::from_secs(1))));
//! # }
//! ```
//!
//! Any function or closure that takes parameters which only read can be one. Conditions on a group of
//! systems are asked once in a tick, before the first of them.

use std::time::Duration;

use bevy_ecs::prelude::*;
use bevy_ecs::system::SystemParam;

use crate::params::{Rulings, Time};

/// How far the match is: what [`Referee`](crate::params::Referee) tells, for systems and conditions that
/// only look.
#[derive(SystemParam)]
pub struct Match<'w> {
    rulings: Res<'w, Rulings>,
}

impl Match<'_> {
    /// Whether the minimum of players was there once, so that the match has started.
    #[must_use]
    pub fn started(&self) -> bool {
        self.rulings.started
    }

    /// Whether the match has ended.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.rulings.ended
    }
}

/// Once the match has started.
#[must_use]
pub fn started(so_far: Match<'_>) -> bool {
    so_far.started()
}

/// Once the match has ended.
#[must_use]
pub fn ended(so_far: Match<'_>) -> bool {
    so_far.ended()
}

/// In the first tick of each span of time.
pub fn every(span: Duration) -> impl FnMut(Res<'_, Time>) -> bool + Clone {
    move |time: Res<'_, Time>| time.begins(span)
}
