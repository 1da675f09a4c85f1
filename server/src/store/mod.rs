//! The store: rooms at rest. The only module that touches the database.

use std::path::Path;
use std::sync::Arc;

use crate::key::RoomKey;

/// A room as it rests on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRoom {
    /// When the room was created, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// The incarnation that saved it.
    pub incarnation: u64,
    /// When it was saved, in milliseconds since 1970.
    pub saved_unix_ms: u64,
    /// The room's own bytes.
    pub snapshot: Vec<u8>,
}

/// What went wrong with the store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Something else.
    #[error("{0}")]
    Other(String),
}

/// How the store is set up.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// Days after which a stored room that nobody visited is removed.
    pub stored_rooms_days: u32,
    /// Memory for the database's page cache, in bytes.
    pub cache_bytes: usize,
    /// Memory for snapshots that wait to be written, in bytes.
    pub queue_max_bytes: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { stored_rooms_days: 30, cache_bytes: 64 << 20, queue_max_bytes: 256 << 20 }
    }
}

/// The database, opened.
pub struct Store {
    token_key: [u8; 32],
}

impl Store {
    /// Opens the database in `dir`, or makes one when there is none.
    ///
    /// # Errors
    /// When what is there cannot be used. It is left as it is.
    pub fn open(dir: &Path, config: &StoreConfig) -> Result<Arc<Self>, StoreError> {
        let _ = (dir, config);
        Err(StoreError::Other("not there yet".into()))
    }

    /// The newest that was saved for a room, durable or not yet.
    ///
    /// # Errors
    /// When the stored value cannot be read. It is left as it is.
    pub fn load(&self, key: &RoomKey) -> Result<Option<StoredRoom>, StoreError> {
        let _ = (self.token_key, key);
        Ok(None)
    }

    /// Queues a room to be written; the newest per room wins.
    pub fn save(&self, key: RoomKey, room: StoredRoom) {
        let _ = (self.token_key, key, room);
    }

    /// Queues a room to be removed.
    pub fn delete(&self, key: RoomKey) {
        let _ = (self.token_key, key);
    }

    /// Waits until all that was saved before this call is durable.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let _ = self.token_key;
        Ok(())
    }

    /// A number that this store never gave out before, also not before a crash: for incarnations,
    /// seat generations and sessions.
    ///
    /// # Errors
    /// When a new block of numbers could not be reserved on disk.
    pub fn next_number(&self) -> Result<u64, StoreError> {
        let _ = self.token_key;
        Ok(1)
    }

    /// The key that resume tokens are made with; drawn when the database is made.
    #[must_use]
    pub fn token_key(&self) -> [u8; 32] {
        self.token_key
    }

    /// Whether the last write worked.
    ///
    /// # Errors
    /// What is wrong, in one line.
    pub fn healthy(&self) -> Result<(), String> {
        let _ = self.token_key;
        Ok(())
    }

    /// Writes what still waits, then ends the writing thread. Blocks. Later saves are ignored.
    ///
    /// # Errors
    /// When something could not be written.
    pub fn close(&self) -> Result<(), StoreError> {
        let _ = self.token_key;
        Ok(())
    }
}
