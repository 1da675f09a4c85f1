//! What rooms cost the threads they are on, and which of them move for it. Pure: instants are handed in.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use referee_protocol::limits::STATE_SILENCE_MAX_MS;

use super::clock::AS_IT_IS;

/// How long a room is watched before its cost is known, and how often threads look whether theirs are
/// even.
pub(crate) const WINDOW: Duration = Duration::from_secs(1);

/// A room whose turns take so long on average keeps its neighbours waiting: it goes to a thread for such
/// rooms, where the system shares the cores between it and others.
pub(crate) const HEAVY_TURN: Duration = Duration::from_millis(4);

/// A room whose turns are shorter than this comes back from there. Half as long, so that no room goes to
/// and fro.
pub(crate) const LIGHT_TURN: Duration = Duration::from_millis(2);

/// Threads are uneven when one is busier than another by so much, in thousandths of a core.
pub(crate) const UNEVEN_PERMILLE: u32 = 150;

/// Rooms that leave a thread in one look at most. The next look finds the rest.
pub(crate) const LEAVE_AT_ONCE_MAX: usize = 8;

/// How long a room stays where it is after a move.
pub(crate) const STAYS: Duration = Duration::from_secs(10);

/// The part of its period that a realtime room's ticks may take on average, in thousandths. One that takes
/// more is slowed until it does not, so that the rest is left for others.
pub(crate) const BUDGET_PERMILLE: u64 = 800;

/// A room that was slowed is as fast again as its rate says when its ticks take less than this part of its
/// period, in thousandths.
pub(crate) const WITHIN_PERMILLE: u64 = 700;

/// A room is slowed to this many times its period at most. A tick that takes longer still fills its thread.
pub(crate) const STRETCH_MAX: u64 = 20;

/// A thread has too much to do when more than this part of its realtime rooms' ticks begin when the next one
/// should, or later, in thousandths. Not earlier: to send less often saves less than it takes from players.
pub(crate) const LATE_PERMILLE: u32 = 500;

/// Under load clients get a state every so many ticks at most.
pub(crate) const SEND_EVERY_MAX: u8 = 4;

/// So many windows without too much to do, and clients get states more often again.
pub(crate) const WELL_FOR: u8 = 5;

/// What a room costs its thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cost {
    /// The time that its ticks took, in thousandths of a core.
    pub(crate) permille: u32,
    /// How long a tick took on average.
    pub(crate) tick: Duration,
    /// How many ticks there were.
    pub(crate) ticks: u32,
    /// How many of them began late by their period or more.
    pub(crate) late: u32,
}

/// Measures a room.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    since: Instant,
    busy: Duration,
    ticks: u32,
    late: u32,
    last: Cost,
    /// It stays where it is until then.
    stays: Instant,
}

impl Meter {
    /// Of a room that came onto its thread now.
    pub(crate) fn new(now: Instant) -> Self {
        let (busy, last) = (Duration::ZERO, Cost::default());
        Self { since: now, busy, ticks: 0, late: 0, last, stays: now }
    }

    /// A tick took so long.
    pub(crate) fn note(&mut self, took: Duration) {
        self.busy += took;
        self.ticks += 1;
    }

    /// A tick began so late, of a room with this period.
    pub(crate) fn note_late(&mut self, late: Duration, period: Duration) {
        self.late += u32::from(late >= period);
    }

    /// What the room cost in the last window that is over.
    pub(crate) fn cost(&mut self, now: Instant) -> Cost {
        let span = now.saturating_duration_since(self.since);
        if span >= WINDOW {
            let permille = self.busy.as_micros() * 1_000 / span.as_micros().max(1);
            let tick = self.busy.checked_div(self.ticks).unwrap_or_default();
            let permille = u32::try_from(permille).unwrap_or(u32::MAX);
            self.last = Cost { permille, tick, ticks: self.ticks, late: self.late };
            (self.since, self.busy, self.ticks, self.late) = (now, Duration::ZERO, 0, 0);
        }
        self.last
    }

    /// It has just moved.
    pub(crate) fn moved(&mut self, now: Instant) {
        self.stays = now + STAYS;
    }

    /// Whether it may move.
    pub(crate) fn may_move(&self, now: Instant) -> bool {
        now >= self.stays
    }
}

/// How much longer than its period a step of a room is to be whose ticks take so long on average, in
/// thousandths; 1,000 where it is as its rate says.
pub(crate) fn stretch(tick: Duration, period: Duration, now_permille: u64) -> u64 {
    let part = |of: u64| period.as_nanos() * u128::from(of) / 1_000;
    let allowed = if now_permille > AS_IT_IS { WITHIN_PERMILLE } else { BUDGET_PERMILLE };
    if tick.as_nanos() <= part(allowed) {
        return AS_IT_IS;
    }
    let wanted = tick.as_nanos() * 1_000 / part(BUDGET_PERMILLE).max(1);
    u64::try_from(wanted).unwrap_or(u64::MAX).clamp(AS_IT_IS, STRETCH_MAX * AS_IT_IS)
}

