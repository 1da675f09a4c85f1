//! The clients of a host over TCP, all of them in one loop: one epoll, one buffer that all reads share,
//! one queue of what is due. It has little to do for each message, and the host none for the load.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::light::{Heard, Light, match_id};
use crate::load::{COMING_PER_SECOND, TURN, Target};
use crate::scenario::Scenario;
use crate::tally::Tally;
use crate::websocket::{self, Frame};

/// Bytes that are read at once: a tick's frame for one client many times over.
const READ_BYTES: usize = 64 * 1024;

/// All clients of a load.
pub(crate) struct Crowd<'a> {
    scenario: &'a Scenario,
    target: &'a Target,
    tally: &'a Tally,
    epoll: OwnedFd,
    /// None: it has not come yet.
    clients: Vec<Option<Client>>,
    /// When which client has something to do: to come, then to send.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    bytes: Vec<u8>,
    out: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    talk: Talk,
    /// It has seen a state.
    is_in: bool,
}

/// What a client speaks.
enum Talk {
    /// Frames and inputs of fixed lengths; so many bytes of the next frame are here.
    Floor { frame_bytes: usize, part: usize },
    /// Referee's protocol over a WebSocket, the bytes of what is not whole yet, and what is said once
    /// the server has answered the request.
    WebSocket { light: Box<Light>, part: Vec<u8>, hello: Option<Vec<u8>> },
}

/// What came with the bytes of one read.
#[derive(Default)]
struct Came {
    states: usize,
    /// The client may send from now on.
    may_send: bool,
}

impl<'a> Crowd<'a> {
    pub(crate) fn new(
        scenario: &'a Scenario,
        target: &'a Target,
        tally: &'a Tally,
    ) -> Result<Self, String> {
        let now = Instant::now();
        let comes = |number| now + Duration::from_secs(1) * number as u32 / COMING_PER_SECOND;
        Ok(Self {
            scenario,
            target,
            tally,
            epoll: epoll::create(CreateFlags::CLOEXEC).map_err(|error| error.to_string())?,
            clients: (0..scenario.clients()).map(|_| None).collect(),
            due: (0..scenario.clients()).map(|number| Reverse((comes(number), number))).collect(),
            bytes: vec![0; READ_BYTES],
            out: Vec::new(),
        })
    }

    /// Plays until it is told to end, or something goes wrong.
    pub(crate) fn run(mut self) -> Result<(), String> {
        let mut events = Vec::with_capacity(self.clients.len());
        let mut turn = Instant::now();
        while !self.tally.is_over() {
            self.do_what_is_due()?;
            events.clear();
            let into = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, into, Some(&Timespec::default())) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.to_string()),
            }
            for event in &events {
                let number = event_client(event);
                self.read(number).map_err(|fault| format!("client {number}: {fault}"))?;
            }
            turn = Instant::now().max(turn + TURN);
            sleep(turn.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    fn do_what_is_due(&mut self) -> Result<(), String> {
        while let Some(Reverse((at, number))) = self.due.peek().copied() {
            let now = Instant::now();
            if at > now {
                break;
            }
            self.due.pop();
            let done = match self.clients[number] {
                None => self.come(number),
                Some(_) => self.send(number, at, now),
            };
            done.map_err(|fault| format!("client {number}: {fault}"))?;
        }
        Ok(())
    }

    fn come(&mut self, number: usize) -> Result<(), String> {
        let room = self.scenario.room_of(number);
        let (port, talk, first) = match *self.target {
            Target::Floor { port, frame_bytes, .. } => {
                (port, Talk::Floor { frame_bytes, part: 0 }, (room as u16).to_le_bytes().to_vec())
            }
            Target::WebSocket { port } => {
                let light = Box::new(Light::new(number as u64, self.scenario));
                let request =
                    websocket::request(port, &format!("{}/{}", self.scenario.game, match_id(room)));
                let hello = Some(Light::hello(number, self.scenario));
                let talk = Talk::WebSocket { light, part: Vec::new(), hello };
                (port, talk, request.into_bytes())
            }
            Target::Quic { .. } => return Err("QUIC goes another way".to_owned()),
        };
        let is_floor = matches!(talk, Talk::Floor { .. });
        let stream = open(port, &first).map_err(|error| format!("cannot connect: {error}"))?;
        let data = EventData::new_u64(number as u64);
        epoll::add(&self.epoll, &stream, data, EventFlags::IN)
            .map_err(|error| error.to_string())?;
        self.clients[number] = Some(Client { stream, talk, is_in: false });
        if is_floor {
            self.begin(number);
        }
        Ok(())
    }

    /// It sends from now on. Players are not in step with each other.
    fn begin(&mut self, number: usize) {
        let phase = self.period() * (number % 64) as u32 / 64;
        self.due.push(Reverse((Instant::now() + phase, number)));
    }

    fn period(&self) -> Duration {
        Duration::from_secs(1) / self.scenario.inputs_hz
    }

    fn send(&mut self, number: usize, at: Instant, now: Instant) -> Result<(), String> {
        self.due.push(Reverse((at + self.period(), number)));
        let Some(client) = &mut self.clients[number] else { return Ok(()) };
        self.out.clear();
        let length = match (&mut client.talk, self.target) {
            (Talk::WebSocket { light, .. }, _) => {
                let sample = light.sample()?;
                if let Some(ping) = sample.ping {
                    websocket::put(&mut self.out, &ping);
                }
                websocket::put(&mut self.out, &sample.input);
                sample.input.len()
            }
            (Talk::Floor { .. }, Target::Floor { input_bytes, .. }) => {
                self.out.resize(*input_bytes, 0);
                *input_bytes
            }
            (Talk::Floor { .. }, _) => return Err("this host is no floor".to_owned()),
        };
        write(&mut client.stream, &self.out)?;
        self.tally.input(length, now - at);
        Ok(())
    }

    /// Reads once; what is left is read in the next turn.
    fn read(&mut self, number: usize) -> Result<(), String> {
        let Some(client) = &mut self.clients[number] else { return Ok(()) };
        let length = match client.stream.read(&mut self.bytes) {
            Ok(0) => return Err("the host closed the connection".to_owned()),
            Ok(length) => length,
            Err(error) if is_early(&error) => return Ok(()),
            Err(error) => return Err(format!("cannot receive: {error}")),
        };
        self.out.clear();
        let came = client.talk.hear(&self.bytes[..length], &mut self.out, self.tally)?;
        if !self.out.is_empty() {
            write(&mut client.stream, &self.out)?;
        }
        if came.states > 0 && !std::mem::replace(&mut client.is_in, true) {
            self.tally.one_more_in();
        }
        if came.may_send {
            self.begin(number);
        }
        Ok(())
    }
}

