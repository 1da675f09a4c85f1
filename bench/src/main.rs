//! What the host costs, beside a floor that does nothing but the system calls; and what durability costs
//! and is worth.
//!
//! `cargo xtask bench host` and `bench durable` build what this needs and run it. Here is the measuring:
//! `load` lets the clients come (`crowd` over TCP, `quic`, `light` what they say), `process`, `usage` and
//! `syscalls` look at the host from outside, `measure` takes one measurement, `ledger` all of a message's
//! cost; `host` has the parts and the figures, `durable` its own.

mod crowd;
mod durable;
mod host;
mod ledger;
mod light;
mod load;
mod measure;
mod metrics;
mod poll;
mod process;
mod quic;
mod random;
mod scenario;
mod syscalls;
mod tally;
mod usage;
mod websocket;
mod wire_bytes;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What goes wrong here is shown to a person and never handled: a line of text is enough.
pub(crate) type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Measures the server from outside.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// What the host costs for each delivered state message, and what it carries
    Host(host::Arguments),
    /// What durability costs, and what it is worth when the server is killed
    Durable(durable::Arguments),
    /// Counts for a time, which a part of the host's bench wants of processes of their own
    #[command(hide = true)]
    Count { ms: u64 },
}

fn main() -> ExitCode {
    let ran = match Arguments::parse().what {
        What::Host(arguments) => host::run(arguments),
        What::Durable(arguments) => durable::run(&arguments),
        What::Count { ms } => {
            host::count(ms);
            Ok(())
        }
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
