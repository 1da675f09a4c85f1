//! The room's clock, read off the arrivals of its states: at which local time a tick's state comes
//! at the earliest, and how far behind that the arrivals are strewn. Local time is an argument.

use referee_protocol::Tick;

use crate::smooth::DELAY_MAX_MS;

/// How long an arrival may be the earliest that is followed, in milliseconds: at least this, at most
/// twice. Long enough that some state was not delayed, short enough that a room that slipped, or a
/// route that grew longer, is believed within two seconds.
const EARLIEST_FOR_MS: f64 = 1_000.0;
/// Weight of one arrival in the smoothed lateness: about half a second of states at 30 Hz.
const LATE_WEIGHT: f64 = 1.0 / 16.0;

/// A realtime room's clock.
#[derive(Clone, Debug)]
pub(crate) struct RoomClock {
    /// Milliseconds from tick to tick.
    period_ms: f64,
    /// The first tick seen: all others count from it, so that no fraction is lost.
    base: Tick,
    newest: Tick,
    /// The earliest arrival of `base`'s moment, as this and the last span of states have it.
    earliest: f64,
    before: f64,
    /// When the present span began.
    since: f64,
    /// How much later than the earliest states come, smoothed, and how far from that.
    late_ms: f64,
    spread_ms: f64,
}

impl RoomClock {
    /// A clock of a room with `hz` ticks a second, of which the first state came `now`.
    pub(crate) fn new(hz: u16, tick: Tick, now: f64) -> Self {
        Self {
            period_ms: 1_000.0 / f64::from(hz.max(1)),
            base: tick,
            newest: tick,
            earliest: now,
            before: now,
            since: now,
            late_ms: 0.0,
            spread_ms: 0.0,
        }
    }

    /// A state of this tick came. Says no when the tick lies before the last one's: this is another
    /// time, and needs a clock of its own.
    pub(crate) fn observe(&mut self, tick: Tick, now: f64) -> bool {
        if tick < self.newest {
            return false;
        }
        self.newest = tick;
        let came = now - self.ms_of(tick);
        if now - self.since > EARLIEST_FOR_MS {
            (self.before, self.earliest, self.since) = (self.earliest, came, now);
        }
        self.earliest = self.earliest.min(came);
        let late = came - self.offset();
        // Held up by a stall: no picture is shown so much later, so it is no reason to show them later. A
        // route that has become longer by as much is believed as one that did by less.
        if late > DELAY_MAX_MS {
            return true;
        }
        self.late_ms += (late - self.late_ms) * LATE_WEIGHT;
        self.spread_ms += ((late - self.late_ms).abs() - self.spread_ms) * LATE_WEIGHT;
        true
    }

    fn offset(&self) -> f64 {
        self.earliest.min(self.before)
    }

    fn ms_of(&self, tick: Tick) -> f64 {
        (tick.0 - self.base.0) as f64 * self.period_ms
    }

    /// The first tick seen, from which all is counted.
    pub(crate) fn base(&self) -> Tick {
        self.base
    }

    /// Milliseconds from one tick to the next.
    pub(crate) fn period_ms(&self) -> f64 {
        self.period_ms
    }

    /// How far the arrivals are strewn, in milliseconds: what nearly all of them keep within.
    pub(crate) fn jitter_ms(&self) -> f64 {
        self.late_ms + 3.0 * self.spread_ms
    }

    /// The room's time whose state comes just now if nothing delays it, in milliseconds since the
    /// first tick seen.
    pub(crate) fn arriving_ms(&self, now: f64) -> f64 {
        now - self.offset()
    }

    /// Such a time as a tick with its fraction.
    pub(crate) fn tick_at(&self, ms: f64) -> f64 {
        self.base.0 as f64 + ms / self.period_ms
    }

    /// The local time at which the state of a tick comes if nothing delays it.
    pub(crate) fn arrival_of(&self, tick: Tick) -> f64 {
        let ticks = tick.0 as f64 - self.base.0 as f64;
        self.offset() + ticks * self.period_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(clock: &mut RoomClock, ticks: std::ops::Range<u64>, late: impl Fn(u64) -> f64) {
        ticks.for_each(|n| assert!(clock.observe(Tick(n), n as f64 * 50.0 + late(n))));
    }

    #[test]
    fn the_earliest_arrivals_are_followed_and_the_late_ones_widen_the_jitter() {
        let mut clock = RoomClock::new(20, Tick(0), 0.0);
        arrivals(&mut clock, 0..100, |n| 7.0 + (n % 4) as f64 * 10.0);
        assert!((clock.arrival_of(Tick(100)) - 5_007.0).abs() < 1e-6);
        assert!((30.0..60.0).contains(&clock.jitter_ms()), "{}", clock.jitter_ms());
    }

    #[test]
    fn a_room_that_slipped_is_believed_within_two_seconds() {
        let mut clock = RoomClock::new(20, Tick(0), 0.0);
        arrivals(&mut clock, 0..40, |_| 0.0);
        arrivals(&mut clock, 40..83, |_| 120.0);
        assert!((clock.arrival_of(Tick(83)) - 83.0 * 50.0 - 120.0).abs() < 1e-6);
    }

    #[test]
    fn what_a_stall_held_up_is_no_jitter() {
        let mut clock = RoomClock::new(20, Tick(0), 0.0);
        arrivals(&mut clock, 0..100, |n| (n % 2) as f64 * 5.0);
        let before = clock.jitter_ms();
        // Four seconds, and what waited comes at once.
        arrivals(&mut clock, 100..106, |n| 4_000.0 - (n - 100) as f64 * 50.0);
        assert!((clock.jitter_ms() - before).abs() < 1e-9, "{}", clock.jitter_ms());
        arrivals(&mut clock, 180..220, |n| (n % 2) as f64 * 5.0);
        assert!(clock.jitter_ms() < before + 1.0);
        assert!((clock.arrival_of(Tick(220)) - 11_000.0).abs() < 6.0, "nor is the room late");
    }

    #[test]
    fn a_tick_that_goes_back_is_another_time() {
        let mut clock = RoomClock::new(20, Tick(9), 0.0);
        assert!(clock.observe(Tick(9), 1.0));
        assert!(!clock.observe(Tick(8), 2.0));
    }
}
