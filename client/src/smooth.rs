//! Between two states: a moment a little behind the newest one, which moves evenly however unevenly
//! states arrive, and what is read at it. Values are mixed by the schema alone.

mod blend;
mod history;

use crate::clock::RoomClock;
use referee_protocol::{FieldType, Kind, Replica, Schema, Value};

pub(crate) use history::{Arrival, Entry, Track};
use history::{History, SPAN_MS};

/// The delay from a tick's earliest arrival to the moment it is shown, in ticks: one to have the
/// next state there, one for a state that comes late or not at all.
const DELAY_TICKS: f64 = 2.0;
/// Widest delay, in milliseconds. Beyond it a player reacts to what is long past; rather rest.
pub(crate) const DELAY_MAX_MS: f64 = 250.0;
/// How quickly the shown moment goes where it should be, in milliseconds to close most of a gap: the
/// estimates tremble faster than this, and the eye is not to see it.
const SETTLE_MS: f64 = 400.0;
/// Most that the shown moment runs faster or slower than the clock while it settles.
const RATE_MAX: f64 = 0.08;
/// A gap that is jumped over instead, in milliseconds: after a slip of the room, or a page that was
/// hidden.
const JUMP_MS: f64 = 250.0;

/// Where the shown moment stands.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// In milliseconds of the room's time, as the clock counts them.
    ms: f64,
    /// The local time at which it stood there.
    at: f64,
}

/// States kept for showing, and the moment that is shown.
#[derive(Debug, Default)]
pub(crate) struct Smooth {
    history: History,
    moment: Option<Moment>,
    /// The tick that is shown, with its fraction.
    tick: f64,
}

impl Smooth {
    /// Forgets everything: another life, another schema.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes a state that was just applied to the replica.
    pub(crate) fn take(&mut self, schema: &Schema, replica: &Replica, arrival: Arrival) {
        if arrival.tick < self.history.newest() {
            self.clear();
        }
        self.history.take(schema, replica, arrival);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.history.is_empty()
    }

    /// Moves the shown moment to what is due at `now`, local milliseconds with their fraction.
    pub(crate) fn show(&mut self, clock: Option<&RoomClock>, kind: Kind, now: f64) {
        let newest = self.history.newest().0 as f64;
        let Some(clock) = clock.filter(|_| kind == Kind::Realtime) else {
            self.tick = newest;
            return;
        };
        let due = clock.arriving_ms(now) - delay_ms(clock);
        let moment = self.moment.map_or(Moment { ms: due, at: now }, |was| was.moved(due, now));
        self.moment = Some(moment);
        // After a slip the shown moment rests until the room has come so far again: nothing that was
        // seen to move goes back.
        let tick = clock.tick_at(moment.ms).max(self.tick);
        self.tick = tick.clamp(self.history.oldest().0 as f64, newest);
    }

    /// The clock was replaced: its milliseconds count from elsewhere.
    pub(crate) fn clock_changed(&mut self) {
        self.moment = None;
    }

    /// The tick that is shown, with its fraction.
    pub(crate) fn tick(&self) -> f64 {
        self.tick
    }

    /// The room's own entry: its resources.
    pub(crate) fn room(&self) -> &Entry {
        self.history.room()
    }

    /// The entities at the shown moment, by their handles, in order.
    pub(crate) fn entities(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.history.entities().filter(|(_, entry)| entry.is_there(self.tick))
    }

    pub(crate) fn entity(&self, handle: u32) -> Option<&Entry> {
        self.history.entity(handle).filter(|entry| entry.is_there(self.tick))
    }

    /// The value of a component at the shown moment. References in it are handles.
    pub(crate) fn value(&self, ty: &FieldType, track: &Track) -> Option<Value> {
        let (mut older, newer) = track.around(self.tick)?;
        match newer {
            Some((mut newer, part)) => blend::between(ty, &mut older, &mut newer, part).ok(),
            None => Value::from_words(ty, &mut older).ok(),
        }
    }
}

impl Moment {
    /// Where it goes in the time since, given where it should be: at the clock's own pace, a little
    /// faster or slower while it is not where it should be.
    fn moved(self, due: f64, now: f64) -> Self {
        let passed = (now - self.at).max(0.0);
        let gap = due - (self.ms + passed);
        if gap.abs() > JUMP_MS {
            return Self { ms: due, at: now };
        }
        let rate = 1.0 + (gap / SETTLE_MS).clamp(-RATE_MAX, RATE_MAX);
        Self { ms: self.ms + passed * rate, at: self.at.max(now) }
    }
}

/// How far behind the newest arrival the shown moment lies, in milliseconds.
pub(crate) fn delay_ms(clock: &RoomClock) -> f64 {
    let period = clock.period_ms();
    let wanted = (DELAY_TICKS * period).max(period + clock.jitter_ms());
    wanted.min(DELAY_MAX_MS.max(period))
}

/// How many ticks back states are kept. Without a rate there is only the newest to show.
pub(crate) fn span_ticks(clock: Option<&RoomClock>) -> u64 {
    clock.map_or(1, |clock| (SPAN_MS / clock.period_ms()).ceil().max(1.0) as u64)
}

#[cfg(test)]
mod tests;
