//! Bots alone on the release server: they are measured, they come back by themselves when it is
//! killed, and a search for its capacity starts it by itself.

use crate::log::Log;
use crate::project::Project;
use crate::{Result, command, play};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What must hold where nothing happens to the server.
const QUIET: &str = "p99=2ticks,drops=0,wrong=0,missing=0,unanswered=0";
/// What must hold where it is killed once.
const KILLED: &str = "resumes>=30,seats_lost=0,wrong=0,missing=0";
/// How the line begins at which it is killed: soon, since a realtime room is saved every 60 ticks, so
/// that whoever came in is in a snapshot two seconds later.
const KILLED_AT: &str = "5 of 20 s,";
/// The load test's exit code for a run in which its own lag was too great: times and drops prove
/// nothing, and the rest holds.
const INVALID: i32 = 3;
/// How long the server may take to start.
const START_WITHIN: Duration = Duration::from_secs(30);

/// A server that is killed when it goes out of scope.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    data: PathBuf,
    said: PathBuf,
}

pub(crate) fn step(project: &Project, log: &mut Log) -> Result {
    let data = project.target.join("xtask").join("load");
    if data.exists() {
        std::fs::remove_dir_all(&data)?;
    }
    let mut server = Server::start(project, free_port()?, data)?;
    for transport in ["ws", "quic"] {
        // Bots that read only what they must leave the times to the server; those that decode play as
        // a page does, by a session.
        for check in ["sample", "all"] {
            let mut bots = bots(project, &server, [transport, check], "15s", QUIET);
            watch(bots.spawn()?, log, |_| Ok(()))?;
        }
        let mut bots = bots(project, &server, [transport, "all"], "20s", KILLED);
        let mut killed = false;
        watch(bots.spawn()?, log, |line| {
            if !killed && line.starts_with(KILLED_AT) {
                killed = true;
                server.kill_and_start(project)?;
            }
            Ok(())
        })?;
        if !killed {
            return Err(format!("the bots never said {KILLED_AT:?}: nothing was killed").into());
        }
    }
    drop(server);
    capacity(project, log)
}

/// A search that ends at its most: that it starts servers and ends them, on a core of their own where there
/// are two, and says what it found.
fn capacity(project: &Project, log: &mut Log) -> Result {
    let folder = project.target.join("xtask");
    let page = folder.join("capacity.html");
    let _ = std::fs::remove_file(&page);
    let file = format!("referee-loadtest{}", std::env::consts::EXE_SUFFIX);
    let mut search = command::program(project.target.join("release").join(file), &project.root);
    search.args(["capacity", "--game", "arena", "--players", "4", "--from", "2", "--most", "4"]);
    search.args(["--window", "2s", "--p99", "10s", "--lag-limit", "1s"]);
    search.arg("--server").arg(play::server_binary(project)).arg("--html").arg(&page);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cfg!(target_os = "linux") && cores > 1 {
        search.args(["--server-cores", "1"]);
    }
    search.stdout(Stdio::piped()).stderr(Stdio::piped());
    watch(search.spawn()?, log, |_| Ok(()))?;
    match std::fs::read_to_string(&page)?.contains("At least 4 rooms of 4 players") {
        true => Ok(()),
        false => Err(format!("{} does not say that 4 rooms are carried", page.display()).into()),
    }
}

fn bots(
    project: &Project,
    server: &Server,
    [transport, check]: [&str; 2],
    time: &str,
    hold: &str,
) -> Command {
    let file = format!("referee-loadtest{}", std::env::consts::EXE_SUFFIX);
    let mut bots = command::program(project.target.join("release").join(file), &project.root);
    bots.args(["--url", &format!("http://127.0.0.1:{}", server.port), "--game", "arena"]);
    bots.args(["--rooms", "1", "--players", "30", "--transport", transport, "--check", check]);
    // To decode is work: one thread alone might come late with it, and the run would prove nothing.
    bots.args(["--duration", time, "--assert", hold, "--threads", "2"]);
    bots.stdout(Stdio::piped()).stderr(Stdio::piped());
    bots
}

/// Looks at what a load test says until it ends.
pub(crate) fn watch(
    mut bots: Child,
    log: &mut Log,
    mut said: impl FnMut(&str) -> Result,
) -> Result {
    let lines = bots.stderr.take().map(|stderr| BufReader::new(stderr).lines());
    for line in lines.into_iter().flatten() {
        let line = line?;
        log.say(&line)?;
        if let Err(error) = said(&line) {
            let _ = bots.kill();
            return Err(error);
        }
    }
    let output = bots.wait_with_output()?;
    log.say(&String::from_utf8_lossy(&output.stdout))?;
    match output.status.code() {
        Some(0) => Ok(()),
        Some(INVALID) => log.say("times and drops are not asserted: this machine is too busy"),
        _ => Err(format!("the bots found fault: {}", output.status).into()),
    }
}

pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Server {
    /// What it says goes to a file beside its data.
    pub(crate) fn start(project: &Project, port: u16, data: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(project.target.join("xtask"))?;
        let said = data.with_extension("log");
        std::fs::File::create(&said)?;
        let child = spawn(project, port, &data, &said)?;
        let mut server = Self { child, port, data, said };
        server.wait()?;
        Ok(server)
    }

    fn wait(&mut self) -> Result {
        let deadline = Instant::now() + START_WITHIN;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the server ended: {status}").into());
            }
            if Instant::now() > deadline {
                return Err("the server did not start in time".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What all its processes have said.
    pub(crate) fn said(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.said)?)
    }

    pub(crate) fn kill_and_start(&mut self, project: &Project) -> Result {
        self.child.kill()?;
        self.child.wait()?;
        self.child = spawn(project, self.port, &self.data, &self.said)?;
        self.wait()
    }
}

fn spawn(project: &Project, port: u16, data: &Path, said: &Path) -> Result<Child> {
    let said = OpenOptions::new().append(true).open(said)?;
    let mut server = command::program(play::server_binary(project), &project.root);
    server.args(["--test-mode", "--log", "warn", "--port", &port.to_string(), "--data"]);
    Ok(server.arg(data).stdout(Stdio::null()).stderr(said).spawn()?)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
