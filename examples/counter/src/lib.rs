//! A counter that everyone shares, and that a plain URL counts up as well: the smallest game.

pub mod bot;

pub use bot::bot;
use referee::prelude::*;

/// The page, played at `/counter/{match}`.
pub const PAGE: &str = include_str!("../page.html");

#[derive(Resource, Replicate, Default)]
struct Count(u32);

#[derive(Action)]
struct Press;

/// The game.
pub fn counter(game: &mut Game) {
    game.turn_based().gated().replicate::<Count>().action::<Press>();
    game.systems(|mut count: ResMut<Count>, presses: Actions<Press>| {
        count.0 += presses.len() as u32
    });
    game.on_request(|mut count: ResMut<Count>| {
        count.0 += 1;
        count.0
    });
}
