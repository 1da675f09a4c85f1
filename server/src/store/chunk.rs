//! What of a room is kept: its snapshot, and what happened since. To the store both are bytes.

/// A room as it rests on disk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoredRoom {
    /// When the room was created, in milliseconds since 1970; 0 when there is no snapshot.
    pub created_unix_ms: u64,
    /// The incarnation that saved it; without a snapshot the one that wrote the first chunk.
    pub incarnation: u64,
    /// When it was saved, in milliseconds since 1970. It expires some days after. 0 without a
    /// snapshot.
    pub saved_unix_ms: u64,
    /// The tick at whose end the snapshot was made; without one the tick before the first record.
    /// 0 in what was saved before rooms had a journal, unless the first chunk tells it.
    pub tick: u64,
    /// When the room is to be woken, in milliseconds since 1970, as of this snapshot.
    pub alarm_unix_ms: Option<u64>,
    /// The room's own bytes. None only when it is loaded from a journal that begins [`Chunk::whole`].
    pub snapshot: Option<Vec<u8>>,
    /// On load: what happened since the snapshot, in order and without a gap: each chunk begins
    /// where the one before ends, and the first at the snapshot's tick or before it. Not looked at
    /// by a save.
    pub journal: Vec<Chunk>,
    /// On a save: what happened up to this snapshot, to be kept for replays as far as
    /// [`super::StoreConfig::journal_keep`] says. None on load.
    pub history: Option<Chunk>,
}

/// What happened in a room in some ticks, as the room's own bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chunk {
    /// The incarnation that wrote it.
    pub life: u64,
    /// The tick before its first record.
    pub after: u64,
    /// Its last tick.
    pub upto: u64,
    /// It begins with all that a room needs: nothing before it counts for this room.
    pub whole: bool,
    /// The records.
    pub bytes: Vec<u8>,
}