impl Talk {
    /// Takes the bytes of one read and counts the states in them; puts what is to be answered into
    /// `out`.
    fn hear(&mut self, bytes: &[u8], out: &mut Vec<u8>, tally: &Tally) -> Result<Came, String> {
        let mut came = Came::default();
        match self {
            Self::Floor { frame_bytes, part } => {
                let (whole, rest) = whole_frames(*part + bytes.len(), *frame_bytes);
                (*part, came.states) = (rest, whole);
                (0..whole).for_each(|_| tally.frame(*frame_bytes));
            }
            Self::WebSocket { light, part, hello } => {
                let kept = std::mem::take(part);
                let all = if kept.is_empty() { Vec::new() } else { [&kept, bytes].concat() };
                let mut rest = if kept.is_empty() { bytes } else { &all[..] };
                if let Some(said) = hello
                    && websocket::take_answer(&mut rest)?
                {
                    websocket::put(out, said);
                    *hello = None;
                }
                if hello.is_none() {
                    came = take_frames(light, &mut rest, out, tally)?;
                }
                part.extend_from_slice(rest);
            }
        }
        Ok(came)
    }
}

fn take_frames(
    light: &mut Light,
    bytes: &mut &[u8],
    out: &mut Vec<u8>,
    tally: &Tally,
) -> Result<Came, String> {
    let mut came = Came::default();
    while let Some(frame) = websocket::take(bytes)? {
        match frame {
            Frame::Message(frame) => match light.hear(frame)? {
                Heard::State => {
                    tally.frame(frame.len());
                    came.states += 1;
                }
                Heard::Schema => came.may_send = true,
                Heard::Other => {}
            },
            Frame::Ping(ping) => websocket::put_pong(out, ping),
            Frame::Pong => {}
        }
    }
    Ok(came)
}

fn open(port: u16, first: &[u8]) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.write_all(first)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// The few bytes of a client always fit into a socket, unless its host takes none at all.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), String> {
    match stream.write(bytes) {
        Ok(length) if length == bytes.len() => Ok(()),
        Ok(_) => Err("the host takes nothing more".to_owned()),
        Err(error) => Err(format!("cannot send: {error}")),
    }
}

fn is_early(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn event_client(event: &Event) -> usize {
    event.data.u64() as usize
}

/// How many frames are complete, and how many bytes of the next one are here.
fn whole_frames(bytes: usize, frame_bytes: usize) -> (usize, usize) {
    (bytes / frame_bytes, bytes % frame_bytes)
}

#[cfg(test)]
mod tests;
