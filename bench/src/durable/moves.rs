//! Clients that do one move after the other, each once the one before is answered: over one epoll, so that
//! they take little of the machine.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use referee_protocol::Tick;
use referee_protocol::block::Heads;
use referee_protocol::frame::{Ack, ActionFrame, Lane, Payload, Prelude, split};
use referee_protocol::message::{self, ClientControl, Hello, ServerControl};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::poll;
use crate::usage::{self, Machine, Usage};
use crate::websocket::{self, Frame};

/// The lengths of the floor's moves and answers, in bytes.
pub(crate) const FLOOR_MOVE_BYTES: usize = 32;
pub(crate) const FLOOR_ANSWER_BYTES: usize = 16;
/// Clients come at this rate.
const COMING_PER_SECOND: u32 = 400;
/// All of them must be in after this time beyond the ramp.
const IN_WITHIN: Duration = Duration::from_secs(20);
/// A client acknowledges states after so many, which is early enough for the server to go on.
const ACK_EVERY: u64 = 3;
const READ_BYTES: usize = 16 * 1024;

/// What a move is answered by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answered {
    /// The word that it was applied, which comes once it is on disk.
    OnDisk,
    /// A state that shows something: it is what came of the only player's only move. In a logged game it
    /// comes before the word.
    Shown,
}

/// Who plays where.
pub(crate) struct Plan<'a> {
    pub(crate) port: u16,
    /// The turn-based game that is played.
    pub(crate) game: &'a str,
    /// None is the floor; else what the names of the rooms begin with.
    pub(crate) rooms: Option<&'a str>,
    pub(crate) answered: Answered,
    /// As many clients as rooms.
    pub(crate) clients: usize,
    /// How long a client waits after an answer.
    pub(crate) pause: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
    /// The host's process, of which processor time is taken.
    pub(crate) pid: u32,
}

/// What they saw.
pub(crate) struct Moves {
    pub(crate) per_second: f64,
    /// From a move to its answer, in microseconds, sorted.
    waits_us: Vec<u32>,
    /// The host's processor time and wake-ups for each move.
    pub(crate) cpu_us_each: f64,
    pub(crate) wakeups_each: f64,
    /// The share of a core that these clients themselves took.
    pub(crate) load_share: f64,
    /// The share of the machine that other programs had.
    pub(crate) others_share: f64,
}

impl Moves {
    /// So many of 100 moves were answered within this time, in milliseconds.
    pub(crate) fn wait_ms(&self, percent: usize) -> f64 {
        let last = self.waits_us.len().saturating_sub(1);
        self.waits_us.get(last * percent / 100).map_or(f64::NAN, |us| f64::from(*us) / 1e3)
    }
}

struct Client {
    stream: TcpStream,
    part: Vec<u8>,
    talk: Talk,
    /// When the move that waits for its answer was sent.
    sent: Instant,
}

enum Talk {
    Floor,
    /// What is said once the server has answered the request.
    Asking(Vec<u8>),
    In {
        number: u64,
        tick: Tick,
        ack: Ack,
        /// Frames that the server knows to have come.
        acked: u64,
    },
}

/// What came of the bytes of a read.
#[derive(PartialEq, Eq)]
enum Came {
    Nothing,
    /// The client is in, and may move.
    In,
    Answer,
}

struct Crowd<'a> {
    plan: &'a Plan<'a>,
    epoll: OwnedFd,
    clients: Vec<Client>,
    /// When which client is to come, or to move.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    waits_us: Vec<u32>,
    answered: usize,
    out: Vec<u8>,
}

