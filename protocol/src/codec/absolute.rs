//! Absolute blocks: for a receiver that has no baseline which others share. They tell the view as it
//! was at the send before the last, whole or what changed after a tick, and then what the last send
//! changed. So their receiver has the same two baselines as everyone else, and shares the next block.
//!
//! | part of what changed after a tick | coded as |
//! |---|---|
//! | removed | how many, then their ids and whether each is out of sight only |
//! | changed | how many, then ids; whether it is new; for each component whether it is told, whether it is there, its whole value |

use super::block::{Baselines, BlockError, Codec, ended, fits};
use super::plan::MASK_NODES;
use super::range::{Coder, Decoder, Encoder};
use super::view::{Send, Slot, View};
use crate::ids::WireId;

type Done = Result<(), BlockError>;

/// When an absolute block's two sends were.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticks {
    /// Of the send before the last.
    pub base: u64,
    /// Of the last.
    pub now: u64,
}

impl Codec {
    /// Appends everything a view shows.
    pub fn encode_whole(&mut self, view: &mut View, out: &mut Vec<u8>) {
        self.models.begin();
        let base = view.now().saturating_sub(1);
        let mut coder = Encoder::new(out);
        let mut members = std::mem::take(&mut self.members);
        members.clear();
        members.extend(view.in_order().filter(|at| view.slot(*at).is_in(base)));
        let coded = self
            .everything(&mut coder, view, base, &members)
            .and_then(|()| self.last(&mut coder, view, base));
        assert_eq!(coded, Ok(()), "our own view can be told");
        self.members = members;
        coder.finish();
    }

    /// Reads everything a view shows. What it showed is forgotten.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    pub fn decode_whole(&mut self, view: &mut View, ticks: Ticks, bytes: &[u8]) -> Done {
        self.models.begin();
        let mut coder = Decoder::new(bytes);
        view.clear();
        view.begin(ticks.base);
        let base = view.now();
        self.everything(&mut coder, view, base, &[])?;
        view.begin(ticks.now);
        self.last(&mut coder, view, base)?;
        ended(&coder)
    }

    /// Appends what changed in a view after a tick. `removed` are the entities that left after it and
    /// before the last send, sorted, and whether each is gone.
    pub fn encode_since(
        &mut self,
        view: &mut View,
        tick: u64,
        removed: &[(WireId, bool)],
        out: &mut Vec<u8>,
    ) {
        self.models.begin();
        let base = view.now().saturating_sub(1);
        let mut coder = Encoder::new(out);
        let mut members = std::mem::take(&mut self.members);
        members.clear();
        members.extend(view.in_order().filter(|at| view.slot(*at).is_new_since(base, tick)));
        let coded = self
            .changes(&mut coder, view, (base, tick), removed, &members)
            .and_then(|()| self.last(&mut coder, view, base));
        assert_eq!(coded, Ok(()), "our own view can be told");
        self.members = members;
        coder.finish();
    }

    /// Reads what changed since a view was at its last send.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    pub fn decode_since(&mut self, view: &mut View, ticks: Ticks, bytes: &[u8]) -> Done {
        self.models.begin();
        let mut coder = Decoder::new(bytes);
        view.begin(ticks.base);
        let base = view.now();
        self.changes(&mut coder, view, (base, 0), &[], &[])?;
        view.begin(ticks.now);
        self.last(&mut coder, view, base)?;
        ended(&coder)
    }

    /// What the last send changed, told as if nothing had moved before.
    fn last<C: Coder>(&mut self, coder: &mut C, view: &mut View, base: Send) -> Done {
        self.code(coder, view, Baselines { older: base, base }, &mut Vec::new())
    }

    pub(super) fn everything<C: Coder>(
        &mut self,
        coder: &mut C,
        view: &mut View,
        base: Send,
        members: &[u32],
    ) -> Done {
        let count = self.models.magnitude(coder, self.plan.frame.entered, members.len() as u32);
        let mut last = None;
        for n in 0..count as usize {
            let known = members.get(n).map(|at| view.slot(*at).id);
            let id = self.id(coder, &mut last, known)?;
            let at = match members.get(n) {
                Some(at) => *at,
                None => view.enter_new(id).ok_or(BlockError("an entity is told twice"))?,
            };
            fits::<C>(view)?;
            self.arrival(coder, view, at, base)?;
        }
        Ok(())
    }

    pub(super) fn changes<C: Coder>(
        &mut self,
        coder: &mut C,
        view: &mut View,
        (base, tick): (Send, u64),
        removed: &[(WireId, bool)],
        members: &[u32],
    ) -> Done {
        let count = self.models.magnitude(coder, self.plan.frame.removed, removed.len() as u32);
        let mut last = None;
        for n in 0..count as usize {
            let known = removed.get(n).copied();
            let id = self.id(coder, &mut last, known.map(|(id, _)| id))?;
            let gone = self.fate(coder, known.is_some_and(|(_, gone)| gone));
            if !C::WRITES {
                view.go(id, gone);
            }
        }
        let count = self.models.magnitude(coder, self.plan.frame.entered, members.len() as u32);
        let mut last = None;
        for n in 0..count as usize {
            let known = members.get(n).map(|at| view.slot(*at));
            let new = known.is_some_and(|slot| slot.entered_after(base, tick));
            let id = self.id(coder, &mut last, known.map(|slot| slot.id))?;
            let new = self.models.bit(coder, self.plan.frame.structure + 2, new);
            let at = match members.get(n) {
                Some(at) => *at,
                None => view.enter_again(id, new).ok_or(BlockError("what is unknown changes"))?,
            };
            fits::<C>(view)?;
            match new {
                true => self.arrival(coder, view, at, base)?,
                false => self.partial(coder, view, at, (base, tick))?,
            }
        }
        Ok(())
    }

    /// The components of a known entity that changed after a tick.
    fn partial<C: Coder>(
        &mut self,
        coder: &mut C,
        view: &mut View,
        at: u32,
        (base, tick): (Send, u64),
    ) -> Done {
        for component in 0..self.plan.components.len() as u16 {
            let node = self.plan.components[usize::from(component)].mask + MASK_NODES + 2;
            let slot = view.slot(at);
            let (told, shown) =
                (told(slot, component, base, tick), slot.at(component, base).is_some());
            if !self.models.bit(coder, node + 1, told) {
                continue;
            }
            if self.models.bit(coder, node, shown) {
                self.whole(coder, view, at, component, base)?;
            } else if !C::WRITES {
                view.set_in(at, component, None);
            }
        }
        Ok(())
    }
}

/// Whether a component changed after a tick, up to a send.
fn told(slot: &Slot, component: u16, base: Send, tick: u64) -> bool {
    slot.cell(component).is_some_and(|cell| cell.changed_after(base, tick))
}
