//! What the host costs and carries: the rows of `docs/ledger.md`. Each part is measured by itself and puts its
//! figures into the report; one more is a line in [`PARTS`], and its bar a line in `host/figures.rs`.

mod cold;
pub(crate) mod figures;
mod idle;
mod isolation;
mod lateness;
mod memory;
mod moves;
mod rooms;
mod scaling;
mod visitors;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::Result;
use crate::ledger::{self, Job};
use crate::measure::Bench;
use crate::scenario::{Host, SCENARIOS, SMALL, Scenario};
use figures::Figures;
pub(crate) use scaling::count;

/// What is needed.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The release server with the example games
    #[arg(long, value_name = "FILE")]
    server: PathBuf,
    /// The floor
    #[arg(long, value_name = "FILE")]
    floor: PathBuf,
    /// The counting library
    #[arg(long, value_name = "FILE")]
    counts: PathBuf,
    /// The server with the bench's own games
    #[arg(long, value_name = "FILE")]
    games: PathBuf,
    /// The program that searches for a capacity
    #[arg(long, value_name = "FILE")]
    loadtest: PathBuf,
    /// A folder for the rooms of the server and for counts; what is in it may be lost
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// Write the figures as one flat object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Few clients, short windows, one round: says whether it works, not what things cost
    #[arg(long)]
    quick: bool,
    /// Rounds of what is taken more than once
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: Option<u8>,
    /// Only this part; may be given more than once
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
}

/// How much is measured, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    /// Interleaved pairs of what is compared, and repetitions of the rest.
    pub(crate) rounds: usize,
    pub(crate) warm_up: Duration,
    /// The window in which processor time is measured.
    pub(crate) window: Duration,
    /// The windows in which calls and copies are counted.
    pub(crate) counting: Duration,
    pub(crate) scenarios: [Scenario; 5],
    /// How the search for what a core carries goes: rooms of its first level, the most, its windows.
    search: [&'static str; 3],
    /// Rooms of the lateness, where nobody has searched for what a core carries.
    late_rooms: usize,
    move_rooms: usize,
    /// Arenas whose memory is taken.
    memory_rooms: usize,
    idle_rooms: usize,
    /// How long idle rooms are looked at.
    idle_window: Duration,
    light_rooms: usize,
    /// How long the server may settle after a heavy room came.
    settle: Duration,
    /// Arenas on each thread that has no sockets.
    null_rooms: usize,
}

const THOROUGH: Sizes = Sizes {
    rounds: 5,
    warm_up: Duration::from_secs(2),
    window: Duration::from_secs(6),
    counting: Duration::from_secs(3),
    scenarios: SCENARIOS,
    search: ["50", "1500", "10s"],
    late_rooms: 100,
    move_rooms: 200,
    memory_rooms: 250,
    idle_rooms: 1_000,
    idle_window: Duration::from_secs(10),
    light_rooms: 200,
    settle: Duration::from_secs(4),
    null_rooms: 50,
};

/// For a look at whether everything works.
const QUICK: Sizes = Sizes {
    rounds: 1,
    warm_up: Duration::from_millis(500),
    window: Duration::from_secs(2),
    counting: Duration::from_secs(1),
    scenarios: SMALL,
    search: ["2", "4", "1s"],
    late_rooms: 5,
    move_rooms: 10,
    memory_rooms: 20,
    idle_rooms: 20,
    idle_window: Duration::from_secs(1),
    light_rooms: 10,
    settle: Duration::from_secs(1),
    null_rooms: 2,
};

/// A part of the bench.
struct Part {
    name: &'static str,
    about: &'static str,
    /// The figures that it must give.
    keys: &'static [&'static str],
    run: Run,
}

