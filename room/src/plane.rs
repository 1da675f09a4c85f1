//! What games on a flat map are made of: walls in tiles, and what is near a place. Plain values that a
//! game holds where it likes; nothing here knows of rooms, entities or what is sent.

mod near;
mod tiles;

pub use near::Near;
pub use tiles::{TILES_MAX, Tiles};
