//! Blocks: what a view became, given what it was at two earlier sends.

use super::coding::{Coding, Spans, Speeds};
use super::model::Models;
use super::plan::Plan;
use super::range::{Coder, Decoder, Encoder};
use super::view::{Send, View};
use crate::ids::WireId;
use crate::limits::{ENTITIES_MAX, VALUE_WORDS_MAX};

/// Whether a block can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bad;

/// Working memory, plan and models of one game.
pub struct Codec {
    plan: Plan,
    pub models: Models,
    active: Vec<u32>,
    quiet: Vec<u32>,
    changed: Vec<u32>,
    gone: Vec<u32>,
    new: Vec<u32>,
    words: Vec<u32>,
}

impl Codec {
    /// A codec of a plan.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let models = Models::new(plan.nodes().to_vec());
        let (active, quiet, changed) = (Vec::new(), Vec::new(), Vec::new());
        let (gone, new, words) = (Vec::new(), Vec::new(), Vec::new());
        Self { plan, models, active, quiet, changed, gone, new, words }
    }

    /// Appends the block that leads from the baseline to now.
    pub fn encode(&mut self, view: &mut View, older: Send, base: Send, out: &mut Vec<u8>) {
        let mut coder = Encoder::new(out);
        let coded = self.code(&mut coder, view, older, base);
        debug_assert!(coded.is_ok(), "our own view can be told");
        coder.finish();
    }

    /// Reads a block into a view that has begun a send.
    ///
    /// # Errors
    /// When the bytes are no block of this schema and baseline.
    pub fn decode(&mut self, view: &mut View, older: Send, base: Send, bytes: &[u8]) -> Result<(), Bad> {
        let mut coder = Decoder::new(bytes);
        revert(view, base);
        self.code(&mut coder, view, older, base)?;
        if coder.is_at_end() { Ok(()) } else { Err(Bad) }
    }

    fn code<C: Coder>(&mut self, coder: &mut C, view: &mut View, older: Send, base: Send) -> Result<(), Bad> {
        self.models.begin();
        let now = view.now();
        self.look(view, older, base, C::WRITES);
        let structure = self.plan.frame.structure;
        let restructured = !self.gone.is_empty() || !self.new.is_empty();
        if self.models.bit(coder, structure, restructured) {
            self.removals(coder, view, base)?;
            self.arrivals(coder, view)?;
        }
        // Entities that moved the time before.
        let active = std::mem::take(&mut self.active);
        let mut before = true;
        for slot in &active {
            let mark = view.slots[*slot as usize].mark;
            if mark & GONE != 0 && mark >> 4 == view.mark {
                continue;
            }
            let is = mark >> 4 == view.mark && mark & CHANGED != 0;
            before = self.models.bit(coder, self.plan.frame.active + usize::from(before), is);
            if before {
                self.record(coder, view, *slot, older, base, true)?;
            }
        }
        self.active = active;
        self.still(coder, view, older, base, now)
    }

    /// Entities that did not move the time before, and do now.
    fn still<C: Coder>(
        &mut self,
        coder: &mut C,
        view: &mut View,
        older: Send,
        base: Send,
        _now: Send,
    ) -> Result<(), Bad> {
        let quiet = std::mem::take(&mut self.quiet);
        let changes = |view: &View, slot: u32| {
            let mark = view.slots[slot as usize].mark;
            mark >> 4 == view.mark && mark & CHANGED != 0
        };
        let count = quiet.iter().filter(|slot| changes(view, **slot)).count() as u32;
        let count = self.models.magnitude(coder, self.plan.frame.count[2], count);
        let mut at = 0usize;
        for _ in 0..count {
            let gap = quiet[at.min(quiet.len())..].iter().position(|slot| changes(view, *slot));
            let gap = self.models.magnitude(coder, self.plan.frame.gap, gap.unwrap_or(0) as u32);
            at += gap as usize;
            let Some(slot) = quiet.get(at) else { return Err(Bad) };
            at += 1;
            self.record(coder, view, *slot, older, base, false)?;
        }
        self.quiet = quiet;
        Ok(())
    }

    /// Sorts the entities by what there is to tell of them. A reader does not know yet which have
    /// changed.
    fn look(&mut self, view: &mut View, older: Send, base: Send, writes: bool) {
        for list in [&mut self.active, &mut self.quiet, &mut self.changed, &mut self.gone, &mut self.new] {
            list.clear();
        }
        let now = view.now();
        view.mark += 1;
        let mark = view.mark;
        let touched: Vec<u32> = view.touched_since(older).collect();
        for at in touched {
            let slot = &mut view.slots[at as usize];
            if slot.mark >> 4 == mark {
                continue;
            }
            slot.mark = mark << 4;
            let differs = |a: Send, b: Send| slot.cells.iter().any(|cell| cell.at(a) != cell.at(b));
            let mut flags = 0;
            if slot.is_in(base) && slot.is_in(older) && differs(older, base)
                || slot.is_in(base) && !slot.is_in(older)
            {
                flags |= ACTIVE;
            }
            if writes {
                match (slot.is_in(base), slot.is_in(now)) {
                    (true, true) if differs(base, now) => flags |= CHANGED,
                    (true, false) => {
                        flags |= GONE;
                        self.gone.push(at);
                    }
                    (false, true) => self.new.push(at),
                    _ => {}
                }
            }
            slot.mark |= flags;
        }
        for (_, at) in &view.order {
            let slot = &view.slots[*at as usize];
            if !slot.is_in(base) {
                continue;
            }
            if slot.mark >> 4 == mark && slot.mark & ACTIVE != 0 {
                self.active.push(*at);
            } else if !(slot.mark >> 4 == mark && slot.mark & GONE != 0) {
                self.quiet.push(*at);
            }
        }
        let slots = &view.slots;
        self.gone.sort_unstable_by_key(|at| slots[*at as usize].id);
        self.new.sort_unstable_by_key(|at| slots[*at as usize].id);
    }

    fn removals<C: Coder>(&mut self, coder: &mut C, view: &mut View, base: Send) -> Result<(), Bad> {
        let count = self.gone.len() as u32;
        let count = self.models.magnitude(coder, self.plan.frame.count[0], count);
        // Their places among all that were there.
        let members: Vec<u32> =
            view.order.iter().map(|(_, at)| *at).filter(|at| view.slots[*at as usize].is_in(base)).collect();
        if count as usize > members.len() {
            return Err(Bad);
        }
        let mut from = 0u32;
        for n in 0..count {
            let left = members.len() as u32 - from - (count - n - 1);
            let given = if C::WRITES {
                members.iter().position(|at| *at == self.gone[n as usize]).unwrap_or(0) as u32 - from
            } else {
                0
            };
            let place = from + coder.one_of(given, left);
            from = place + 1;
            if !C::WRITES {
                let at = members[place as usize];
                let id = view.slots[at as usize].id;
                view.leave(id);
                let mark = view.mark;
                let slot = &mut view.slots[at as usize];
                slot.mark = mark << 4 | GONE | if slot.mark >> 4 == mark { slot.mark & ACTIVE } else { 0 };
                self.quiet.retain(|known| *known != at);
            }
        }
        Ok(())
    }

    fn arrivals<C: Coder>(&mut self, coder: &mut C, view: &mut View) -> Result<(), Bad> {
        let count = self.models.magnitude(coder, self.plan.frame.count[1], self.new.len() as u32);
        if count as usize > ENTITIES_MAX {
            return Err(Bad);
        }
        let mut last = 0u32;
        for n in 0..count as usize {
            if coder.failed() {
                return Err(Bad);
            }
            let given = if C::WRITES { view.slots[self.new[n] as usize].id.0 - last } else { 0 };
            let id = last.checked_add(self.models.magnitude(coder, self.plan.frame.id, given)).ok_or(Bad)?;
            last = id;
            let slot = if C::WRITES {
                self.new[n]
            } else {
                if view.shows(WireId(id)) {
                    return Err(Bad);
                }
                view.enter(WireId(id));
                view.slot_of(WireId(id)).ok_or(Bad)?
            };
            self.arrival(coder, view, slot)?;
        }
        Ok(())
    }

    fn arrival<C: Coder>(&mut self, coder: &mut C, view: &mut View, slot: u32) -> Result<(), Bad> {
        let now = view.now();
        let mut before = 0;
        for component in 0..self.plan.components.len() as u16 {
            let given = view.slots[slot as usize].at(component, now);
            let plan = &self.plan.components[usize::from(component)];
            let node = plan.mask + super::plan::MASK_NODES + before;
            let is = self.models.bit(coder, node, given.is_some());
            before = usize::from(is);
            if !is {
                continue;
            }
            self.words.clear();
            if C::WRITES {
                self.words.extend_from_slice(given.unwrap_or(&[]));
            }
            let mut coding = coding(coder, &mut self.models, &mut self.words);
            coding.whole(&plan.form);
            if coding.bad {
                return Err(Bad);
            }
            if !C::WRITES {
                view.set_in(slot, component, Some(&self.words));
            }
        }
        Ok(())
    }

    /// What changed of an entity.
    fn record<C: Coder>(
        &mut self,
        coder: &mut C,
        view: &mut View,
        at: u32,
        older: Send,
        base: Send,
        active: bool,
    ) -> Result<(), Bad> {
        let now = view.now();
        if coder.failed() {
            return Err(Bad);
        }
        let spans = {
            let (Some(a), Some(b), Some(c)) = (view.tick(older.max(view.oldest())), view.tick(base), view.tick(now)) else { return Err(Bad) };
            Spans { before: (b - a) as u32, now: (c - b) as u32 }
        };
        let comes_or_goes = {
            let slot = &view.slots[at as usize];
            let shown = |send| move |cell: &super::view::Cell| cell.at(send).is_some();
            C::WRITES && slot.cells.iter().any(|cell| shown(base)(cell) != shown(now)(cell))
        };
        let comes_or_goes = self.models.bit(coder, self.plan.frame.structure + 1, comes_or_goes);
        let mut told = 0usize;
        for n in 0..self.plan.order.len() {
            let component = self.plan.order[n];
            let plan = &self.plan.components[usize::from(component)];
            let slot = &view.slots[at as usize];
            let (was, is) = (slot.at(component, base), slot.at(component, now));
            if comes_or_goes {
                let shown = self.models.bit(coder, plan.mask + super::plan::MASK_NODES, is.is_some());
                match (was.is_some(), shown) {
                    (_, false) => {
                        if !C::WRITES {
                            view.set_in(at, component, None);
                        }
                        continue;
                    }
                    (false, true) => {
                        self.words.clear();
                        if C::WRITES {
                            self.words.extend_from_slice(is.unwrap_or(&[]));
                        }
                        let mut coding = coding(coder, &mut self.models, &mut self.words);
                        coding.whole(&plan.form);
                        if coding.bad {
                            return Err(Bad);
                        }
                        if !C::WRITES {
                            view.set_in(at, component, Some(&self.words));
                        }
                        continue;
                    }
                    (true, true) => {}
                }
            }
            let Some(was) = was else { continue };
            let was_older = slot.at(component, older).unwrap_or(was);
            let moved = was != was_older;
            let node = plan.mask + usize::from(moved) + 2 * usize::from(active) + 4 * told.min(1);
            let changes = self.models.bit(coder, node, C::WRITES && is != Some(was));
            if !changes {
                continue;
            }
            told += 1;
            self.words.clear();
            if C::WRITES {
                self.words.extend_from_slice(is.unwrap_or(&[]));
            }
            let speeds = plan.moves_by.map(|by| {
                let old = slot.at(by, base).unwrap_or(&[]);
                Speeds { older: slot.at(by, older).unwrap_or(old), old, now: slot.at(by, now).unwrap_or(old) }
            });
            let mut coding = coding(coder, &mut self.models, &mut self.words);
            coding.spans = spans;
            coding.speeds = speeds.unwrap_or_default();
            coding.delta(&plan.form, &mut &*was_older, &mut &*was);
            if coding.bad {
                return Err(Bad);
            }
            if !C::WRITES {
                view.set_in(at, component, Some(&self.words));
            }
        }
        Ok(())
    }
}

const ACTIVE: u32 = 1;
const CHANGED: u32 = 2;
const GONE: u32 = 4;

fn coding<'a, C: Coder>(coder: &'a mut C, models: &'a mut Models, words: &'a mut Vec<u32>) -> Coding<'a, C> {
    let spans = Spans { before: 1, now: 1 };
    Coding { coder, models, words, at: 0, spans, speeds: Speeds::default(), beside: 0, budget: VALUE_WORDS_MAX, bad: false, together: 0 }
}

/// Makes what is now what it was at a send: a reader may have heard of other sends since.
fn revert(view: &mut View, base: Send) {
    let touched: Vec<u32> = view.touched_between(base).collect();
    for at in touched {
        let slot = &view.slots[at as usize];
        let was = slot.is_in(base);
        if was != slot.is_in(view.now()) {
            view.show_in(at, was);
        }
        for n in 0..view.slots[at as usize].cells.len() {
            let cell = &view.slots[at as usize].cells[n];
            let (component, words) = (cell.component, cell.at(base).map(<[u32]>::to_vec));
            view.set_in(at, component, words.as_deref());
        }
    }
}
