//! What can go wrong with the store, each in one line that names the thing and the way out.

use std::path::PathBuf;

/// What went wrong with the store.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder cannot be made, or not be written.
    #[error("the data folder {dir} cannot be used: {why}; name another one with --data DIR", dir = dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        why: String,
    },
    /// Another process uses the data folder.
    #[error(
        "the data folder {dir} is in use by another server; stop that one, or name another folder \
         with --data DIR", dir = dir.display()
    )]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// The file is no store, or a damaged one.
    #[error(
        "{file} cannot be read as a store of rooms ({why}); it was left as it is: move it away to \
         begin without stored rooms, or name another folder with --data DIR", file = file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file is no journal of this store, or a damaged one.
    #[error(
        "{file} cannot be read as the journal of the stored rooms ({why}); it was left as it is: \
         move it away to go on from the rooms' last snapshots, or name another folder with --data \
         DIR", file = file.display()
    )]
    DamagedJournal {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file was written by a newer version.
    #[error(
        "{file} has store format {found}, and this version knows formats up to {known}; it was left \
         as it is: update this server, or name another folder with --data DIR", file = file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format this build knows.
        known: u32,
    },
    /// One room's stored value cannot be read. The others are not concerned.
    #[error("the stored room {room} cannot be read ({why}); it was left as it is")]
    Unreadable {
        /// The room.
        room: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something could not be read now.
    #[error("the store cannot be read: {0}")]
    Read(String),
    /// Something could not be written; it waits in memory and is tried again.
    #[error("the store cannot be written: {0}; what waits is kept in memory and tried again")]
    Write(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}
