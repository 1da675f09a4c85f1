//! One measurement: a host is started, clients come, and after a warm-up a window is looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use referee_client_tokio::transports;
use tokio::runtime::Runtime;
use tokio::time::sleep;

use crate::host::Sizes;
use crate::load::{Load, Target};
use crate::process::{Counting, Process};
use crate::scenario::{Host, Scenario};
use crate::syscalls::Counter;
use crate::tally::Seen;
use crate::{Result, wire_bytes};

/// What the load's own lateness may be; above it the machine was too busy to tell anything.
pub(crate) const LAG_MAX_MS: f64 = 25.0;

/// The smallest part of the expected messages that must have been delivered.
const DELIVERED_MIN: f64 = 0.9;

/// Bytes that a WebSocket puts before a short message, and before a longer one.
const HEADER_SHORT: usize = 2;
const HEADER_LONG: usize = 4;
const SHORT_MAX: usize = 125;
/// What a client's message has beyond that.
const MASK: usize = 4;

/// The programs, and where things may be put.
pub(crate) struct Bench {
    /// Referee with the example games.
    pub(crate) server: PathBuf,
    pub(crate) floor: PathBuf,
    /// The counting library.
    pub(crate) shim: PathBuf,
    /// The server with the bench's own games.
    pub(crate) games: PathBuf,
    /// The program that searches for a capacity.
    pub(crate) loadtest: PathBuf,
    /// A folder of our own.
    pub(crate) folder: PathBuf,
    pub(crate) sizes: Sizes,
    pub(crate) runtime: Runtime,
}

/// The lengths that the floor takes over from Referee, in bytes, with a WebSocket's headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lengths {
    pub(crate) frame: usize,
    pub(crate) input: usize,
}

impl Lengths {
    pub(crate) fn of(seen: &Seen) -> Self {
        let header = |length| if length <= SHORT_MAX { HEADER_SHORT } else { HEADER_LONG };
        let frame = seen.frame_median() as usize;
        let input = seen.input_mean();
        Self { frame: header(frame) + frame, input: header(input) + MASK + input }
    }
}

/// What a window showed.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub(crate) cpu_us: f64,
    pub(crate) wakeups: u64,
    /// What the host sent over TCP, by the kernel's count, in bytes; NaN where that is not known.
    pub(crate) wire_bytes: f64,
    pub(crate) seen: Seen,
    /// Why nothing can be told from it, if so.
    pub(crate) invalid: Option<String>,
}

impl Window {
    /// A window that could not be looked at.
    pub(crate) fn failed(why: String) -> Self {
        let (cpu_us, wire_bytes, seen) = (f64::NAN, f64::NAN, Seen::default());
        Self { cpu_us, wakeups: 0, wire_bytes, seen, invalid: Some(why) }
    }

    /// A figure of the window for each message that was delivered in it.
    pub(crate) fn each(&self, figure: f64) -> f64 {
        figure / self.seen.delivered().max(1) as f64
    }

    pub(crate) fn cpu_us_each(&self) -> f64 {
        self.each(self.cpu_us)
    }
}

/// What the counting passes showed, for each delivered message.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    pub(crate) syscalls: f64,
    pub(crate) allocations: f64,
    pub(crate) copied_bytes: f64,
    /// Why the system calls tell nothing, if so.
    pub(crate) invalid: Option<String>,
}

impl Counts {
    /// Nothing was counted.
    pub(crate) const NONE: Self =
        Self { syscalls: f64::NAN, allocations: f64::NAN, copied_bytes: f64::NAN, invalid: None };
}

impl Bench {
    /// Processor time and wake-ups, nothing else attached.
    pub(crate) async fn window(
        &self,
        host: Host,
        scenario: &Scenario,
        lengths: Lengths,
    ) -> Result<Window> {
        let process = self.start(host, scenario, lengths, None)?;
        let load = Load::start(scenario, &target(host, &process, lengths).await?).await?;
        sleep(self.sizes.warm_up).await;
        // It must not stand in the window's processor time, and counts a moment more than that.
        let sent = wire_bytes::sent(process.port);
        load.tally.take();
        let before = process.usage()?;
        sleep(self.sizes.window).await;
        let after = process.usage()?;
        let seen = load.tally.take();
        let sent = wire_bytes::sent(process.port).and_then(|now| Ok(now - sent?));
        let wire_bytes = sent.ok().filter(|bytes| *bytes > 0.0).unwrap_or(f64::NAN);
        let invalid = load.tally.fault().or_else(|| fault(&seen, scenario, self.sizes.window));
        drop(load);
        process.end()?;
        let cpu_us = after.cpu_us_since(&before);
        let wakeups = after.wakeups_since(&before);
        Ok(Window { cpu_us, wakeups, wire_bytes, seen, invalid })
    }

