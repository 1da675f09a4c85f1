//! Absolute blocks: for a receiver that has no baseline which others share. They tell the view as it
//! was at the send before the last, whole or what changed after a tick, and then what the last send
//! changed. So their receiver has the same two baselines as everyone else, and shares the next block.
//!
//! First comes whether it is whole, how old the last send is, and how much older the one before.
//!
//! | part of what changed after a tick | coded as |
//! |---|---|
//! | removed | how many, then their ids and whether each is out of sight only |
//! | changed | how many, then ids; whether it is new; for each component whether it is told, whether it is there, its whole value |

use super::block::{Baselines, BlockError, Codec, SPAN_BITS, end, enter, fits, span};
use super::plan::MASK_NODES;
use super::range::{Coder, Decoder, Encoder};
use super::view::{Send, Slot, View};
use crate::ids::WireId;
use crate::limits::{ENTITIES_MAX, REMOVALS_KEPT_MAX};

type Done = Result<(), BlockError>;

/// What an absolute block tells, beside its values.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Told {
    /// All there is: what was known before is forgotten.
    whole: bool,
    /// Ticks from the last send to the frame's tick.
    age: u64,
    /// Ticks from the send before that to the last.
    gap: u64,
}

impl Codec {
    /// Appends everything a view shows, for a frame of this tick.
    pub fn encode_whole(&mut self, view: &mut View, tick: u64, out: &mut Vec<u8>) {
        self.models.begin();
        let base = view.now().saturating_sub(1);
        let mut coder = Encoder::new(out);
        let mut members = std::mem::take(&mut self.members);
        members.clear();
        members.extend(view.in_order().filter(|at| view.slot(*at).is_in(base)));
        self.told(&mut coder, told(view, true, tick));
        let coded = self
            .everything(&mut coder, view, base, &members)
            .and_then(|()| self.last(&mut coder, view, base));
        assert_eq!(coded, Ok(()), "our own view can be told");
        self.members = members;
        coder.finish();
    }

    /// Appends what changed in a view after the tick `since`, for a frame of this tick. `removed` are
    /// the entities that left after it and before the last send, sorted, and whether each is gone.
    pub fn encode_since(
        &mut self,
        view: &mut View,
        tick: u64,
        (since, removed): (u64, &[(WireId, bool)]),
        out: &mut Vec<u8>,
    ) {
        self.models.begin();
        let base = view.now().saturating_sub(1);
        let mut coder = Encoder::new(out);
        let mut members = std::mem::take(&mut self.members);
        members.clear();
        members.extend(view.in_order().filter(|at| view.slot(*at).is_new_since(base, since)));
        self.told(&mut coder, told(view, false, tick));
        let coded = self
            .changes(&mut coder, view, (base, since), removed, &members)
            .and_then(|()| self.last(&mut coder, view, base));
        assert_eq!(coded, Ok(()), "our own view can be told");
        self.members = members;
        coder.finish();
    }

    /// Reads an absolute block of a frame of this tick off the front of `bytes`. Says whether it told
    /// everything: then what the view showed was forgotten.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    pub fn decode_absolute(
        &mut self,
        view: &mut View,
        tick: u64,
        bytes: &mut &[u8],
    ) -> Result<bool, BlockError> {
        self.models.begin();
        let mut coder = Decoder::new(bytes);
        let told = self.told(&mut coder, Told { whole: false, age: 0, gap: 0 });
        if told.whole {
            view.clear();
        }
        let last = tick.saturating_sub(told.age);
        view.begin(last.saturating_sub(told.gap));
        let base = view.now();
        match told.whole {
            true => self.everything(&mut coder, view, base, &[])?,
            false => self.changes(&mut coder, view, (base, 0), &[], &[])?,
        }
        view.begin(last);
        self.last(&mut coder, view, base)?;
        end(&coder, bytes)?;
        Ok(told.whole)
    }

    fn told<C: Coder>(&mut self, coder: &mut C, told: Told) -> Told {
        let whole = self.models.bit(coder, self.plan.frame.structure + 3, told.whole);
        let mut ticks = |node: usize, usual: u32, ticks: u64| -> u64 {
            let ticks = span(ticks);
            match self.models.bit(coder, self.plan.frame.ticks + node, ticks != usual) {
                true => coder.raw(ticks, SPAN_BITS).into(),
                false => usual.into(),
            }
        };
        Told { whole, age: ticks(0, 0, told.age), gap: ticks(1, 1, told.gap) }
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
        enter::<C>(count as usize)?;
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
        if !C::WRITES && count as usize > REMOVALS_KEPT_MAX.max(ENTITIES_MAX) {
            return Err(BlockError("more leave than there can be"));
        }
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
        enter::<C>(count as usize)?;
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
                (is_told(slot, component, base, tick), slot.at(component, base).is_some());
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
fn is_told(slot: &Slot, component: u16, base: Send, tick: u64) -> bool {
    slot.cell(component).is_some_and(|cell| cell.changed_after(base, tick))
}

/// What a block of a view tells in a frame of this tick.
fn told(view: &View, whole: bool, tick: u64) -> Told {
    let last = view.last_tick();
    let base = view.tick(view.now().saturating_sub(1)).unwrap_or(last);
    Told { whole, age: tick.saturating_sub(last), gap: last.saturating_sub(base) }
}
