//! Which tick a sample of an input is meant for: the first one that it reaches. The room tells where
//! samples fell, and the aim follows.

use crate::clock::RoomClock;
use referee_protocol::Tick;
use referee_protocol::limits::INPUT_AHEAD_MAX_MS;

/// What is added to the round trip at first, in ticks: some, so that the first samples come in time.
/// From there on the notes alone steer: a page that is busy measures its round trips too long.
const SLACK_FIRST: f64 = 0.25;
/// Most ticks that are taken for the round trip at first: one that was measured while a page was busy
/// with its start would hold inputs back for seconds, and notes of late samples correct one that is
/// too short within a few ticks.
const TRIP_FIRST_MAX: f64 = 2.0;
/// What a late sample adds for each tick that it was late, in ticks. Large: a late sample is felt.
const LATE_ADDS: f64 = 0.5;
/// Most ticks of being late that one note counts for: one stall is no reason to play in the past.
const LATE_MAX: f64 = 2.0;
/// What an early sample takes for each tick that it was early, in ticks. Small against
/// [`LATE_ADDS`]: about one late sample for thirty early ones, where arrivals are strewn.
const EARLY_TAKES: f64 = 1.0 / 64.0;
/// What a sample in good time takes, in ticks: so that the aim finds out whether less will do. One
/// sample in some hundred is late for that.
const TIMELY_TAKES: f64 = 1.0 / 1024.0;

/// When so many notes in a row tell of early samples, the least early of them says how much is too
/// much for certain. Enough that a strewn road shows its worst; a third of a second at 30 Hz.
const NOTES: u8 = 10;
/// What is then taken for each tick that all of them were early, in ticks.
const ALL_EARLY_TAKES: f64 = 0.75;

/// How far ahead samples are aimed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aim {
    /// In ticks, from a sample's leaving to the arrival of its tick's state. None: as the round trip
    /// suggests.
    lead: Option<f64>,
    /// The first sample on this connection that was aimed at a tick.
    first: u64,
    /// Notes about samples before this one tell of an aim that is no more.
    since: u64,
    /// Notes since then, and the least early of them.
    notes: u8,
    least: i8,
}

impl Default for Aim {
    fn default() -> Self {
        Self { lead: None, first: 1, since: 1, notes: 0, least: i8::MAX }
    }
}

impl Aim {
    /// Samples from the one with this number on are aimed anew: a connection began.
    pub(crate) fn begin(&mut self, sample: u64) {
        *self = Self { first: sample, since: sample, ..Self::default() };
    }

    /// The room tells where a sample fell; `next` is the number of the next sample to be sent. Says
    /// whether that sample was aimed at all.
    pub(crate) fn note(&mut self, sample: u64, margin: i8, next: u64) -> bool {
        let Some(lead) = &mut self.lead else { return false };
        if sample < self.since {
            return sample >= self.first;
        }
        (self.notes, self.least) = (self.notes + 1, self.least.min(margin));
        let all_early = self.notes >= NOTES && self.least > 0;
        if margin < 0 {
            *lead += LATE_ADDS * f64::from(-i16::from(margin)).min(LATE_MAX);
        } else if all_early {
            *lead -= ALL_EARLY_TAKES * f64::from(self.least);
        } else {
            *lead -= (EARLY_TAKES * f64::from(margin)).max(TIMELY_TAKES);
        }
        if margin < 0 || all_early {
            self.since = next;
        }
        if margin < 0 || self.notes >= NOTES {
            (self.notes, self.least) = (0, i8::MAX);
        }
        true
    }

    /// The pace at which samples go out, given the round trip in milliseconds.
    pub(crate) fn pace(&mut self, clock: &RoomClock, round_trip_ms: f64) -> Pace {
        let period_ms = clock.period_ms();
        let trip = round_trip_ms / period_ms;
        // The room keeps no sample longer than it allows, the tick itself included.
        let most = trip + (INPUT_AHEAD_MAX_MS as f64 / period_ms - 1.0).max(SLACK_FIRST);
        let first = trip.min(TRIP_FIRST_MAX) + SLACK_FIRST;
        let lead = self.lead.unwrap_or(first).clamp(0.0, most);
        self.lead = Some(lead);
        let (base, lead_ms) = (clock.base(), lead * period_ms);
        Pace { base, origin: clock.arrival_of(base) - lead_ms, period_ms, lead_ms }
    }
}

/// Which local time belongs to which tick, for samples that are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    base: Tick,
    /// The local time until which a sample still reaches the tick `base`.
    origin: f64,
    period_ms: f64,
    lead_ms: f64,
}

impl Pace {
    /// How far ahead of the states' arrival samples are aimed, in milliseconds.
    pub(crate) fn lead_ms(&self) -> f64 {
        self.lead_ms
    }

    /// The tick that a sample sent `now` reaches.
    pub(crate) fn tick(&self, now: u64) -> Tick {
        let ticks = ((now as f64 - self.origin) / self.period_ms).floor() + 1.0;
        Tick(self.base.0.saturating_add_signed(ticks as i64))
    }

