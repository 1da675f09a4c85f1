//! Blocks: what a view became since a baseline, given how it moved before that.
//!
//! | part | coded as |
//! |---|---|
//! | whether entities came, went or were renamed | a decision; if so, the next three |
//! | renamed | how many, then old and new ids |
//! | removed | how many, then their places among those that were there, and whether each is out of sight only |
//! | new | how many, then ids, components and whole values |
//! | those that moved the time before | for each a decision; if it changed, its record |
//! | those that did not, and do now | how many, then how many lie between them, and their records |
//!
//! A record is a decision for each component, and for each that changed its difference.

use super::coding::{Coding, Spans, Speeds};
use super::model::Models;
use super::plan::{MASK_NODES, Plan};
use super::range::{Coder, Decoder, Encoder};
use super::view::{Mark, Seen, Send, View};
use crate::ids::WireId;
use crate::limits::{ENTITIES_MAX, VALUE_WORDS_MAX};
use crate::schema::Schema;

/// Why bytes are no block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BlockError(pub &'static str);

type Done = Result<(), BlockError>;

/// What a block is told from: sends of its view.
#[derive(Clone, Copy, Debug)]
pub struct Baselines {
    /// What the baseline itself was told from; the baseline, where that is not known.
    pub older: Send,
    /// What the receiver has.
    pub base: Send,
}

/// Codes the blocks of one game: its plan, its models and working memory.
pub struct Codec {
    pub(super) plan: Plan,
    pub(super) models: Models,
    hz: u32,
    /// How long ago the baselines of this block are.
    spans: Spans,
    active: Vec<u32>,
    still: Vec<u32>,
    gone: Vec<u32>,
    new: Vec<u32>,
    touched: Vec<u32>,
    /// What an absolute block tells of.
    pub(super) members: Vec<u32>,
    pub(super) words: Vec<u32>,
    /// How far off a record's numbers were so far.
    beside: usize,
    /// What became of each component of an entity.
    seen: Vec<Seen>,
}

impl Codec {
    /// A codec for a room that runs at so many ticks a second: 0 where it is turn-based.
    #[must_use]
    pub fn new(schema: &Schema, hz: u16) -> Self {
        let plan = Plan::new(schema);
        let seen = vec![Seen::default(); plan.components.len()];
        let models = Models::new(plan.nodes());
        let (active, still, gone) = (Vec::new(), Vec::new(), Vec::new());
        let (new, touched, members, words) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self {
            plan,
            models,
            hz: hz.into(),
            spans: Spans { before: 0, now: 0, hz: 0 },
            active,
            still,
            gone,
            new,
            touched,
            members,
            words,
            beside: 0,
            seen,
        }
    }

    /// Begins to count what is decided, for [`super::Training`].
    pub fn learn(&mut self) {
        self.models.record();
    }

    /// What was counted since [`Codec::learn`].
    #[must_use]
    pub fn counts(&self) -> &[[u32; 2]] {
        self.models.counts()
    }

    /// Appends what leads from a baseline to the view's last send. `renamed` are entities that have
    /// another id from now on: old, new.
    pub fn encode(
        &mut self,
        view: &mut View,
        from: Baselines,
        renamed: &[(WireId, WireId)],
        out: &mut Vec<u8>,
    ) {
        self.models.begin();
        let mut coder = Encoder::new(out);
        let coded = self.code(&mut coder, view, from, &mut renamed.to_vec());
        assert_eq!(coded, Ok(()), "our own view can be told");
        coder.finish();
    }

    /// Reads a block off the front of `bytes`, into a view that has begun a send. Gives what was renamed.
    ///
    /// # Errors
    /// When the bytes are no block of this schema and baseline. The view is then in no defined state.
    pub fn decode(
        &mut self,
        view: &mut View,
        from: Baselines,
        bytes: &mut &[u8],
    ) -> Result<Vec<(WireId, WireId)>, BlockError> {
        self.models.begin();
        let mut coder = Decoder::new(bytes);
        let mut renamed = Vec::new();
        view.revert(from.base);
        self.code(&mut coder, view, from, &mut renamed)?;
        end(&coder, bytes)?;
        Ok(renamed)
    }

