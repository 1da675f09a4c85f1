//! A client's byte budget: which blocks go out now, and which wait. A block goes as a whole or not at
//! all; what has waited longest, weighed by how urgent it is, goes first. As long as anything is left a
//! block goes, however large it is, and what it took too much is missing later. So whatever waits is
//! told after the time that all that waited longer takes.

use referee_protocol::{Group, Kind, Tick};
use smallvec::SmallVec;

use crate::rules::Rules;

/// How much a client may get at once that got nothing for a while: what fits in this part of a second.
const AT_ONCE: i64 = 4;

/// What each client of a room may get.
#[derive(Clone, Copy)]
pub(super) struct Budget {
    bytes_per_second: i64,
    ticks_per_second: i64,
    urgency: fn(Group) -> u16,
}

impl Budget {
    /// A room's budget; none where clients get what there is.
    pub(super) fn of(rules: &Rules, hz: u16) -> Option<Self> {
        let ticks = if rules.kind == Kind::Realtime { hz.max(1).into() } else { 1_000 };
        let bytes = i64::from(rules.bytes_per_second);
        let budget =
            Self { bytes_per_second: bytes, ticks_per_second: ticks, urgency: rules.urgency };
        (bytes > 0).then_some(budget)
    }

    /// How early a block goes: the greater the earlier.
    fn rank(&self, group: Group, since: Tick, now: Tick) -> u64 {
        let urgency = u64::from((self.urgency)(group).max(1));
        (now.0.saturating_sub(since.0) + 1).saturating_mul(urgency)
    }
}

/// A group that is not told yet of what it shows.
#[derive(Clone, Copy)]
pub(super) struct Waiting {
    pub(super) group: Group,
    pub(super) since: Tick,
    /// When the client had all of it; none where it has nothing.
    pub(super) has: Option<Tick>,
}

/// What is left of a client's budget, and what waits for it.
#[derive(Default)]
pub(super) struct Purse {
    /// In bytes times ticks per second.
    left: Option<i64>,
    filled: Tick,
    waiting: SmallVec<[Waiting; 2]>,
}

impl Purse {
    /// Time has passed.
    pub(super) fn fill(&mut self, budget: &Budget, now: Tick) {
        let most = budget.bytes_per_second * budget.ticks_per_second / AT_ONCE;
        let passed = i64::try_from(now.0 - self.filled.0).unwrap_or(i64::MAX);
        let more = budget.bytes_per_second.saturating_mul(passed);
        let left = self.left.map_or(most, |left| left.saturating_add(more).min(most));
        (self.left, self.filled) = (Some(left), now);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left.is_some_and(|left| left <= 0)
    }

    /// A block goes out.
    pub(super) fn pay(&mut self, budget: &Budget, bytes: usize) {
        let bytes =
            i64::try_from(bytes).unwrap_or(i64::MAX).saturating_mul(budget.ticks_per_second);
        self.left = self.left.map(|left| left.saturating_sub(bytes));
    }

    /// What waits of a group.
    pub(super) fn waits(&self, group: Group) -> Option<Waiting> {
        self.waiting.iter().find(|waiting| waiting.group == group).copied()
    }

    /// A group has to wait from now on, if it does not wait already.
    pub(super) fn wait(&mut self, group: Group, has: Option<Tick>, now: Tick) {
        if self.waits(group).is_none() {
            self.waiting.push(Waiting { group, since: now, has });
        }
    }

    /// There is nothing more to tell of a group.
    pub(super) fn done(&mut self, group: Group) {
        self.waiting.retain(|waiting| waiting.group != group);
    }

    /// Only these groups are told of from now on.
    pub(super) fn keep(&mut self, which: impl Fn(Group) -> bool) {
        self.waiting.retain(|waiting| which(waiting.group));
    }

    pub(super) fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }

    /// Puts what there is to tell into the order in which it goes.
    pub(super) fn sort<T>(&self, budget: &Budget, now: Tick, of: &mut [(Group, T)]) {
        let rank = |group| {
            let since = self.waits(group).map_or(now, |waiting| waiting.since);
            budget.rank(group, since, now)
        };
        of.sort_by_key(|(group, _)| std::cmp::Reverse(rank(*group)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget { bytes_per_second: 1_000, ticks_per_second: 20, urgency: of };

    fn of(group: Group) -> u16 {
        if group == Group::Everyone { 3 } else { 1 }
    }

    #[test]
    fn in_the_long_run_a_client_gets_so_many_bytes_a_second() {
        let (mut purse, mut sent) = (Purse::default(), 0);
        for tick in 0..2_000 {
            purse.fill(&BUDGET, Tick(tick));
            while !purse.is_empty() {
                purse.pay(&BUDGET, 300);
                sent += 300;
            }
        }
        assert!((99_000..=101_000).contains(&sent), "{sent} bytes in 100 seconds");
    }

    #[test]
    fn what_waited_longest_goes_first_and_what_is_urgent_as_if_it_had_waited_longer() {
        let mut purse = Purse::default();
        purse.wait(Group::Team(1), None, Tick(10));
        purse.wait(Group::Team(2), None, Tick(4));
        purse.wait(Group::Everyone, None, Tick(9));
        let order = |purse: &Purse, now| {
            let groups = [Group::Everyone, Group::Team(1), Group::Team(2), Group::Team(3)];
            let mut all = groups.map(|group| (group, ()));
            purse.sort(&BUDGET, Tick(now), &mut all);
            all.map(|(group, ())| group)
        };
        let (all, one, two, three) =
            (Group::Everyone, Group::Team(1), Group::Team(2), Group::Team(3));
        assert_eq!(order(&purse, 10), [two, all, one, three]);
        assert_eq!(order(&purse, 14), [all, two, one, three]);
        purse.done(Group::Team(2));
        assert_eq!(order(&purse, 14), [all, one, two, three]);
    }
}
