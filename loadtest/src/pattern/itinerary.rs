//! What one bot does over a run: when it comes, to which room, when it goes, when its link is cut.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use referee_client::Random;

use super::{Arrival, Churn, Pattern};
use crate::time::us;

/// Most lives of one room, and most visits of one bot, in a run: what churn needs for days of it.
pub(crate) const LIVES_MAX: usize = 100_000;

/// An instant of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum When {
    /// Microseconds since the run began.
    Run(u64),
    /// Microseconds since it is measured.
    Measured(u64),
}

/// One stay of a bot in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Visit {
    pub(crate) comes: When,
    /// In microseconds of the time measured; none: at the end of the run.
    pub(crate) leaves: Option<u64>,
    /// Which room, and which life of it.
    pub(crate) room: usize,
    pub(crate) life: usize,
    /// Which visit of the bot it is, from 0.
    pub(crate) number: u64,
}

/// What all bots of a run are told, made once.
#[derive(Debug)]
pub(crate) struct Crowd {
    pattern: Pattern,
    rooms: usize,
    bots: usize,
    /// Bots that come before it is measured.
    before: usize,
    ramp_us: u64,
    measured_us: u64,
    seed: u64,
    /// When the lives of each room end, in microseconds of the time measured.
    lives: Vec<Vec<u64>>,
    cuts: Vec<u64>,
}

impl Crowd {
    pub(crate) fn new(
        pattern: &Pattern,
        (rooms, bots): (usize, usize),
        (ramp, measured): (Duration, Duration),
        seed: u64,
    ) -> Arc<Self> {
        let before = match pattern.arrival {
            Arrival::Before => bots,
            Arrival::Ramp { from } => ((bots as f64 * from).round() as usize).clamp(1, bots),
            // At least one is there before: else nothing could be measured, and no room exist.
            Arrival::Flash { share, .. } => {
                bots - ((bots as f64 * share).round() as usize).min(bots.saturating_sub(1))
            }
        };
        let measured_us = us(measured);
        let lives = (0..rooms).map(|room| lives(pattern.churn, seed, room, measured_us)).collect();
        Arc::new(Self {
            pattern: pattern.clone(),
            rooms,
            bots,
            before,
            ramp_us: us(ramp),
            measured_us,
            seed,
            lives,
            cuts: pattern.cuts(measured),
        })
    }

    /// How many bots come before it is measured.
    pub(crate) fn before(&self) -> usize {
        self.before
    }

    /// What a bot does.
    pub(crate) fn itinerary(self: &Arc<Self>, bot: usize) -> Itinerary {
        let mut random = Random::new(self.seed ^ 0x7669_7369_7473 ^ (bot as u64) << 20);
        let is_cut = self.pattern.storm.is_some_and(|storm| random.unit() < storm.share);
        let cuts = if is_cut { self.cuts.iter().copied().collect() } else { VecDeque::new() };
        Itinerary {
            crowd: Arc::clone(self),
            bot,
            number: 0,
            next: Some(self.first(bot)),
            random,
            cuts,
        }
    }

    /// When a bot first comes.
    fn first(&self, bot: usize) -> When {
        if bot < self.before {
            return When::Run(self.ramp_us * bot as u64 / self.before as u64);
        }
        let (place, late) = ((bot - self.before) as u64, (self.bots - self.before) as u64);
        When::Measured(match self.pattern.arrival {
            Arrival::Before => 0,
            Arrival::Ramp { .. } => self.measured_us * place / late,
            Arrival::Flash { at, over, .. } => us(at) + us(over) * place / late,
        })
    }
}

/// When the lives of a room end.
fn lives(churn: Option<Churn>, seed: u64, room: usize, measured_us: u64) -> Vec<u64> {
    let Some(churn) = churn else { return Vec::new() };
    let mut random = Random::new(seed ^ 0x726f_6f6d_7300 ^ (room as u64) << 20);
    let (mut at, mut ends) = (0, Vec::new());
    while at < measured_us && ends.len() < LIVES_MAX {
        at += span(&mut random, churn.room);
        ends.push(at);
    }
    ends
}

/// A time of this mean, exponentially spread, and not so short that nobody could come in.
fn span(random: &mut Random, mean: Duration) -> u64 {
    let mean = us(mean) as f64;
    (-(1.0 - random.unit()).ln() * mean).max(mean / 20.0).max(200_000.0) as u64
}

/// What one bot does: its visits one after the other, and when its link is cut.
#[derive(Debug)]
pub(crate) struct Itinerary {
    crowd: Arc<Crowd>,
    bot: usize,
    number: u64,
    next: Option<When>,
    random: Random,
    cuts: VecDeque<u64>,
}

impl Itinerary {
    /// The next visit, if there is one.
    pub(crate) fn next_visit(&mut self) -> Option<Visit> {
        let comes = self.next.take()?;
        let number = self.number;
        self.number += 1;
        let crowd = Arc::clone(&self.crowd);
        let room = self.bot % crowd.rooms;
        let since = match comes {
            When::Run(_) => 0,
            When::Measured(at) => at,
        };
        let ends = &crowd.lives[room];
        let life = ends.partition_point(|end| *end <= since);
        let leaves = crowd.pattern.churn.map(|churn| {
            let stays = since + span(&mut self.random, churn.stay);
            let leaves = ends.get(life).map_or(stays, |end| stays.min(*end));
            if number < LIVES_MAX as u64 {
                self.next = Some(When::Measured(leaves + us(churn.away)));
            }
            leaves
        });
        let leaves = leaves.filter(|at| *at < crowd.measured_us);
        if leaves.is_none() {
            self.next = None;
        }
        Some(Visit { comes, leaves, room, life, number })
    }

