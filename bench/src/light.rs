//! A light client of Referee, without its connection: it takes part, sends samples, counts and
//! acknowledges states, and does not look into them. Many fit beside the server that they load.

use referee_client_tokio::referee_client::Random;
use referee_protocol::frame::{Ack, EventsFrame, InputFrame, Lane, Payload, split};
use referee_protocol::message::{self, ClientControl, Hello, ServerControl};
use referee_protocol::{Schema, Tick, TypeDef};

use crate::random;
use crate::scenario::Scenario;

/// A stick is held as it is for so many samples: players do not tremble.
const HELD_SAMPLES: u64 = 8;

/// How often a client pings, in seconds, as others do.
const PING_EVERY_S: u64 = 2;

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
    ping_samples: u64,
}

/// What a frame was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// From now on samples can be sent.
    Schema,
    /// A state; it is acknowledged with the next sample.
    State,
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
    pub(crate) fn new(seed: u64, scenario: &Scenario) -> Self {
        Self {
            ack: Ack::default(),
            sample: 0,
            input: None,
            held: Payload::default(),
            random: Random::new(seed),
            ping_samples: PING_EVERY_S * u64::from(scenario.inputs_hz),
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

    /// Takes a frame. An error is the end.
    pub(crate) fn hear(&mut self, frame: &[u8]) -> Result<Heard, String> {
        if frame.is_empty() {
            return Ok(Heard::Other); // a sign of life
        }
        let (lane, body) = split(frame).map_err(|error| error.to_string())?;
        match lane {
            Lane::State if self.input.is_some() => {
                self.ack.frames += 1;
                Ok(Heard::State)
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

    /// What it says now.
    pub(crate) fn sample(&mut self) -> Result<Sample, String> {
        let input = self.input.as_ref().ok_or("the schema has not come yet")?;
        let ping = self.sample.is_multiple_of(self.ping_samples).then(|| {
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
