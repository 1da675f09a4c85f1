//! The journal.

mod line;

pub use line::JournalLine;