/// Has them play until the window is over.
pub(crate) fn play(plan: &Plan<'_>) -> Result<Moves, String> {
    let now = Instant::now();
    let mut crowd = Crowd {
        plan,
        epoll: epoll::create(CreateFlags::CLOEXEC).map_err(|error| error.to_string())?,
        clients: Vec::new(),
        due: BinaryHeap::from([Reverse((now, 0))]),
        waits_us: Vec::new(),
        answered: 0,
        out: Vec::new(),
    };
    let ramp = Duration::from_secs(1) * plan.clients as u32 / COMING_PER_SECOND;
    let deadline = now + ramp + IN_WITHIN;
    while crowd.answered < plan.clients {
        if Instant::now() > deadline {
            return Err(format!("only {} of {} clients came in", crowd.answered, plan.clients));
        }
        crowd.turn(deadline)?;
    }
    crowd.play_for(plan.warm_up)?;
    crowd.waits_us.clear();
    let usage = || Usage::read(plan.pid).map_err(|error| error.to_string());
    let own = || usage::own_thread_us().map_err(|error| error.to_string());
    let machine = || Machine::look(plan.pid).map_err(|error| error.to_string());
    let all = machine()?;
    let (before, own_before, begun) = (usage()?, own()?, Instant::now());
    crowd.play_for(plan.window)?;
    let (took, own_us, after) = (begun.elapsed(), own()? - own_before, usage()?);
    let mut waits_us = crowd.waits_us;
    waits_us.sort_unstable();
    let count = waits_us.len().max(1) as f64;
    Ok(Moves {
        per_second: waits_us.len() as f64 / took.as_secs_f64(),
        waits_us,
        cpu_us_each: after.cpu_us_since(&before) / count,
        wakeups_each: after.wakeups_since(&before) as f64 / count,
        others_share: machine()?.others_since(&all),
        load_share: own_us / took.as_secs_f64() / 1e6,
    })
}

impl Crowd<'_> {
    fn play_for(&mut self, time: Duration) -> Result<(), String> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.turn(until)?;
        }
        Ok(())
    }

    /// Does what is due, and waits for what comes.
    fn turn(&mut self, until: Instant) -> Result<(), String> {
        while let Some(Reverse((at, number))) = self.due.peek().copied() {
            if at > Instant::now() {
                break;
            }
            self.due.pop();
            match number < self.clients.len() {
                true => self.move_now(number)?,
                false => self.come(number)?,
            }
        }
        let next = self.due.peek().map_or(until, |Reverse((at, _))| (*at).min(until));
        let wait = next.saturating_duration_since(Instant::now());
        for number in poll::wait(&self.epoll, wait)? {
            self.read(number).map_err(|fault| format!("client {number}: {fault}"))?;
        }
        Ok(())
    }

    fn come(&mut self, number: usize) -> Result<(), String> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.plan.port));
        let mut stream = stream.map_err(|error| format!("cannot connect: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let talk = match self.plan.rooms {
            None => Talk::Floor,
            Some(prefix) => {
                let room = format!("{prefix}-{number}");
                let request =
                    websocket::request(self.plan.port, &format!("{}/{room}", self.plan.game));
                stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
                Talk::Asking(hello(self.plan.game, room))
            }
        };
        stream.set_nonblocking(true).map_err(|error| error.to_string())?;
        epoll::add(&self.epoll, &stream, EventData::new_u64(number as u64), EventFlags::IN)
            .map_err(|error| error.to_string())?;
        // The next comes after this one, however late that was: a crowd at once would be another test.
        if number + 1 < self.plan.clients {
            let next = Instant::now() + Duration::from_secs(1) / COMING_PER_SECOND;
            self.due.push(Reverse((next, number + 1)));
        }
        let is_floor = matches!(talk, Talk::Floor);
        self.clients.push(Client { stream, part: Vec::new(), talk, sent: Instant::now() });
        if is_floor { self.move_now(number) } else { Ok(()) }
    }

    fn move_now(&mut self, number: usize) -> Result<(), String> {
        self.out.clear();
        let client = &mut self.clients[number];
        match &mut client.talk {
            Talk::Floor => self.out.resize(FLOOR_MOVE_BYTES, 0),
            Talk::Asking(_) => return Err("a client that is not in cannot move".to_owned()),
            Talk::In { number, ack, acked, .. } => {
                *number += 1;
                acknowledge(ack, acked, &mut self.out);
                let action = ActionFrame { number: *number, payload: Payload::default() };
                websocket::put(&mut self.out, &action.encode());
            }
        }
        client.sent = Instant::now();
        client.stream.write_all(&self.out).map_err(|error| format!("cannot send: {error}"))
    }

    fn read(&mut self, number: usize) -> Result<(), String> {
        let mut bytes = [0; READ_BYTES];
        let client = &mut self.clients[number];
        let length = match client.stream.read(&mut bytes) {
            Ok(0) => return Err("the host closed the connection".to_owned()),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(format!("cannot receive: {error}")),
        };
        client.part.extend_from_slice(&bytes[..length]);
        self.out.clear();
        let came = client.hear(self.plan.answered, &mut self.out)?;
        if !self.out.is_empty() {
            client.stream.write_all(&self.out).map_err(|error| format!("cannot send: {error}"))?;
        }
        if came == Came::Nothing {
            return Ok(());
        }
        if came == Came::Answer {
            let first = self.answered < self.plan.clients;
            self.answered += usize::from(first);
            self.waits_us.push(client.sent.elapsed().as_micros() as u32);
        }
        if self.plan.pause.is_zero() {
            return self.move_now(number);
        }
        self.due.push(Reverse((Instant::now() + self.plan.pause, number)));
        Ok(())
    }
}

