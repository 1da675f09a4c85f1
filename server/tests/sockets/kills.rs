//! A server process that is killed in the middle of a match, and its successor.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use referee_client_tokio::{Client, Options, RawSocket, Seat, Status, Trust};
use referee_server::config::Config;
use referee_server::run::Server;

use crate::site::{all_games, soon};

/// Tells the child process below what to do: its port, its data folder, and after how many milliseconds
/// rooms are parked.
const PORT: &str = "REFEREE_TEST_PORT";
const DATA: &str = "REFEREE_TEST_DATA";
const PARK: &str = "REFEREE_TEST_PARK_MS";
/// What it says once it can be visited.
const READY: &str = "serving at port ";

/// Not a test by itself: the process that is killed. Without its orders it does nothing.
#[test]
fn a_process_that_is_killed() {
    let (Ok(port), Ok(data)) = (std::env::var(PORT), std::env::var(DATA)) else { return };
    let config = Config {
        port: port.parse().unwrap(),
        data: data.into(),
        park_after_ms: std::env::var(PARK).unwrap().parse().unwrap(),
        ..Config::default()
    };
    let running = Server::start(all_games(), config).unwrap();
    println!("\n{READY}{}", running.address().port());
    loop {
        std::thread::park();
    }
}

/// A server in a process of its own; killed when dropped.
pub(crate) struct Process(Child, u16);

impl Process {
    pub(crate) fn start(port: u16, data: &Path) -> Self {
        Self::start_parking(port, data, 100)
    }

    /// One whose rooms are parked after so many milliseconds, and so saved; 0 for never.
    pub(crate) fn start_parking(port: u16, data: &Path, after_ms: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kills::a_process_that_is_killed", "--nocapture"])
            .env(PORT, port.to_string())
            .env(DATA, data)
            .env(PARK, after_ms.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix(READY).map(|port| port.trim().parse().unwrap()));
        Self(child, port.expect("it starts"))
    }

    pub(crate) fn port(&self) -> u16 {
        self.1
    }

    /// The memory it has, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_a_quic_client_knows_within_a_second_and_comes_back() {
    let data = std::env::temp_dir().join(format!("referee-kills-{}", std::process::id()));
    let first = Process::start(0, &data);
    let port = first.port();
    let told = referee_client_tokio::transports(&format!("http://127.0.0.1:{port}")).await.unwrap();
    let pin = told.quic.unwrap().pin;
    let options = Options { pin, ..Options::default() };
    let url = format!("quic://127.0.0.1:{port}/ticker/a");
    let player = soon(Client::connect(&url, options)).await.unwrap();
    soon(player.wait_until(|session| session.tick().0 > 20)).await.unwrap();
    let trust = Trust { pin };
    let mut raw = soon(RawSocket::connect_with(&url, &[], &trust)).await.unwrap();
    soon(raw.send(&[])).await.unwrap();
    // SIGKILL: no goodbye, and the next process knows no connection.
    drop(first);
    let second = Process::start(port, &data);
    let up = Instant::now();
    soon(player.wait_until(|session| session.status() != Status::Open)).await.unwrap();
    let took = up.elapsed();
    assert!(took < Duration::from_secs(1), "it knew after {took:?}");
    // A bare connection has nothing but the reset to know it by.
    let sent = Instant::now();
    let _ = soon(raw.send(&[])).await;
    let reset = soon(raw.receive()).await.unwrap_err().to_string();
    assert!(reset.contains("reset") && sent.elapsed() < Duration::from_secs(1), "{reset}");

    soon(player.wait_until(|session| session.status() == Status::Open)).await.unwrap();
    assert_eq!(player.with(|session| session.seat()), Some(Seat(0)));
    let tick = player.with(|session| session.tick());
    soon(player.wait_until(|session| session.tick().0 > tick.0 + 20)).await.unwrap();
    drop(second);
    let _ = std::fs::remove_dir_all(&data);
}
