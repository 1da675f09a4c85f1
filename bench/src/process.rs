//! The processes that are measured, and what the kernel knows of them.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use std::io::{BufRead, BufReader};

use crate::Result;
use crate::scenario::Scenario;

/// A server must listen after this time.
const UP_WITHIN: Duration = Duration::from_secs(20);

/// A server that is asked to end must have ended after this time.
const ENDED_WITHIN: Duration = Duration::from_secs(25);

/// A host that runs; dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    /// Keeps the floor alive: it ends with its standard input.
    _stdin: Option<ChildStdin>,
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
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("the floor has no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let port = line.trim().parse().map_err(|_| format!("the floor said {line:?}"))?;
        Ok(Self { child, _stdin: stdin, port })
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
        let port = free_port()?;
        let mut command = Command::new(program);
        command.args(["--log", "warn", "--new-rooms-per-second", "1000"]);
        command.args(["--port", &port.to_string()]).arg("--data").arg(data);
        count(&mut command, counting);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child =
            child.map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        let process = Self { child, _stdin: None, port };
        process.wait_until_up()?;
        Ok(process)
    }

    fn wait_until_up(&self) -> Result<()> {
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

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::read(self.pid())
    }

    /// Asks it to end and waits for that.
    pub(crate) fn end(mut self) -> Result<()> {
        self._stdin = None;
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

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// What each thread of a process has used, by its number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage(BTreeMap<u32, Thread>);

#[derive(Clone, Copy, Debug, Default)]
struct Thread {
    cpu_ns: u64,
    /// How often it went to sleep by itself, and so was woken.
    sleeps: u64,
}

impl Usage {
    fn read(pid: u32) -> Result<Self> {
        let mut threads = BTreeMap::new();
        let folder = format!("/proc/{pid}/task");
        let tasks = fs::read_dir(&folder).map_err(|error| format!("{folder}: {error}"))?;
        for task in tasks.flatten() {
            let Some(id) = task.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A thread may have ended meanwhile.
            let Ok(times) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
            threads.insert(id, Thread { cpu_ns: first(&times), sleeps: sleeps(&status) });
        }
        Ok(Self(threads))
    }

    /// Processor time since `before`, in microseconds.
    pub(crate) fn cpu_us_since(&self, before: &Self) -> f64 {
        self.since(before, |thread| thread.cpu_ns) as f64 / 1000.0
    }

    pub(crate) fn wakeups_since(&self, before: &Self) -> u64 {
        self.since(before, |thread| thread.sleeps)
    }

    fn since(&self, before: &Self, figure: impl Fn(&Thread) -> u64) -> u64 {
        let old = |id| before.0.get(id).map_or(0, &figure);
        self.0.iter().map(|(id, thread)| figure(thread).saturating_sub(old(id))).sum()
    }
}

/// The first number: the time on a processor, in nanoseconds.
fn first(schedstat: &str) -> u64 {
    schedstat.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn sleeps(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_read() {
        assert_eq!(first("568499988 22593400 201\n"), 568_499_988);
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t42\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(sleeps(status), 42);
    }

    #[test]
    fn a_thread_that_is_new_counts_from_nothing() {
        let thread = |cpu_ns, sleeps| Thread { cpu_ns, sleeps };
        let before = Usage(BTreeMap::from([(1, thread(5_000, 2)), (2, thread(7_000, 1))]));
        let after = Usage(BTreeMap::from([(1, thread(9_000, 5)), (3, thread(1_000, 4))]));
        assert_eq!(after.cpu_us_since(&before), 5.0);
        assert_eq!(after.wakeups_since(&before), 7);
    }

    #[test]
    fn our_own_process_has_used_something() {
        let work: u64 = (0..2_000_000_u64).map(std::hint::black_box).sum();
        assert!(
            work > 0
                && Usage::read(std::process::id()).unwrap().cpu_us_since(&Usage::default()) > 0.0
        );
    }
}
