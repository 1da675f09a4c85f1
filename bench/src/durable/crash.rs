//! From a kill to playing on: the server is killed under live arenas, started again by a loop, and each
//! client's first new state is waited for.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use referee_client_tokio::{Client, Options, Reason, Status, Value, transports};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Bench;
use super::arenas::{PLAYERS, scenario};
use super::report::Report;
use crate::process::{Process, free_port};
use crate::scenario::ARENA;
use crate::{Result, metrics};

/// Clients come at this rate.
const COMING_PER_SECOND: u32 = 100;
/// How long is played before each kill: every room has been saved by then.
const PLAY: Duration = Duration::from_secs(5);
/// Who has not come back after this time does not count as back.
const BACK_WITHIN: Duration = Duration::from_secs(60);

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result {
    let folder = bench.empty("crash")?;
    fill(bench, &folder)?;
    let mut process = Process::begin(&bench.server, free_port()?, &folder, &[], None)?;
    process.wait_until_up()?;
    leave_unfinished(process.port, bench.sizes.unfinished)?;
    let back = bench.runtime.block_on(async {
        let clients = come(process.port, bench.sizes.arenas).await?;
        let mut back = Vec::new();
        for kill in 1..=bench.sizes.kills {
            sleep(PLAY).await;
            let (again, took) = kill_and_wait(bench, process, &folder, &clients).await?;
            process = again;
            for (name, over) in [("WebSocket", Some(0)), ("QUIC", Some(1)), ("both", None)] {
                let took =
                    sorted(took.iter().filter(|(of, _)| over.is_none_or(|over| over == *of)));
                let [p50, p99, last] = [50, 99, 100].map(|percent| at(&took, percent));
                eprintln!("  kill {kill}, {name}: p50 {p50} ms, p99 {p99} ms, the last {last} ms");
            }
            back.extend(took);
        }
        process.end()?;
        Ok::<_, Box<dyn std::error::Error>>(back)
    });
    let back = back?;
    let back = sorted(back.iter());
    report.put("crash_to_playing_ms_p50", at(&back, 50) as f64);
    report.put("crash_to_playing_ms_p99", at(&back, 99) as f64);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn sorted<'a>(back: impl Iterator<Item = &'a (usize, u64)>) -> Vec<u64> {
    let mut took: Vec<u64> = back.map(|(_, took)| *took).collect();
    took.sort_unstable();
    took
}

fn at(sorted_ms: &[u64], percent: usize) -> u64 {
    let last = sorted_ms.len().saturating_sub(1);
    sorted_ms.get(last * percent / 100).copied().unwrap_or(0)
}

fn fill(bench: &Bench, folder: &Path) -> Result {
    let mib = bench.sizes.store_mib;
    eprintln!("  a store of {mib} MiB is made");
    let status = Command::new(&bench.fill).arg(folder).arg(mib.to_string()).status()?;
    if status.success() { Ok(()) } else { Err(format!("no store was made: {status}").into()) }
}

/// Rooms in which something happened and in which nobody is.
fn leave_unfinished(port: u16, rooms: usize) -> Result {
    eprintln!("  {rooms} rooms are begun");
    for room in 0..rooms {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        let head = format!(
            "POST /counter/unfinished-{room}/call HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\
             connection: close\r\ncontent-length: 0\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if !answer.starts_with("HTTP/1.1 200") {
            return Err(format!("a room could not be begun: {answer}").into());
        }
    }
    Ok(())
}

/// Players for all arenas, half of them over QUIC, each with its first state.
async fn come(port: u16, arenas: usize) -> Result<Vec<Arc<Client>>> {
    let quic = transports(&format!("http://127.0.0.1:{port}")).await?;
    let quic = quic.quic.ok_or("the server does not speak QUIC")?;
    let scenario = scenario(arenas);
    eprintln!("  {} players come into {arenas} arenas", arenas * PLAYERS);
    let mut coming = JoinSet::new();
    for number in 0..arenas * PLAYERS {
        sleep(Duration::from_secs(1) / COMING_PER_SECOND).await;
        let room = format!("{ARENA}/crash-{}", scenario.room_of(number));
        let url = match number % 2 {
            0 => format!("ws://127.0.0.1:{port}/{room}"),
            _ => format!("quic://127.0.0.1:{}/{room}", quic.port),
        };
        let name = format!("Player {number}");
        let params = Some(scenario.params(scenario.room_of(number)));
        let options = Options { name, params, pin: quic.pin, ..Options::default() };
        coming.spawn(async move {
            let client = Client::connect(&url, options).await?;
            let turning = (number % 7) as f64 - 3.0;
            let (x, y) = ((turning / 3.0).into(), 0.5.into());
            let stick = [("x", x), ("y", y), ("aim", 1.0.into()), ("fire", true.into())];
            client.set_input("Stick", &Value::record(stick))?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Arc::new(client))
        });
    }
    let all = coming.join_all().await.into_iter().collect::<std::result::Result<_, _>>();
    all.map_err(|error| format!("a player could not come in: {error}").into())
}

/// Kills the server, starts it until it stays, and says for each client what carries it (0 a WebSocket, 1
/// QUIC) and after how many milliseconds it had a new state.
async fn kill_and_wait(
    bench: &Bench,
    process: Process,
    folder: &Path,
    clients: &[Arc<Client>],
) -> Result<(Process, Vec<(usize, u64)>)> {
    let port = process.port;
    let mut waiting = JoinSet::new();
    let killed = Instant::now();
    for (number, client) in clients.iter().enumerate() {
        let client = Arc::clone(client);
        waiting.spawn(async move {
            client.wait_until(|session| session.status() != Status::Open).await?;
            client.wait_until(|session| session.status() == Status::Open).await?;
            Ok::<_, Reason>((number % 2, killed.elapsed().as_millis() as u64))
        });
    }
    // Dropped, it is killed at once.
    drop(process);
    let mut again = Process::begin(&bench.server, port, folder, &[], None)?;
    let up = std::thread::spawn(move || answers(port));
    let mut took = Vec::new();
    while took.len() < clients.len() {
        if again.has_ended()? {
            again = Process::begin(&bench.server, port, folder, &[], None)?;
        }
        while let Ok(Some(back)) = timeout(Duration::from_millis(10), waiting.join_next()).await {
            took.push(back??);
        }
        if killed.elapsed() > BACK_WITHIN {
            let missing = clients.len() - took.len();
            return Err(
                format!("{missing} clients did not come back within {BACK_WITHIN:?}").into()
            );
        }
    }
    if let Ok(Some(up)) = up.join() {
        eprintln!("  it answered {} ms after its start", up.as_millis());
    }
    Ok((again, took))
}

/// How long it takes until the server answers.
fn answers(port: u16) -> Option<Duration> {
    let started = Instant::now();
    while started.elapsed() < BACK_WITHIN {
        if metrics::counted(port, "referee_rooms").is_ok() {
            return Some(started.elapsed());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}
