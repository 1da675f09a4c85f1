//! Snapshots: a room as bytes, and back. The one door: the live room rebuilds itself through it as
//! well, so that what bevy hides (entity handles, rows, allocator state) cannot differ between a
//! room that lived on and one that was restored.
//!
//! A snapshot is a header (magic, version, the game's types with their layouts, whether there is a
//! storage, which sets of components there were), the state with its length, and what clients were told (`replicate/save.rs`). The state's bytes are sorted by `NetId` and hold exact
//! values, so their hash is the state hash. Change ages are stored relative to "now": `Added` and
//! `Changed` mean the same after a rebuild.

mod load;
mod sets;
mod write;

use referee_protocol::bits::BitError;
use referee_protocol::schema::FieldType;

use crate::evolve::EvolveError;
use crate::field::LoadError;
use crate::game::Game;
use crate::layout::Types;
use crate::storage::{self, Storage};
use crate::template::Template;

pub(crate) use load::{load, reload};
pub(crate) use sets::can_be_made;
pub(crate) use write::{Cover, write_state};

const MAGIC: &[u8; 4] = b"RFSN";
/// The version of the snapshot format.
pub const SNAPSHOT_VERSION: u16 = 5;
/// The last version that has no ages of conditions.
const WITHOUT_CONDITIONS: u16 = 1;
/// The last version that ends with the state.
const WITHOUT_TOLD: u16 = 2;
/// The last version that does not say how its values lie.
const WITHOUT_LAYOUTS: u16 = 3;
/// The last version that does not say which sets of components there were.
const WITHOUT_SETS: u16 = 4;

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
    /// The game's types have changed since, and the format is one that does not say how values lie.
    #[error(
        "the game's types have changed since this room was saved ({0}), in a format before 4, which only \
         the same types can read: run the build that saved it, or play under another match id"
    )]
    Changed(String),
    /// Types of the game have changed since in a way that it does not say how to go over.
    #[error("the game's types have changed since this room was saved: {0}")]
    Evolve(Box<EvolveError>),
    /// The layouts that it carries are none.
    #[error("the snapshot is damaged: how its values lie cannot be read: {0}")]
    Layouts(LoadError),
    /// It carries no layouts.
    #[error(
        "the snapshot has format {0}, which does not say how its values lie: look at it with a build \
         that has the same types"
    )]
    WithoutLayouts(u16),
    /// It is damaged.
    #[error("the snapshot is damaged: {0}")]
    Damaged(#[from] LoadError),
    /// It holds more than the state.
    #[error("the snapshot is damaged: {0} bytes are left over")]
    Trailing(usize),
}

impl From<EvolveError> for RestoreError {
    fn from(error: EvolveError) -> Self {
        Self::Evolve(Box::new(error))
    }
}

/// The types whose exact values a snapshot held before it carried layouts, in order.
fn shapes(game: &Game) -> Vec<(String, FieldType)> {
    let components = game.components.iter().map(|row| (row.name.clone(), row.shape.clone()));
    let timers = game.timers.iter().map(|row| (row.name.clone(), FieldType::Unit));
    let alarms = game.alarms.iter().map(|row| (format!("alarm {}", row.name), FieldType::Unit));
    components.chain(timers).chain(alarms).collect()
}

/// The header of a game's snapshots.
pub(crate) fn header(template: &Template, game: &Game) -> Vec<u8> {
    let types = template.type_bytes();
    let mut out = Vec::with_capacity(MAGIC.len() + 2 + 4 + types.len() + 1);
    out.extend(MAGIC);
    out.extend(SNAPSHOT_VERSION.to_le_bytes());
    out.extend((types.len() as u32).to_le_bytes());
    out.extend(&types[..]);
    out.push(u8::from(game.world.contains_resource::<Storage>()));
    put_part(&mut out, |out| sets::write_sets(game, template, out));
    out
}

/// Appends a part with its length before it.
pub(crate) fn put_part(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend([0; 4]);
    write(out);
    let len = (out.len() - begin - 4) as u32;
    out[begin..begin + 4].copy_from_slice(&len.to_le_bytes());
}

