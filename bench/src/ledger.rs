//! What a delivered message costs each host: a table for people, figures for the rest.

use std::fmt::Write as _;

use crate::Result;
use crate::host::figures::{Figures, Round};
use crate::measure::{Bench, Counts, Lengths, Window};
use crate::scenario::{Host, Scenario};
use crate::tally::median;

/// All that was measured.
pub(crate) struct Ledger {
    entries: Vec<Entry>,
}

/// A host in a scenario.
struct Entry {
    scenario: Scenario,
    host: Host,
    /// One for each round.
    windows: Vec<Window>,
    /// None where nothing was counted.
    counts: Option<Counts>,
    lengths: Lengths,
}

/// What is taken of a scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Job {
    pub(crate) scenario: Scenario,
    /// In this order: the floor takes its lengths over from what stands before it.
    pub(crate) hosts: Vec<Host>,
    /// Rounds of windows; without, one of Referee's gives the floor its lengths.
    pub(crate) windows: bool,
    /// System calls, allocations and copies.
    pub(crate) counts: bool,
}

/// Takes all measurements. The hosts take turns, so that a change of the machine's mood meets all.
pub(crate) async fn run(bench: &Bench, jobs: &[Job]) -> Ledger {
    let mut entries = Vec::new();
    for job in jobs {
        let (scenario, hosts) = (job.scenario, &job.hosts);
        // Until Referee was seen; a ledger with these is told to be insane.
        let mut lengths = Lengths { frame: 1, input: 1 };
        let mut windows: Vec<Vec<Window>> = vec![Vec::new(); hosts.len()];
        let (rounds, of) = match job.windows {
            true => (bench.sizes.rounds, hosts.len()),
            false => (1, 1),
        };
        for round in 0..rounds {
            for (at, &host) in hosts[..of].iter().enumerate() {
                eprintln!("{} {}: round {}", scenario.name, host.name(), round + 1);
                let taken = patiently(|| bench.window(host, &scenario, lengths)).await;
                let window = taken.unwrap_or_else(|error| Window::failed(error.to_string()));
                eprintln!("  {:.2} us for each message", window.cpu_us_each());
                // The floor comes after, and sends what Referee sent.
                if host == Host::WebSocket && window.seen.delivered() > 0 {
                    lengths = Lengths::of(&window.seen);
                }
                windows[at].push(window);
            }
        }
        for (&host, windows) in hosts.iter().zip(windows) {
            let counts = match job.counts {
                true => Some(counts(bench, host, &scenario, lengths).await),
                false => None,
            };
            entries.push(Entry { scenario, host, windows, counts, lengths });
        }
    }
    Ledger { entries }
}

async fn counts(bench: &Bench, host: Host, scenario: &Scenario, lengths: Lengths) -> Counts {
    eprintln!("{} {}: counting", scenario.name, host.name());
    let taken = patiently(|| bench.counts(host, scenario, lengths)).await;
    taken.unwrap_or_else(|error| {
        eprintln!("nothing was counted: {error}");
        Counts::NONE
    })
}

/// A measurement that cannot be taken, because a busy machine let clients time out, is tried again.
pub(crate) async fn patiently<T, F: Future<Output = Result<T>>>(
    measure: impl Fn() -> F,
) -> Result<T> {
    for _ in 1..ATTEMPTS {
        match measure().await {
            Ok(figures) => return Ok(figures),
            Err(error) => eprintln!("tried again: {error}"),
        }
    }
    measure().await
}

/// How often a measurement is tried.
const ATTEMPTS: usize = 3;

impl Entry {
    fn cpu_us(&self) -> Vec<f64> {
        self.windows.iter().map(Window::cpu_us_each).collect()
    }

    fn wakeups(&self) -> f64 {
        let seen = self.windows.iter().filter(|window| window.seen.delivered() > 0);
        median(&seen.map(|window| window.each(window.wakeups as f64)).collect::<Vec<_>>())
    }

    fn delivered(&self) -> u64 {
        self.windows.iter().map(|window| window.seen.delivered()).sum()
    }

    fn frame_median(&self) -> f64 {
        let seen = self.windows.iter().filter(|window| window.seen.delivered() > 0);
        median(&seen.map(|window| f64::from(window.seen.frame_median())).collect::<Vec<_>>())
    }

    fn wire_bytes(&self) -> f64 {
        median(
            &self.windows.iter().map(|window| window.each(window.wire_bytes)).collect::<Vec<_>>(),
        )
    }