    pub(super) fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        view: &mut View,
        from: Baselines,
        renamed: &mut Vec<(WireId, WireId)>,
    ) -> Done {
        let spans = self.spans_of(view, from)?;
        self.code_over(coder, view, from, spans, renamed)
    }

    pub(super) fn code_over<C: Coder>(
        &mut self,
        coder: &mut C,
        view: &mut View,
        from: Baselines,
        spans: Spans,
        renamed: &mut Vec<(WireId, WireId)>,
    ) -> Done {
        self.spans = spans;
        self.look(view, from, C::WRITES);
        let moved = !(renamed.is_empty() && self.gone.is_empty() && self.new.is_empty());
        if self.models.bit(coder, self.plan.frame.structure, moved) {
            self.renames(coder, renamed)?;
            self.removals(coder, view, from.base)?;
            self.arrivals(coder, view)?;
        }
        self.sort(view, from.base);
        self.movers(coder, view, from)?;
        self.stirred(coder, view, from)
    }

    /// Marks the entities by what there is to tell of them. A reader does not know yet what changed.
    fn look(&mut self, view: &mut View, from: Baselines, writes: bool) {
        let now = view.now();
        view.begin_marks();
        self.gone.clear();
        self.new.clear();
        self.touched.clear();
        self.touched.extend(view.touched_since(from.older));
        for at in &self.touched {
            if view.is_marked(*at) {
                continue;
            }
            let slot = view.slot(*at);
            let there = slot.is_in(from.base);
            let moved = !slot.is_in(from.older) || slot.differs(from.older, from.base);
            let mut mark = Mark { active: there && moved, ..Mark::default() };
            if writes {
                match (there, slot.is_in(now)) {
                    (true, true) => mark.changed = slot.differs(from.base, now),
                    (true, false) => {
                        mark.gone = true;
                        self.gone.push(*at);
                    }
                    (false, true) => self.new.push(*at),
                    (false, false) => {}
                }
            }
            view.mark(*at, mark);
        }
        self.gone.sort_unstable_by_key(|at| view.slot(*at).id);
        self.new.sort_unstable_by_key(|at| view.slot(*at).id);
    }

    /// Those that stay, apart by whether they moved the time before.
    fn sort(&mut self, view: &View, base: Send) {
        self.active.clear();
        self.still.clear();
        for at in view.in_order() {
            if !view.slot(at).is_in(base) {
                continue;
            }
            match view.mark_of(at) {
                Mark { gone: true, .. } => {}
                Mark { active: true, .. } => self.active.push(at),
                Mark { .. } => self.still.push(at),
            }
        }
    }

    fn renames<C: Coder>(&mut self, coder: &mut C, renamed: &mut Vec<(WireId, WireId)>) -> Done {
        let count = self.models.magnitude(coder, self.plan.frame.renamed, renamed.len() as u32);
        if count as usize > 2 * ENTITIES_MAX {
            return Err(BlockError("more entities are renamed than there can be"));
        }
        for n in 0..count as usize {
            let given = renamed.get(n).copied().unwrap_or_default();
            let old = self.models.magnitude(coder, self.plan.frame.id, given.0.0);
            let new = self.models.magnitude(coder, self.plan.frame.id, given.1.0);
            if coder.failed() {
                return Err(BlockError("the block ends early"));
            }
            if !C::WRITES {
                renamed.push((WireId(old), WireId(new)));
            }
        }
        Ok(())
    }

    fn removals<C: Coder>(&mut self, coder: &mut C, view: &mut View, base: Send) -> Done {
        let count = self.models.magnitude(coder, self.plan.frame.removed, self.gone.len() as u32);
        if count == 0 {
            return Ok(());
        }
        self.touched.clear();
        self.touched.extend(view.in_order().filter(|at| view.slot(*at).is_in(base)));
        let there = self.touched.len() as u32;
        if count > there {
            return Err(BlockError("more entities leave than there are"));
        }
        let (mut from, mut at) = (0, 0usize);
        for n in 0..count {
            if let Some(gone) = self.gone.get(n as usize) {
                // Both are in order of ids.
                let rest = self.touched[at..].iter();
                at += rest.take_while(|known| *known != gone).count();
            }
            let given = (at as u32).saturating_sub(from);
            let place = from + coder.one_of(given, there - from - (count - n - 1));
            from = place + 1;
            let known = self.gone.get(n as usize).is_some_and(|at| view.slot(*at).gone);
            let gone = self.fate(coder, known);
            if !C::WRITES {
                view.remove(self.touched[place as usize], gone);
            }
        }
        Ok(())
    }

    /// Whether what is removed is gone, and not only out of sight.
    pub(super) fn fate<C: Coder>(&mut self, coder: &mut C, gone: bool) -> bool {
        !self.models.bit(coder, self.plan.frame.structure + 2, !gone)
    }

    fn arrivals<C: Coder>(&mut self, coder: &mut C, view: &mut View) -> Done {
        let count = self.models.magnitude(coder, self.plan.frame.entered, self.new.len() as u32);
        enter::<C>(count as usize)?;
        let now = view.now();
        let mut last = None;
        for n in 0..count as usize {
            let known = self.new.get(n).map(|at| view.slot(*at).id);
            let id = self.id(coder, &mut last, known)?;
            let at = match self.new.get(n) {
                Some(at) => *at,
                None => view.enter_new(id).ok_or(BlockError("an entity comes that is there"))?,
            };
            fits::<C>(view)?;
            self.arrival(coder, view, at, now)?;
        }
        Ok(())
    }

    /// The next of some growing ids.
    pub(super) fn id<C: Coder>(
        &mut self,
        coder: &mut C,
        last: &mut Option<u32>,
        known: Option<WireId>,
    ) -> Result<WireId, BlockError> {
        if coder.failed() {
            return Err(BlockError("the block ends early"));
        }
        let least = last.map_or(Some(0), |last| last.checked_add(1));
        let least = least.ok_or(BlockError("an id overflows"))?;
        let given = known.map_or(0, |id| id.0 - least);
        let step = self.models.magnitude(coder, self.plan.frame.id, given);
        let id = least.checked_add(step).ok_or(BlockError("an id overflows"))?;
        *last = Some(id);
        Ok(WireId(id))
    }

    /// What an entity shows at a send: nothing of it is known.
    pub(super) fn arrival<C: Coder>(
        &mut self,
        coder: &mut C,
        view: &mut View,
        at: u32,
        send: Send,
    ) -> Done {
        let mut before = false;
        for component in 0..self.plan.components.len() as u16 {
            let node = self.plan.components[usize::from(component)].mask + MASK_NODES;
            let given = view.slot(at).at(component, send).is_some();
            before = self.models.bit(coder, node + usize::from(before), given);
            if before {
                self.whole(coder, view, at, component, send)?;
            }
        }
        Ok(())
    }

    /// One component in whole, as it is at a send.
    pub(super) fn whole<C: Coder>(
        &mut self,
        coder: &mut C,
        view: &mut View,
        at: u32,
        component: u16,
        send: Send,
    ) -> Done {
        self.words.clear();
        if C::WRITES {
            self.words.extend_from_slice(view.slot(at).at(component, send).unwrap_or(&[]));
        }
        let spans = Spans { before: 0, now: 0, hz: 0 };
        let mut coding =
            Coding::new(coder, &mut self.models, &mut self.words, spans, (VALUE_WORDS_MAX, 0));
        coding.whole(&self.plan.components[usize::from(component)].form);
        coding.ended()?;
        if !C::WRITES {
            view.set_in(at, component, Some(&self.words));
        }
        fits::<C>(view)
    }

    /// Those that moved the time before.
    fn movers<C: Coder>(&mut self, coder: &mut C, view: &mut View, from: Baselines) -> Done {
        let mut before = true;
        for n in 0..self.active.len() {
            let at = self.active[n];
            let node = self.plan.frame.active + usize::from(before);
            before = self.models.bit(coder, node, view.mark_of(at).changed);
            if before {
                self.record(coder, view, at, from, true)?;
            }
        }
        Ok(())
    }

    /// Those that did not move the time before, and do now.
    fn stirred<C: Coder>(&mut self, coder: &mut C, view: &mut View, from: Baselines) -> Done {
        let changed = |at: &u32| view.mark_of(*at).changed;
        let count = self.still.iter().filter(|at| changed(at)).count() as u32;
        let count = self.models.magnitude(coder, self.plan.frame.stirred, count);
        let mut next = 0;
        for _ in 0..count {
            let rest = self.still.get(next..).unwrap_or(&[]);
            let gap = rest.iter().position(|at| view.mark_of(*at).changed).unwrap_or(0);
            let gap = self.models.magnitude(coder, self.plan.frame.gap, gap as u32);
            next = next.saturating_add(gap as usize);
            let at = *self.still.get(next).ok_or(BlockError("no such entity changes"))?;
            next += 1;
            self.record(coder, view, at, from, false)?;
        }
        Ok(())
    }

    /// What changed of an entity.
    fn record<C: Coder>(
        &mut self,
        coder: &mut C,
        view: &mut View,
        at: u32,
        from: Baselines,
        active: bool,
    ) -> Done {
        if coder.failed() {
            return Err(BlockError("the block ends early"));
        }
        let now = view.now();
        let recomposed = view.slot(at).seen(from.older, from.base, now, &mut self.seen);
        let structure = self.plan.frame.structure;
        let recomposed = self.models.bit(coder, structure + 1, C::WRITES && recomposed);
        let mut context = 2 * usize::from(active);
        self.beside = 0;
        for n in 0..self.plan.order.len() {
            let component = self.plan.order[n];
            let seen = self.seen[usize::from(component)];
            let mask = self.plan.components[usize::from(component)].mask;
            if recomposed {
                let shown = self.models.bit(coder, mask + MASK_NODES + 2, seen.is);
                if !shown {
                    if !C::WRITES {
                        view.set_in(at, component, None);
                    }
                    continue;
                }
                if !seen.was {
                    self.whole(coder, view, at, component, now)?;
                    continue;
                }
            }
            let node = mask + usize::from(seen.moved) + context;
            if seen.was && self.models.bit(coder, node, C::WRITES && seen.changed) {
                context |= 4;
                self.change(coder, view, (at, component), from)?;
            }
        }
        Ok(())
    }

    /// One component that was there and changed.
    fn change<C: Coder>(
        &mut self,
        coder: &mut C,
        view: &mut View,
        (at, component): (u32, u16),
        from: Baselines,
    ) -> Done {
        let plan = &self.plan.components[usize::from(component)];
        let (slot, sends) = (view.slot(at), [from.older, from.base, view.now()]);
        // A reader has set some of what was seen.
        let words = |component: u16| match self.seen.get(usize::from(component)) {
            Some(seen) if C::WRITES => slot.words(seen),
            _ => slot.cell(component).map_or([None; 3], |cell| sends.map(|send| cell.at(send))),
        };
        let [older, was, now] = words(component);
        let was = was.unwrap_or(&[]);
        let older = older.unwrap_or(was);
        self.words.clear();
        if C::WRITES {
            self.words.extend_from_slice(now.unwrap_or(&[]));
        }
        let budget = (VALUE_WORDS_MAX, self.beside);
        let mut coding = Coding::new(coder, &mut self.models, &mut self.words, self.spans, budget);
        if let Some(by) = plan.moves_by {
            coding.speeds = speeds(words(by));
        }
        coding.delta(&plan.form, &mut &*older, &mut &*was);
        coding.ended()?;
        self.beside = coding.beside;
        if !C::WRITES {
            view.set_in(at, component, Some(&self.words));
        }
        fits::<C>(view)
    }

    fn spans_of(&self, view: &View, from: Baselines) -> Result<Spans, BlockError> {
        let tick = |send| view.tick(send).ok_or(BlockError("the baseline is forgotten"));
        Ok(self.spans_between(tick(from.older)?, tick(from.base)?, tick(view.now())?))
    }

    /// How long ago the ticks of two baselines are.
    pub(super) fn spans_between(&self, older: u64, base: u64, now: u64) -> Spans {
        let between = |from: u64, to: u64| span(to.saturating_sub(from));
        Spans { before: between(older, base), now: between(base, now), hz: self.hz }
    }
}

