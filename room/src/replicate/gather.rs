//! Which blocks a frame of a link on which everything arrives is made of: what its client needs, and of
//! that what it may have now.

use referee_protocol::block::{BlockKind, Head};
use referee_protocol::{Group, Tick};
use smallvec::SmallVec;

use super::aliases::Stand;
use super::frames::{Sender, seen_by};
use super::group::Baseline;
use super::links::LinkState;
use crate::output::{Part, Parts};

/// Groups, and from where each is told: in a grid a client sees about nine cells.
type Needed = SmallVec<[(Group, Baseline); 16]>;

/// A group has to wait: its link's client may have no more for now.
struct Waits;

/// What a frame is made of.
#[derive(Default)]
struct Gathered {
    blocks: SmallVec<[(Group, Part); 12]>,
    stands: SmallVec<[Stand; 16]>,
}

impl Sender<'_> {
    /// The blocks that bring a link's client up to now, wide groups first, and behind them which names
    /// are the same entity's. What they are is in `heads`.
    pub(super) fn blocks(&mut self, state: &mut LinkState, tick: Tick) -> Parts {
        let mut needed = self.needed(state);
        let mut gathered = Gathered::default();
        let had = before(state, Baseline::Last, tick);
        let farewells = self.heads.iter().map(|head| Stand::leaving(head.group, Some(had)));
        gathered.stands.extend(farewells);
        if let Some(budget) = &self.budget {
            state.purse.fill(budget, tick);
            state.purse.sort(budget, tick, &mut needed);
        }
        self.gather(state, &mut needed, (tick, false), &mut gathered);
        let mut waited = 0;
        // An entity that goes from one group to another is told of by both, or by neither.
        while needed.len() != waited {
            waited = needed.len();
            self.gather(state, &mut needed, (tick, true), &mut gathered);
        }
        for &(group, baseline) in &needed {
            // It comes into a group when it is told of it.
            if baseline != Baseline::Nothing {
                self.heads.push(Head { group, known: true, kind: BlockKind::Nothing });
                let had = Some(before(state, baseline, tick));
                gathered.stands.push(Stand::quiet(group, had));
            }
        }
        self.heads.sort_unstable_by_key(|head| head.group);
        gathered.blocks.sort_unstable_by_key(|(group, _)| *group);
        let same = self.aliases.told(self.groups, &gathered.stands);
        if let (Some(budget), Some(same)) = (&self.budget, &same) {
            state.purse.pay(budget, same.len());
        }
        gathered.blocks.into_iter().map(|(_, block)| block).chain(same).collect()
    }

    /// Adds to a frame what its client may have of these groups: as long as its budget lasts, or only what
    /// is bound to what the frame tells already. Those that have to wait are left.
    fn gather(
        &mut self,
        state: &mut LinkState,
        needed: &mut Needed,
        (tick, bound): (Tick, bool),
        out: &mut Gathered,
    ) {
        needed.retain(|&mut (group, baseline)| {
            let known = baseline != Baseline::Nothing;
            let had = known.then(|| before(state, baseline, tick));
            let stand = Stand::quiet(group, had);
            let bound = bound && self.aliases.bind(self.groups, &out.stands, &stand);
            let Ok(block) = self.block(state, (group, baseline), tick, bound) else { return true };
            let kind = match baseline {
                _ if block.is_none() => BlockKind::Nothing,
                Baseline::Last => BlockKind::Delta,
                _ => BlockKind::Absolute,
            };
            self.heads.push(Head { group, known, kind });
            let told = block.as_ref().map(|_| baseline);
            out.stands.push(Stand { block: told, ..stand });
            out.blocks.extend(block.map(|block| (group, block)));
            false
        });
    }

    /// From where each of the groups that a link's client is to see is told, if there is anything to
    /// tell. The heads begin with those that it is to see no more.
    fn needed(&mut self, state: &mut LinkState) -> Needed {
        let wanted = seen_by(self.seats, self.watched, state.role);
        let had = if state.full { &[][..] } else { &state.groups };
        let mut needed = Needed::new();
        state.purse.keep(|group| wanted.binary_search(&group).is_ok());
        self.heads.clear();
        for group in union(had, wanted) {
            let known = had.binary_search(&group).is_ok();
            if wanted.binary_search(&group).is_err() {
                self.heads.push(Head { group, known, kind: BlockKind::Farewell });
                continue;
            }
            let waiting = state.purse.waits(group).and_then(|waiting| waiting.has);
            let baseline = match (known, waiting) {
                (false, _) => Baseline::Nothing,
                (true, Some(has)) => Baseline::At(has),
                (true, None) if state.in_step => Baseline::Last,
                (true, None) => Baseline::At(state.tick),
            };
            needed.push((group, baseline));
        }
        needed
    }

    /// The block that a link's client needs of a group, if there is anything to tell. What is bound to
    /// another one that the frame tells does not wait.
    fn block(
        &mut self,
        state: &mut LinkState,
        (group, baseline): (Group, Baseline),
        tick: Tick,
        bound: bool,
    ) -> Result<Option<Part>, Waits> {
        // A group nobody has been in shows nothing.
        let Some(shown) = self.groups.find_mut(group) else { return Ok(None) };
        if state.purse.is_empty() && !bound && shown.has_news_for(baseline) {
            let has = (baseline != Baseline::Nothing).then_some(state.tick);
            state.purse.wait(group, has, tick);
            return Err(Waits);
        }
        state.purse.done(group);
        let block = shown.block(self.codec, baseline, tick);
        if let (Some(budget), Some(block)) = (&self.budget, &block) {
            state.purse.pay(budget, block.len());
        }
        Ok(block)
    }
}

/// Up to which tick a link's client has what a block leads on from.
fn before(state: &LinkState, baseline: Baseline, now: Tick) -> Tick {
    match baseline {
        Baseline::At(tick) => tick,
        _ if state.in_step => Tick(now.0.saturating_sub(1)),
        _ => state.tick,
    }
}

/// What is in either of two runs of groups, in order.
fn union<'a>(a: &'a [Group], b: &'a [Group]) -> impl Iterator<Item = Group> + 'a {
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    std::iter::from_fn(move || {
        let next = match (a.peek(), b.peek()) {
            (Some(first), Some(second)) => *first.min(second),
            (first, second) => *first.or(second)?,
        };
        a.next_if_eq(&next);
        b.next_if_eq(&next);
        Some(next)
    })
}