/// Every how many ticks a thread's clients get a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pace {
    every: u8,
    /// Windows in a row in which there was not too much to do.
    well: u8,
}

impl Default for Pace {
    fn default() -> Self {
        Self { every: 1, well: 0 }
    }
}

impl Pace {
    /// Every so many ticks.
    pub(crate) fn every(self) -> u8 {
        self.every
    }

    /// After a window in which so many of these ticks began late.
    pub(crate) fn after(self, ticks: u32, late: u32) -> Self {
        let Self { every, well } = self;
        if u64::from(late) * 1_000 > u64::from(ticks) * u64::from(LATE_PERMILLE) {
            return Self { every: (every + 1).min(SEND_EVERY_MAX), well: 0 };
        }
        match well + 1 {
            WELL_FOR => Self { every: (every - 1).max(1), well: 0 },
            well => Self { every, well },
        }
    }
}

/// Every how many ticks a room's clients get a state, where its thread wishes so many and so many ticks ran in the
/// last window. Ticks that are slow themselves are not passed over: whoever hears nothing for long takes the
/// connection for dead and comes anew, which would be more work.
pub(crate) fn send_every(wish: u8, ticks: u32) -> u64 {
    let heard_of = u64::from(ticks) * STATE_SILENCE_MAX_MS / WINDOW.as_millis() as u64;
    u64::from(wish).min(heard_of).max(1)
}

/// How busy each thread is: those that rooms come to first, then as many for heavy rooms.
#[derive(Debug)]
pub(crate) struct Loads(Box<[AtomicU32]>);

impl Loads {
    /// Of so many threads that rooms come to.
    pub(crate) fn new(common: usize) -> Self {
        Self((0..2 * common).map(|_| AtomicU32::new(0)).collect())
    }

    /// What a thread's rooms cost, in thousandths of a core.
    pub(crate) fn set(&self, thread: usize, permille: u32) {
        self.0[thread].store(permille, Ordering::Relaxed);
    }

    /// What each thread's rooms cost.
    pub(crate) fn all(&self) -> Vec<u32> {
        self.0.iter().map(|load| load.load(Ordering::Relaxed)).collect()
    }
}

/// Which of a thread's rooms leave it, by their place among `rooms`, and where to. `loads` is what the
/// rooms of each thread cost; the first half of the threads are those that rooms come to.
pub(crate) fn leave(own: usize, loads: &[u32], rooms: &[Cost]) -> Vec<(usize, usize)> {
    let common = loads.len() / 2;
    let mut loads = loads.to_vec();
    let mut leave = Vec::new();
    let is_apart = own >= common;
    let other_kind = if is_apart { 0..common } else { common..2 * common };
    let crosses = |cost: &Cost| match is_apart {
        true => cost.tick < LIGHT_TURN,
        false => cost.tick >= HEAVY_TURN,
    };
    let mut stay: Vec<usize> = Vec::new();
    for (at, cost) in rooms.iter().enumerate() {
        match least(&loads, other_kind.clone()).filter(|_| crosses(cost)) {
            Some(to) => shift(&mut loads, (own, to), cost, &mut leave, at),
            None => stay.push(at),
        }
    }
    let same_kind = if is_apart { common..2 * common } else { 0..common };
    stay.sort_by_key(|at| std::cmp::Reverse(rooms[*at].permille));
    for at in stay {
        let Some(to) = least(&loads, same_kind.clone()) else { break };
        let gap = loads[own].saturating_sub(loads[to]);
        // One that costs more than half of the gap would only turn it round.
        let cost = &rooms[at];
        if gap >= UNEVEN_PERMILLE && cost.permille > 0 && cost.permille <= gap / 2 {
            shift(&mut loads, (own, to), cost, &mut leave, at);
        }
    }
    leave.truncate(LEAVE_AT_ONCE_MAX);
    leave
}

fn least(loads: &[u32], of: std::ops::Range<usize>) -> Option<usize> {
    of.min_by_key(|thread| loads[*thread])
}