    /// When a sample sent reaches only ticks after this one.
    pub(crate) fn after(&self, tick: Tick) -> u64 {
        let ticks = tick.0 as f64 - self.base.0 as f64;
        (self.origin + ticks * self.period_ms).ceil() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: f64 = 50.0;

    #[test]
    fn a_round_trip_that_was_measured_too_long_holds_no_input_back() {
        let clock = RoomClock::new(20, Tick(0), 0.0);
        let pace = Aim::default().pace(&clock, 2_000.0);
        assert!(pace.lead_ms() <= 2.5 * PERIOD, "{} ms", pace.lead_ms());
    }

    /// A number that looks like luck, from 0 to 1.
    fn luck(n: u64) -> f64 {
        (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / (1u64 << 24) as f64
    }

    /// A sample a tick, each `up(n)` on its way; the note about it comes `down` after its tick. Gives
    /// the margins of the last thousand.
    fn play(up: impl Fn(u64) -> f64, down: f64) -> Vec<i8> {
        let (mut aim, mut margins, mut notes) = (Aim::default(), vec![], vec![]);
        // Tick n runs at n * PERIOD; its state comes `down` later.
        let clock = RoomClock::new(20, Tick(0), down);
        let trip = up(0) + down;
        let mut now = 0;
        for sample in 1..3_000 {
            notes.retain(|&(at, about, margin)| {
                if at <= now as f64 {
                    aim.note(about, margin, sample);
                }
                at > now as f64
            });
            let pace = aim.pace(&clock, trip);
            let tick = pace.tick(now);
            let arrived = now as f64 + up(sample);
            let ran = (arrived / PERIOD).ceil();
            let margin = (tick.0 as f64 - ran) as i8;
            notes.push((ran * PERIOD + down, sample, margin));
            margins.push(margin);
            // The player's hand is not in step with the room.
            now = pace.after(tick).max(now + 1) + (luck(sample * 3) * 40.0) as u64;
        }
        margins.split_off(margins.len() - 1_000)
    }

    fn share(margins: &[i8], which: impl Fn(i8) -> bool) -> f64 {
        margins.iter().filter(|margin| which(**margin)).count() as f64 / margins.len() as f64
    }

    #[test]
    fn on_an_even_road_nearly_every_sample_comes_in_good_time() {
        for trip in [0.0, 1.0, 30.0, 120.0] {
            let margins = play(|_| trip, trip);
            assert!(share(&margins, |m| m < 0) <= 0.01, "{trip}: late");
            assert!(share(&margins, |m| m > 0) <= 0.2, "{trip}: early");
        }
    }

    #[test]
    fn a_strewn_road_makes_few_late_and_none_very_early() {
        for strewn in [10.0, 40.0, 80.0] {
            let margins = play(|n| 5.0 + luck(n) * strewn, 5.0);
            assert!(share(&margins, |m| m < 0) <= 0.04, "{strewn}: late");
            assert!(share(&margins, |m| m > 3) == 0.0, "{strewn}: early");
        }
    }

    #[test]
    fn a_road_that_is_longer_one_way_is_found_out() {
        // The clock sees the states late, and the trip the samples' half of it.
        assert!(share(&play(|_| 90.0, 1.0), |m| m < 0) <= 0.01);
        assert!(share(&play(|_| 1.0, 90.0), |m| m < 0) <= 0.01);
    }

    #[test]
    fn samples_are_never_aimed_further_ahead_than_the_room_keeps_them() {
        let (mut aim, clock) = (Aim::default(), RoomClock::new(20, Tick(0), 0.0));
        aim.pace(&clock, 10.0);
        for sample in 1..100 {
            aim.note(sample, i8::MIN, sample + 1);
        }
        assert_eq!(aim.pace(&clock, 10.0).lead_ms(), 10.0 + 250.0 - PERIOD);
    }

    #[test]
    fn one_stall_counts_once() {
        let (mut aim, clock) = (Aim::default(), RoomClock::new(20, Tick(0), 0.0));
        aim.pace(&clock, 10.0);
        assert!(aim.note(10, -1, 15));
        let lead = aim.lead;
        (11..15).for_each(|sample| assert!(aim.note(sample, -1, 15)));
        assert_eq!(aim.lead, lead, "they were aimed before the change");
        assert!(aim.note(15, -1, 18));
        assert!(aim.lead > lead);
    }

    #[test]
    fn a_first_round_trip_that_was_far_too_long_is_soon_forgotten() {
        let (mut aim, clock) = (Aim::default(), RoomClock::new(20, Tick(0), 0.0));
        aim.pace(&clock, 150.0);
        (1..=u64::from(NOTES)).for_each(|n| assert!(aim.note(n, 3, n + 1)));
        let lead_ms = aim.pace(&clock, 150.0).lead_ms();
        assert!(lead_ms < 60.0, "{lead_ms} ms after {NOTES} samples of which each came 3 early");
    }
}
