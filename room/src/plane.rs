//! What games on a flat map are made of: walls in tiles, what is near a place, and what something met on
//! its way. Plain values that a game holds where it likes; nothing here knows of rooms, entities or what
//! is sent.

mod flight;
mod near;
mod tiles;

pub use flight::{Flight, Met};
pub use near::Near;
pub use tiles::{TILES_MAX, Tiles};