    /// System calls, then allocations and copies, each in a run of its own.
    pub(crate) async fn counts(
        &self,
        host: Host,
        scenario: &Scenario,
        lengths: Lengths,
    ) -> Result<Counts> {
        let (syscalls, invalid) = self.syscalls(host, scenario, lengths).await?;
        let file = self.folder.join("counts");
        fs::write(&file, [])?;
        let counting = Counting { shim: &self.shim, file: &file };
        let process = self.start(host, scenario, lengths, Some(counting))?;
        let load = Load::start(scenario, &target(host, &process, lengths).await?).await?;
        sleep(self.sizes.warm_up).await;
        load.tally.take();
        let before = read_counts(&file)?;
        sleep(self.sizes.counting).await;
        let after = read_counts(&file)?;
        let delivered = load.tally.take().delivered().max(1) as f64;
        drop(load);
        process.end()?;
        let each = |kind: usize| (after[kind] - before[kind]) as f64 / delivered;
        let (allocations, copied_bytes) = (each(ALLOCATIONS), each(COPIED_BYTES));
        Ok(Counts { syscalls, allocations, copied_bytes, invalid })
    }

    /// For each message, and why that tells nothing, if so.
    async fn syscalls(
        &self,
        host: Host,
        scenario: &Scenario,
        lengths: Lengths,
    ) -> Result<(f64, Option<String>)> {
        let file = self.folder.join("syscalls");
        let process = self.start(host, scenario, lengths, None)?;
        let load = Load::start(scenario, &target(host, &process, lengths).await?).await?;
        sleep(self.sizes.warm_up).await;
        let counter = Counter::start(process.pid(), &file).await?;
        load.tally.take();
        sleep(self.sizes.counting).await;
        let seen = load.tally.take();
        let calls = counter.end(&file).await?;
        let invalid = load.tally.fault().or_else(|| fault(&seen, scenario, self.sizes.counting));
        drop(load);
        process.end()?;
        Ok((calls as f64 / seen.delivered().max(1) as f64, invalid))
    }

    fn start(
        &self,
        host: Host,
        scenario: &Scenario,
        lengths: Lengths,
        counting: Option<Counting<'_>>,
    ) -> Result<Process> {
        match host {
            Host::Floor => Process::floor(&self.floor, scenario, lengths.frame, counting),
            Host::WebSocket | Host::Quic => {
                Process::referee(&self.server, &self.folder.join("data"), counting)
            }
        }
    }
}

async fn target(host: Host, process: &Process, lengths: Lengths) -> Result<Target> {
    let port = process.port;
    Ok(match host {
        Host::Floor => {
            Target::Floor { port, frame_bytes: lengths.frame, input_bytes: lengths.input }
        }
        Host::WebSocket => Target::WebSocket { port },
        Host::Quic => {
            let transports = transports(&format!("http://127.0.0.1:{port}")).await?;
            let quic = transports.quic.ok_or("the server does not speak QUIC")?;
            Target::Quic { port: quic.port, pin: quic.pin }
        }
    })
}

/// Why a window tells nothing: the load was late, or the host did not keep up.
pub(crate) fn fault(seen: &Seen, scenario: &Scenario, window: Duration) -> Option<String> {
    let lag = seen.lag_p99_ms();
    if lag > LAG_MAX_MS {
        return Some(format!("the load was late: {lag:.1} ms at p99, at most {LAG_MAX_MS} ms"));
    }
    let part = seen.delivered() as f64 / scenario.expected(window);
    (part < DELIVERED_MIN).then(|| format!("only {:.0} % of the messages came", part * 100.0))
}

/// The places of the counts in the library's file.
const ALLOCATIONS: usize = 0;
const COPIED_BYTES: usize = 3;
const KINDS: usize = 4;

fn read_counts(file: &Path) -> Result<[u64; KINDS]> {
    let bytes = fs::read(file)?;
    let mut counts = [0; KINDS];
    let (words, _) = bytes.as_chunks::<8>();
    if words.len() < KINDS {
        return Err("the counting library was not loaded: is the host linked statically?".into());
    }
    for (count, word) in counts.iter_mut().zip(words) {
        *count = u64::from_ne_bytes(*word);
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::SCENARIOS;

    fn seen(frames: usize, length: u32) -> Seen {
        Seen { frames: vec![length; frames], inputs: 2, input_bytes: 21, lags_us: vec![100; 50] }
    }

    #[test]
    fn the_floor_takes_over_lengths_with_their_headers() {
        assert_eq!(Lengths::of(&seen(3, 125)), Lengths { frame: 127, input: 17 });
        assert_eq!(Lengths::of(&seen(3, 126)), Lengths { frame: 130, input: 17 });
    }

    #[test]
    fn a_window_is_invalid_when_the_load_was_late_or_messages_are_missing() {
        let second = Duration::from_secs(1);
        assert_eq!(fault(&seen(4000, 9), &SCENARIOS[0], second), None);
        let few = fault(&seen(3000, 9), &SCENARIOS[0], second);
        assert!(few.is_some_and(|fault| fault.contains("75 %")));
        let late = Seen { lags_us: vec![30_000; 50], ..seen(4000, 9) };
        let late = fault(&late, &SCENARIOS[0], second);
        assert!(late.is_some_and(|fault| fault.contains("30.0 ms")));
    }
}
