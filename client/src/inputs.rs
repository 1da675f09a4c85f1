//! Sampled inputs: the latest of each type, sent once for a tick at most and often enough that the
//! room does not think the player let go.

use crate::aim::Pace;
use referee_protocol::limits::{INPUT_AHEAD_MAX_MS, INPUT_REPEAT_MS};
use referee_protocol::{Tick, Value};

/// How often an input that stays as it is goes out again, in milliseconds.
const REFRESH_MS: u64 = INPUT_REPEAT_MS / 2;
/// The least time between two samples in a room without a rate, in milliseconds.
const UNTIMED_MS: u64 = 50;

#[derive(Debug)]
struct Slot {
    name: String,
    value: Value,
    changed: bool,
    sent: Option<u64>,
    /// The tick that the last sample was meant for; 0 for the next one, whichever that was.
    tick: Tick,
}

/// The inputs of one player.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    slots: Vec<Slot>,
    sample: u64,
    hz: Option<u16>,
    /// Known once the room's clock and the road to it are.
    pace: Option<Pace>,
}

impl Inputs {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn set(&mut self, name: &str, value: Value) {
        match self.slots.iter_mut().find(|slot| slot.name == name) {
            Some(slot) => {
                // A page may say the same in each picture: that is no news.
                slot.changed |= slot.value != value;
                slot.value = value;
            }
            None => {
                self.slots.push(Slot {
                    name: name.into(),
                    value,
                    changed: true,
                    sent: None,
                    tick: Tick(0),
                });
            }
        }
    }

    /// A connection begins: samples count from 1 again, and the room hears what is held.
    pub(crate) fn resume(&mut self, hz: Option<u16>) {
        self.hz = hz;
        self.pace = None;
        self.sample = 0;
        for slot in &mut self.slots {
            slot.changed = true;
            slot.sent = None;
            slot.tick = Tick(0);
        }
    }

    /// From now on samples are meant for the ticks that this pace gives.
    pub(crate) fn keep_pace(&mut self, pace: Pace) {
        self.pace = Some(pace);
    }

    /// Whether samples are meant for certain ticks.
    pub(crate) fn is_paced(&self) -> bool {
        self.pace.is_some()
    }

    /// Whether this input's latest value has not gone out yet.
    pub(crate) fn waits(&self, name: &str) -> bool {
        self.slots.iter().any(|slot| slot.changed && slot.name == name)
    }

    /// The number of the next sample.
    pub(crate) fn next_sample(&self) -> u64 {
        self.sample + 1
    }

    /// The number of the newest sample that has this low byte.
    pub(crate) fn numbered(&self, low: u8) -> Option<u64> {
        let ago = u64::from((self.sample as u8).wrapping_sub(low));
        self.sample.checked_sub(ago).filter(|number| *number > 0)
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
    }

    fn due(&self, slot: &Slot) -> Option<u64> {
        let Some(sent) = slot.sent else { return Some(0) };
        let interval = self.hz.map_or(UNTIMED_MS, |hz| 1_000 / u64::from(hz.max(1)));
        let next = match self.pace.filter(|_| slot.tick != Tick(0)) {
            // However the clock is corrected, a change does not wait for long.
            Some(pace) => pace.after(slot.tick).clamp(sent, sent + INPUT_AHEAD_MAX_MS),
            None => sent + interval,
        };
        match (slot.changed, self.hz) {
            (true, _) => Some(next),
            (false, Some(_)) => Some(sent + REFRESH_MS.max(interval)),
            // In a turn-based room nothing runs out by itself.
            (false, None) => None,
        }
    }

    pub(crate) fn timeout(&self) -> Option<u64> {
        self.slots.iter().filter_map(|slot| self.due(slot)).min()
    }

    /// An input that is due.
    pub(crate) fn next(&self, now: u64) -> Option<(&str, &Value)> {
        let slot = self.slots.iter().find(|slot| self.due(slot).is_some_and(|due| due <= now))?;
        Some((&slot.name, &slot.value))
    }

    /// The input that [`Self::next`] gave goes out now, under the number and for the tick returned.
    pub(crate) fn sent(&mut self, name: &str, now: u64) -> (u64, Tick) {
        self.sample += 1;
        let mut tick = self.pace.map_or(Tick(0), |pace| pace.tick(now));
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.name == name) {
            if self.pace.is_some() && slot.tick != Tick(0) {
                tick = tick.max(Tick(slot.tick.0 + 1)); // one for each tick
            }
            (slot.changed, slot.sent, slot.tick) = (false, Some(now), tick);
        }
        (self.sample, tick)
    }

    /// The input that [`Self::next`] gave cannot be sent.
    pub(crate) fn refuse(&mut self, name: &str) {
        self.slots.retain(|slot| slot.name != name);
    }
}
