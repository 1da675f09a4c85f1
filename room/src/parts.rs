//! Components that most action games need. A game registers those that it uses, as its own types.

use bevy_ecs::component::Component;
use glam::Vec2;
use referee_macros::Replicate;
use referee_protocol::Tick;

use crate::params::Time;

/// How a thing moves, in units per second. Where it is sent rather than kept, a type of the game's own
/// with a range and a step takes fewer bytes.
#[derive(Component, Replicate, Default, Clone, Copy, PartialEq, Debug)]
pub struct Velocity(pub Vec2);

/// Until when something lasts: a shield, a pause between two shots. From the beginning it is over.
///
/// ```
/// # use referee_room::prelude::*;
/// # #[derive(Input, Default, Clone)] struct Stick { fire: bool }
/// fn shoot(time: Res<Time>, mut ships: Query<(&Stick, &mut Until)>) {
///     for (stick, mut reloads) in &mut ships {
///         if stick.fire && reloads.is_over(&time) {
///             reloads.0 = time.after(Duration::from_millis(250));
///         }
///     }
/// }
/// ```
#[derive(Component, Replicate, Default, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Until(pub Tick);

impl Until {
    /// Whether its tick has come.
    #[must_use]
    pub fn is_over(self, time: &Time) -> bool {
        self.0 <= time.tick
    }
}
