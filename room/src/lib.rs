//! The pure core of a room on bevy_ecs: the Game API that authors write against, entries, ticks,
//! replication, snapshots and hashes.
//!
//! This crate does no I/O, reads no clock, starts no threads and draws no randomness of its own.
//! Everything comes in as an argument; everything to be done outside goes out as [`output::Output`].

// Our own derives name this crate as games know it.
extern crate self as referee_room;

pub use bevy_ecs;

pub mod alarms;
mod codecs;
pub mod commands;
pub mod conditions;
mod core;
mod door;
pub mod entry;
mod errors;
pub mod evolve;
pub mod field;
pub mod game;
pub mod grid;
pub mod hooks;
pub mod inspect;
pub mod journal;
pub mod layout;
mod order;
pub mod output;
pub mod params;
pub mod parts;
pub mod plane;
pub mod prelude;
pub mod random;
mod registry;
mod replicate;
mod reuse;
pub mod revive;
pub mod room;
mod rows;
mod rules;
mod seats;
pub mod several;
pub mod snapshot;
pub mod storage;
mod table;
pub mod template;
pub mod testkit;
mod tick;
pub mod types;
mod warnings;

pub use entry::Entry;
pub use errors::panic_text;
pub use game::{Durability, Game};
pub use output::Output;
pub use room::Room;
pub use template::{GameError, Template};
