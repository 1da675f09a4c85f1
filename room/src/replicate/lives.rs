//! The lives of a room. A life ends with a crash, a panic or a stop; the next one goes on from what
//! was kept, which may be less than clients were told. So each begins at a point, and a client that
//! knows no more than what lies before the points of all lives since goes on with what it has.

use std::collections::BTreeMap;

use referee_protocol::message::Resume;
use referee_protocol::{Incarnation, Seat, Tick};

/// How many lives of a room are remembered.
pub(super) const LIVES_MAX: usize = 16;

/// Where a life begins.
pub(super) struct Life {
    pub(super) incarnation: Incarnation,
    /// The last tick of what was kept.
    pub(super) tick: Tick,
    /// The number of the last event for each seat in what was kept.
    pub(super) events: BTreeMap<Seat, u64>,
}

/// How much of what a client was told is so in this life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Common {
    /// States up to this tick.
    pub(super) tick: Tick,
    /// Events up to this number.
    pub(super) event: u64,
}

/// The lives of a room, from the oldest that is remembered to the present one.
#[derive(Default)]
pub(super) struct Lives {
    pub(super) lives: Vec<Life>,
    /// What clients were told before this life may not be so in it.
    severed: bool,
    /// States of another life are of no use in this one, whatever they tell.
    pub(super) apart: bool,
}

impl Lives {
    /// A life begins after this tick, with these events told to each seat.
    pub(super) fn begin(
        &mut self,
        incarnation: Incarnation,
        tick: Tick,
        events: BTreeMap<Seat, u64>,
    ) {
        if self.lives.len() == LIVES_MAX {
            self.lives.remove(0);
        }
        self.lives.push(Life { incarnation, tick, events });
    }

    /// Whatever clients were told so far may not be so from here on.
    pub(super) fn sever(&mut self) {
        (self.lives, self.severed) = (Vec::new(), true);
    }

    /// What a returning client knows that is so in this life; none when its life is not remembered. A
    /// room that was never told of lives has one.
    pub(super) fn common(&self, seat: Seat, resume: Resume, now: Tick) -> Option<Common> {
        let all = Common { tick: now, event: u64::MAX };
        if self.lives.is_empty() && !self.severed {
            return Some(all);
        }
        let known = self.lives.iter().rposition(|life| life.incarnation == resume.incarnation)?;
        let since = &self.lives[known + 1..];
        Some(since.iter().fold(all, |common, life| Common {
            tick: common.tick.min(life.tick),
            event: common.event.min(life.events.get(&seat).copied().unwrap_or(0)),
        }))
    }

    /// Whether a state that a client has of a tick is one that this life goes on from.
    /// What a link that loses may build on is not known of another life.
    pub(super) fn holds(&self, resume: Resume, common: Common, lossy: bool) -> bool {
        let here = self.lives.last().is_none_or(|life| life.incarnation == resume.incarnation);
        resume.tick <= common.tick && (here || !self.apart && !lossy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lives() -> Lives {
        let mut lives = Lives::default();
        for (incarnation, tick, event) in [(3, 0, 0), (5, 40, 4), (8, 30, 2), (9, 60, 7)] {
            let events = BTreeMap::from([(Seat(0), event)]);
            lives.begin(Incarnation(incarnation), Tick(tick), events);
        }
        lives
    }

    fn common(incarnation: u64) -> Option<(u64, u64)> {
        let resume = Resume { incarnation: Incarnation(incarnation), tick: Tick(1), event: 1 };
        let common = lives().common(Seat(0), resume, Tick(99))?;
        Some((common.tick.0, common.event))
    }

    #[test]
    fn what_a_life_has_in_common_ends_where_any_later_one_began() {
        assert_eq!(common(9), Some((99, u64::MAX)));
        assert_eq!(common(8), Some((60, 7)));
        assert_eq!(common(5), Some((30, 2)));
        assert_eq!(common(3), Some((30, 2)));
        assert_eq!(common(4), None);
        let other = Resume { incarnation: Incarnation(8), tick: Tick(1), event: 1 };
        let seat = lives().common(Seat(1), other, Tick(99));
        assert_eq!(seat, Some(Common { tick: Tick(60), event: 0 }), "it had no seat then");
    }

    #[test]
    fn nothing_is_in_common_with_what_was_before_a_cut() {
        let mut lives = lives();
        lives.sever();
        let resume = |life| Resume { incarnation: Incarnation(life), tick: Tick(1), event: 1 };
        assert_eq!(lives.common(Seat(0), resume(9), Tick(99)), None);
        lives.begin(Incarnation(10), Tick(99), BTreeMap::new());
        assert_eq!(lives.common(Seat(0), resume(9), Tick(99)), None);
        assert!(lives.common(Seat(0), resume(10), Tick(99)).is_some());
    }

    #[test]
    fn the_oldest_lives_are_forgotten() {
        let mut lives = Lives::default();
        (0..=LIVES_MAX as u64).for_each(|n| lives.begin(Incarnation(n), Tick(n), BTreeMap::new()));
        let resume = |n| Resume { incarnation: Incarnation(n), tick: Tick(0), event: 0 };
        assert_eq!(lives.common(Seat(0), resume(0), Tick(99)), None);
        assert!(lives.common(Seat(0), resume(1), Tick(99)).is_some());
    }
}