enum Run {
    /// Costs of messages: those of one scenario are taken together.
    Cost(&'static [Cost]),
    Own(fn(&Bench, &mut Figures) -> Result),
}

/// Hosts in the scenario of this place.
struct Cost {
    scenario: usize,
    quic: bool,
    windows: bool,
    counts: bool,
}

const fn windows(scenario: usize, quic: bool) -> Cost {
    Cost { scenario, quic, windows: true, counts: false }
}

const fn counts(scenario: usize, quic: bool) -> Cost {
    Cost { scenario, quic, windows: false, counts: true }
}

/// All of them. What a core carries is found before the lateness at half of it is measured.
const PARTS: &[Part] = &[
    Part {
        name: "1x200",
        about: "processor time of a message in one arena of 200",
        keys: &["cpu_ratio_1x200", "floor_us_1x200"],
        run: Run::Cost(&[windows(0, false)]),
    },
    Part {
        name: "1x500",
        about: "the same in one arena of 500",
        keys: &["cpu_ratio_1x500"],
        run: Run::Cost(&[windows(1, false)]),
    },
    Part {
        name: "250x4",
        about: "the same in 250 arenas of 4",
        keys: &["cpu_ratio_250x4", "floor_us_250x4"],
        run: Run::Cost(&[windows(2, false)]),
    },
    Part {
        name: "500x4",
        about: "the same in 500 arenas of 4",
        keys: &["cpu_ratio_500x4"],
        run: Run::Cost(&[windows(3, false)]),
    },
    Part {
        name: "quic",
        about: "the same over QUIC",
        keys: &["cpu_ratio_quic_1x200"],
        run: Run::Cost(&[windows(0, true), windows(4, true), windows(2, true)]),
    },
    Part {
        name: "syscalls",
        about: "system calls, allocations and copies of a message",
        keys: &["syscalls_ratio"],
        run: Run::Cost(&[counts(0, true), counts(2, true)]),
    },
    Part {
        name: "rooms-per-core",
        about: "arenas of 4 on one core",
        keys: &["rooms_per_core"],
        run: Run::Own(rooms::run),
    },
    Part {
        name: "lateness",
        about: "how late ticks begin at half load",
        keys: &["tick_lateness_p999_ms"],
        run: Run::Own(lateness::run),
    },
    Part {
        name: "scaling",
        about: "two threads without sockets",
        keys: &["two_thread_scaling"],
        run: Run::Own(scaling::run),
    },
    Part {
        name: "moves",
        about: "moves in turn-based rooms",
        keys: &["moves_per_s_logged", "moves_per_s_gated"],
        run: Run::Own(moves::run),
    },
    Part {
        name: "cold",
        about: "rooms made for their first visitor",
        keys: &["cold_rooms_per_s"],
        run: Run::Own(cold::run),
    },
    Part {
        name: "rss",
        about: "memory of an arena of 4",
        keys: &["rss_kib_per_room"],
        run: Run::Own(memory::run),
    },
    Part {
        name: "idle",
        about: "turn-based rooms in which nothing happens",
        keys: &["idle_cpu_pct_per_1000"],
        run: Run::Own(idle::run),
    },
    Part {
        name: "isolation",
        about: "light rooms beside a heavy one",
        keys: &["isolation_p99_ms"],
        run: Run::Own(isolation::run),
    },
];

impl Arguments {
    fn parts(&self) -> Result<Vec<&'static Part>> {
        let known = |name: &&String| !PARTS.iter().any(|part| part.name == name.as_str());
        if let Some(unknown) = self.only.iter().find(known) {
            let names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
            return Err(format!("{unknown} is none of {}", names.join(", ")).into());
        }
        let wanted =
            |part: &&Part| self.only.is_empty() || self.only.iter().any(|name| name == part.name);
        Ok(PARTS.iter().filter(wanted).collect())
    }

    fn sizes(&self) -> Sizes {
        let sizes = if self.quick { QUICK } else { THOROUGH };
        let rounds = self.rounds.map_or(sizes.rounds, usize::from);
        Sizes { rounds, ..sizes }
    }
}

