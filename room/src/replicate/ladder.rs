//! Frames for links that lose what is sent. All of them share a few rungs, chosen anew in each tick:
//! so a group is coded a few times, however many links there are and whatever becomes of what is sent
//! on them.

use std::collections::BTreeMap;

use referee_protocol::ladder::{LossyHead, LossyKind, LossyPrelude, Rung};
use referee_protocol::limits::{FRAMES_IN_FLIGHT_LIMIT, LADDER_BLOCKS_MAX};
use referee_protocol::message::{self, ServerControl};
use referee_protocol::{Group, LinkId, Tick, frame::Prelude};
use smallvec::SmallVec;

use super::aliases::Stand;
use super::budget::Purse;
use super::frames::{Sender, plain, seen_by, view_hash};
use super::group::{Asked, Baseline, GroupState};
use super::links::{LinkState, Role};
use super::lossy::{Base, Footing, Ladder, Lossy, Need};
use crate::output::{Frame, Output, Part, Parts};
use crate::table::Table;

/// Most rungs from which is told in one tick: one block more is for those who have none.
const RUNGS_MAX: usize = LADDER_BLOCKS_MAX - 1;

/// How much worse it is for a client to have none of the rungs than to have the oldest: it is told
/// whole values, and one more block is made.
const UNTOLD: u64 = 20;

/// Groups, and from where each is told.
type Needed = SmallVec<[(Group, Baseline); 8]>;

/// Groups of which a frame does not tell all there is to tell.
type Waits = SmallVec<[Group; 2]>;

/// From where is told in this tick, newest first.
pub(super) type Rungs = SmallVec<[Base; RUNGS_MAX]>;

/// Chooses from where is told for all links: one after the other what brings most of them nearer to
/// now, and those first who could be told nothing by differences.
fn choose(links: &BTreeMap<LinkId, LinkState>, now: Tick, ladder: Ladder) -> Rungs {
    let mut rungs = Rungs::new();
    let all = lossy_of(links).fold(0, |all, l| all | l.pairs);
    // What a link costs without any of them.
    let mut costs: Vec<u64> = vec![UNTOLD * ladder.ticks; lossy_of(links).count()];
    while rungs.len() < RUNGS_MAX {
        let cost = |place: &u32| {
            let nearer = ladder.age_of_place(*place, now);
            let each = lossy_of(links).zip(&costs);
            each.map(|(l, cost)| if l.has_place(*place) { nearer.min(*cost) } else { *cost })
                .sum::<u64>()
        };
        let places = (0..u64::BITS).filter(|place| all >> place & 1 == 1);
        let best = places.map(|place| (cost(&place), place)).min();
        let Some((_, place)) = best.filter(|(total, _)| *total < costs.iter().sum::<u64>()) else {
            break;
        };
        let nearer = ladder.age_of_place(place, now);
        for (l, cost) in lossy_of(links).zip(&mut costs) {
            if l.has_place(place) {
                *cost = nearer.min(*cost);
            }
        }
        rungs.push(ladder.pair(place, now));
    }
    for lone in lossy_of(links).filter_map(|l| l.lone) {
        if rungs.len() < RUNGS_MAX && !rungs.contains(&lone) {
            rungs.push(lone);
        }
    }
    rungs.sort_unstable_by(|a, b| b.cmp(a));
    rungs
}

fn lossy_of(links: &BTreeMap<LinkId, LinkState>) -> impl Iterator<Item = &Lossy> {
    links.values().filter_map(|link| link.lossy.as_deref())
}

/// The rung of a link's frame.
fn base(lossy: &Lossy, rungs: &Rungs, groups: &Table<Group, GroupState>) -> Option<Base> {
    rungs.iter().copied().find(|rung| lossy.may_lead_from(*rung, groups))
}