    fn lag_p99_ms(&self) -> f64 {
        self.windows.iter().map(|window| window.seen.lag_p99_ms()).fold(0.0, f64::max)
    }

    fn invalid(&self) -> impl Iterator<Item = String> {
        let windows = self.windows.iter().filter_map(|window| window.invalid.clone());
        let counts = self.counts.iter().filter_map(|counts| counts.invalid.as_ref());
        windows.chain(counts.map(|why| format!("as system calls were counted, {why}")))
    }
}

impl Ledger {
    fn floor_of(&self, entry: &Entry) -> Option<&Entry> {
        let is_floor = |e: &&Entry| e.host == Host::Floor && e.scenario == entry.scenario;
        self.entries.iter().find(is_floor)
    }

    /// A host's cost over that of the floor in the same round, for each round of which both tell something.
    fn ratios(&self, entry: &Entry) -> Vec<Round> {
        let Some(floor) = self.floor_of(entry) else { return Vec::new() };
        let pairs = entry.windows.iter().zip(&floor.windows);
        let pair = |(host, floor): (&Window, &Window)| match (&host.invalid, &floor.invalid) {
            (Some(why), _) => Err(why.clone()),
            (_, Some(why)) => Err(format!("floor: {why}")),
            (None, None) => Ok(host.cpu_us_each() / floor.cpu_us_each()),
        };
        pairs.map(pair).collect()
    }

    /// Why some windows tell nothing, with their places.
    fn invalid(&self) -> Vec<String> {
        let named =
            |e: &Entry, fault: String| format!("{} {}: {fault}", e.scenario.name, e.host.name());
        self.entries.iter().flat_map(|e| e.invalid().map(move |fault| named(e, fault))).collect()
    }

    /// Figures that cannot be: nothing delivered, nothing used, nothing called.
    pub(crate) fn insane(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for entry in &self.entries {
            let name = format!("{} {}", entry.scenario.name, entry.host.name());
            let mut check = |what: &str, value: f64, least: f64, most: f64| {
                if !(least..=most).contains(&value) {
                    faults.push(format!("{name}: {what} is {value}; {least} to {most} can be"));
                }
            };
            if !entry.windows.is_empty() {
                check("messages delivered", entry.delivered() as f64, 1.0, f64::MAX);
                // One that is invalid is said to be so, and may be anything.
                let valid = entry.windows.iter().filter(|window| window.invalid.is_none());
                for window in valid {
                    check("microseconds for each message", window.cpu_us_each(), 0.1, 10_000.0);
                }
                check("frame length in bytes", entry.frame_median(), 3.0, 65_536.0);
            }
            if let Some(counts) = &entry.counts {
                // QUIC puts several messages into one call.
                let least = if entry.host == Host::Quic { 0.01 } else { 0.5 };
                check("system calls for each message", counts.syscalls, least, 1_000.0);
                check("allocations for each message", counts.allocations, 0.0, 10_000.0);
                check("bytes copied for each message", counts.copied_bytes, 0.0, 10_000_000.0);
            }
        }
        faults
    }

    /// Puts all of it among the figures.
    pub(crate) fn tell(&self, figures: &mut Figures) {
        for entry in &self.entries {
            self.tell_windows(entry, figures);
            self.tell_counts(entry, figures);
        }
    }

    fn tell_windows(&self, entry: &Entry, figures: &mut Figures) {
        let (host, scenario) = (entry.host.name(), entry.scenario.name);
        if entry.windows.is_empty() {
            return;
        }
        let of = |window: &Window| match &window.invalid {
            Some(why) => Err(why.clone()),
            None => Ok(window.cpu_us_each()),
        };
        let cpu = match entry.host {
            Host::Floor => format!("floor_us_{scenario}"),
            Host::WebSocket | Host::Quic => format!("cpu_us_{host}_{scenario}"),
        };
        figures.put(cpu, entry.windows.iter().map(of));
        if self.floor_of(entry).is_some_and(|floor| !floor.windows.is_empty()) {
            match entry.host {
                Host::Floor => {}
                Host::WebSocket => {
                    figures.put(format!("cpu_ratio_{scenario}"), self.ratios(entry));
                }
                Host::Quic => {
                    figures.put(format!("cpu_ratio_quic_{scenario}"), self.ratios(entry));
                }
            }
        }
        let mut add =
            |what: &str, value: f64| figures.note(format!("{what}_{host}_{scenario}"), value);
        add("wakeups", entry.wakeups());
        add("frame_bytes_median", entry.frame_median());
        add("wire_bytes", entry.wire_bytes());
        add("delivered", entry.delivered() as f64);
        add("generator_lag_p99_ms", entry.lag_p99_ms());
    }