impl Client {
    /// Takes what has come; puts what is to be answered into `out`.
    fn hear(&mut self, by: Answered, out: &mut Vec<u8>) -> Result<Came, String> {
        let part = std::mem::take(&mut self.part);
        let mut rest = &part[..];
        let mut came = Came::Nothing;
        if let Talk::Floor = self.talk
            && rest.len() >= FLOOR_ANSWER_BYTES
        {
            rest = &rest[FLOOR_ANSWER_BYTES..];
            came = Came::Answer;
        }
        if let Talk::Asking(hello) = &self.talk
            && websocket::take_answer(&mut rest)?
        {
            websocket::put(out, hello);
            self.talk = Talk::In { number: 0, tick: Tick(0), ack: Ack::default(), acked: 0 };
        }
        if let Talk::In { number, tick, ack, acked } = &mut self.talk {
            while let Some(frame) = websocket::take(&mut rest)? {
                match frame {
                    Frame::Message(frame) => {
                        if let Some(news) = hear_frame(frame, (*number, by), tick, ack)? {
                            came = news;
                        }
                    }
                    Frame::Ping(ping) => websocket::put_pong(out, ping),
                    Frame::Pong => {}
                }
            }
            // A move takes it along; where none follows at once, the server may wait for it.
            if came != Came::Answer {
                acknowledge(ack, acked, out);
            }
        }
        self.part.extend_from_slice(rest);
        Ok(came)
    }
}

/// Puts an acknowledgement, if one is due.
fn acknowledge(ack: &Ack, acked: &mut u64, out: &mut Vec<u8>) {
    if ack.frames - *acked >= ACK_EVERY {
        *acked = ack.frames;
        websocket::put(out, &ack.encode());
    }
}

fn hear_frame(
    frame: &[u8],
    (number, by): (u64, Answered),
    tick: &mut Tick,
    ack: &mut Ack,
) -> Result<Option<Came>, String> {
    if frame.is_empty() {
        return Ok(None);
    }
    let (lane, mut body) = split(frame).map_err(|error| error.to_string())?;
    if lane == Lane::Control
        && let ServerControl::Refused(refusal) =
            message::decode(body).map_err(|error| error.to_string())?
    {
        return Err(format!("refused: {}", refusal.message));
    }
    if lane != Lane::State {
        return Ok(None);
    }
    let (prelude, shows) = Prelude::read(&mut body, *tick).map_err(|error| error.to_string())?;
    *tick = prelude.tick;
    ack.frames += 1;
    let answered = match by {
        Answered::OnDisk => prelude.action == Some(number as u16),
        Answered::Shown => shows != Heads::None,
    };
    Ok(match (number, answered) {
        (0, _) => (ack.frames == 1).then_some(Came::In),
        (_, true) => Some(Came::Answer),
        (_, false) => None,
    })
}

fn hello(game: &str, room: String) -> Vec<u8> {
    message::encode(&ClientControl::Hello(Hello {
        versions: vec![1],
        game: Some(game.to_owned()),
        match_id: Some(room),
        name: "Mover".to_owned(),
        ..Hello::default()
    }))
}
