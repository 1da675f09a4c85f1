//! Types that are told once they are on disk, in a game that is not gated as a whole: clients see the
//! newest value that a crash does not take back.

use std::collections::BTreeMap;

use referee_protocol::Tick;

/// A value as of a tick.
struct Value {
    tick: Tick,
    words: Vec<u32>,
}

/// One component of one entity.
#[derive(Default)]
struct Gate {
    /// What clients see, if anything yet.
    told: Option<Vec<u32>>,
    /// The oldest value that is not on disk, and the newest: those in between are seen by nobody.
    next: Option<Value>,
    newest: Option<Value>,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Gates {
    gates: BTreeMap<(u32, u16), Gate>,
    /// All up to this tick is on disk. None where nobody says: then all is told at once.
    durable: Option<Tick>,
}

impl Gates {
    /// All up to this tick is on disk.
    pub(super) fn durable(&mut self, upto: Tick) {
        self.durable = self.durable.max(Some(upto));
    }

    /// Whether what happened in a tick may be told.
    pub(super) fn is_open(&self, tick: Tick) -> bool {
        self.durable.is_none_or(|durable| tick <= durable)
    }

    /// What clients may see of a component whose value is `words` as of this tick; nothing while there is
    /// no value of it on disk. Then whether another value waits.
    pub(super) fn told(
        &mut self,
        (id, component): (u32, u16),
        words: &[u32],
        tick: Tick,
    ) -> (Option<&[u32]>, bool) {
        let durable = self.durable.unwrap_or(Tick(u64::MAX));
        let gate = self.gates.entry((id, component)).or_default();
        gate.change(words, tick);
        gate.come(durable);
        (gate.told.as_deref(), gate.next.is_some())
    }

    /// Of an entity's components only these are there still.
    pub(super) fn keep(&mut self, id: u32, which: impl Fn(u16) -> bool) {
        if !self.gates.is_empty() {
            self.gates.retain(|(of, component), _| *of != id || which(*component));
        }
    }
}

impl Gate {
    fn change(&mut self, words: &[u32], tick: Tick) {
        let last = self.newest.as_ref().or(self.next.as_ref()).map(|value| &value.words);
        if last.or(self.told.as_ref()).is_some_and(|last| last == words) {
            return;
        }
        let value = Some(Value { tick, words: words.to_vec() });
        if self.next.is_none() { self.next = value } else { self.newest = value }
    }

    /// What is on disk by now may be seen.
    fn come(&mut self, durable: Tick) {
        while let Some(value) = self.next.take_if(|value| value.tick <= durable) {
            self.told = Some(value.words);
            self.next = self.newest.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_value_on_disk_is_told() {
        let mut gates = Gates::default();
        let told = |gates: &mut Gates, value: u32, tick| {
            let (told, waits) = gates.told((1, 0), &[value], Tick(tick));
            (told.map(|words| words[0]), waits)
        };
        assert_eq!(told(&mut gates, 7, 1), (Some(7), false), "nobody waits for a disk");
        gates.durable(Tick(1));
        assert_eq!(told(&mut gates, 8, 2), (Some(7), true));
        assert_eq!(told(&mut gates, 9, 3), (Some(7), true));
        assert_eq!(told(&mut gates, 10, 4), (Some(7), true));
        gates.durable(Tick(3));
        assert_eq!(told(&mut gates, 10, 5), (Some(8), true), "as of a tick that is on disk");
        gates.durable(Tick(4));
        assert_eq!(told(&mut gates, 10, 6), (Some(10), false));
        gates.keep(1, |component| component != 0);
        assert_eq!(
            told(&mut gates, 11, 7),
            (None, true),
            "another one, of which nothing is on disk"
        );
    }
}
