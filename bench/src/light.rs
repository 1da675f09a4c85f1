//! A light client of Referee: it takes part, sends samples, counts and acknowledges states, and does
//! not look into them. Many fit beside the server that they load.

use referee_client_tokio::referee_client::Random;
use referee_client_tokio::{RawSocket, Received};
use referee_protocol::frame::{Ack, EventsFrame, InputFrame, Lane, Payload, split};
use referee_protocol::message::{self, ClientControl, Hello, ServerControl};
use referee_protocol::{Schema, Tick, TypeDef};

use crate::random;

/// The game that is measured.
pub(crate) const GAME: &str = "arena";

/// A stick is held as it is for so many samples: players do not tremble.
const HELD_SAMPLES: u64 = 8;

/// A client pings once in so many samples, as often as others do: about every 2 s.
const PING_SAMPLES: u64 = 40;

/// How a light client comes in.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) match_id: String,
    pub(crate) params: String,
    pub(crate) seed: u64,
}

/// A client that is in.
#[derive(Debug)]
pub(crate) struct Light {
    socket: RawSocket,
    ack: Ack,
    sample: u64,
    input: TypeDef,
    held: Payload,
    random: Random,
}

impl Light {
    /// Says Hello over an open socket and waits for the schema.
    pub(crate) async fn enter(mut socket: RawSocket, ticket: Ticket) -> Result<Self, String> {
        let Ticket { match_id, params, seed } = ticket;
        let hello = ClientControl::Hello(Hello {
            versions: vec![1],
            game: Some(GAME.to_owned()),
            match_id: Some(match_id),
            name: format!("Light {seed}"),
            params: Some(params),
            ..Hello::default()
        });
        send(&mut socket, &message::encode(&hello)).await?;
        loop {
            let frame = frame(&mut socket).await?;
            let (lane, body) = split(&frame).map_err(|error| error.to_string())?;
            match lane {
                Lane::Control => refusal(body)?,
                Lane::Schema => {
                    let schema = Schema::decode(body).map_err(|error| error.to_string())?;
                    let input = schema.inputs.first().cloned();
                    let input = input.ok_or("the game has no input that could be sent")?;
                    let held = Payload::default();
                    let random = Random::new(seed);
                    return Ok(Self {
                        socket,
                        ack: Ack::default(),
                        sample: 0,
                        input,
                        held,
                        random,
                    });
                }
                _ => return Err(format!("{lane:?} came before the schema")),
            }
        }
    }

    /// The length of the next state frame, in bytes.
    pub(crate) async fn state(&mut self) -> Result<usize, String> {
        loop {
            let frame = frame(&mut self.socket).await?;
            let (lane, body) = split(&frame).map_err(|error| error.to_string())?;
            match lane {
                Lane::State => {
                    self.ack.frames += 1;
                    return Ok(frame.len());
                }
                Lane::Events => {
                    let events = EventsFrame::decode(body).map_err(|error| error.to_string())?;
                    self.ack.event = events.first + events.events.len() as u64 - 1;
                }
                Lane::Control => refusal(body)?,
                _ => return Err(format!("{lane:?} came among the states")),
            }
        }
    }

    /// Sends a sample, and says how many bytes it had.
    pub(crate) async fn send(&mut self) -> Result<usize, String> {
        if self.sample.is_multiple_of(PING_SAMPLES) {
            let ping = ClientControl::Ping { nonce: self.sample as u32 };
            send(&mut self.socket, &message::encode(&ping)).await?;
        }
        if self.sample.is_multiple_of(HELD_SAMPLES) {
            let mut words = Vec::new();
            let value = random::value(&mut self.random, &self.input.ty);
            value.to_words(&self.input.ty, &mut words).map_err(|error| error.to_string())?;
            self.held = Payload::from_words(0, &self.input.ty, &words);
        }
        self.sample += 1;
        let (ack, sample, payload) = (self.ack, self.sample, self.held.clone());
        let frame = InputFrame { ack, sample, tick: Tick(0), payload }.encode();
        send(&mut self.socket, &frame).await?;
        Ok(frame.len())
    }
}

async fn send(socket: &mut RawSocket, frame: &[u8]) -> Result<(), String> {
    socket.send(frame).await.map_err(|error| format!("cannot send: {error}"))
}

/// The next frame. One without bytes is a sign of life, and nothing to look at.
async fn frame(socket: &mut RawSocket) -> Result<Vec<u8>, String> {
    loop {
        match socket.receive().await {
            Ok(Received::Frame(frame)) if frame.is_empty() => {}
            Ok(Received::Frame(frame)) => return Ok(frame),
            Ok(Received::Closed { code, reason }) => {
                return Err(format!("closed, code {code:?}: {reason}"));
            }
            Err(error) => return Err(format!("cannot receive: {error}")),
        }
    }
}

/// The end, when it is one.
fn refusal(body: &[u8]) -> Result<(), String> {
    match message::decode(body).map_err(|error| error.to_string())? {
        ServerControl::Refused(refusal) => Err(format!("refused: {}", refusal.message)),
        _ => Ok(()),
    }
}
