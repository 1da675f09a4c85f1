//! Players and rooms that come and go, links that are cut: what the server holds at the end is what it held
//! when all had settled, and when everybody has gone nothing is left.

use crate::load::{Server, free_port, watch};
use crate::log::Log;
use crate::project::Project;
use crate::{Result, command};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How long it goes on in the test command, and in the deep run, in seconds.
const SECONDS: u64 = 180;
const DEEP_SECONDS: u64 = 1_800;
/// After this part of the time all has settled: what is held then is compared with the end.
const SETTLED: u64 = 3;
/// By so much memory may have grown from there on, in percent, and beside it in MiB: what a short run
/// cannot tell from chance.
const GROWTH_PERCENT: u64 = 5;
const GROWTH_MIB: u64 = 6;
/// Rooms go 35 s after their players, and are looked at each few seconds.
const GONE_WITHIN: Duration = Duration::from_secs(90);
/// Players and rooms stay for seconds, every link is cut now and then.
const PATTERN: &str = "churn:stay=6s,away=500ms,room=15s+storm:at=20s,every=20s,share=50%";

pub(crate) fn step(project: &Project, log: &mut Log) -> Result {
    churn(project, SECONDS, log)
}

pub(crate) fn deep(project: &Project, log: &mut Log) -> Result {
    churn(project, DEEP_SECONDS, log)
}

fn churn(project: &Project, seconds: u64, log: &mut Log) -> Result {
    let data = project.target.join("xtask").join("churn");
    if data.exists() {
        std::fs::remove_dir_all(&data)?;
    }
    let server = Server::start(project, free_port()?, data)?;
    let before = Held::at_rest(&server)?;
    let file = format!("referee-loadtest{}", std::env::consts::EXE_SUFFIX);
    let mut bots = command::program(project.target.join("release").join(file), &project.root);
    bots.args(["--url", &format!("http://127.0.0.1:{}", server.port), "--game", "arena"]);
    bots.args(["--rooms", "12", "--players", "4", "--transport", "mix", "--pattern", PATTERN]);
    bots.args(["--duration", &format!("{seconds}s"), "--assert", "wrong=0,missing=0"]);
    let bots = bots.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let begun = Instant::now();
    let looks = [seconds / SETTLED, seconds].map(Duration::from_secs);
    let held = std::thread::scope(|scope| {
        let looking = scope.spawn(|| -> std::result::Result<Vec<Held>, String> {
            let mut held = Vec::new();
            for at in looks {
                std::thread::sleep(at.saturating_sub(begun.elapsed()));
                held.push(Held::by(&server).map_err(|error| error.to_string())?);
            }
            Ok(held)
        });
        let played = watch(bots, log, |_| Ok(()));
        let held = looking.join().map_err(|_| "the watching thread panicked")??;
        played.map(|()| held)
    })?;
    let [settled, end] = &held[..] else { return Err("it was not looked at twice".into()) };
    log.say(&format!("at first {before:?}; settled {settled:?}; at the end {end:?}"))?;
    let most = settled.kib + settled.kib * GROWTH_PERCENT / 100 + GROWTH_MIB * 1024;
    if end.kib > most {
        return Err(format!("the server has {} KiB, at most {most} were expected", end.kib).into());
    }
    gone(&server, &before, log)
}

/// Waits until nothing is left of all that.
fn gone(server: &Server, before: &Held, log: &mut Log) -> Result {
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        let held = Held::by(server)?;
        let no_more = held.files.values().sum::<usize>() <= before.files.values().sum();
        let is_gone = held.rooms == 0 && held.connections == 0 && no_more;
        if is_gone {
            return log.say(&format!("when all had gone {held:?}"));
        }
        if Instant::now() > deadline {
            let sockets = sockets(server.pid());
            let text =
                format!("something is left: {held:?}, at first {before:?}; sockets {sockets:?}");
            return Err(text.into());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// How many files are open of each kind, and under each path.
type Files = BTreeMap<String, usize>;

/// What the server holds.
#[derive(Debug)]
struct Held {
    /// Resident memory.
    kib: u64,
    /// Open files, by what they are.
    files: Files,
    rooms: u64,
    connections: u64,
}

impl Held {
    /// Once two looks in a row find the same: what came to see whether the server is up has gone.
    fn at_rest(server: &Server) -> Result<Self> {
        let deadline = Instant::now() + GONE_WITHIN;
        let mut last = Self::by(server)?;
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let held = Self::by(server)?;
            if held.files == last.files {
                return Ok(held);
            }
            if Instant::now() > deadline {
                return Err(format!("its files do not come to rest: {last:?}, {held:?}").into());
            }
            last = held;
        }
    }

    /// Before its metrics are asked for: the server may still hold the connection that asks when the answer
    /// has been read.
    fn by(server: &Server) -> Result<Self> {
        let (kib, files) = process(server.pid())?;
        let metrics = metrics(server.port)?;
        let rooms = count(&metrics, "referee_rooms");
        Ok(Self { kib, files, rooms, connections: count(&metrics, "referee_connections") })
    }
}

/// The process's TCP sockets as /proc/net/tcp has them: both addresses and the state, in hexadecimal digits.
fn sockets(pid: u32) -> Vec<String> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    let own: Vec<String> = links.map(|link| link.to_string_lossy().into_owned()).collect();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    let lines = tables.iter().flatten().flat_map(|table| table.lines());
    let mine = lines.filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let socket = format!("socket:[{}]", columns.get(9)?);
        own.contains(&socket).then(|| columns.get(1..4).map(|found| found.join(" "))).flatten()
    });
    mine.collect()
}

/// The sum of all that is counted under a name.
fn count(metrics: &str, name: &str) -> u64 {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with([' ', '{']) {
            return None;
        }
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    });
    values.sum::<f64>() as u64
}

fn metrics(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// Resident memory in KiB, and open files. On systems that do not tell nothing is found to grow.
fn process(pid: u32) -> Result<(u64, Files)> {
    if !cfg!(target_os = "linux") {
        return Ok((0, Files::new()));
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let mut files = Files::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        // One that was closed meanwhile has no name any more.
        let Ok(path) = std::fs::read_link(entry?.path()) else { continue };
        let name = path.to_string_lossy();
        let kind = name.split(":[").next().unwrap_or(&name); // socket:[12345]
        *files.entry(kind.to_owned()).or_default() += 1;
    }
    Ok((kib.ok_or("the system does not tell the server's memory")?, files))
}
