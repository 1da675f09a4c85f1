//! Counts the system calls of a process: with perf where the kernel lets us (it does not slow the
//! process down), else with strace.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// Either tool must have attached, or ended, after this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// The kernel's event of entering any system call.
const EVENT: &str = "raw_syscalls:sys_enter";

/// A count that is on.
pub(crate) struct Counter {
    tool: Child,
    with: Tool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tool {
    Perf,
    Strace,
}

impl Counter {
    /// Begins to count the calls of `pid` and all its threads; writes into `file` at the end.
    pub(crate) async fn start(pid: u32, file: &Path) -> Result<Self> {
        let with = if perf_counts(file) { Tool::Perf } else { Tool::Strace };
        let mut command = match with {
            Tool::Perf => {
                let mut perf = Command::new("perf");
                perf.args(["stat", "-x,", "-e", EVENT, "-o"]).arg(file);
                perf
            }
            Tool::Strace => {
                let mut strace = Command::new("strace");
                strace.args(["-f", "-c", "-o"]).arg(file);
                strace
            }
        };
        command.args(["-p", &pid.to_string()]);
        let tool = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let tool = tool.map_err(|_| {
            "neither perf nor strace can count system calls: install strace (Debian: `apt-get \
             install strace`)"
        })?;
        let counter = Self { tool, with };
        counter.wait_until_attached(pid).await?;
        Ok(counter)
    }

    /// strace stands in the process's status. perf says nothing; it attaches within moments.
    async fn wait_until_attached(&self, pid: u32) -> Result<()> {
        if self.with == Tool::Perf {
            tokio::time::sleep(Duration::from_millis(200)).await;
            return Ok(());
        }
        let started = Instant::now();
        loop {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            if status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0")) {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("strace cannot attach to process {pid}").into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the count: the calls since it began.
    pub(crate) async fn end(mut self, file: &Path) -> Result<u64> {
        let pid = rustix::process::Pid::from_child(&self.tool);
        rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
        let asked = Instant::now();
        while self.tool.try_wait()?.is_none() {
            if asked.elapsed() > PATIENCE {
                self.tool.kill()?;
                return Err("the counter of system calls does not end".into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let text = fs::read_to_string(file)?;
        let count = match self.with {
            Tool::Perf => perf_total(&text),
            Tool::Strace => strace_total(&text),
        };
        count.ok_or_else(|| format!("no count of system calls in {text:?}").into())
    }
}

/// Whether perf is there and may count.
fn perf_counts(file: &Path) -> bool {
    let mut perf = Command::new("perf");
    perf.args(["stat", "-x,", "-e", EVENT, "-o"]).arg(file).arg("true");
    let status = perf.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let text = fs::read_to_string(file).unwrap_or_default();
    status.is_ok_and(|status| status.success()) && perf_total(&text).is_some()
}

/// The first field of the event's line.
fn perf_total(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains(EVENT))?;
    line.split(',').next()?.parse().ok()
}

/// The fourth column of the last line: percent, seconds, microseconds for each, calls.
fn strace_total(text: &str) -> Option<u64> {
    let line = text.lines().rev().find(|line| line.trim_end().ends_with(" total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_both_tools_are_read() {
        let strace = "% time     seconds  usecs/call     calls    errors syscall\n\
                      ------ ----------- ----------- --------- --------- ----------------\n \
                      90.00    0.001000           6       100         9 sendto\n\
                      ------ ----------- ----------- --------- --------- ----------------\n\
                      100.00    0.001007           6       145        19 total\n";
        assert_eq!(strace_total(strace), Some(145));
        let perf = "# started on a day\n\n29,,raw_syscalls:sys_enter,1197054,100.00,,\n";
        assert_eq!(perf_total(perf), Some(29));
        assert_eq!(perf_total("<not supported>,,raw_syscalls:sys_enter,0,100.00,,\n"), None);
    }
}
