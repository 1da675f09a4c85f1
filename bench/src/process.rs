//! The processes that are measured, and what the kernel knows of them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use std::io::{BufRead, BufReader, Write};

use crate::Result;
use crate::scenario::Scenario;
use crate::usage::Usage;

/// A server must listen after this time.
const UP_WITHIN: Duration = Duration::from_secs(20);

/// A server that is asked to end must have ended after this time.
const ENDED_WITHIN: Duration = Duration::from_secs(25);

/// A host that runs; dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    /// Keeps a floor alive, and a bench's own server: they end with their standard input.
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    pub(crate) port: u16,
}

/// Where the counting library is, and where it counts.
#[derive(Clone, Copy)]
pub(crate) struct Counting<'a> {
    pub(crate) shim: &'a Path,
    pub(crate) file: &'a Path,
}

impl Process {
    /// Starts the floor.
    pub(crate) fn floor(
        program: &Path,
        scenario: &Scenario,
        frame_bytes: usize,
        counting: Option<Counting<'_>>,
    ) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["--rooms", &scenario.rooms.to_string()]);
        command.args(["--hz", &scenario.hz.to_string()]);
        command.args(["--frame", &frame_bytes.to_string()]);
        count(&mut command, counting);
        Self::of_floor(&mut command)
    }

    /// Starts a floor, which ends with its standard input and says its port first.
    pub(crate) fn of_floor(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("the floor has no output")?;
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut line)?;
        let port = line.trim().parse().map_err(|_| format!("the floor said {line:?}"))?;
        Ok(Self { child, stdin, stdout: Some(stdout), port })
    }

    /// Starts the server with the bench's own games, with an empty folder for its rooms. A turn-based room
    /// is parked after so many milliseconds; 0: never.
    pub(crate) fn own_games(program: &Path, data: &Path, park_after_ms: u64) -> Result<Self> {
        if data.exists() {
            fs::remove_dir_all(data)?;
        }
        fs::create_dir_all(data)?;
        let mut command = Command::new(program);
        Self::of_floor(command.arg("serve").arg(data).arg(park_after_ms.to_string()))
    }

    /// Writes an empty line to one that was started so, and reads its answer: numbers.
    pub(crate) fn ask(&mut self) -> Result<Vec<f64>> {
        let (Some(stdin), Some(stdout)) = (&mut self.stdin, &mut self.stdout) else {
            return Err("this process answers nothing".into());
        };
        writeln!(stdin)?;
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let numbers =
            line.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>();
        numbers.map_err(|_| format!("the process said {line:?}").into())
    }

    /// Starts Referee with an empty folder for its rooms, and waits until it listens.
    pub(crate) fn referee(
        program: &Path,
        data: &Path,
        counting: Option<Counting<'_>>,
    ) -> Result<Self> {
        if data.exists() {
            fs::remove_dir_all(data)?;
        }
        let process = Self::begin(program, free_port()?, data, &[], counting)?;
        process.wait_until_up()?;
        Ok(process)
    }

    /// Starts Referee on what is in its folder, and does not wait until it listens.
    pub(crate) fn begin(
        program: &Path,
        port: u16,
        data: &Path,
        arguments: &[&str],
        counting: Option<Counting<'_>>,
    ) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["--log", "warn", "--new-rooms-per-second", "100000"]).args(arguments);
        command.args(["--port", &port.to_string()]).arg("--data").arg(data);
        count(&mut command, counting);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child =
            child.map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        Ok(Self { child, stdin: None, stdout: None, port })
    }

    pub(crate) fn wait_until_up(&self) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if started.elapsed() > UP_WITHIN {
                return Err(format!("the server does not listen on port {}", self.port).into());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::read(self.pid())
    }

    /// Asks it to end and waits for that.
    pub(crate) fn end(mut self) -> Result<()> {
        self.stdin = None;
        let pid = rustix::process::Pid::from_child(&self.child);
        // One that has ended already needs no asking.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > ENDED_WITHIN {
                return Err(format!("process {} does not end", self.pid()).into());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn count(command: &mut Command, counting: Option<Counting<'_>>) {
    if let Some(Counting { shim, file }) = counting {
        command.env("LD_PRELOAD", shim).env("REFEREE_COUNTS", file);
    }
}

pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
