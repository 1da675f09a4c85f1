//! Time that passes: ticks that are due, and the wall clock for those who have alarms.

use std::time::Duration;

use referee_protocol::Tick;

use crate::entry::{Entry, Lost};
use crate::room::NextTick;

use super::{TestRoom, UNIX_MS};

const NANOS_PER_MS: u128 = 1_000_000;

impl TestRoom {
    /// Time passes and the room runs. Alarms come due in it as timers do; for days in a realtime game,
    /// [`TestRoom::restart_after`] is quicker, and more likely.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span.as_nanos();
        loop {
            self.tell_time();
            let next = match self.room.next_due(self.ticks_at(self.now)) {
                NextTick::Now(at) => Some((self.now, at)),
                NextTick::At(at) => Some((self.time_of(at).max(self.now), at)),
                NextTick::Never => None,
            };
            let alarm = self.next_alarm().filter(|time| next.is_none_or(|(next, _)| *time < next));
            match (alarm, next) {
                (Some(time), _) if time <= end => self.now = time,
                (None, Some((time, at))) if time <= end => {
                    self.now = time;
                    self.tick(at);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    /// A realtime room runs so many ticks.
    pub fn run_ticks(&mut self, count: u64) {
        for _ in 0..count {
            let at = Tick(self.room.info().tick.0 + 1);
            self.now = self.now.max(self.time_of(at));
            self.tell_time();
            self.tick(at);
        }
    }

    /// What the wall clock says, in milliseconds since 1970: what [`Alarms`](crate::alarms::Alarms) go by.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        UNIX_MS + ((self.now + self.away) / NANOS_PER_MS) as u64
    }

    /// Tells the room the time where an alarm is due.
    fn tell_time(&mut self) {
        let now = self.unix_ms();
        if !self.told && self.room.next_alarm().is_some_and(|at| at <= now) {
            self.tell_time_now();
        }
    }

    /// Tells the room the time.
    pub(super) fn tell_time_now(&mut self) {
        self.room.handle(Entry::Alarm { unix_ms: self.unix_ms(), lost: Lost::None });
        self.told = true;
    }

    /// When the next alarm is due that the room was not told of yet, in nanoseconds since it was created.
    fn next_alarm(&self) -> Option<u128> {
        let at = self.room.next_alarm().filter(|_| !self.told)?;
        let since = u128::from(at.saturating_sub(UNIX_MS)) * NANOS_PER_MS;
        Some(since.saturating_sub(self.away).max(self.now))
    }

    /// Runs what is due at once: everything in a turn-based room, one tick in a realtime one.
    pub(super) fn settle(&mut self) {
        if self.room.info().hz.is_some() {
            return self.run_ticks(1);
        }
        self.now += self.act_nanos;
        self.run(Duration::ZERO);
    }

    pub(super) fn tick(&mut self, at: Tick) {
        self.room.tick(at);
        self.told = false;
        self.keep_journal();
        if let Some(states) = &mut self.states {
            states.insert(self.room.content_hash());
        }
        if let Some(warning) = self.room.take_warning() {
            panic!("{warning}");
        }
        self.deliver();
    }

    pub(super) fn ticks_at(&self, now: u128) -> Tick {
        let hz = self.room.info().hz;
        Tick(hz.map_or(now / NANOS_PER_MS, |hz| now * u128::from(hz) / 1_000_000_000) as u64)
    }

    fn time_of(&self, tick: Tick) -> u128 {
        let ticks = u128::from(tick.0);
        self.room
            .info()
            .hz
            .map_or(ticks * NANOS_PER_MS, |hz| (ticks * 1_000_000_000).div_ceil(u128::from(hz)))
    }
}
