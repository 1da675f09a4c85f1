//! The whole run, and what it says: a table for people, one flat JSON object for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::Result;
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
    counts: Counts,
    lengths: Lengths,
}

/// Takes all measurements. The hosts take turns, so that a change of the machine's mood meets all.
pub(crate) async fn run(bench: &Bench, hosts: &[Host]) -> Result<Ledger> {
    let mut entries = Vec::new();
    for &scenario in &bench.scenarios {
        // Until Referee was seen; a ledger with these is told to be insane.
        let mut lengths = Lengths { frame: 1, input: 1 };
        let mut windows: Vec<Vec<Window>> = vec![Vec::new(); hosts.len()];
        for round in 0..bench.times.rounds {
            for (at, &host) in hosts.iter().enumerate() {
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
            eprintln!("{} {}: counting", scenario.name, host.name());
            let taken = patiently(|| bench.counts(host, &scenario, lengths)).await;
            let counts = taken.unwrap_or_else(|error| {
                eprintln!("nothing was counted: {error}");
                Counts::NONE
            });
            entries.push(Entry { scenario, host, windows, counts, lengths });
        }
    }
    Ok(Ledger { entries })
}

/// A measurement that cannot be taken, because a busy machine let clients time out, is tried again.
async fn patiently<T, F: Future<Output = Result<T>>>(measure: impl Fn() -> F) -> Result<T> {
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

    fn lag_p99_ms(&self) -> f64 {
        self.windows.iter().map(|window| window.seen.lag_p99_ms()).fold(0.0, f64::max)
    }

    fn invalid(&self) -> impl Iterator<Item = &str> {
        self.windows.iter().filter_map(|window| window.invalid.as_deref())
    }
}

impl Ledger {
    /// The median over the rounds of a host's cost over that of the floor in the same round.
    fn ratio(&self, entry: &Entry) -> f64 {
        let is_floor = |e: &&Entry| e.host == Host::Floor && e.scenario == entry.scenario;
        let Some(floor) = self.entries.iter().find(is_floor) else { return f64::NAN };
        let pairs = entry.cpu_us().into_iter().zip(floor.cpu_us());
        median(&pairs.map(|(host, floor)| host / floor).collect::<Vec<_>>())
    }

    /// Why some windows tell nothing, with their places.
    pub(crate) fn invalid(&self) -> Vec<String> {
        let named =
            |e: &Entry, fault: &str| format!("{} {}: {fault}", e.scenario.name, e.host.name());
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
            check("messages delivered", entry.delivered() as f64, 1.0, f64::MAX);
            check("microseconds for each message", median(&entry.cpu_us()), 0.1, 10_000.0);
            check("frame length in bytes", entry.frame_median(), 3.0, 65_536.0);
            // QUIC puts several messages into one call.
            let least = if entry.host == Host::Quic { 0.01 } else { 0.5 };
            check("system calls for each message", entry.counts.syscalls, least, 1_000.0);
            check("allocations for each message", entry.counts.allocations, 0.0, 10_000.0);
            check("bytes copied for each message", entry.counts.copied_bytes, 0.0, 10_000_000.0);
        }
        faults
    }

    /// One flat object.
    pub(crate) fn json(&self) -> Value {
        let mut all = Map::new();
        for entry in &self.entries {
            let (host, scenario) = (entry.host.name(), entry.scenario.name);
            let cpu = median(&entry.cpu_us());
            match entry.host {
                Host::Floor => all.insert(format!("floor_us_{scenario}"), json!(cpu)),
                _ => all.insert(format!("cpu_us_{host}_{scenario}"), json!(cpu)),
            };
            let ratio = self.ratio(entry);
            match entry.host {
                Host::Floor => None,
                Host::WebSocket => all.insert(format!("cpu_ratio_{scenario}"), json!(ratio)),
                Host::Quic => all.insert(format!("cpu_ratio_quic_{scenario}"), json!(ratio)),
            };
            let mut add = |what: &str, value: Value| {
                all.insert(format!("{what}_{host}_{scenario}"), value);
            };
            add("syscalls", json!(entry.counts.syscalls));
            add("wakeups", json!(entry.wakeups()));
            add("allocations", json!(entry.counts.allocations));
            add("copied_bytes", json!(entry.counts.copied_bytes));
            add("frame_bytes_median", json!(entry.frame_median()));
            add("delivered", json!(entry.delivered()));
            add("generator_lag_p99_ms", json!(entry.lag_p99_ms()));
        }
        all.insert("valid".to_owned(), json!(self.invalid().is_empty()));
        Value::Object(all)
    }

    /// What a person reads.
    pub(crate) fn table(&self) -> String {
        let mut out = String::from(HEAD);
        for entry in &self.entries {
            let cpu = entry.cpu_us();
            let low = cpu.iter().copied().fold(f64::INFINITY, f64::min);
            let high = cpu.iter().copied().fold(0.0, f64::max);
            let ratio = match entry.host {
                Host::Floor => "1".to_owned(),
                Host::WebSocket | Host::Quic => format!("{:.2}", self.ratio(entry)),
            };
            let spread = format!("{low:.2}-{high:.2}");
            let _ = writeln!(
                out,
                "{:<6} {:<6} {:>8.2} {:>13} {:>6} {:>8.2} {:>8.2} {:>8.2} {:>8.0} {:>7.0} {:>10} {:>7.1}",
                entry.scenario.name,
                entry.host.name(),
                median(&cpu),
                spread,
                ratio,
                entry.counts.syscalls,
                entry.wakeups(),
                entry.counts.allocations,
                entry.counts.copied_bytes,
                entry.frame_median(),
                entry.delivered(),
                entry.lag_p99_ms(),
            );
        }
        out += TAIL;
        for fault in self.invalid() {
            let _ = writeln!(out, "INVALID {fault}");
        }
        out
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

const HEAD: &str = "\
                 cpu us        spread  ratio    calls  wakeups   allocs   copied   frame  delivered lag p99
rooms  host     per msg       us                per msg  per msg  per msg  bytes/m   bytes   messages      ms
";

const TAIL: &str = "
How to read it: each state message that reached a client cost the server so many microseconds of
processor time (user and kernel, all threads; inputs, ticks and saving included). `ratio` is that
over the floor's cost in the same round: the floor sends as many frames of the same length and reads
as many inputs, and does nothing else. Calls, wake-ups, allocations and copied bytes (memcpy and
memmove through the C library) are for each delivered message. `lag` is the load's own lateness.
";