    fn tell_counts(&self, entry: &Entry, figures: &mut Figures) {
        let Some(counts) = &entry.counts else { return };
        let (host, scenario) = (entry.host.name(), entry.scenario.name);
        let mut add =
            |what: &str, value: f64| figures.note(format!("{what}_{host}_{scenario}"), value);
        add("syscalls", counts.syscalls);
        add("allocations", counts.allocations);
        add("copied_bytes", counts.copied_bytes);
        let floor = self.floor_of(entry).and_then(|floor| floor.counts.as_ref());
        if let (Host::WebSocket, Some(floor)) = (entry.host, floor) {
            let counted = match counts.invalid.as_ref().or(floor.invalid.as_ref()) {
                Some(why) => Err(why.clone()),
                None if floor.syscalls.is_nan() || counts.syscalls.is_nan() => {
                    Err("nothing was counted".to_owned())
                }
                None => Ok(counts.syscalls / floor.syscalls),
            };
            // The row is that of the crowded room.
            match scenario {
                "1x200" => figures.put("syscalls_ratio", [counted]),
                _ => figures.put(format!("syscalls_ratio_{scenario}"), [counted]),
            }
        }
    }

    /// Whether each window tells something.
    pub(crate) fn is_valid(&self) -> bool {
        self.invalid().is_empty()
    }

    /// What a person reads.
    pub(crate) fn table(&self) -> String {
        let mut out = String::from(HEAD);
        self.entries.iter().for_each(|entry| out += &self.line(entry));
        out += TAIL;
        for fault in self.invalid() {
            let _ = writeln!(out, "INVALID {fault}");
        }
        out
    }

    fn line(&self, entry: &Entry) -> String {
        let cpu = entry.cpu_us();
        let low = cpu.iter().copied().fold(f64::INFINITY, f64::min);
        let high = cpu.iter().copied().fold(0.0, f64::max);
        let valid: Vec<f64> = self.ratios(entry).into_iter().flatten().collect();
        let (ratio, spread) = match entry.host {
            Host::Floor => ("1".to_owned(), format!("{low:.2}-{high:.2}")),
            _ => (cell(median(&valid), 2), format!("{low:.2}-{high:.2}")),
        };
        let spread = if low > high { "-".to_owned() } else { spread };
        let counts = entry.counts.as_ref().unwrap_or(&Counts::NONE);
        format!(
            "{:<6} {:<6} {:>8} {spread:>13} {ratio:>6} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7} {:>10} {:>7.1}\n",
            entry.scenario.name,
            entry.host.name(),
            cell(median(&cpu), 2),
            cell(counts.syscalls, 2),
            cell(entry.wakeups(), 2),
            cell(counts.allocations, 2),
            cell(counts.copied_bytes, 0),
            cell(entry.frame_median(), 0),
            cell(entry.wire_bytes(), 0),
            entry.delivered(),
            entry.lag_p99_ms(),
        )
    }

    /// The lengths that the floor used, for the log.
    pub(crate) fn lengths(&self) -> String {
        let floors = self.entries.iter().filter(|entry| entry.host == Host::Floor);
        let line = |e: &Entry| {
            let Lengths { frame, input } = e.lengths;
            format!("floor {}: frames of {frame} bytes, inputs of {input} bytes\n", e.scenario.name)
        };
        floors.map(line).collect()
    }
}

/// A figure with so many digits behind the point, where there is one.
fn cell(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "-".to_owned() }
}

const HEAD: &str = concat!(
    "                 cpu us        spread  ratio    calls  wakeups   allocs   copied   frame    wire",
    "  delivered lag p99\n",
    "rooms  host     per msg       us                per msg  per msg  per msg  bytes/m   bytes bytes/m",
    "   messages      ms\n",
);

const TAIL: &str = "
How to read it: each state message that reached a client cost the server so many microseconds of
processor time (user and kernel, all threads; inputs, ticks and saving included). `ratio` is that
over the floor's cost in the same round: the floor sends as many frames of the same length and reads
as many inputs, and does nothing else. Calls, wake-ups, allocations and copied bytes (memcpy and
memmove through the C library) are for each delivered message, and so are bytes on the wire, which the
kernel counted on all of the host's TCP connections. `lag` is the load's own lateness.
";
