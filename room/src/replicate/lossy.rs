//! What is known of a client behind a link that loses: which frames it has applied, which groups it
//! was told of, and from where the next frame may lead.

use std::collections::VecDeque;

use referee_protocol::codec::Rungs;
use referee_protocol::ladder::{Applied, ladder_step, ladder_ticks};
use referee_protocol::{Group, Tick};
use smallvec::SmallVec;

use super::group::GroupState;
use crate::table::Table;

/// The rungs that all links of a room share: every `step`th tick.
#[derive(Clone, Copy)]
pub(super) struct Ladder {
    /// For how many ticks a tick may be a rung.
    pub(super) ticks: u64,
    /// How far two neighbours are apart. How things moved up to a rung is said by the one before: what
    /// is nearer to it says more of how they go on than a longer way in the same steps does.
    pub(super) step: u64,
}

impl Ladder {
    /// The ladder of a room that runs at so many ticks a second: 0 where it is turn-based.
    pub(super) fn of(hz: u16) -> Self {
        Self::with_step(hz, ladder_step(hz))
    }

    /// The same with so many ticks between two rungs.
    pub(super) fn with_step(hz: u16, step: u64) -> Self {
        Self { ticks: ladder_ticks(hz), step }
    }

    /// The newest rung that is not newer than a tick.
    pub(super) fn rung(self, tick: Tick) -> Tick {
        Tick(tick.0 - tick.0 % self.step)
    }

    /// The rungs that are kept at a tick and lie before it, from the newest on down.
    fn down(self, now: Tick) -> impl Iterator<Item = Tick> {
        let newest = now.0.checked_sub(1).map(|last| self.rung(Tick(last)).0);
        let rungs = std::iter::successors(newest, move |at| at.checked_sub(self.step));
        let kept = move |at: &u64| *at >= self.step && at + self.ticks > now.0 + self.step;
        rungs.take_while(kept).map(Tick)
    }

    /// The rung at a place, counted from the newest, with the one that says how things moved.
    pub(super) fn pair(self, place: u32, now: Tick) -> Base {
        let newest = self.rung(Tick(now.0 - 1)).0;
        Base { rung: Tick(newest - u64::from(place) * self.step), back: self.step }
    }

    /// How long ago the rung at a place was.
    pub(super) fn age_of_place(self, place: u32, now: Tick) -> u64 {
        now.0 - self.pair(place, now).rung.0
    }
}

/// From where a frame leads: a rung, and how far before it the one is that says how things moved. 0
/// where the client has none there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Base {
    pub(super) rung: Tick,
    pub(super) back: u64,
}

impl Base {
    fn older(self) -> Tick {
        Tick(self.rung.0 - self.back)
    }
}

/// A state frame that was sent.
struct Sent {
    tick: Tick,
    applied: bool,
    /// The groups of which it did not tell what there was to tell.
    waiting: SmallVec<[Group; 2]>,
}

/// A group that the client was told of.
pub(super) struct Told {
    /// Since which frame.
    from: Tick,
    /// The newest frame since that is known to be applied and told all of it.
    applied: Option<Tick>,
    /// The last frame that told it in whole.
    whole: Tick,
    /// Since which frame it is told to let it go.
    pub(super) left: Option<Tick>,
    /// It was told so before, and may not have heard of it: it may know what was in the group then.
    stale: bool,
}

impl Told {
    /// Whether the client may know what was in the group in an earlier time: that is to go while it is not
    /// told anew.
    pub(super) fn is_stale(&self) -> bool {
        self.stale && self.applied.is_none()
    }

    /// The frame of a tick says that it is to go: what was told of it up to then is nothing any more.
    pub(super) fn forget(&mut self, now: Tick) {
        self.from = Tick(now.0 + 1);
    }
}

/// What a link needs of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Need {
    Nothing,
    /// Word of what it was told.
    Word,
    /// What changed since the frame's rung.
    Rung(Rungs),
    /// What changed since a tick, in whole values.
    Since(Tick),
    /// Everything.
    All,
}

/// How a client stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Footing {
    /// It has something on which the next frame can build.
    Firm,
    /// It was told to begin anew, and there is no word of it yet. What built on that could be taken by
    /// a client that did not hear of it, too, and be added to what it should have forgotten.
    Awaited,
    /// It has to begin anew: it was told nothing yet, or not heard of for so long that others may bear
    /// the names it knows.
    Lost,
}

