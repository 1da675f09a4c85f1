//! How the store is set up, and what it tells about itself.

use std::time::Duration;

/// How the store is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreConfig {
    /// Days after its last save when a stored room is removed.
    pub stored_rooms_days: u32,
    /// Memory for the database's page cache, in bytes.
    pub cache_bytes: usize,
    /// Memory for rooms that wait to be written, in bytes.
    pub queue_max_bytes: usize,
    /// How long a chunk that nobody waits for may stay in memory before it is written, in
    /// milliseconds. One that is gated is written at once.
    pub journal_every_ms: u64,
    /// Memory for chunks that wait to be written, in bytes.
    pub journal_queue_max_bytes: usize,
    /// After so many milliseconds a chunk that no snapshot covers is moved out of the journal, beside
    /// its room's snapshot. So the journal's file holds what was written in about this time.
    pub journal_ring_ms: u64,
    /// How much of a room's past is kept for replays.
    pub journal_keep: JournalKeep,
    /// A file of rooms of at least so many bytes is made smaller while the server lives, once values take
    /// less than a quarter of it. A smaller one is not worth the writing.
    pub compact_from_bytes: u64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            stored_rooms_days: 30,
            cache_bytes: 64 << 20,
            queue_max_bytes: 256 << 20,
            journal_every_ms: 20,
            journal_queue_max_bytes: 64 << 20,
            journal_ring_ms: 60_000,
            journal_keep: JournalKeep::None,
            compact_from_bytes: 64 << 20,
        }
    }
}

/// How much of a room's past is kept for replays, beside what a restart needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum JournalKeep {
    /// Nothing.
    #[default]
    None,
    /// The last so many minutes.
    Minutes(u32),
    /// Everything since the match began.
    Match,
}

/// What the store is doing, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreStats {
    /// Rooms that are not on disk yet as they are.
    pub rooms_waiting: usize,
    /// Bytes of them.
    pub bytes_waiting: usize,
    /// Transactions done since the start.
    pub commits: u64,
    /// Transactions that failed since the start.
    pub failed_writes: u64,
    /// Bytes of rooms written since the start.
    pub bytes_written: u64,
    /// Time spent in transactions since the start.
    pub commit_time: Duration,
    /// How large the file of the rooms is, in bytes.
    pub file_bytes: u64,
    /// How much of it values take, in bytes.
    pub used_bytes: u64,
    /// Bytes that were written once more since the start to make it smaller.
    pub moved_bytes: u64,
    /// The journal.
    pub journal: JournalStats,
}

/// What the journal is doing, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JournalStats {
    /// Chunks that are not on disk yet.
    pub chunks_waiting: usize,
    /// Bytes of them.
    pub bytes_waiting: usize,
    /// Chunks refused because too much waited.
    pub refused: u64,
    /// Rooms that have more in the journal than in their snapshot.
    pub rooms: usize,
    /// Chunks moved beside their rooms' snapshots since the start.
    pub settled: u64,
    /// Batches in the log and in the database.
    pub batches: usize,
    /// Batches put on disk since the start.
    pub commits: u64,
    /// Batches that could not be put on disk, at the first try, since the start.
    pub failed_writes: u64,
    /// Transactions since the start that moved batches from the log into the database.
    pub moves: u64,
    /// Chunks written since the start.
    pub chunks_written: u64,
    /// Bytes of chunks written since the start.
    pub bytes_written: u64,
    /// Time spent since the start in putting batches on disk.
    pub commit_time: Duration,
}