/// Notes with the groups what is needed of them besides what is told from rungs.
fn ask<'a>(
    links: impl Iterator<Item = &'a mut LinkState>,
    groups: &mut Table<Group, GroupState>,
    rungs: &Rungs,
    (now, ladder): (Tick, Ladder),
) {
    for lossy in links.filter_map(|link| link.lossy.as_deref()) {
        let base = base(lossy, rungs, groups);
        let footing = lossy.footing(now, ladder);
        for (group, told) in lossy.told.iter().filter(|(_, told)| told.left.is_none()) {
            let Some(state) = groups.find_mut(group) else { continue };
            match lossy.need(group, told, state, (base, now), ladder) {
                _ if footing != Footing::Firm => state.asked.all |= lossy.begins(now),
                Need::Since(tick) => {
                    let oldest = state.asked.since.map_or(tick, |since| since.min(tick));
                    state.asked.since = Some(oldest);
                }
                // What waits for word may have to be told once more: see `Aliases::bind`.
                Need::All | Need::Word => state.asked.all = true,
                Need::Nothing | Need::Rung(_) => {}
            }
        }
    }
}

/// The baseline of a block, given what all links ask of the group.
fn baseline(need: Need, asked: Asked, rungs: &Rungs) -> Option<Baseline> {
    Some(match need {
        Need::Nothing | Need::Word => return None,
        Need::Rung(rungs) => Baseline::Rung(rungs),
        // A block more would be one too many: everything is right for everyone.
        Need::Since(_) if asked.all && rungs.len() == RUNGS_MAX => Baseline::All,
        Need::Since(tick) => Baseline::Since(asked.since.unwrap_or(tick).min(tick)),
        Need::All => Baseline::All,
    })
}