/// A client behind a link that loses.
#[derive(Default)]
pub(super) struct Lossy {
    /// The frames of the last ticks that may be rungs, from oldest to newest.
    frames: VecDeque<Sent>,
    pub(super) told: Table<Group, Told>,
    /// The last frame in which it was told to begin anew.
    begun: Option<Tick>,
    /// The newest frame that is known to be applied.
    pub(super) newest: Option<Tick>,
    /// How many ticks later a frame is known to be applied, about.
    lag: u64,
    /// Groups may wait for a budget. Then a client that did not get one in whole may apply frames that
    /// do not mention it, and what builds on it must wait for word.
    pub(super) sparing: bool,
    /// The places of the rungs that it has with the one before: the lowest bit is the newest.
    pub(super) pairs: u64,
    /// Where there are none: the newest rung that helps without one before.
    pub(super) lone: Option<Base>,
    /// The first frame that told of the last action.
    pub(super) action: Tick,
}

impl Lossy {
    /// The client comes back with what it had at a tick of these groups, of those that there are. It may
    /// not know of those that had shown nothing by then.
    pub(super) fn resume(&mut self, had: &[Group], groups: &Table<Group, GroupState>, tick: Tick) {
        (self.begun, self.newest) = (Some(tick), Some(tick));
        let shown = |group: &&Group| groups.find(**group).is_some_and(|g| g.has_shown_by(tick));
        for group in had.iter().filter(shown) {
            let told =
                Told { from: tick, applied: Some(tick), whole: tick, left: None, stale: false };
            self.told.insert(*group, told);
        }
    }

    /// Takes what the client says it has applied. It may say what it likes: only frames count that
    /// were sent.
    pub(super) fn acknowledge(&mut self, applied: &Applied, ladder: Ladder, now: Tick) {
        for tick in applied.ticks() {
            let Ok(at) = self.frames.binary_search_by_key(&tick, |sent| sent.tick) else {
                continue;
            };
            let sent = &mut self.frames[at];
            if std::mem::replace(&mut sent.applied, true) {
                continue;
            }
            for (group, told) in self.told.iter_mut() {
                let complete = told.from <= tick && !sent.waiting.contains(&group);
                if complete && told.applied.is_none_or(|known| known < tick) {
                    told.applied = Some(tick);
                }
            }
            self.told.retain(|_, told| told.left.is_none_or(|left| left > tick));
            if self.newest.is_none_or(|newest| newest < tick) {
                self.newest = Some(tick);
                let lag = (now.0 - tick.0).min(ladder.ticks);
                self.lag = lag.max(self.lag - self.lag.saturating_sub(lag) / 8);
            }
        }
    }

    /// How many frames were sent since the newest that is known to be applied.
    pub(super) fn in_flight(&self) -> usize {
        self.frames.iter().rev().take_while(|sent| !sent.applied).count()
    }

    /// How long to wait for word of a frame before it is taken for lost.
    fn patience(&self, ladder: Ladder) -> u64 {
        let lag = if self.newest.is_some() { self.lag } else { ladder.ticks / 4 };
        (lag + lag / 2 + ladder.step + 1).min(ladder.ticks)
    }

    /// How the client stands.
    pub(super) fn footing(&self, now: Tick, ladder: Ladder) -> Footing {
        match (self.begun, self.newest) {
            (Some(begun), Some(newest)) if newest >= begun => match now.0 - newest.0 {
                age if age > ladder.ticks => Footing::Lost,
                _ => Footing::Firm,
            },
            (Some(begun), _) if now.0 - begun.0 <= self.patience(ladder) => Footing::Awaited,
            _ => Footing::Lost,
        }
    }

    /// Whether the client begins anew with the frame of this tick.
    pub(super) fn begins(&self, now: Tick) -> bool {
        self.begun == Some(now)
    }

    /// The client begins anew with this frame.
    pub(super) fn begin(&mut self, now: Tick) {
        self.frames.clear();
        self.told = Table::default();
        self.begun = Some(now);
    }

    /// The client is to have these groups, in order, of those that there are.
    pub(super) fn subscribe(
        &mut self,
        wanted: &[Group],
        groups: &Table<Group, GroupState>,
        now: Tick,
    ) {
        for (group, told) in self.told.iter_mut() {
            if told.left.is_none() && wanted.binary_search(&group).is_err() {
                told.left = Some(now);
            }
        }
        for group in wanted.iter().filter(|group| groups.contains(**group)) {
            let before = self.told.find(*group);
            if before.is_none_or(|told| told.left.is_some()) {
                let (stale, whole) = (before.is_some(), Tick(0));
                let told = Told { from: now, applied: None, whole, left: None, stale };
                self.told.insert(*group, told);
            }
        }
    }

