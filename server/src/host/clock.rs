//! Wall time as a room's ticks. Pure: instants are handed in.

use std::time::{Duration, Instant};

use referee_protocol::Tick;

/// Ticks a realtime room may be behind and still make up for; the rest are left out.
const CATCH_UP_TICKS_MAX: u64 = 4;

/// How early a tick of a realtime room may begin, in microseconds, unless that is more than a tenth of a step. Timers
/// ring up to two milliseconds after what was asked for: the runtime rounds up to whole ones, and so does the
/// system. So they are asked for a little before, and are early as often as late.
const EARLY_MAX_US: u64 = 1_000;

/// Steps as long as the rate says, in thousandths of that.
pub(crate) const AS_IT_IS: u64 = 1_000;

/// A room's clock.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// A tick is a step at a fixed rate. Stands still while the room is not loaded.
    Realtime {
        /// Ticks per second.
        hz: u64,
        /// When `from` was due.
        origin: Instant,
        /// The tick at `origin`.
        from: u64,
        /// How much longer a step is than the rate says, in thousandths: 1,000 where it is not.
        stretch: u64,
    },
    /// A tick is a millisecond since the room was created, also while it was not loaded.
    Turns {
        /// When the room was loaded.
        loaded: Instant,
        /// Its age then.
        age: Duration,
    },
}

impl Clock {
    /// The clock of a realtime room whose last tick was `last`.
    pub(crate) fn realtime(hz: u16, last: Tick, now: Instant) -> Self {
        let hz = u64::from(hz.max(1));
        Self::Realtime { hz, origin: now, from: last.0, stretch: AS_IT_IS }
    }

    /// The clock of a turn-based room that was created `age` ago.
    pub(crate) fn turns(age: Duration, now: Instant) -> Self {
        Self::Turns { loaded: now, age }
    }

    /// The tick that time has reached, or in a realtime room is about to reach, and how many were left out
    /// for it: a realtime room that fell too far behind goes on from where it is.
    pub(crate) fn now(&mut self, now: Instant, last: Tick) -> (Tick, u64) {
        match self {
            Self::Turns { loaded, age } => {
                let age = *age + now.saturating_duration_since(*loaded);
                (Tick(age.as_millis() as u64), 0)
            }
            Self::Realtime { hz, origin, from, stretch } => {
                let since = now.saturating_duration_since(*origin) + early(*hz, *stretch);
                let second = 1_000_000 * u128::from(*stretch);
                let steps = (since.as_nanos() * u128::from(*hz) / second) as u64;
                let reached = *from + steps;
                let slip = reached.saturating_sub(last.0 + CATCH_UP_TICKS_MAX);
                if slip > 0 {
                    *from = *from + steps - slip;
                    *origin += step_time(*hz, *stretch, steps);
                }
                (Tick(reached - slip), slip)
            }
        }
    }

    /// How long a step of a realtime room is, where its ticks are no longer.
    pub(crate) fn period(&self) -> Option<Duration> {
        match self {
            Self::Turns { .. } => None,
            Self::Realtime { hz, .. } => Some(step_time(*hz, AS_IT_IS, 1)),
        }
    }

    /// How much longer a step is than the rate says, in thousandths.
    pub(crate) fn stretch(&self) -> u64 {
        match self {
            Self::Turns { .. } => AS_IT_IS,
            Self::Realtime { stretch, .. } => *stretch,
        }
    }

    /// After the tick `last` a realtime room's steps are so much longer, in thousandths.
    pub(crate) fn set_stretch(&mut self, permille: u64, last: Tick) {
        let due = self.when(last);
        if let Self::Realtime { origin, from, stretch, .. } = self {
            (*origin, *from, *stretch) = (due, last.0, permille.max(AS_IT_IS));
        }
    }

    /// When a timer is to ring for the tick: of a realtime room a moment before time reaches it, from which on
    /// it may begin.
    pub(crate) fn opens(&self, tick: Tick) -> Instant {
        let due = self.when(tick);
        match self {
            Self::Turns { .. } => due,
            Self::Realtime { hz, stretch, .. } => {
                due.checked_sub(early(*hz, *stretch)).unwrap_or(due)
            }
        }
    }

