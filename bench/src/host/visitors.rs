//! Visitors of turn-based rooms, over one epoll: they come in, see a first state, and are quiet from then on.
//! They answer pings and acknowledge states.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use referee_protocol::frame::{Ack, ActionFrame, Lane, Payload, split};
use referee_protocol::message::{self, ClientControl, Hello, ServerControl};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::poll;
use crate::websocket::{self, Frame};

const READ_BYTES: usize = 16 * 1024;

/// All of them.
pub(super) struct Visitors {
    port: u16,
    game: &'static str,
    epoll: OwnedFd,
    /// None: it has gone.
    all: Vec<Option<Visitor>>,
    /// Who has seen a first state since somebody looked.
    came_in: Vec<usize>,
    out: Vec<u8>,
}

struct Visitor {
    stream: TcpStream,
    part: Vec<u8>,
    /// What is said once the server has answered the request.
    hello: Option<Vec<u8>>,
    ack: Ack,
    /// It acts once, when it is in.
    acts: bool,
    came: Instant,
}

impl Visitors {
    pub(super) fn new(port: u16, game: &'static str) -> Result<Self, String> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(|error| error.to_string())?;
        let (all, came_in, out) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { port, game, epoll, all, came_in, out })
    }

    /// One more comes, into this room. One that acts does so once.
    pub(super) fn come(&mut self, room: &str, acts: bool) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot connect: {error}");
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let request = websocket::request(self.port, &format!("{}/{room}", self.game));
        stream.write_all(request.as_bytes()).map_err(failed)?;
        stream.set_nonblocking(true).map_err(failed)?;
        let data = EventData::new_u64(self.all.len() as u64);
        epoll::add(&self.epoll, &stream, data, EventFlags::IN)
            .map_err(|error| error.to_string())?;
        let hello = message::encode(&ClientControl::Hello(Hello {
            versions: vec![1],
            game: Some(self.game.to_owned()),
            match_id: Some(room.to_owned()),
            name: "Visitor".to_owned(),
            ..Hello::default()
        }));
        let (hello, came) = (Some(hello), Instant::now());
        let visitor = Visitor { stream, part: Vec::new(), hello, ack: Ack::default(), acts, came };
        self.all.push(Some(visitor));
        Ok(())
    }

    /// Takes what comes within this time.
    pub(super) fn turn(&mut self, wait: Duration) -> Result<(), String> {
        for number in poll::wait(&self.epoll, wait)? {
            self.read(number).map_err(|fault| format!("visitor {number}: {fault}"))?;
        }
        Ok(())
    }

    /// Goes on for a time.
    pub(super) fn stay(&mut self, time: Duration) -> Result<(), String> {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.turn(left)?;
        }
        Ok(())
    }

    /// Who came in since the last call, and how long each had waited for its first state.
    pub(super) fn came_in(&mut self) -> Vec<(usize, Duration)> {
        let now = Instant::now();
        let waited = |number: &usize| {
            self.all[*number].as_ref().map_or(Duration::ZERO, |visitor| now - visitor.came)
        };
        let came = self.came_in.iter().map(|number| (*number, waited(number))).collect();
        self.came_in.clear();
        came
    }

    /// It goes, without the time that a connection stays known after its end: there are not ports enough.
    pub(super) fn leave(&mut self, number: usize) {
        if let Some(visitor) = self.all[number].take() {
            // Without it some ports are taken for longer.
            let _ = rustix::net::sockopt::set_socket_linger(&visitor.stream, Some(Duration::ZERO));
        }
    }

    fn read(&mut self, number: usize) -> Result<(), String> {
        let mut bytes = [0; READ_BYTES];
        let Some(visitor) = &mut self.all[number] else { return Ok(()) };
        let length = match visitor.stream.read(&mut bytes) {
            Ok(0) => return Err("the host closed the connection".to_owned()),
            Ok(length) => length,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(());
            }
            Err(error) => return Err(format!("cannot receive: {error}")),
        };
        self.out.clear();
        visitor.part.extend_from_slice(&bytes[..length]);
        if visitor.hear(&mut self.out)? {
            self.came_in.push(number);
        }
        if !self.out.is_empty() {
            visitor.stream.write_all(&self.out).map_err(|error| format!("cannot send: {error}"))?;
        }
        Ok(())
    }
}

impl Visitor {
    /// Takes what has come; puts what is to be answered into `out`. True: it sees its first state.
    fn hear(&mut self, out: &mut Vec<u8>) -> Result<bool, String> {
        let part = std::mem::take(&mut self.part);
        let mut rest = &part[..];
        let before = self.ack.frames;
        if let Some(hello) = &self.hello
            && websocket::take_answer(&mut rest)?
        {
            websocket::put(out, hello);
            self.hello = None;
        }
        while self.hello.is_none()
            && let Some(frame) = websocket::take(&mut rest)?
        {
            match frame {
                Frame::Message(frame) => self.hear_frame(frame)?,
                Frame::Ping(ping) => websocket::put_pong(out, ping),
                Frame::Pong => {}
            }
        }
        if self.ack.frames > before {
            websocket::put(out, &self.ack.encode());
            if std::mem::take(&mut self.acts) {
                let action = ActionFrame { number: 1, payload: Payload::default() };
                websocket::put(out, &action.encode());
            }
        }
        self.part.extend_from_slice(rest);
        Ok(before == 0 && self.ack.frames > 0)
    }

    fn hear_frame(&mut self, frame: &[u8]) -> Result<(), String> {
        if frame.is_empty() {
            return Ok(());
        }
        let (lane, body) = split(frame).map_err(|error| error.to_string())?;
        match lane {
            Lane::State => self.ack.frames += 1,
            Lane::Control => {
                let said = message::decode(body).map_err(|error| error.to_string())?;
                if let ServerControl::Refused(refusal) = said {
                    return Err(format!("refused: {}", refusal.message));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
