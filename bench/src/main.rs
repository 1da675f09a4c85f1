//! What the host costs, beside a floor that does nothing but the system calls; and what durability costs
//! and is worth.
//!
//! `cargo xtask bench host` and `bench durable` build what this needs and run it. Here is the measuring:
//! `load` lets the clients come (`crowd` over TCP, `quic`, `light` what they say), `process`, `usage` and
//! `syscalls` look at the host from outside, `measure` takes one measurement, `ledger` all of them;
//! `durable` has its own.

mod crowd;
mod durable;
mod ledger;
mod light;
mod load;
mod measure;
mod process;
mod quic;
mod random;
mod scenario;
mod syscalls;
mod tally;
mod usage;
mod websocket;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use measure::{Bench, Times};
use scenario::{Host, SCENARIOS, SMALL, Scenario};

/// What goes wrong here is shown to a person and never handled: a line of text is enough.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Measures the server from outside.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The server's processor time for each delivered state message
    Host(HostArguments),
    /// What durability costs, and what it is worth when the server is killed
    Durable(durable::Arguments),
}

#[derive(Args)]
struct HostArguments {
    /// The release server with the example games
    #[arg(long, value_name = "FILE")]
    server: PathBuf,
    /// The floor
    #[arg(long, value_name = "FILE")]
    floor: PathBuf,
    /// The counting library
    #[arg(long, value_name = "FILE")]
    counts: PathBuf,
    /// A folder for the rooms of the server and for counts; what is in it may be lost
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// Write the figures as one flat object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fewer clients, short windows, one round: says whether it works, not what things cost
    #[arg(long)]
    quick: bool,
    /// Only the rooms of this name: 250x4
    #[arg(long, value_name = "ROOMS")]
    only: Option<String>,
}

impl HostArguments {
    fn scenarios(&self) -> Result<Vec<Scenario>> {
        let all = if self.quick { SMALL } else { SCENARIOS };
        let Some(only) = &self.only else { return Ok(all.to_vec()) };
        match all.iter().find(|scenario| scenario.name == only) {
            Some(scenario) => Ok(vec![*scenario]),
            None => {
                Err(format!("{only} is none of {}", all.map(|known| known.name).join(", ")).into())
            }
        }
    }
}

/// For figures that can be trusted.
const THOROUGH: Times = Times {
    rounds: 3,
    warm_up: Duration::from_secs(2),
    window: Duration::from_secs(6),
    counting: Duration::from_secs(3),
};

/// For a look at whether everything works.
const QUICK: Times = Times {
    rounds: 1,
    warm_up: Duration::from_millis(500),
    window: Duration::from_secs(2),
    counting: Duration::from_secs(1),
};

/// In this order: the floor takes its lengths over from what stands before it.
const HOSTS: [Host; 3] = [Host::WebSocket, Host::Floor, Host::Quic];

fn main() -> ExitCode {
    let ran = match Arguments::parse().what {
        What::Host(arguments) => run(arguments),
        What::Durable(arguments) => durable::run(&arguments),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: HostArguments) -> Result<()> {
    std::fs::create_dir_all(&arguments.folder)?;
    let scenarios = arguments.scenarios()?;
    let bench = Bench {
        server: arguments.server,
        floor: arguments.floor,
        shim: arguments.counts,
        folder: arguments.folder,
        times: if arguments.quick { QUICK } else { THOROUGH },
        scenarios,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ledger = runtime.block_on(ledger::run(&bench, &HOSTS))?;
    print!("{}\n{}", ledger.table(), ledger.lengths());
    if let Some(file) = arguments.json {
        std::fs::write(&file, format!("{:#}\n", ledger.json()))
            .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    let insane = ledger.insane();
    if insane.is_empty() { Ok(()) } else { Err(insane.join("\n").into()) }
}