impl Sender<'_> {
    /// Looks at all links that lose before any of them gets a frame.
    pub(super) fn climb(&mut self, links: &mut BTreeMap<LinkId, LinkState>, now: Tick) {
        lossy(links).for_each(|state| self.subscribe(state, now));
        self.rungs = choose(links, now, self.ladder);
        ask(lossy(links), self.groups, &self.rungs, (now, self.ladder));
    }

    /// Brings the groups of a link up to date: before anything is asked of them.
    pub(super) fn subscribe(&mut self, state: &mut LinkState, now: Tick) {
        let Some(mut lossy) = state.lossy.take() else { return };
        lossy.sparing = self.budget.is_some();
        if state.role != Role::Waiting {
            if state.frames == 0 && !state.full {
                lossy.resume(&state.groups, self.groups, state.tick);
            }
            if lossy.footing(now, self.ladder) == Footing::Lost {
                lossy.begin(now);
            }
            let wanted = seen_by(self.seats, self.watched, state.role);
            for group in wanted.iter().filter(|group| !matches!(group, Group::Cell(_))) {
                // What goes into it later keeps its identity only for whoever has the group by then.
                self.groups.entry(*group, GroupState::default);
            }
            lossy.subscribe(wanted, self.groups, now);
            lossy.look_back(now, self.groups, self.ladder);
        }
        state.lossy = Some(lossy);
    }

    /// Gives a link that loses the state of a tick.
    pub(super) fn send_lossy(
        &mut self,
        link: LinkId,
        state: &mut LinkState,
        tick: Tick,
        force: bool,
    ) {
        let Some(mut lossy) = state.lossy.take() else { return };
        let full = lossy.begins(tick);
        let may = full
            || lossy.footing(tick, self.ladder) == Footing::Firm
                && (force || lossy.in_flight() < FRAMES_IN_FLIGHT_LIMIT as usize);
        if state.held || !may {
            *self.skips += u64::from(lossy.footing(tick, self.ladder) == Footing::Firm);
        } else {
            self.frame(link, (state, &mut lossy), tick, force || full);
        }
        state.lossy = Some(lossy);
    }

    fn frame(
        &mut self,
        link: LinkId,
        (state, lossy): (&mut LinkState, &mut Lossy),
        tick: Tick,
        force: bool,
    ) {
        let full = lossy.begins(tick);
        if full {
            state.purse.keep(|_| false);
        }
        let Made { told, rung, waits, same, .. } =
            self.lossy_blocks((lossy, &mut state.purse), tick);
        let (action, input) = self.acknowledged(state);
        if action.is_some() {
            lossy.action = tick;
        }
        // Until it is known to be heard.
        let again = lossy.newest.is_none_or(|newest| newest < lossy.action);
        let action = action.or((again && state.action > 0).then_some(state.action as u16));
        if told.is_empty() && !force && action.is_none() && input.is_none() {
            return;
        }
        let prelude = Prelude { full, tick, action, input };
        let heads: SmallVec<[LossyHead; 8]> = told.iter().map(|(head, _)| *head).collect();
        let head = LossyPrelude { prelude, rung }.encode(&heads);
        let blocks = told.into_iter().filter_map(|(_, part)| part);
        let parts: Parts = blocks.chain(same).collect();
        self.outputs.push_back(Output::Send { link, frame: Frame { head, parts } });
        state.frames += 1;
        (state.tick, state.full) = (tick, false);
        state.groups.clear();
        state.groups.extend_from_slice(seen_by(self.seats, self.watched, state.role));
        let complete = waits.is_empty();
        lossy.note(tick, waits, self.ladder);
        self.note_waiting(state, tick);
        self.note_uncounted(state, tick);
        if state.check && complete {
            let hash = view_hash(self.groups, self.aliases, &state.groups);
            let told = message::encode(&ServerControl::Check { hash });
            self.outputs.push_back(plain(link, told));
        }
    }

    /// On a link that loses a client is told of no group that shows nothing, and both ends do not count
    /// them alike: it cannot come back with what it has to a link where they do.
    fn note_uncounted(&mut self, state: &LinkState, tick: Tick) {
        if let Role::Seated(seat) = state.role
            && let Some(line) = self.seats.get_mut(&seat)
        {
            line.counted_since = Tick(tick.0 + 1);
        }
    }

    /// What brings a client up to now.
    fn lossy_blocks(&mut self, (lossy, purse): (&mut Lossy, &mut Purse), tick: Tick) -> Made {
        let mut made = Made::default();
        let mut needed = self.lossy_needed((lossy, purse), tick, &mut made);
        if let Some(budget) = &self.budget {
            purse.fill(budget, tick);
            purse.sort(budget, tick, &mut needed);
        }
        let mut waits = self.climb_groups((lossy, purse), needed, (tick, false), &mut made);
        waits.append(&mut made.unheard);
        loop {
            // As on a link on which everything arrives. What waits for word is told once more, if it must.
            let before = waits.len();
            waits = self.climb_groups((lossy, purse), waits, (tick, true), &mut made);
            if waits.len() == before {
                break;
            }
        }
        for (group, _) in waits {
            if let Some(told) = lossy.told.find_mut(group).filter(|told| told.is_stale()) {
                told.forget(tick);
                made.told.push((LossyHead { group, kind: LossyKind::Farewell }, None));
            }
            made.waits.push(group);
            made.stands.push(Stand::quiet(group, lossy.has_at_least(group)).lossy());
        }
        made.same = self.aliases.told(self.groups, &made.stands);
        if let (Some(budget), Some(same)) = (&self.budget, &made.same) {
            purse.pay(budget, same.len());
        }
        made.told.sort_unstable_by_key(|(head, _)| head.group);
        made
    }

    /// Adds to a frame what its client may have of these groups: as long as its budget lasts, or only what
    /// is bound to what the frame tells already. Gives the groups that have to wait.
    fn climb_groups(
        &mut self,
        (lossy, purse): (&mut Lossy, &mut Purse),
        needed: Needed,
        (tick, again): (Tick, bool),
        made: &mut Made,
    ) -> Needed {
        let mut waits = Needed::new();
        for (group, baseline) in needed {
            let had = lossy.has_of(group);
            let stand = Stand::quiet(group, known(baseline, lossy.has_at_least(group))).lossy();
            let bound = again && self.aliases.bind(self.groups, &made.stands, &stand);
            if !bound && (again || purse.is_empty()) {
                if !again {
                    purse.wait(group, had, tick);
                }
                waits.push((group, baseline));
                continue;
            }
            purse.done(group);
            if baseline == Baseline::All {
                lossy.note_whole(group, tick);
            }
            let Some(state) = self.groups.find_mut(group) else { continue };
            let block = state.block(self.codec, baseline, tick);
            if let (Some(budget), Some(block)) = (&self.budget, &block) {
                purse.pay(budget, block.len());
            }
            made.stands.push(Stand { block: Some(baseline), ..stand });
            made.tell(group, baseline, tick, block);
        }
        waits
    }

    /// From where each group is told of which there is anything to tell. Notes the farewells, and what
    /// waits for word.
    fn lossy_needed(
        &mut self,
        (lossy, purse): (&Lossy, &mut Purse),
        tick: Tick,
        made: &mut Made,
    ) -> Needed {
        let base = base(lossy, &self.rungs, self.groups);
        let mut needed = Needed::new();
        purse.keep(|group| lossy.told.find(group).is_some_and(|told| told.left.is_none()));
        for (group, told) in lossy.told.iter() {
            let had = lossy.has_at_least(group);
            if let Some(left) = told.left {
                // It is told again and again; what it binds is not.
                let leaving = Stand::leaving(group, had).lossy();
                made.stands.push(Stand { leaves: left == tick, ..leaving });
                made.told.push((LossyHead { group, kind: LossyKind::Farewell }, None));
                continue;
            }
            let Some(state) = self.groups.find(group) else { continue };
            let need = lossy.need(group, told, state, (base, tick), self.ladder);
            match baseline(need, state.asked, &self.rungs) {
                Some(baseline) => needed.push((group, baseline)),
                None if need == Need::Word => purse.done(group),
                None => {
                    purse.done(group);
                    made.stands.push(Stand::quiet(group, had).lossy());
                }
            }
            if need == Need::Word {
                made.unheard.push((group, Baseline::All));
            }
        }
        needed
    }
}