/// Takes a part with its length before it off the front.
fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = bytes.split_first_chunk()?;
    let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *bytes = rest;
    Some(part)
}

/// The state's bytes in a snapshot of our own.
pub(crate) fn state(snapshot: &[u8]) -> &[u8] {
    body(snapshot).map(|body| body.state).unwrap_or_default()
}

/// What clients were told by the room that made a snapshot; none when that is not known.
pub(crate) fn told(snapshot: &[u8]) -> Result<Option<&[u8]>, RestoreError> {
    Ok(body(snapshot)?.told)
}

/// What tells of the build and the types of the game that made a snapshot: as
/// [`Template::type_bytes`]; none when the bytes are no snapshot, or of a format that has none.
pub(crate) fn type_bytes(snapshot: &[u8]) -> Option<&[u8]> {
    let body = body(snapshot).ok()?;
    (body.version > WITHOUT_LAYOUTS).then_some(body.types)
}

/// A snapshot's header, read, and what follows it.
pub(crate) struct Body<'a> {
    version: u16,
    /// Types with their layouts, or, before those were stored, with their shapes.
    types: &'a [u8],
    /// Not told before layouts were stored: then it is one of the shapes.
    storage: Option<bool>,
    /// Which sets of components there were, and in which order; nothing where that is as their entities tell.
    sets: &'a [u8],
    pub(crate) state: &'a [u8],
    /// What clients were told; nothing in an older format.
    told: Option<&'a [u8]>,
}

impl Body<'_> {
    /// The types of the game that wrote it, and whether the room had a storage.
    ///
    /// # Errors
    /// When they are damaged, or the format is one that has none.
    pub(crate) fn layouts(&self) -> Result<(Types, bool), RestoreError> {
        let has_storage = self.storage.ok_or(RestoreError::WithoutLayouts(self.version))?;
        let types = Types::decode(self.types).map_err(RestoreError::Layouts)?;
        Ok((types, has_storage))
    }

    /// Whether the room had a storage. It comes with the first system that takes it.
    fn has_storage(&self) -> Result<bool, RestoreError> {
        self.storage.map_or_else(|| self.shapes().map(|shapes| has_storage(&shapes)), Ok)
    }

    fn shapes(&self) -> Result<Vec<(String, FieldType)>, RestoreError> {
        rmp_serde::from_slice(self.types).map_err(|_| RestoreError::NotASnapshot)
    }
}

/// Checks that a game is the one whose state it is, by the shapes of an older format.
fn check(stored: &[(String, FieldType)], game: &Game) -> Result<(), RestoreError> {
    let mut now = shapes(game);
    if !has_storage(stored) {
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

fn has_storage(stored: &[(String, FieldType)]) -> bool {
    stored.iter().any(|(name, _)| name == storage::NAME)
}

/// Reads a snapshot's header.
pub(crate) fn body(snapshot: &[u8]) -> Result<Body<'_>, RestoreError> {
    let rest = snapshot.strip_prefix(MAGIC).ok_or(RestoreError::NotASnapshot)?;
    let (version, rest) = rest.split_first_chunk().ok_or(RestoreError::NotASnapshot)?;
    let version = u16::from_le_bytes(*version);
    if version > SNAPSHOT_VERSION {
        return Err(RestoreError::Newer(version));
    }
    let mut rest = rest;
    let types = part(&mut rest).ok_or(RestoreError::NotASnapshot)?;
    let end = || LoadError::from(BitError::End);
    let mut storage = None;
    if version > WITHOUT_LAYOUTS {
        let (flag, after) = rest.split_first().ok_or_else(end)?;
        (storage, rest) = (Some(*flag != 0), after);
    }
    let sets = if version > WITHOUT_SETS { part(&mut rest).ok_or_else(end)? } else { &[] };
    let (state, told) = match version {
        ..=WITHOUT_TOLD => (rest, None),
        _ => (part(&mut rest).ok_or_else(end)?, Some(rest)),
    };
    Ok(Body { version, types, storage, sets, state, told })
}
