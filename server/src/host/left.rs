//! What is left of a match that has ended when everybody has gone: its storage, in the place of its
//! snapshot. The next match under the same id begins with it.

use crate::store::StoredRoom;

/// What it begins with: no snapshot begins so, and no build takes it for one.
const MAGIC: &[u8; 4] = b"RFST";

/// The bytes that stand for the snapshot.
pub(crate) fn encode(storage: &[u8]) -> Vec<u8> {
    [MAGIC, storage].concat()
}

/// The storage, where nothing else is left of a room.
pub(crate) fn storage_of(stored: &StoredRoom) -> Option<&[u8]> {
    let left = stored.snapshot.as_deref()?.strip_prefix(MAGIC)?;
    stored.journal.is_empty().then_some(left)
}
