//! A server that is started for one level, on cores of its own, with a folder that goes with it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::HostBy;
use crate::load::LoadError;

/// A server must listen after this time.
const UP_WITHIN: Duration = Duration::from_secs(20);
/// How often it is looked whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What it is told so that its own guards against too much from one address do not decide.
const OPEN_DOORS: [&str; 6] = [
    "--new-rooms-per-second",
    "100000",
    "--messages-per-second",
    "100000",
    "--connections-per-address",
    "20000",
];

/// A server that runs until this is dropped.
#[derive(Debug)]
pub(super) struct Host {
    child: Child,
    port: u16,
    data: PathBuf,
    cores: Option<usize>,
}

impl Host {
    /// Starts the server, where it is to be started, and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started, ends at once, or does not listen in time.
    pub(super) fn begin(by: &HostBy) -> Result<Option<Self>, LoadError> {
        let HostBy::Started { program, cores, arguments } = by else { return Ok(None) };
        if let Some(cores) = cores {
            cores::check(*cores).map_err(LoadError::Plan)?;
        }
        let port =
            free_port().map_err(|error| LoadError::Server(format!("no free port: {error}")))?;
        let data = folder();
        let mut command = Command::new(program);
        command.args(["--port", &port.to_string(), "--log", "warn"]).args(OPEN_DOORS);
        command.arg("--data").arg(&data).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = spawn(command, *cores);
        let child = child.map_err(|error| {
            let program = program.display();
            LoadError::Server(format!(
                "{program} cannot be started: {error}; name it with --server"
            ))
        })?;
        let mut host = Self { child, port, data, cores: *cores };
        host.wait_until_up(program)?;
        Ok(Some(host))
    }

    fn wait_until_up(&mut self, program: &Path) -> Result<(), LoadError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                let program = program.display();
                return Err(LoadError::Server(format!(
                    "{program} ended at once ({status}); what it said is above"
                )));
            }
            if started.elapsed() > UP_WITHIN {
                let seconds = UP_WITHIN.as_secs();
                let port = self.port;
                return Err(LoadError::Server(format!(
                    "the server does not listen on port {port} after {seconds} s"
                )));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs something on the cores that are not the server's, with all threads that it starts.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn beside<R: Send + 'static>(
        &self,
        run: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, LoadError> {
        let cores = self.cores;
        let running = move || {
            if let Some(cores) = cores {
                // Without it all cores are used: slower, but no reason to end.
                let _ = cores::leave(cores);
            }
            run()
        };
        let named = std::thread::Builder::new().name("referee-load-run".into());
        let thread = named.spawn(running).map_err(|error| LoadError::Thread(error.to_string()))?;
        thread
            .join()
            .map_err(|_| LoadError::Thread("the run panicked; its message is above".into()))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.data);
    }
}

/// Starts a program from a thread that has the first cores only: a process has those of the thread that
/// made it.
fn spawn(mut command: Command, cores: Option<usize>) -> std::io::Result<Child> {
    let Some(cores) = cores else { return command.spawn() };
    let spawning = move || {
        cores::take(cores)?;
        command.spawn()
    };
    let thread = std::thread::Builder::new().name("referee-load-server".into()).spawn(spawning)?;
    thread.join().unwrap_or_else(|_| Err(std::io::Error::other("the starting thread panicked")))
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("referee-capacity-{}-{number}", std::process::id()))
}

/// Which cores a thread has.
#[cfg(target_os = "linux")]
mod cores {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    fn allowed() -> std::io::Result<Vec<usize>> {
        let set = sched_getaffinity(None)?;
        Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
    }

    /// Checks that so many can be given away.
    pub(super) fn check(cores: usize) -> Result<(), String> {
        let all = allowed().map_err(|error| format!("--server-cores: {error}"))?.len();
        match (1..all.max(2)).contains(&cores) {
            true => Ok(()),
            false => Err(format!(
                "--server-cores is {cores}; 1 to {} is allowed here: the bots need one of the {all} cores",
                all.saturating_sub(1).max(1)
            )),
        }
    }

    fn set(cores: &[usize]) -> std::io::Result<()> {
        let mut set = CpuSet::new();
        cores.iter().for_each(|core| set.set(*core));
        Ok(sched_setaffinity(None, &set)?)
    }

    /// What both sides of a measurement run at, where the system allows it: what else the machine does is
    /// neither the server's fault nor the bots'.
    const NICE: i32 = -10;

    fn before_others() {
        // Only root may; without it others disturb, and the lag says so.
        let _ = rustix::process::setpriority_process(None, NICE);
    }

    /// The calling thread has the first cores only.
    pub(super) fn take(cores: usize) -> std::io::Result<()> {
        before_others();
        set(&allowed()?[..cores])
    }

    /// The calling thread has all but the first cores, where others are left.
    pub(super) fn leave(cores: usize) -> std::io::Result<()> {
        before_others();
        match &allowed()?[cores..] {
            [] => Ok(()),
            rest => set(rest),
        }
    }
}

/// Which cores a thread has.
#[cfg(not(target_os = "linux"))]
mod cores {
    /// None can be given away.
    pub(super) fn check(_: usize) -> Result<(), String> {
        Err("--server-cores works on Linux only: leave it out, or pin the server yourself".into())
    }

    pub(super) fn take(_: usize) -> std::io::Result<()> {
        Ok(())
    }

    pub(super) fn leave(_: usize) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(program: &str, cores: Option<usize>) -> HostBy {
        HostBy::Started { program: program.into(), cores, arguments: Vec::new() }
    }

    #[test]
    fn a_server_that_cannot_run_is_named() {
        let error = Host::begin(&started("/nowhere/server", None)).unwrap_err().to_string();
        assert!(error.contains("/nowhere/server") && error.contains("--server"), "{error}");
        let error = Host::begin(&started("false", None)).unwrap_err().to_string();
        assert!(error.contains("ended at once"), "{error}");
    }

    #[test]
    fn cores_that_are_not_there_are_refused() {
        let error = Host::begin(&started("true", Some(100_000))).unwrap_err().to_string();
        assert!(error.contains("--server-cores"), "{error}");
    }
}
