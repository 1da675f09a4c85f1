//! The replica on a link that loses, repeats and mixes up what is sent. A frame is applied as a whole
//! or not at all, and never after a newer one: so what is known is at each time what the room showed
//! at one tick. Nobody bears the id of another within the time that a ladder is long, so whoever has
//! the same id is the same entity.

use std::collections::BTreeMap;

use super::Replica;
use crate::codec::{Codec, Rungs, View};
use crate::frame::{FrameError, Prelude};
use crate::ids::{Group, Tick};
use crate::ladder::{LossyHead, LossyKind, LossyPrelude, ladder_ticks};
use crate::schema::Schema;

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It was applied: say so.
    Applied(Prelude),
    /// A newer one was applied before.
    Late,
    /// It builds on what was lost. The room tells it anew.
    Unfounded,
}

/// What a replica has of a ladder.
#[derive(Default)]
pub(super) struct Climbed {
    /// The groups it has, and since which frame.
    born: BTreeMap<Group, u64>,
    /// A frame was applied since it was empty.
    begun: bool,
}

impl Replica {
    /// Applies a state frame of a link that loses. After an error the replica is in no defined state:
    /// drop it and ask for full state.
    ///
    /// # Errors
    /// When the frame is malformed or does not fit what is known.
    pub fn take(&mut self, schema: &Schema, mut frame: &[u8]) -> Result<Taken, FrameError> {
        let mut heads = Vec::new();
        let LossyPrelude { prelude, rung } = LossyPrelude::read(&mut frame, self.tick, &mut heads)?;
        let (tick, full) = (prelude.tick, prelude.full);
        let knows = self.climbed.begun || !self.groups.is_empty();
        if knows && tick <= self.tick {
            return Ok(Taken::Late);
        }
        let rungs = rung.and_then(|rung| {
            let base = tick.0.checked_sub(rung.age)?;
            Some(Rungs { older: base.checked_sub(rung.back.into())?, base, now: tick.0 })
        });
        let founded = || heads.iter().all(|head| self.is_founded(*head, rungs, tick));
        if !(full || knows && founded()) {
            return Ok(Taken::Unfounded);
        }
        if full {
            self.climbed = Climbed::default();
        }
        self.begin(&prelude);
        self.climbed.begun = true;
        self.heads.clear();
        self.with_codec(schema, frame, |replica, codec, blocks| {
            heads.iter().try_for_each(|head| replica.take_block(codec, *head, rungs, blocks))
        })?;
        Ok(Taken::Applied(prelude))
    }

    /// Whether what a block builds on is there.
    fn is_founded(&self, head: LossyHead, rungs: Option<Rungs>, now: Tick) -> bool {
        let view = || self.groups.get(&head.group);
        match head.kind {
            LossyKind::All | LossyKind::Farewell => true,
            LossyKind::News(age) => view().is_some() && self.tick.0.saturating_add(age) >= now.0,
            LossyKind::Rung => rungs.is_some_and(|rungs| {
                let born = self.climbed.born.get(&head.group).copied();
                let known = |view: &View| {
                    let sends = rungs.of(view);
                    sends.is_some_and(|from| view.remembers(from.older))
                };
                born.is_some_and(|born| born <= rungs.older) && view().is_some_and(known)
            }),
        }
    }

    fn take_block(
        &mut self,
        codec: &mut Codec,
        LossyHead { group, kind }: LossyHead,
        rungs: Option<Rungs>,
        blocks: &mut &[u8],
    ) -> Result<(), FrameError> {
        if kind == LossyKind::Farewell {
            self.climbed.born.remove(&group);
            let known = self.groups.remove(&group);
            self.note_left(known.iter().flat_map(View::entities).map(|id| (id, false)));
            return Ok(());
        }
        let now = self.tick.0;
        let depth = u32::try_from(ladder_ticks(self.hz)).unwrap_or(u32::MAX);
        self.climbed.born.entry(group).or_insert(now);
        let most = self.room_for(group);
        let view = self.groups.entry(group).or_insert_with(|| View::new(depth));
        view.bound(most);
        view.deepen(depth);
        view.begin(now);
        let renamed = match (kind, rungs) {
            (LossyKind::Rung, Some(rungs)) => codec.decode_from(view, rungs, blocks)?,
            (LossyKind::News(_), _) => codec.decode_news(view, blocks).map(|()| Vec::new())?,
            (LossyKind::All, _) => codec.decode_all(view, blocks).map(|()| Vec::new())?,
            (LossyKind::Rung, None) => return Err(FrameError::Block("a frame without a rung")),
            (LossyKind::Farewell, _) => return Ok(()),
        };
        // Whoever bears an id that it bore before is who it was.
        drop(view.take_reborn());
        let left: Vec<_> = self.groups[&group].just_left().collect();
        self.note_left(left);
        self.rename(&renamed);
        self.name_new(group);
        Ok(())
    }
}