/// What the costs that are wanted take, scenario by scenario.
fn jobs(parts: &[&Part], sizes: &Sizes) -> Vec<Job> {
    let costs = parts.iter().flat_map(|part| match part.run {
        Run::Cost(costs) => costs,
        Run::Own(_) => &[],
    });
    let costs: Vec<&Cost> = costs.collect();
    let job = |(at, scenario): (usize, &Scenario)| {
        let of: Vec<_> = costs.iter().filter(|cost| cost.scenario == at).collect();
        let mut hosts = vec![Host::WebSocket, Host::Floor];
        hosts.extend(of.iter().any(|cost| cost.quic).then_some(Host::Quic));
        let windows = of.iter().any(|cost| cost.windows);
        let counts = of.iter().any(|cost| cost.counts);
        (!of.is_empty()).then_some(Job { scenario: *scenario, hosts, windows, counts })
    };
    sizes.scenarios.iter().enumerate().filter_map(job).collect()
}

pub(crate) fn run(arguments: Arguments) -> Result {
    let parts = arguments.parts()?;
    std::fs::create_dir_all(&arguments.folder)?;
    let bench = Bench {
        sizes: arguments.sizes(),
        server: arguments.server,
        floor: arguments.floor,
        shim: arguments.counts,
        games: arguments.games,
        loadtest: arguments.loadtest,
        folder: arguments.folder,
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
    };
    let (mut figures, mut faults) = (Figures::default(), Vec::new());
    let jobs = jobs(&parts, &bench.sizes);
    let mut valid = true;
    if !jobs.is_empty() {
        let ledger = bench.runtime.block_on(ledger::run(&bench, &jobs));
        ledger.tell(&mut figures);
        faults.extend(ledger.insane());
        valid = ledger.is_valid();
        println!("{}\n{}", ledger.table(), ledger.lengths());
    }
    for part in &parts {
        if let Run::Own(run) = part.run {
            eprintln!("{}: {}", part.name, part.about);
            if let Err(error) = run(&bench, &mut figures) {
                eprintln!("  failed: {error}");
                faults.push(format!("{}: {error}", part.name));
                fail(part, &mut figures, &error.to_string());
            }
        }
    }
    print!("{}", figures.table());
    if let Some(file) = arguments.json {
        let mut all = figures.json();
        all.insert("valid".to_owned(), valid.into());
        let all = serde_json::Value::Object(all);
        std::fs::write(&file, format!("{all:#}\n"))
            .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    faults.extend(figures.insane());
    let keys = parts.iter().flat_map(|part| part.keys);
    faults.extend(keys.filter(|key| !figures.has(key)).map(|key| format!("{key} is missing")));
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n").into()) }
}

/// What a part did not get to say.
fn fail(part: &Part, figures: &mut Figures, why: &str) {
    for key in part.keys {
        if !figures.has(key) {
            figures.put(*key, [Err(why.to_owned())]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(names: &[&str]) -> Vec<&'static Part> {
        PARTS.iter().filter(|part| names.contains(&part.name)).collect()
    }

    #[test]
    fn costs_of_one_scenario_are_taken_together() {
        let jobs = jobs(&parts(&["1x200", "quic", "rss"]), &THOROUGH);
        let [crowded, many, few] = &jobs[..] else { panic!("{jobs:?}") };
        assert_eq!(crowded.hosts, [Host::WebSocket, Host::Floor, Host::Quic]);
        assert!(crowded.windows && !crowded.counts);
        assert_eq!((many.scenario.name, few.scenario.name), ("250x4", "100x4"));
        let counted = super::jobs(&parts(&["syscalls"]), &THOROUGH);
        assert!(counted.iter().all(|job| job.counts && !job.windows));
    }

    #[test]
    fn parts_and_their_figures_have_names_of_their_own() {
        let mut names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
        names.extend(PARTS.iter().flat_map(|part| part.keys));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