    /// Notes from where the client's next frame may lead.
    pub(super) fn look_back(
        &mut self,
        now: Tick,
        groups: &Table<Group, GroupState>,
        ladder: Ladder,
    ) {
        let (mut pairs, mut place) = (0, 0);
        for rung in ladder.down(now) {
            if place < u64::BITS {
                let base = Base { rung, back: ladder.step };
                let has = self.has_applied(rung) && self.has_applied(base.older());
                pairs |= u64::from(has) << place;
            }
            place += 1;
        }
        // In a quiet room few ticks have frames; what has not changed since is known all the same.
        let mut lone = ladder.down(now).map(|rung| Base { rung, back: 0 });
        let lone = (pairs == 0).then(|| lone.find(|base| self.may_lead_from(*base, groups)));
        (self.pairs, self.lone) = (pairs, lone.flatten());
    }

    /// Whether it has the rung at a place of the ladder, and the one that says how things moved.
    pub(super) fn has_place(&self, place: u32) -> bool {
        self.pairs >> place & 1 == 1
    }

    /// Whether a base helps with anything that there is to tell.
    pub(super) fn may_lead_from(&self, base: Base, groups: &Table<Group, GroupState>) -> bool {
        self.told.iter().any(|(group, told)| {
            let news = |state: &GroupState| told.applied.is_some_and(|at| at.0 < state.last_tick());
            let state = groups.find(group).filter(|state| told.left.is_none() && news(state));
            state.is_some_and(|state| self.has_base(group, told, state, base))
        })
    }

    fn has_base(&self, group: Group, told: &Told, state: &GroupState, base: Base) -> bool {
        let mut rungs = [base.rung, base.older()].into_iter();
        rungs.all(|tick| self.has(group, told, state, tick))
    }

    /// Whether the client has what a group was at a tick: it has applied a frame of that tick, or of
    /// one since which nothing had changed by then.
    fn has(&self, group: Group, told: &Told, state: &GroupState, at: Tick) -> bool {
        let Some(since) = state.sent_by(at) else { return false };
        let since = since.max(told.from);
        let end = self.frames.partition_point(|sent| sent.tick <= at);
        let frames = self.frames.range(..end).rev().take_while(|sent| sent.tick >= since);
        frames.into_iter().any(|sent| sent.applied && !sent.waiting.contains(&group))
    }

    fn has_applied(&self, tick: Tick) -> bool {
        let at = self.frames.binary_search_by_key(&tick, |sent| sent.tick);
        at.is_ok_and(|at| self.frames[at].applied)
    }

    /// What brings a group up to now. `base` is the frame's rung.
    pub(super) fn need(
        &self,
        group: Group,
        told: &Told,
        state: &GroupState,
        (base, now): (Option<Base>, Tick),
        ladder: Ladder,
    ) -> Need {
        let last = state.last_tick();
        let since = match told.applied {
            Some(applied) if last <= applied.0 => return Need::Nothing,
            Some(applied) => applied,
            // Told in whole, and no word of it yet: a client that did not get it cannot read what
            // builds on it, and says nothing.
            None if told.whole >= told.from && now.0 - told.whole.0 <= self.patience(ladder) => {
                match self.sparing {
                    _ if told.stale => return Need::All,
                    true => return Need::Word,
                    false => told.whole,
                }
            }
            None => return Need::All,
        };
        if let Some(base) = base {
            let rungs = Rungs { older: base.older().0, base: base.rung.0, now: now.0 };
            if state.has_rungs(rungs) && self.has_base(group, told, state, base) {
                return Need::Rung(rungs);
            }
        }
        let since = ladder.rung(since);
        if state.knows_since(since) { Need::Since(since) } else { Need::All }
    }

    /// A frame goes out.
    pub(super) fn note(&mut self, now: Tick, waiting: SmallVec<[Group; 2]>, ladder: Ladder) {
        self.frames.push_back(Sent { tick: now, applied: false, waiting });
        while self.frames.front().is_some_and(|sent| sent.tick.0 + ladder.ticks < now.0) {
            self.frames.pop_front();
        }
    }

    /// When it had all of a group; none where it may have nothing of it.
    pub(super) fn has_of(&self, group: Group) -> Option<Tick> {
        let told = self.told.find(group)?;
        told.applied.or((told.whole >= told.from).then_some(told.whole))
    }

    /// Up to when it has all of a group at least, if it has it at all; none where it has nothing of it.
    pub(super) fn has_at_least(&self, group: Group) -> Option<Tick> {
        let told = self.told.find(group)?;
        told.applied.or((told.whole >= told.from).then_some(told.from))
    }

    /// A group is told in whole in this frame.
    pub(super) fn note_whole(&mut self, group: Group, now: Tick) {
        if let Some(told) = self.told.find_mut(group) {
            told.whole = now;
        }
    }
}
