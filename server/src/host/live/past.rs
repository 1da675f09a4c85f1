//! What of a room's past is to be kept for replays, and is not in the store's history yet.

use referee_protocol::bits::write_varint;
use referee_room::revive::{Base, Passage};

use crate::store::{Chunk, JournalKeep};

/// How much of it waits for the next save, in bytes. Beyond it the history begins anew.
const PAST_MAX_BYTES: usize = 16 << 20;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Past {
    chunk: Option<Chunk>,
    /// What is in the history, or here, leads up to the room's base.
    follows: bool,
}

/// The bytes with which a chunk begins that needs nothing before it.
pub(super) fn beginning(created_unix_ms: u64, base: &Base) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_varint(&mut bytes, created_unix_ms);
    base.encode(&mut bytes);
    bytes
}

impl Past {
    /// Of a room whose base is a snapshot that was `saved`, and with it what led there; or only in the
    /// journal.
    pub(super) fn stored(saved: bool) -> Self {
        Self { chunk: None, follows: saved }
    }

    /// The room has gone on from its base to a newer one, by what came `before` that.
    pub(super) fn goes_on(mut self, created_unix_ms: u64, base: &Base, before: Passage) -> Self {
        if before.after < before.upto {
            self.add(JournalKeep::Match, created_unix_ms, base, &before);
        }
        self
    }

    /// What came since a base is over: a newer one takes its place.
    pub(super) fn add(
        &mut self,
        keep: JournalKeep,
        created_unix_ms: u64,
        base: &Base,
        since: &Passage,
    ) {
        // Where the beginning is dropped some day, whatever is left has to begin by itself.
        let whole = !self.follows || keep != JournalKeep::Match;
        let chunk = self.chunk.get_or_insert_with(|| {
            let bytes = if whole { beginning(created_unix_ms, base) } else { Vec::new() };
            let (after, upto) = (since.after.0, since.upto.0);
            Chunk { life: 0, after, upto, whole, bytes }
        });
        chunk.bytes.extend_from_slice(&since.bytes);
        chunk.upto = since.upto.0;
        self.follows = true;
        if chunk.bytes.len() > PAST_MAX_BYTES {
            *self = Self::default();
        }
    }

    /// What waits, for a save under this incarnation.
    pub(super) fn waiting(&self, life: u64) -> Option<Chunk> {
        self.chunk.clone().map(|chunk| Chunk { life, ..chunk })
    }

    /// The save was taken.
    pub(super) fn saved(&mut self) {
        self.chunk = None;
    }
}
