//! The replica: what one client knows, built from state frames alone. It is the receiving half of
//! the delta law, apply(delta(a, b), a) = b, and both the client and the room's own tests use it.

mod handles;
mod ladder;

use std::collections::BTreeMap;
use std::fmt;

use crate::alias;
use crate::block::{BlockKind, Head};
use crate::codec::{Baselines, Codec, View};
use crate::frame::{FrameError, Prelude};
use crate::hash::view_hash;
use crate::ids::{Group, Tick, WireId};
use crate::limits::{ENTITIES_MAX, STATE_MAX_BYTES};
use crate::schema::Schema;
use handles::Handles;
use ladder::Climbed;

pub use ladder::Taken;

/// How many sends back an ordered link's baselines lie.
const DEPTH: u32 = 2;

/// An entity that is seen no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Departed {
    /// The number the replica gave it: no other entity gets it.
    pub handle: u32,
    /// It is gone for good, as far as the client may know; else it is out of sight.
    pub gone: bool,
}

/// What one client knows of a room.
#[derive(Default)]
pub struct Replica {
    tick: Tick,
    hz: u16,
    codec: Option<Box<Codec>>,
    groups: BTreeMap<Group, View>,
    handles: Handles,
    /// Entities that were renamed, or left a group, in the frame that is read, and whether they are gone.
    left: BTreeMap<WireId, bool>,
    /// What the last frame told of which groups.
    heads: Vec<Head>,
    /// What it has of a link that loses.
    climbed: Climbed,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entities = self.handles.entities();
        f.debug_struct("Replica").field("tick", &self.tick).field("entities", &entities).finish()
    }
}

impl Replica {
    /// A replica of a room that runs at so many ticks a second: 0 where it is turn-based.
    #[must_use]
    pub fn new(hz: u16) -> Self {
        Self { hz, ..Self::default() }
    }

    /// The tick of the last state applied.
    #[must_use]
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// Sets the tick that the next state frame counts from, without touching what is known.
    pub fn set_tick(&mut self, tick: Tick) {
        self.tick = tick;
    }

    /// Sets at how many ticks a second the room runs: 0 where it is turn-based.
    pub fn set_hz(&mut self, hz: u16) {
        if hz != self.hz {
            (self.hz, self.codec) = (hz, None);
        }
    }

    /// Applies the body of a state frame and returns its prelude. After an error the replica is in
    /// no defined state: drop it and ask for full state.
    ///
    /// # Errors
    /// When the frame is malformed or does not fit what is known.
    pub fn apply(&mut self, schema: &Schema, mut body: &[u8]) -> Result<Prelude, FrameError> {
        let (prelude, told) = Prelude::read(&mut body, self.tick)?;
        self.begin(&prelude);
        self.climbed = Climbed::default();
        let mut heads = std::mem::take(&mut self.heads);
        told.read(&mut body, self.groups.keys().copied(), &mut heads)?;
        let applied = self.with_codec(schema, body, |replica, codec, body| {
            heads.iter().try_for_each(|head| replica.block(codec, *head, body))
        });
        self.heads = heads;
        applied.map(|()| prelude)
    }

    /// Begins a frame.
    fn begin(&mut self, prelude: &Prelude) {
        self.handles.begin();
        if prelude.full {
            self.groups.clear();
            self.handles.lose_all();
        }
        self.tick = prelude.tick;
    }

    /// Reads a frame's blocks and which ids are the same entity's, behind which nothing follows, and
    /// lets go what no group shows any more.
    fn with_codec(
        &mut self,
        schema: &Schema,
        mut blocks: &[u8],
        read: impl FnOnce(&mut Self, &mut Codec, &mut &[u8]) -> Result<(), FrameError>,
    ) -> Result<(), FrameError> {
        let hz = self.hz;
        let mut codec = self.codec.take().unwrap_or_else(|| Box::new(Codec::new(schema, hz)));
        let applied = read(self, &mut codec, &mut blocks);
        self.codec = Some(codec);
        applied?;
        if !blocks.is_empty() {
            alias::read(&mut blocks, |ids| self.handles.join(ids))?;
        }
        if !blocks.is_empty() {
            return Err(FrameError::Trailing(blocks.len()));
        }
        self.forget_unseen();
        self.handles.end();
        if self.handles.entities() > ENTITIES_MAX {
            return Err(FrameError::Block("too many entities"));
        }
        Ok(())
    }

    /// What the last frame told of which groups, in order. Nothing after a frame that may get lost.
    #[must_use]
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// Whether the last frame says that frames before it were not sent: of a group that was known it told
    /// what it is, not what changed.
    #[must_use]
    pub fn has_skipped(&self) -> bool {
        self.heads.iter().any(|head| head.known && head.kind == BlockKind::Absolute)
    }