fn shift(
    loads: &mut [u32],
    (from, to): (usize, usize),
    cost: &Cost,
    leave: &mut Vec<(usize, usize)>,
    at: usize,
) {
    loads[from] = loads[from].saturating_sub(cost.permille);
    loads[to] += cost.permille;
    leave.push((at, to));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn light(permille: u32) -> Cost {
        Cost { permille, tick: MS / 10, ..Cost::default() }
    }

    #[test]
    fn a_room_is_measured_over_a_window() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        (0..20).for_each(|_| meter.note(10 * MS));
        assert_eq!(meter.cost(start + WINDOW / 2), Cost::default(), "not known yet");
        meter.note_late(49 * MS, 50 * MS);
        meter.note_late(50 * MS, 50 * MS);
        let cost = Cost { permille: 200, tick: 10 * MS, ticks: 20, late: 1 };
        assert_eq!(meter.cost(start + WINDOW), cost);
        assert_eq!(meter.cost(start + WINDOW + MS).permille, 200, "still that of the last window");
        assert_eq!(meter.cost(start + 2 * WINDOW), Cost::default(), "it rested");
    }

    #[test]
    fn a_room_over_its_budget_is_slowed_until_it_is_within() {
        let period = 50 * MS;
        assert_eq!(stretch(40 * MS, period, AS_IT_IS), AS_IT_IS);
        assert_eq!(stretch(60 * MS, period, AS_IT_IS), 1_500, "60 of 75 ms are its budget");
        assert_eq!(stretch(39 * MS, period, 1_500), AS_IT_IS, "not yet within: as fast as it may");
        assert_eq!(stretch(42 * MS, period, 1_500), 1_050);
        assert_eq!(stretch(10_000 * MS, period, AS_IT_IS), STRETCH_MAX * AS_IT_IS);
    }

    #[test]
    fn states_get_fewer_at_once_and_more_again_slowly() {
        let mut pace = Pace::default();
        let mut paces = |late: u32, windows: usize| -> Vec<u8> {
            let next = |_| {
                pace = pace.after(100, late);
                pace.every()
            };
            (0..windows).map(next).collect()
        };
        assert_eq!(paces(50, 3), [1, 1, 1], "some are late at any time");
        assert_eq!(paces(51, 5), [2, 3, 4, 4, 4]);
        assert_eq!(paces(0, 11), [4, 4, 4, 4, 3, 3, 3, 3, 3, 2, 2]);
        assert_eq!(paces(60, 1), [3]);
    }

    #[test]
    fn states_are_never_further_apart_than_silence_may_be() {
        assert_eq!([20, 60].map(|hz| send_every(4, hz)), [4, 4]);
        assert_eq!([19, 14, 9, 3, 0].map(|ran| send_every(4, ran)), [3, 2, 1, 1, 1]);
        assert_eq!(send_every(1, 60), 1);
    }

    #[test]
    fn a_heavy_room_goes_apart_and_comes_back_when_it_is_light_again() {
        let heavy = Cost { permille: 800, tick: 40 * MS, ..Cost::default() };
        assert_eq!(leave(0, &[900, 100, 0, 0], &[light(100), heavy]), [(1, 2)]);
        assert_eq!(leave(1, &[900, 900, 700, 0], &[light(100), heavy]), [(1, 3)]);
        let between = Cost { permille: 60, tick: 3 * MS, ..Cost::default() };
        assert_eq!(leave(0, &[60, 0, 0, 0], &[between]), [], "where it is");
        assert_eq!(leave(2, &[60, 0, 60, 0], &[between]), [], "there too");
        assert_eq!(leave(2, &[60, 0, 10, 0], &[light(10)]), [(0, 1)]);
    }

    #[test]
    fn rooms_leave_a_thread_that_is_busier_than_another_by_far() {
        let rooms = [light(50); 8];
        assert_eq!(leave(0, &[400, 300, 0, 0], &rooms), [], "even enough");
        assert_eq!(
            leave(0, &[400, 100, 0, 0], &rooms),
            [(0, 1), (1, 1)],
            "until it is even enough"
        );
        assert_eq!(leave(1, &[400, 100, 0, 0], &rooms[..2]), []);
        assert_eq!(leave(0, &[800, 0, 0, 0], &[light(800)]), [], "that would only turn it round");
        let many = [light(5); 200];
        assert_eq!(leave(0, &[1000, 0, 0, 0], &many).len(), LEAVE_AT_ONCE_MAX);
    }

    #[test]
    fn with_one_thread_heavy_rooms_still_go_apart() {
        let heavy = Cost { permille: 800, tick: 40 * MS, ..Cost::default() };
        assert_eq!(leave(0, &[900, 0], &[heavy, light(100)]), [(0, 1)]);
        assert_eq!(leave(0, &[900, 0], &[light(100); 9]), []);
    }

    proptest! {
        /// After as many looks as it takes, no thread is busier than another by more than what makes rooms
        /// leave and half of its largest room; and then all stay.
        #[test]
        fn moves_come_to_rest(costs in proptest::collection::vec(0u32..120, 0..60), threads in 1usize..4) {
            let mut on: Vec<Vec<Cost>> = vec![vec![]; 2 * threads];
            on[0] = costs.iter().map(|permille| light(*permille)).collect();
            let load = |rooms: &Vec<Cost>| rooms.iter().map(|cost| cost.permille).sum::<u32>();
            let mut moves = usize::MAX;
            for _ in 0..40 {
                moves = 0;
                for own in 0..threads {
                    let loads: Vec<u32> = on.iter().map(load).collect();
                    let mut leaving = leave(own, &loads, &on[own]);
                    leaving.sort_unstable();
                    moves += leaving.len();
                    for (at, to) in leaving.into_iter().rev() {
                        let room = on[own].remove(at);
                        on[to].push(room);
                    }
                }
            }
            prop_assert_eq!(moves, 0);
            let loads: Vec<u32> = on[..threads].iter().map(load).collect();
            let largest = costs.iter().max().copied().unwrap_or(0);
            let gap = loads.iter().max().unwrap() - loads.iter().min().unwrap();
            prop_assert!(gap < UNEVEN_PERMILLE.max(2 * largest + 1), "{loads:?}");
        }
    }
}