    /// When time reaches the tick.
    pub(crate) fn when(&self, tick: Tick) -> Instant {
        match self {
            Self::Turns { loaded, age } => {
                *loaded + Duration::from_millis(tick.0).saturating_sub(*age)
            }
            Self::Realtime { hz, origin, from, stretch } if tick.0 < *from => {
                let before = step_time(*hz, *stretch, *from - tick.0);
                origin.checked_sub(before).unwrap_or(*origin)
            }
            Self::Realtime { hz, origin, from, stretch } => {
                *origin + step_time(*hz, *stretch, tick.0 - *from)
            }
        }
    }
}

/// How early a tick may begin.
fn early(hz: u64, stretch: u64) -> Duration {
    Duration::from_micros(EARLY_MAX_US).min(step_time(hz, stretch, 1) / 10)
}

/// How long `steps` steps take, rounded up, so that a step is never found to be not yet due at the
/// instant that was waited for.
fn step_time(hz: u64, stretch: u64, steps: u64) -> Duration {
    // A tick further away than this is as good as never.
    let steps = u128::from(steps.min(u64::from(u32::MAX)));
    let nanos = (steps * 1_000_000 * u128::from(stretch)).div_ceil(u128::from(hz));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_step_may_begin_from_when_it_was_said_to_open_which_is_a_moment_before_it_is_due() {
        let start = Instant::now();
        let early_us = |hz| if hz == 1000 { 100 } else { 1_000 };
        for hz in [1, 7, 30, 60, 1000] {
            let mut clock = Clock::realtime(hz, Tick(100), start);
            for step in 1..200 {
                let (due, opens) = (clock.when(Tick(100 + step)), clock.opens(Tick(100 + step)));
                assert_eq!(due - opens, Duration::from_micros(early_us(hz)), "{hz} Hz");
                assert_eq!(clock.now(due, Tick(99 + step)), (Tick(100 + step), 0), "{hz} Hz");
                assert_eq!(clock.now(opens, Tick(99 + step)), (Tick(100 + step), 0), "{hz} Hz");
                let before = clock.now(opens - Duration::from_nanos(2), Tick(99 + step));
                assert_eq!(before, (Tick(99 + step), 0), "{hz} Hz");
            }
        }
    }

    #[test]
    fn a_room_that_falls_behind_catches_up_a_little_and_slips_the_rest() {
        let start = Instant::now();
        let mut clock = Clock::realtime(10, Tick(0), start);
        assert_eq!(clock.now(start + 400 * MS, Tick(0)), (Tick(4), 0));
        assert_eq!(clock.now(start + 1000 * MS, Tick(0)), (Tick(4), 6));
        // Those that are made up for were due at their pace.
        assert_eq!(clock.when(Tick(1)), start + 700 * MS);
        // What has slipped is gone; the pace goes on.
        assert_eq!(clock.now(start + 1000 * MS, Tick(4)), (Tick(4), 0));
        assert_eq!(clock.when(Tick(5)), start + 1100 * MS);
        assert_eq!(clock.now(start + 1100 * MS, Tick(4)), (Tick(5), 0));
    }

    #[test]
    fn a_room_that_is_slowed_goes_on_from_its_last_tick_and_back() {
        let start = Instant::now();
        let mut clock = Clock::realtime(10, Tick(0), start);
        assert_eq!(clock.now(start + 250 * MS, Tick(0)), (Tick(2), 0));
        clock.set_stretch(1_500, Tick(2));
        assert_eq!(clock.when(Tick(3)), start + 350 * MS);
        assert_eq!(clock.now(start + 348 * MS, Tick(2)), (Tick(2), 0));
        assert_eq!(clock.now(start + 500 * MS, Tick(2)), (Tick(4), 0));
        assert_eq!(clock.period(), Some(100 * MS), "what its ticks should fit into");
        clock.set_stretch(AS_IT_IS, Tick(4));
        assert_eq!(clock.when(Tick(5)), start + 600 * MS);
    }

    #[test]
    fn a_turn_is_a_millisecond_of_the_rooms_age() {
        let start = Instant::now();
        let mut clock = Clock::turns(Duration::from_millis(5000), start);
        assert_eq!(clock.now(start, Tick(0)), (Tick(5000), 0));
        assert_eq!(clock.now(start + 20 * MS, Tick(5000)), (Tick(5020), 0));
        assert_eq!(clock.when(Tick(6000)), start + 1000 * MS);
        assert_eq!(clock.when(Tick(10)), start, "long past");
    }
}
