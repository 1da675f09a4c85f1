//! Sampled inputs: the latest of each type, sent no faster than the room ticks and often enough
//! that the room does not think the player let go.

use referee_protocol::Value;
use referee_protocol::limits::INPUT_REPEAT_MS;

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
}

/// The inputs of one player.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    slots: Vec<Slot>,
    sample: u64,
    hz: Option<u16>,
}

impl Inputs {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn set(&mut self, name: &str, value: Value) {
        match self.slots.iter_mut().find(|slot| slot.name == name) {
            Some(slot) => {
                slot.value = value;
                slot.changed = true;
            }
            None => {
                self.slots.push(Slot { name: name.into(), value, changed: true, sent: None });
            }
        }
    }

    /// A connection begins: samples count from 1 again, and the room hears what is held.
    pub(crate) fn resume(&mut self, hz: Option<u16>) {
        self.hz = hz;
        self.sample = 0;
        for slot in &mut self.slots {
            slot.changed = true;
            slot.sent = None;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
    }

    fn due(&self, slot: &Slot) -> Option<u64> {
        let Some(sent) = slot.sent else { return Some(0) };
        let interval = self.hz.map_or(UNTIMED_MS, |hz| 1_000 / u64::from(hz.max(1)));
        match (slot.changed, self.hz) {
            (true, _) => Some(sent + interval),
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

    /// The input that [`Self::next`] gave goes out now, under the number returned.
    pub(crate) fn sent(&mut self, name: &str, now: u64) -> u64 {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.name == name) {
            slot.changed = false;
            slot.sent = Some(now);
        }
        self.sample += 1;
        self.sample
    }

    /// The input that [`Self::next`] gave cannot be sent.
    pub(crate) fn refuse(&mut self, name: &str) {
        self.slots.retain(|slot| slot.name != name);
    }
}
