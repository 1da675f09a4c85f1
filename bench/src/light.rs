//! A light client of Referee, without its connection: it takes part, sends samples, counts and
//! acknowledges states, and does not look into them. Many fit beside the server that they load.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use referee_client_tokio::referee_client::Random;
use referee_protocol::frame::{Ack, EventsFrame, InputFrame, Lane, Payload, Prelude, split};
use referee_protocol::message::{self, ClientControl, Hello, ServerControl};
use referee_protocol::{Schema, Tick, TypeDef};

use crate::random;
use crate::scenario::Scenario;

/// A stick is held as it is for so many samples: players do not tremble.
const HELD_SAMPLES: u64 = 8;

/// A client pings once in so many samples, as often as others do: about every 2 s.
const PING_SAMPLES: u64 = 40;

/// The match of a room.
pub(crate) fn match_id(room: usize) -> String {
    format!("bench-{room}")
}

/// One client.
#[derive(Debug)]
pub(crate) struct Light {
    ack: Ack,
    sample: u64,
    /// None before the schema came.
    input: Option<TypeDef>,
    held: Payload,
    random: Random,
    /// The tick of the newest state.
    tick: Tick,
    /// When the newest samples were due that no state has told of: their numbers' low bytes.
    waiting: VecDeque<(u8, Instant)>,
}

/// Samples that may wait for a state that tells of them; older ones are forgotten. Fewer than there are low
/// bytes, so that each stands for one.
const WAITING_MAX: usize = 128;

/// What a frame was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// From now on samples can be sent.
    Schema,
    /// A state; it is acknowledged with the next sample. With how long the newest sample took that it is the
    /// first to tell of, from when that was due.
    State(Option<Duration>),
    /// Something else that belongs to a match.
    Other,
}

/// What a client says at one of its instants.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) ping: Option<Vec<u8>>,
    pub(crate) input: Vec<u8>,
}

impl Light {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            ack: Ack::default(),
            sample: 0,
            input: None,
            held: Payload::default(),
            random: Random::new(seed),
            tick: Tick(0),
            waiting: VecDeque::new(),
        }
    }

    /// The first message of a client with this number.
    pub(crate) fn hello(number: usize, scenario: &Scenario) -> Vec<u8> {
        message::encode(&ClientControl::Hello(Hello {
            versions: vec![1],
            game: Some(scenario.game.to_owned()),
            match_id: Some(match_id(scenario.room_of(number))),
            name: format!("Light {number}"),
            params: Some(scenario.params(scenario.room_of(number))),
            ..Hello::default()
        }))
    }

    /// Takes a frame that came now. An error is the end.
    pub(crate) fn hear(&mut self, frame: &[u8], now: Instant) -> Result<Heard, String> {
        if frame.is_empty() {
            return Ok(Heard::Other); // a sign of life
        }
        let (lane, mut body) = split(frame).map_err(|error| error.to_string())?;
        match lane {
            Lane::State if self.input.is_some() => {
                self.ack.frames += 1;
                let prelude = Prelude::decode(&mut body, self.tick);
                let prelude = prelude.map_err(|error| error.to_string())?;
                self.tick = prelude.tick;
                let told = prelude.input.and_then(|input| self.told(input.sample));
                Ok(Heard::State(told.map(|due| now.saturating_duration_since(due))))
            }
            Lane::Events => {
                let events = EventsFrame::decode(body).map_err(|error| error.to_string())?;
                self.ack.event = events.first + events.events.len() as u64 - 1;
                Ok(Heard::Other)
            }
            Lane::Schema => {
                let schema = Schema::decode(body).map_err(|error| error.to_string())?;
                let input = schema.inputs.into_iter().next();
                self.input = Some(input.ok_or("the game has no input that could be sent")?);
                Ok(Heard::Schema)
            }
            Lane::Control => refusal(body).map(|()| Heard::Other),
            _ => Err(format!("a frame came that does not belong here: {lane:?}")),
        }
    }

    /// When the sample of this low byte was due, which a state tells of.
    fn told(&mut self, sample: u8) -> Option<Instant> {
        let at = self.waiting.iter().position(|(waits, _)| *waits == sample)?;
        self.waiting.drain(..=at).next_back().map(|(_, due)| due)
    }

    /// What it says now, which was due then.
    pub(crate) fn sample(&mut self, due: Instant) -> Result<Sample, String> {
        let input = self.input.as_ref().ok_or("the schema has not come yet")?;
        let ping = self.sample.is_multiple_of(PING_SAMPLES).then(|| {
            let nonce = self.sample as u32;
            message::encode(&ClientControl::Ping { nonce })
        });
        if self.sample.is_multiple_of(HELD_SAMPLES) {
            let mut words = Vec::new();
            let value = random::value(&mut self.random, &input.ty);
            value.to_words(&input.ty, &mut words).map_err(|error| error.to_string())?;
            self.held = Payload::from_words(0, &input.ty, &words);
        }
        self.sample += 1;
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back((self.sample as u8, due));
        let (ack, sample, payload) = (self.ack, self.sample, self.held.clone());
        Ok(Sample { ping, input: InputFrame { ack, sample, tick: Tick(0), payload }.encode() })
    }
}

/// The end, when it is one.
fn refusal(body: &[u8]) -> Result<(), String> {
    match message::decode(body).map_err(|error| error.to_string())? {
        ServerControl::Refused(refusal) => Err(format!("refused: {}", refusal.message)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_tells_of_the_newest_of_the_samples_that_came() {
        let mut light = Light::new(1);
        let start = Instant::now();
        let due = |number: u64| start + Duration::from_millis(number);
        light.waiting.extend((1..=9).map(|number| (number as u8, due(number))));
        assert_eq!(light.told(3), Some(due(3)));
        assert_eq!(light.told(2), None, "an older one is behind it");
        assert_eq!(light.told(9), Some(due(9)));
        assert_eq!(light.waiting.len(), 0);
    }
}
