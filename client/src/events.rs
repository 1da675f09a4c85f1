//! One-shot events between their arrival and the state they belong to.

use referee_protocol::frame::{EventsFrame, FrameError};
use referee_protocol::limits::{EVENT_WORDS_MAX, EVENTS_KEPT_MAX_BYTES};
use referee_protocol::{Schema, Tick};
use std::collections::VecDeque;

/// What an event without data takes in its frame, at least.
const EVENT_OVERHEAD_BYTES: usize = 2;

/// An event that waits for a state of its tick.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) tick: Tick,
    pub(crate) kind: u16,
    pub(crate) words: Vec<u32>,
    bytes: usize,
}

/// The events of one connection. Only what was delivered counts as received, towards the server as
/// well: what still waits when the connection is lost comes again.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    delivered: u64,
    held: VecDeque<Held>,
    held_bytes: usize,
    held_words: usize,
}

impl EventQueue {
    /// The numbering goes on after `delivered`.
    pub(crate) fn after(delivered: u64) -> Self {
        Self { delivered, ..Self::default() }
    }

    /// The number of the last event delivered.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Takes in a frame's events; those had before are dropped.
    pub(crate) fn take_in(
        &mut self,
        schema: &Schema,
        frame: &EventsFrame,
    ) -> Result<(), FrameError> {
        let mut next = self.delivered + self.held.len() as u64 + 1;
        for (at, payload) in (0..).zip(&frame.events) {
            let number = frame.first.saturating_add(at);
            if number < next {
                continue;
            }
            if number > next {
                return Err(FrameError::Block("the events' numbers have a gap"));
            }
            let words = payload.to_words("event", &schema.events)?;
            let bytes = payload.bits.len() + EVENT_OVERHEAD_BYTES;
            self.held_bytes += bytes;
            self.held_words += words.len();
            if self.held_bytes > EVENTS_KEPT_MAX_BYTES || self.held_words > EVENT_WORDS_MAX {
                return Err(FrameError::Block("too many events wait for their state"));
            }
            self.held.push_back(Held { tick: frame.tick, kind: payload.kind, words, bytes });
            next += 1;
        }
        Ok(())
    }

    /// The next event that a state of this tick lets through.
    pub(crate) fn deliver(&mut self, tick: Tick) -> Option<Held> {
        let held = self.held.pop_front_if(|held| held.tick <= tick)?;
        self.held_bytes -= held.bytes;
        self.held_words -= held.words.len();
        self.delivered += 1;
        Some(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use referee_protocol::frame::Payload;
    use referee_protocol::schema::{FieldType, TypeDef};
    use referee_protocol::{Kind, limits::VALUE_WORDS_MAX};

    /// A list of what is always the same takes three bytes, however long it is.
    #[test]
    fn events_that_wait_are_bounded_by_what_they_take_in_memory() {
        let max = VALUE_WORDS_MAX as u32 - 1;
        let ty = FieldType::List { of: Box::new(FieldType::Int { min: 0, span: 0 }), max };
        let mut words = vec![0; VALUE_WORDS_MAX];
        words[0] = max;
        let payload = Payload::from_words(0, &ty, &words);
        let events =
            vec![TypeDef { name: "E".into(), resource: false, ty, moves_by: None, rarely: false }];
        let (components, inputs, actions, tables) = (vec![], vec![], vec![], vec![]);
        let schema = Schema { kind: Kind::Realtime, components, inputs, actions, events, tables };
        let most = EVENT_WORDS_MAX / VALUE_WORDS_MAX;
        let frame = |first: u64, count: usize| EventsFrame {
            first,
            tick: Tick(first),
            events: vec![payload.clone(); count],
        };
        let mut queue = EventQueue::default();
        assert!(frame(1, most).encode().len() < 300);
        assert!(queue.take_in(&schema, &frame(1, most)).is_ok());
        assert!(queue.deliver(Tick(1)).is_some());
        assert!(queue.take_in(&schema, &frame(most as u64 + 1, 1)).is_ok());
        assert!(queue.take_in(&schema, &frame(most as u64 + 2, 1)).is_err());
    }
}
