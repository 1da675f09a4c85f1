//! The room core.
pub mod entry;
pub mod output;
pub mod room;