/// What is longer ago than so many bits of ticks tell is as good as never.
pub(super) const SPAN_BITS: u32 = 7;

/// Ticks between two sends, as far as values are expected by them.
pub(super) fn span(ticks: u64) -> u32 {
    ticks.min((1 << SPAN_BITS) - 1) as u32
}

/// Checks that a view that is read shows no more than a client may know: the room itself and so many
/// entities, and no more of them than it has memory for.
pub(super) fn fits<C: Coder>(view: &View) -> Done {
    if C::WRITES {
        return Ok(());
    }
    enter::<C>(view.len())?;
    match view.is_too_large() {
        true => Err(BlockError("more of the room is told than a client keeps (`STATE_MAX_BYTES`)")),
        false => Ok(()),
    }
}

/// The same of a number of entities, before any of them is read.
pub(super) fn enter<C: Coder>(entities: usize) -> Done {
    match !C::WRITES && entities > ENTITIES_MAX + 1 {
        true => Err(BlockError("more entities are told than a client may see (`ENTITIES_MAX`)")),
        false => Ok(()),
    }
}

/// Moves past a block that was read.
pub(super) fn end<'a>(coder: &Decoder<'a>, bytes: &mut &'a [u8]) -> Done {
    let used = coder.used().ok_or(BlockError("the block ends early"))?;
    if !coder.ends_as_written() {
        return Err(BlockError("the block does not end as it would be written"));
    }
    *bytes = &bytes[used..];
    Ok(())
}

fn speeds([older, old, now]: [Option<&[u32]>; 3]) -> Speeds<'_> {
    let old = old.unwrap_or(&[]);
    Speeds { older: older.unwrap_or(old), old, now: now.unwrap_or(old) }
}