    /// When the bot's link is cut next, in microseconds of the time measured.
    pub(crate) fn next_cut(&self) -> Option<u64> {
        self.cuts.front().copied()
    }

    /// Takes a cut that has come.
    pub(crate) fn take_cut(&mut self, now: u64) -> bool {
        let before = self.cuts.len();
        while self.cuts.front().is_some_and(|at| *at <= now) {
            self.cuts.pop_front();
        }
        self.cuts.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn crowd(text: &str, seed: u64) -> Arc<Crowd> {
        let times = (Duration::from_secs(2), Duration::from_secs(60));
        Crowd::new(&text.parse().unwrap(), (5, 20), times, seed)
    }

    fn visits(crowd: &Arc<Crowd>, bot: usize) -> Vec<Visit> {
        let mut itinerary = crowd.itinerary(bot);
        std::iter::from_fn(|| itinerary.next_visit()).collect()
    }

    #[test]
    fn a_steady_crowd_comes_before_and_stays() {
        let crowd = crowd("steady", 1);
        assert_eq!(crowd.before(), 20);
        for bot in 0..20 {
            let comes = When::Run(2 * SECOND * bot as u64 / 20);
            let visit = Visit { comes, leaves: None, room: bot % 5, life: 0, number: 0 };
            assert_eq!(visits(&crowd, bot), [visit]);
        }
    }

    #[test]
    fn a_ramp_is_even_over_the_time_measured() {
        let crowd = crowd("ramp:from=50%", 1);
        let comes: Vec<When> = (0..20).map(|bot| visits(&crowd, bot)[0].comes).collect();
        assert_eq!(comes[9], When::Run(2 * SECOND * 9 / 10));
        assert_eq!(comes[10..13], [0, 6, 12].map(|s| When::Measured(s * SECOND)));
        assert_eq!(comes[19], When::Measured(54 * SECOND));
    }

    #[test]
    fn a_flash_crowd_comes_at_its_moment() {
        let crowd = crowd("flash:at=10s,share=100%,over=1s", 1);
        assert_eq!(crowd.before(), 1, "somebody is there");
        for bot in 1..20 {
            let When::Measured(at) = visits(&crowd, bot)[0].comes else { panic!("before") };
            assert!((10 * SECOND..11 * SECOND).contains(&at));
        }
    }

    #[test]
    fn churn_keeps_the_places_filled_and_turns_rooms_over() {
        let crowd = crowd("churn:stay=5s,away=1s,room=10s", 3);
        let (mut stayed, mut lives, mut count) = (0, 0, 0_u64);
        for bot in 0..20 {
            let visits = visits(&crowd, bot);
            for pair in visits.windows(2) {
                let leaves = pair[0].leaves.unwrap();
                assert_eq!(pair[1].comes, When::Measured(leaves + SECOND));
                assert!(pair[1].life >= pair[0].life && pair[1].room == bot % 5);
            }
            assert_eq!(visits.last().unwrap().leaves, None, "the last stays to the end");
            count += visits.len() as u64;
            lives = lives.max(visits.last().unwrap().life);
            stayed += 60 * SECOND;
        }
        // Of stays of 5 s, cut short by rooms of 10 s, and pauses of 1 s.
        assert!((150..600).contains(&count), "{count} visits in {stayed} us");
        assert!(lives >= 2);
        // Whoever is in the same life of a room is gone when it ends.
        let ends = &crowd.lives[0];
        for visit in visits(&crowd, 0) {
            assert!(visit.leaves.is_none_or(|at| at <= ends[visit.life]));
        }
    }

    #[test]
    fn storms_cut_the_part_that_is_said() {
        let whole = crowd("storm:at=10s,every=20s", 1);
        let cuts: Vec<_> = (0..20).map(|bot| whole.itinerary(bot).next_cut()).collect();
        assert_eq!(cuts, [Some(10 * SECOND); 20]);
        let mut itinerary = whole.itinerary(0);
        assert!(!itinerary.take_cut(9 * SECOND) && itinerary.take_cut(31 * SECOND));
        assert_eq!(itinerary.next_cut(), Some(50 * SECOND));
        let half = crowd("storm:at=10s,share=50%", 1);
        let cut = (0..20).filter(|bot| half.itinerary(*bot).next_cut().is_some()).count();
        assert!((5..16).contains(&cut), "{cut} of 20");
    }

    #[test]
    fn a_seed_says_all() {
        let text = "churn:stay=3s,room=9s+storm:at=1s,share=50%";
        let all = |seed| {
            let crowd = crowd(text, seed);
            (0..20)
                .map(|bot| (visits(&crowd, bot), crowd.itinerary(bot).next_cut()))
                .collect::<Vec<_>>()
        };
        assert_eq!(all(4), all(4));
        assert_ne!(all(4), all(5));
    }
}
