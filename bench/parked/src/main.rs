//! What rooms cost that are out of memory, and how soon they are back: a server in this process, and a second
//! process for the clients that have sockets. `referee-bench-parked DIR ROOMS SOCKETS WAKES` prints a line
//! for each figure. `referee-bench-parked serve DIR PARK_AFTER_MS` is a server with games that only a bench
//! wants, for others to measure.

mod clients;
mod games;
mod serve;
mod stamps;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use referee_server::config::Config;
use referee_server::metrics::Metrics;
use referee_server::run::{Running, Server};
use referee_server::store::StoreConfig;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Players of a room that is measured without its sockets.
const SESSIONS: usize = 2;
/// Rooms that are in memory at once on their way out of it. What they had is free then, and stays with the
/// process: with more of them less would be seen to grow, with many rooms parked it is a small part.
const BATCH: usize = 25;
/// After so long without an act a room is parked.
const PARK_AFTER_MS: u64 = 30;
/// Nothing takes longer.
const WITHIN: Duration = Duration::from_secs(60);

fn main() -> Result {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [of, port, game, name, clients] if of == clients::ORDER => {
            clients::run(port.parse()?, (game, name), clients.parse()?)
        }
        [of, dir, park_after_ms] if of == serve::ORDER => {
            serve::run(Path::new(dir), park_after_ms.parse()?)
        }
        [dir, rooms, sockets, wakes] => {
            measure(Path::new(dir), rooms.parse()?, sockets.parse()?, wakes.parse()?)
        }
        _ => Err("usage: referee-bench-parked DIR ROOMS SOCKETS WAKES".into()),
    }
}

fn measure(dir: &Path, rooms: usize, sockets: usize, wakes: usize) -> Result {
    let running = Server::start(games::all(), config(dir, rooms))?;
    let empty = resident_bytes()?;
    park(&running, rooms)?;
    let each = resident_bytes()?.saturating_sub(empty) as f64 / rooms as f64;
    println!("parked_room_bytes {each:.1}");
    println!("parked_rooms {rooms}");
    println!("parked_socket_bytes {:.1}", of_sockets(&running, sockets, each)?);
    for (game, name) in [("logged", "wake"), ("gated", "wake_gated")] {
        let mut clients = Clients::start(&running, (game, "apart"), wakes)?;
        parked(&running, rooms + wakes)?;
        let before = woken(&running);
        let waits = clients.act()?;
        let (count, seconds) = woken(&running);
        for percent in [50, 99] {
            let at = (waits.len().saturating_sub(1)) * percent / 100;
            println!("{name}_ms_p{percent} {}", waits.get(at).copied().unwrap_or(f64::NAN));
        }
        let mean_ms = (seconds - before.1) * 1e3 / (count - before.0);
        println!("{name}_in_the_server_ms {mean_ms:.4}");
        clients.end()?;
        parked(&running, rooms)?;
    }
    running.stop()?;
    Ok(())
}

/// How many rooms came back, and how many seconds that took in all.
fn woken(running: &Running) -> (f64, f64) {
    let metrics = running.metrics();
    (metrics.wakes.get() as f64, metrics.wake_seconds.seconds())
}

fn config(dir: &Path, rooms: usize) -> Config {
    Config {
        port: 0,
        quic: false,
        data: dir.to_owned(),
        park_after_ms: PARK_AFTER_MS,
        room_grace_ms: 100,
        rooms_max: 2 * rooms + 10_000,
        new_rooms_per_second: 1_000_000,
        new_rooms_burst: 1_000_000,
        stop_within_ms: 120_000,
        // It does not grow with the rooms beyond its bound, but would on the way there.
        store: StoreConfig { cache_bytes: 1 << 20, ..StoreConfig::default() },
        ..Config::default()
    }
}

/// Rooms in which somebody has acted, whose players have no sockets, are made and parked.
fn park(running: &Running, rooms: usize) -> Result {
    let mut http = TcpStream::connect(running.address())?;
    for first in (0..rooms).step_by(BATCH) {
        let last = rooms.min(first + BATCH);
        for room in first..last {
            let room = format!("logged/m{room}");
            (0..SESSIONS).try_for_each(|_| running.hold(&room))?;
            call(&mut http, &room)?;
        }
        parked(running, last)?;
    }
    Ok(())
}

/// Somebody acts in the room over HTTP.
fn call(http: &mut TcpStream, room: &str) -> Result {
    let host = http.peer_addr()?;
    let head = format!("POST /{room}/call HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n");
    http.write_all(head.as_bytes())?;
    let mut answer = [0; 1024];
    let length = http.read(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(answer.into()) }
}

/// Waits until it is so.
fn until(running: &Running, so: impl Fn(&Metrics) -> bool) -> Result {
    let (metrics, begun) = (running.metrics(), Instant::now());
    while !so(&metrics) {
        if begun.elapsed() > WITHIN {
            let (parked, loaded) = (metrics.rooms_parked.get(), metrics.rooms.get());
            return Err(format!("{parked} rooms are parked and {loaded} in memory").into());
        }
        sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Waits until so many rooms are parked, and none is in memory.
fn parked(running: &Running, rooms: usize) -> Result {
    let rooms = rooms as u64;
    until(running, |metrics| (metrics.rooms_parked.get(), metrics.rooms.get()) == (rooms, 0))
}

/// The memory that this process has.
fn resident_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.ok_or("the system does not say what memory there is")?;
    Ok(kib.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// What the socket of a client costs while its room is parked, with what the room keeps of the client. They
/// are all in one room: rooms that are in memory on their way would take more than they leave.
fn of_sockets(running: &Running, sockets: usize, of_room: f64) -> Result<f64> {
    let there = running.metrics().rooms_parked.get() as usize;
    let before = resident_bytes()?;
    let clients = Clients::start(running, ("logged", clients::TOGETHER), sockets)?;
    until(running, |metrics| metrics.connections() as usize == there * SESSIONS + sockets)?;
    parked(running, there + 1)?;
    let all = resident_bytes()?.saturating_sub(before) as f64;
    clients.end()?;
    parked(running, there)?;
    Ok((all - of_room) / sockets as f64)
}

/// A process with clients, each in a room of its own.
struct Clients {
    child: Child,
    orders: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Clients {
    /// All are in, and have acted once.
    fn start(running: &Running, (game, name): (&str, &str), clients: usize) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([clients::ORDER, &running.address().port().to_string(), game, name]);
        command.arg(clients.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let orders = child.stdin.take().ok_or("the clients take no orders")?;
        let said = BufReader::new(child.stdout.take().ok_or("the clients say nothing")?);
        let mut clients = Self { child, orders, said };
        clients.line()?;
        Ok(clients)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        if line.is_empty() { Err("the clients have gone".into()) } else { Ok(line) }
    }

    /// Each acts, one after the other. Gives how long it took until they saw what came of it, in
    /// milliseconds, sorted.
    fn act(&mut self) -> Result<Vec<f64>> {
        writeln!(self.orders, "act")?;
        let line = self.line()?;
        let waits = line.split_whitespace().map(str::parse);
        let mut waits = waits.collect::<std::result::Result<Vec<f64>, _>>()?;
        waits.sort_by(f64::total_cmp);
        Ok(waits)
    }

    fn end(self) -> Result {
        let Self { mut child, orders, .. } = self;
        drop(orders);
        child.wait()?;
        Ok(())
    }
}
