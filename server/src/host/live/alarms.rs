//! A loaded room's alarms: it is told the time when one is due.

use std::time::{Duration, Instant};

use referee_protocol::Tick;
use referee_room::Entry;
use referee_room::entry::Lost;

use super::{Live, Next};
use crate::host::clock::Clock;
use crate::host::unix_ms;
use crate::host::wake::{LOOK_EVERY, WOKEN_GRACE_MS, WOKEN_MAX_MS};

/// By so much the wall clock may differ from what a room has counted before it was set by somebody, in
/// milliseconds.
const CLOCK_SET_MS: u64 = 2_000;

impl Live {
    /// Tells the room the time, with its next tick.
    pub(super) fn tell_time(&mut self) {
        if !std::mem::replace(&mut self.told_time, true) {
            self.enter(Entry::Alarm { unix_ms: unix_ms(), lost: Lost::None }, 0);
        }
    }

    /// Tells the room the time where an alarm is due, or where it counts on wrongly: ticks were left out, or
    /// somebody has set the wall clock. `reached` is the tick that it is time for.
    pub(super) fn see_to_alarms(&mut self, slips: u64, reached: Tick) {
        if !self.template.has_alarms() {
            return;
        }
        let now = unix_ms();
        let due = self.guarded(|room| room.next_alarm()).flatten();
        let known = self.guarded(|room| room.unix_ms(reached));
        let set = known.is_some_and(|known| known.abs_diff(now) > CLOCK_SET_MS);
        if slips > 0 || set || due.is_some_and(|due| due <= now) {
            self.tell_time();
        }
    }

    /// When to look for the next alarm. A realtime room looks with each of its ticks, one that has to wait
    /// for the disk when it goes on.
    pub(super) fn next_alarm(&mut self, now: Instant) -> Option<Instant> {
        let waits = matches!(self.clock, Clock::Turns { .. }) && !self.keep.is_full();
        let due = self.guarded(|room| room.next_alarm()).flatten().filter(|_| waits)?;
        let left = Duration::from_millis(due.saturating_sub(unix_ms()));
        Some(now + left.min(LOOK_EVERY))
    }

    /// When a room that an alarm woke may go again, while nobody comes: a turn-based one as soon as it rests,
    /// unless something is due soon.
    pub(crate) fn asleep_again(&self, since: Instant, next: Next) -> Instant {
        let (now, grace) = (Instant::now(), Duration::from_millis(WOKEN_GRACE_MS));
        let most = since + Duration::from_millis(WOKEN_MAX_MS);
        match (&self.clock, next) {
            (Clock::Realtime { .. }, _) => since + grace,
            (Clock::Turns { .. }, Next::Soon) => most,
            (Clock::Turns { .. }, Next::At(at)) if at < now + grace => most,
            (Clock::Turns { .. }, _) => since,
        }
    }
}
