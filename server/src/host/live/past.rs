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
    /// Of a room that was loaded, `saved` or only in the journal: what led from its stored base to where it
    /// begins now.
    pub(crate) fn loaded(created_unix_ms: u64, base: &Base, saved: bool, before: Passage) -> Self {
        if before.after == before.upto {
            return Self { chunk: None, follows: saved };
        }
        let mut bytes = if saved { Vec::new() } else { beginning(created_unix_ms, base) };
        bytes.extend_from_slice(&before.bytes);
        let (after, upto) = (before.after.0, before.upto.0);
        let chunk = Chunk { life: 0, after, upto, whole: !saved, bytes };
        Self { chunk: Some(chunk), follows: true }
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
