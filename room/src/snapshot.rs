//! Snapshots: a room as bytes, and back. The one door: the live room rebuilds itself through it as
//! well, so that what bevy hides (entity handles, rows, allocator state) cannot differ between a
//! room that lived on and one that was restored.
//!
//! A snapshot is a header (magic, version, the types it holds) and the state. The state's bytes are
//! sorted by `NetId` and hold exact values, so their hash is the state hash. Change ages are stored
//! relative to "now": `Added` and `Changed` mean the same after a rebuild.

mod load;
mod write;

use referee_protocol::schema::FieldType;

use crate::field::LoadError;
use crate::game::Game;
use crate::storage;

pub(crate) use load::load;
pub(crate) use write::{Cover, write_state};

const MAGIC: &[u8; 4] = b"RFSN";
/// The version of the snapshot format.
pub const SNAPSHOT_VERSION: u16 = 2;
/// The last version that has no ages of conditions.
const WITHOUT_CONDITIONS: u16 = 1;

/// Why a snapshot cannot be loaded. It is left as it is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is none.
    #[error("these bytes are no snapshot")]
    NotASnapshot,
    /// It was written by a newer build.
    #[error(
        "the snapshot has format {0}, this build reads up to {SNAPSHOT_VERSION}: update this server"
    )]
    Newer(u16),
    /// The game's types have changed since.
    #[error(
        "the game's types have changed since this room was saved ({0}): run the build that saved it, or \
         play under another match id"
    )]
    Changed(String),
    /// It is damaged.
    #[error("the snapshot is damaged: {0}")]
    Damaged(#[from] LoadError),
    /// It holds more than the state.
    #[error("the snapshot is damaged: {0} bytes are left over")]
    Trailing(usize),
}

/// The types whose exact values a snapshot holds, in order.
fn types(game: &Game) -> Vec<(String, FieldType)> {
    let components = game.components.iter().map(|row| (row.name.clone(), row.shape.clone()));
    let timers = game.timers.iter().map(|row| (row.name.clone(), FieldType::Unit));
    let alarms = game.alarms.iter().map(|row| (format!("alarm {}", row.name), FieldType::Unit));
    components.chain(timers).chain(alarms).collect()
}

/// The header of a game's snapshots.
pub(crate) fn header(game: &Game) -> Vec<u8> {
    let types = rmp_serde::to_vec(&types(game)).expect("types hold only plain data");
    let mut out = MAGIC.to_vec();
    out.extend(SNAPSHOT_VERSION.to_le_bytes());
    out.extend((types.len() as u32).to_le_bytes());
    out.extend(types);
    out
}

/// The state's bytes in a snapshot of our own.
pub(crate) fn state(snapshot: &[u8]) -> &[u8] {
    let types = snapshot[MAGIC.len() + 2..].first_chunk().map_or(0, |len| u32::from_le_bytes(*len));
    &snapshot[MAGIC.len() + 2 + 4 + types as usize..]
}

/// A snapshot's header, read, and the state's bytes.
struct Body<'a> {
    version: u16,
    types: Vec<(String, FieldType)>,
    state: &'a [u8],
}

impl Body<'_> {
    /// Whether the room had a storage. It comes with the first system that takes it.
    fn has_storage(&self) -> bool {
        self.types.iter().any(|(name, _)| name == storage::NAME)
    }

    /// Checks that the game is the one whose state it is.
    fn check(&self, game: &Game) -> Result<(), RestoreError> {
        let (stored, mut now) = (&self.types, types(game));
        if !self.has_storage() {
            now.retain(|(name, _)| name != storage::NAME);
        }
        if *stored == now {
            return Ok(());
        }
        let lost = stored.iter().filter(|old| !now.contains(old)).map(|(name, _)| name.as_str());
        let new = now.iter().filter(|new| !stored.contains(new)).map(|(name, _)| name.as_str());
        let mut names: Vec<&str> = lost.chain(new).collect();
        names.sort_unstable();
        names.dedup();
        Err(RestoreError::Changed(match names.is_empty() {
            true => "their order".to_owned(),
            false => names.join(", "),
        }))
    }
}

/// Reads a snapshot's header.
fn body(snapshot: &[u8]) -> Result<Body<'_>, RestoreError> {
    let rest = snapshot.strip_prefix(MAGIC).ok_or(RestoreError::NotASnapshot)?;
    let (version, rest) = rest.split_first_chunk().ok_or(RestoreError::NotASnapshot)?;
    let version = u16::from_le_bytes(*version);
    if version > SNAPSHOT_VERSION {
        return Err(RestoreError::Newer(version));
    }
    let (len, rest) = rest.split_first_chunk().ok_or(RestoreError::NotASnapshot)?;
    let len = u32::from_le_bytes(*len) as usize;
    let (stored, state) = rest.split_at_checked(len).ok_or(RestoreError::NotASnapshot)?;
    let types = rmp_serde::from_slice(stored).map_err(|_| RestoreError::NotASnapshot)?;
    Ok(Body { version, types, state })
}
