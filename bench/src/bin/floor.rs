//! The bare floor: what a host of rooms costs when all that is left are the system calls. One thread,
//! epoll, one prebuilt frame for each room and tick, one nonblocking send(2) for each client, one
//! recv(2) for each client that has something to say. It knows no game and no protocol: a client
//! connects and says the number of its room in two bytes.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// Sends the same frame to every client of every room, and reads what they say.
#[derive(Parser)]
struct Arguments {
    /// How many rooms there are; their ticks are spread evenly over a period
    #[arg(long)]
    rooms: usize,
    /// Ticks per second
    #[arg(long)]
    hz: u32,
    /// The length of a frame in bytes, with what the transport puts before it
    #[arg(long)]
    frame: usize,
}

/// The listener among the clients' numbers.
const LISTENER: u64 = u64::MAX;
/// The standard input: a line asks for the counts, its end ends the program.
const STDIN: u64 = u64::MAX - 1;
/// Events that are taken at once.
const EVENTS_MAX: usize = 256;
/// Bytes that are read at once.
const READ_BYTES: usize = 4096;

struct Client {
    stream: TcpStream,
    /// None until its first bytes, and after its end.
    room: Option<usize>,
}

struct Floor {
    epoll: OwnedFd,
    listener: TcpListener,
    clients: Vec<Client>,
    rooms: Vec<Vec<usize>>,
    frame: Vec<u8>,
    sent: u64,
    /// Frames that did not fit into a socket.
    skipped: u64,
    received_bytes: u64,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?.port());
    io::stdout().flush()?;
    let mut floor = Floor {
        epoll: epoll::create(CreateFlags::CLOEXEC)?,
        listener,
        clients: Vec::new(),
        rooms: vec![Vec::new(); arguments.rooms.max(1)],
        frame: vec![0; arguments.frame],
        sent: 0,
        skipped: 0,
        received_bytes: 0,
    };
    let watch = |what: u64| EventData::new_u64(what);
    epoll::add(&floor.epoll, &floor.listener, watch(LISTENER), EventFlags::IN)?;
    epoll::add(&floor.epoll, io::stdin(), watch(STDIN), EventFlags::IN)?;
    floor.run(Duration::from_secs(1) / arguments.hz.max(1))
}

impl Floor {
    /// Room `n` of `r` ticks at `n / r` of each period.
    fn run(&mut self, period: Duration) -> io::Result<()> {
        let start = Instant::now();
        let step = period / self.rooms.len() as u32;
        let (mut ticks, mut events) = (0_u32, Vec::with_capacity(EVENTS_MAX));
        loop {
            let rooms = self.rooms.len() as u32;
            let due = start + period * (ticks / rooms) + step * (ticks % rooms);
            let now = Instant::now();
            if now >= due {
                self.tick((ticks % rooms) as usize);
                ticks += 1;
                continue;
            }
            let wait = due - now;
            let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
            events.clear();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&timeout),
            ) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                if !self.handle(event)? {
                    return Ok(());
                }
            }
        }
    }

    fn tick(&mut self, room: usize) {
        for &client in &self.rooms[room] {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match send(&self.clients[client].stream, &self.frame, flags) {
                Ok(sent) if sent == self.frame.len() => self.sent += 1,
                // One that went away is noticed when it is read.
                _ => self.skipped += 1,
            }
        }
    }

    /// False: it is over.
    fn handle(&mut self, event: &Event) -> io::Result<bool> {
        match event.data.u64() {
            LISTENER => self.accept()?,
            STDIN => {
                let mut line = String::new();
                if io::stdin().read_line(&mut line)? == 0 {
                    return Ok(false);
                }
                println!("{} {} {}", self.sent, self.skipped, self.received_bytes);
                io::stdout().flush()?;
            }
            client => self.read(client as usize)?,
        }
        Ok(true)
    }

    fn accept(&mut self) -> io::Result<()> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let number = self.clients.len() as u64;
        epoll::add(&self.epoll, &stream, EventData::new_u64(number), EventFlags::IN)?;
        self.clients.push(Client { stream, room: None });
        Ok(())
    }

    fn read(&mut self, number: usize) -> io::Result<()> {
        let mut bytes = [0; READ_BYTES];
        let client = &mut self.clients[number];
        match recv(&client.stream, &mut bytes, RecvFlags::DONTWAIT) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => self.leave(number)?,
            Ok((_, length)) => {
                self.received_bytes += length as u64;
                if client.room.is_none() && length >= 2 {
                    let room = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
                    let room = room % self.rooms.len();
                    client.room = Some(room);
                    self.rooms[room].push(number);
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn leave(&mut self, number: usize) -> io::Result<()> {
        epoll::delete(&self.epoll, &self.clients[number].stream)?;
        if let Some(room) = self.clients[number].room.take() {
            self.rooms[room].retain(|client| *client != number);
        }
        Ok(())
    }
}