/// Up to which tick a client has what a block leads on from, of a group that it has up to another.
fn known(baseline: Baseline, had: Option<Tick>) -> Option<Tick> {
    match baseline {
        Baseline::Rung(rungs) => Some(Tick(rungs.base)),
        Baseline::Since(since) => Some(since),
        _ => had,
    }
}

/// What a frame is made of.
#[derive(Default)]
struct Made {
    told: SmallVec<[(LossyHead, Option<Part>); 8]>,
    rung: Option<Rung>,
    waits: Waits,
    /// Groups that were told in whole, and of which it is not known whether that was heard.
    unheard: Needed,
    stands: SmallVec<[Stand; 8]>,
    /// Which names are the same entity's.
    same: Option<Part>,
}

impl Made {
    /// The frame tells a group from a baseline.
    fn tell(&mut self, group: Group, baseline: Baseline, tick: Tick, block: Option<Part>) {
        let kind = match baseline {
            Baseline::Rung(rungs) => {
                let back = (rungs.base - rungs.older) as u8;
                self.rung = Some(Rung { age: tick.0 - rungs.base, back });
                LossyKind::Rung
            }
            Baseline::Since(since) => LossyKind::News(tick.0 - since.0),
            _ => LossyKind::All,
        };
        self.told.push((LossyHead { group, kind }, block));
    }
}

/// What links there are that lose, by number.
pub(super) fn lossy(
    links: &mut BTreeMap<LinkId, LinkState>,
) -> impl Iterator<Item = &mut LinkState> {
    links.values_mut().filter(|link| link.lossy.is_some())
}
