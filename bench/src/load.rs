//! The load: clients of a host that send by a schedule and count what comes. All of them share one
//! thread, so that the host has the rest of the machine.

use std::rc::Rc;
use std::time::Duration;

use referee_client_tokio::{RawSocket, Trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::light::{GAME, Light, Ticket};
use crate::scenario::Scenario;
use crate::tally::Tally;

/// Clients come at this rate per second: a crowd that comes at once would be another test.
const COMING_PER_SECOND: u32 = 400;

/// All of them must be in after this time beyond the ramp.
const IN_WITHIN: Duration = Duration::from_secs(20);

/// Where the clients go.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// The floor at this port, which sends frames and expects inputs of these lengths, with what a
    /// WebSocket adds to them.
    Floor { port: u16, frame_bytes: usize, input_bytes: usize },
    /// Referee over a WebSocket at this port.
    WebSocket { port: u16 },
    /// Referee over QUIC at this port, with the certificate of this pin.
    Quic { port: u16, pin: Option<[u8; 32]> },
}

/// A load that is on; dropped, its clients go.
pub(crate) struct Load {
    pub(crate) tally: Rc<Tally>,
    clients: JoinSet<()>,
}

impl Load {
    /// Lets the clients come and waits until all are in. To be called on a `LocalSet`.
    pub(crate) async fn start(scenario: &Scenario, target: &Target) -> Result<Self, String> {
        let tally = Rc::new(Tally::default());
        let mut clients = JoinSet::new();
        for number in 0..scenario.clients() {
            let (tally, target, scenario) = (tally.clone(), target.clone(), *scenario);
            clients.spawn_local(async move {
                sleep(Duration::from_secs(1) * number as u32 / COMING_PER_SECOND).await;
                if let Err(fault) = client(number, &scenario, &target, &tally).await {
                    tally.fail(format!("client {number}: {fault}"));
                }
            });
        }
        let load = Self { tally, clients };
        let ramp = Duration::from_secs(1) * scenario.clients() as u32 / COMING_PER_SECOND;
        match timeout(ramp + IN_WITHIN, load.all_in(scenario.clients())).await {
            Ok(result) => result.map(|()| load),
            Err(_) => {
                let open = load.tally.open.get();
                Err(format!("only {open} of {} clients came in", scenario.clients()))
            }
        }
    }

    async fn all_in(&self, clients: usize) -> Result<(), String> {
        while self.tally.open.get() < clients {
            if let Some(fault) = self.tally.fault() {
                return Err(fault);
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Lets all clients go.
    pub(crate) async fn end(mut self) {
        self.clients.shutdown().await;
        yield_now().await;
    }
}

/// One connection, as the schedule sees it.
enum Line {
    Floor { stream: TcpStream, frame_bytes: usize, input: Vec<u8>, part: usize },
    Referee(Box<Light>),
}

async fn client(
    number: usize,
    scenario: &Scenario,
    target: &Target,
    tally: &Tally,
) -> Result<(), String> {
    let mut line = Line::open(number, scenario, target).await?;
    let period = Duration::from_secs(1) / scenario.inputs_hz;
    // Players are not in step with each other.
    let phase = period * (number % 64) as u32 / 64;
    let mut due = Instant::now() + phase;
    let mut is_in = false;
    loop {
        tokio::select! {
            states = line.states() => for bytes in states? {
                tally.frame(bytes);
                if !is_in {
                    is_in = true;
                    tally.open.set(tally.open.get() + 1);
                }
            },
            () = sleep_until(due) => {
                let lag = due.elapsed();
                let bytes = line.send().await?;
                tally.input(bytes, lag);
                due += period;
            }
        }
    }
}

impl Line {
    async fn open(number: usize, scenario: &Scenario, target: &Target) -> Result<Self, String> {
        let room = scenario.room_of(number);
        match *target {
            Target::Floor { port, frame_bytes, input_bytes } => {
                let connected = TcpStream::connect(("127.0.0.1", port)).await;
                let mut stream = connected.map_err(|error| format!("cannot connect: {error}"))?;
                stream.set_nodelay(true).map_err(|error| error.to_string())?;
                let room = (room as u16).to_le_bytes();
                stream.write_all(&room).await.map_err(|error| error.to_string())?;
                Ok(Self::Floor { stream, frame_bytes, input: vec![0; input_bytes], part: 0 })
            }
            Target::WebSocket { port } => {
                let url = format!("ws://127.0.0.1:{port}/{GAME}/{}", match_id(room));
                Self::referee(number, scenario, &url, &Trust::default()).await
            }
            Target::Quic { port, pin } => {
                let url = format!("quic://127.0.0.1:{port}/{GAME}/{}", match_id(room));
                Self::referee(number, scenario, &url, &Trust { pin }).await
            }
        }
    }

    async fn referee(
        number: usize,
        scenario: &Scenario,
        url: &str,
        trust: &Trust,
    ) -> Result<Self, String> {
        let socket = RawSocket::connect_with(url, &[], trust).await;
        let socket = socket.map_err(|error| format!("cannot connect: {error}"))?;
        let match_id = match_id(scenario.room_of(number));
        let ticket = Ticket { match_id, params: scenario.params(), seed: number as u64 };
        Ok(Self::Referee(Box::new(Light::enter(socket, ticket).await?)))
    }

    /// The lengths of the states that came. Loses nothing when it is dropped while it waits.
    async fn states(&mut self) -> Result<Vec<usize>, String> {
        match self {
            Self::Floor { stream, frame_bytes, part, .. } => {
                let mut bytes = [0; 8192];
                let length = stream.read(&mut bytes).await.map_err(|error| error.to_string())?;
                if length == 0 {
                    return Err("the floor closed".to_owned());
                }
                let (whole, rest) = whole_frames(*part + length, *frame_bytes);
                *part = rest;
                Ok(vec![*frame_bytes; whole])
            }
            Self::Referee(light) => Ok(vec![light.state().await?]),
        }
    }

    async fn send(&mut self) -> Result<usize, String> {
        match self {
            Self::Floor { stream, input, .. } => {
                stream.write_all(input).await.map_err(|error| error.to_string())?;
                Ok(input.len())
            }
            Self::Referee(light) => light.send().await,
        }
    }
}

fn match_id(room: usize) -> String {
    format!("bench-{room}")
}

/// How many frames are complete, and how many bytes of the next one are here.
fn whole_frames(bytes: usize, frame_bytes: usize) -> (usize, usize) {
    (bytes / frame_bytes, bytes % frame_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_when_they_are_whole() {
        assert_eq!(whole_frames(99, 100), (0, 99));
        assert_eq!(whole_frames(250, 100), (2, 50));
    }
}
