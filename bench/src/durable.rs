//! What durability costs, and what it is worth: gated moves beside a bare floor, what the journal takes, how
//! long it takes to play on after a crash; what a room costs that is out of memory.
//!
//! Each part is measured by itself and puts its figures into the report; one more is a line in [`PARTS`].

mod arenas;
mod crash;
mod gated;
pub(crate) mod moves;
mod parked;
mod report;
mod restore;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::runtime::Runtime;

use crate::Result;
use report::Report;

/// What is needed.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The release server with the example games
    #[arg(long, value_name = "FILE")]
    server: PathBuf,
    /// The floor of durable moves
    #[arg(long, value_name = "FILE")]
    floor: PathBuf,
    /// The program that fills a store
    #[arg(long, value_name = "FILE")]
    fill: PathBuf,
    /// The program that measures parked rooms
    #[arg(long, value_name = "FILE")]
    parked: PathBuf,
    /// A folder for rooms; what is in it may be lost
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// Write the figures as one flat object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Small and short: says whether it works, not what things cost
    #[arg(long)]
    quick: bool,
    /// Only this part; may be given more than once
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
}

/// A part of the bench.
struct Part {
    name: &'static str,
    about: &'static str,
    run: fn(&Bench, &mut Report) -> Result,
}

/// All of them.
const PARTS: &[Part] = &[
    Part { name: "gated", about: "gated moves beside a bare floor", run: gated::rates },
    Part {
        name: "snapshots",
        about: "gated moves while rooms are saved",
        run: gated::beside_saves,
    },
    Part { name: "arenas", about: "what the journal costs live arenas", run: arenas::run },
    Part { name: "restore", about: "a match made again from its journal", run: restore::run },
    Part { name: "parked", about: "rooms out of memory, and back", run: parked::run },
    Part { name: "crash", about: "from a kill to playing on", run: crash::run },
];

/// The programs, where things may be put, and how much of it.
struct Bench {
    server: PathBuf,
    floor: PathBuf,
    fill: PathBuf,
    parked: PathBuf,
    folder: PathBuf,
    sizes: Sizes,
    runtime: Runtime,
}

/// How much is measured, and for how long.
struct Sizes {
    /// Times that each pair of things is compared.
    rounds: usize,
    window: Duration,
    warm_up: Duration,
    /// Rooms of the gated runs beside the one with a single client.
    some_rooms: usize,
    many_rooms: usize,
    /// Live arenas, of four players each.
    arenas: usize,
    /// Rooms that nobody is in when the server is killed.
    unfinished: usize,
    /// The size of the store then, in MiB.
    store_mib: usize,
    kills: usize,
    /// How long the match is that is made again.
    match_length: Duration,
    /// Rooms that are parked, without sockets; those with sockets; those that are brought back one by one.
    parked: usize,
    parked_sockets: usize,
    wakes: usize,
}

const THOROUGH: Sizes = Sizes {
    rounds: 3,
    window: Duration::from_secs(5),
    warm_up: Duration::from_secs(1),
    some_rooms: 100,
    many_rooms: 1_000,
    arenas: 200,
    unfinished: 1_000,
    store_mib: 2_048,
    kills: 3,
    match_length: Duration::from_secs(30),
    parked: 100_000,
    parked_sockets: 400,
    wakes: 400,
};

/// For a look at whether everything works.
const QUICK: Sizes = Sizes {
    rounds: 1,
    window: Duration::from_secs(1),
    warm_up: Duration::from_millis(200),
    some_rooms: 10,
    many_rooms: 50,
    arenas: 5,
    unfinished: 20,
    store_mib: 16,
    kills: 1,
    match_length: Duration::from_secs(3),
    parked: 1_000,
    parked_sockets: 50,
    wakes: 50,
};

impl Bench {
    /// A folder with nothing in it.
    fn empty(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result {
    fs::create_dir_all(&arguments.folder)?;
    let known = |name: &&String| !PARTS.iter().any(|part| part.name == name.as_str());
    if let Some(unknown) = arguments.only.iter().find(known) {
        let names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
        return Err(format!("{unknown} is none of {}", names.join(", ")).into());
    }
    let bench = Bench {
        server: arguments.server.clone(),
        floor: arguments.floor.clone(),
        fill: arguments.fill.clone(),
        parked: arguments.parked.clone(),
        folder: arguments.folder.clone(),
        sizes: if arguments.quick { QUICK } else { THOROUGH },
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
    };
    let mut report = Report::default();
    let wanted = |part: &&Part| {
        arguments.only.is_empty() || arguments.only.iter().any(|name| name == part.name)
    };
    for part in PARTS.iter().filter(wanted) {
        eprintln!("{}: {}", part.name, part.about);
        (part.run)(&bench, &mut report)?;
    }
    print!("{}", report.table());
    if let Some(file) = &arguments.json {
        fs::write(file, format!("{:#}\n", report.json()))
            .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    let insane = report.insane();
    if insane.is_empty() { Ok(()) } else { Err(insane.join("\n").into()) }
}