    fn block(&mut self, codec: &mut Codec, head: Head, body: &mut &[u8]) -> Result<(), FrameError> {
        let Head { group, kind, .. } = head;
        if kind == BlockKind::Farewell {
            let known = self.groups.remove(&group);
            self.note_left(known.iter().flat_map(View::entities).map(|id| (id, false)));
            return Ok(());
        }
        let most = self.room_for(group);
        let view = self.groups.entry(group).or_insert_with(|| View::new(DEPTH));
        view.bound(most);
        let (mut before, mut renamed) = (Vec::new(), Vec::new());
        match kind {
            BlockKind::Nothing | BlockKind::Farewell => return Ok(()),
            BlockKind::Delta => {
                view.begin(self.tick.0);
                let base = view.now() - 1;
                let from = Baselines { older: base.saturating_sub(1), base };
                renamed = codec.decode(view, from, body)?;
            }
            BlockKind::Absolute => {
                before.extend(view.entities());
                if !codec.decode_absolute(view, self.tick.0, body)? {
                    before.clear();
                }
            }
        }
        // Whoever bears an id that was another's is another entity, unless a wider group says that it
        // was there all along.
        let before = before.into_iter().map(|id| (id, false));
        let reborn: Vec<(WireId, bool)> = view.take_reborn().into_iter().chain(before).collect();
        let left: Vec<(WireId, bool)> = self.groups[&group].just_left().collect();
        self.note_left(reborn.iter().copied().chain(left));
        for (id, gone) in reborn {
            if !self.groups.range(..group).any(|(_, wider)| wider.shows(id)) {
                self.handles.lose(id, gone);
            }
        }
        self.rename(&renamed);
        self.name_new(group);
        Ok(())
    }

    /// How many bytes a group's view may count, beside those of the others.
    fn room_for(&self, group: Group) -> usize {
        let others = self.groups.iter().filter(|(of, _)| **of != group);
        STATE_MAX_BYTES.saturating_sub(others.map(|(_, view)| view.bytes()).sum())
    }

    /// The handle stays with the entity, so that a page sees no despawn. It keeps its old id, too, where
    /// another group goes on to call it so.
    fn rename(&mut self, renamed: &[(WireId, WireId)]) {
        for (old, new) in renamed {
            if self.handles.rename(*old, *new) {
                self.note_left([(*old, false), (*new, false)]);
            }
        }
    }

    /// Gives handles to those that a group shows and that have none.
    fn name_new(&mut self, group: Group) {
        let Some(view) = self.groups.get(&group) else { return };
        for id in view.just_entered().filter(|id| *id != WireId::ROOM) {
            self.handles.name(id);
        }
    }

    /// What left goes last: a later block may show the entity in another group.
    fn forget_unseen(&mut self) {
        for (id, gone) in std::mem::take(&mut self.left) {
            if !self.groups.values().any(|view| view.shows(id)) {
                self.handles.lose(id, gone);
            }
        }
    }

    /// Where one group says that an entity is gone, it is.
    fn note_left(&mut self, left: impl IntoIterator<Item = (WireId, bool)>) {
        for (id, gone) in left {
            *self.left.entry(id).or_default() |= gone;
        }
    }

    /// What is seen no more since the frame before.
    #[must_use]
    pub fn departed(&self) -> &[Departed] {
        self.handles.departed()
    }

    /// Every entity: its wire id (the smallest of those by which its groups call it) and the number
    /// this replica gave it, which stays while the entity is seen, whatever its wire ids become.
    pub fn entities(&self) -> impl Iterator<Item = (WireId, u32)> {
        self.handles.iter()
    }

    /// The number this replica gave an entity, where it is seen: by any of its wire ids.
    #[must_use]
    pub fn handle(&self, id: WireId) -> Option<u32> {
        self.handles.find(id)
    }

    /// The wire id of the entity that has this number; the smallest, where it has several.
    #[must_use]
    pub fn wire_id(&self, handle: u32) -> Option<WireId> {
        self.handles.iter().find(|(_, h)| *h == handle).map(|(id, _)| id)
    }

    /// The components of an entity (or of the room: its resources), by number, sorted. The entity may
    /// be named by any of its wire ids.
    #[must_use]
    pub fn components(&self, id: WireId) -> BTreeMap<u16, &[u32]> {
        let ids = self.handles.ids(id);
        let views = self.groups.values();
        views.flat_map(|view| ids.iter().flat_map(|id| view.components(*id))).collect()
    }

    /// One component of an entity, named by any of its wire ids, or a resource of the room. Where several
    /// groups show it, the narrowest one's counts: its references reach furthest.
    #[must_use]
    pub fn component(&self, id: WireId, component: u16) -> Option<&[u32]> {
        let ids = self.handles.ids(id);
        let shown = |view: &'_ View| {
            ids.iter().find(|id| view.component(**id, component).is_some()).copied()
        };
        let (view, id) = self.groups.values().rev().find_map(|view| Some((view, shown(view)?)))?;
        view.component(id, component)
    }

    /// A hash over everything known, equal for replicas that know the same.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let ids = std::iter::once(WireId::ROOM).chain(self.entities().map(|(id, _)| id));
        let of = |id| self.components(id).into_iter().map(move |(c, words)| (id, c, words));
        view_hash(ids.flat_map(of))
    }
}

#[cfg(test)]
mod tests;
