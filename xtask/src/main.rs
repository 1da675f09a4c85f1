//! The project's own commands: `cargo xtask play`, `test`, `bench`, `train`, `wasm`, `tidy`.
//!
//! Each command is a file; what they share is `project` (where things are), `command` (how other
//! programs are started) and `log` (what is shown of their output).

mod bench;
mod browser;
mod churn;
mod command;
mod crash;
mod fuzz;
mod imports;
mod load;
mod log;
mod outside;
mod play;
mod project;
mod protocol;
mod setup;
mod steps;
mod test;
mod tidy;
mod tools;
mod train;
mod wasm;

use clap::{Parser, Subcommand};
use project::Project;
use std::process::ExitCode;

/// What can go wrong here is shown to a person and never handled: a line of text is enough.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Referee's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds the browser client and the server, and hosts the example games
    Play(play::Play),
    /// Runs every check and every test, and installs what they need
    Test(test::Test),
    /// Measures what the server costs
    Bench(bench::Bench),
    /// Learns from matches what is likely in a game's state, so that less is sent
    Train(train::Train),
    /// Builds the browser client into server/client, where the server's build picks it up
    Wasm,
    /// Checks the style rules that no other tool knows, and the edges between the crates
    Tidy,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = Project::load().and_then(|project| match arguments.command {
        Command::Play(play) => play.run(&project).map(|()| ExitCode::SUCCESS),
        Command::Test(test) => test.run(&project),
        Command::Bench(bench) => bench.run(&project).map(|()| ExitCode::SUCCESS),
        Command::Train(train) => train.run(&project).map(|()| ExitCode::SUCCESS),
        Command::Wasm => play::build_client(&project).map(|()| ExitCode::SUCCESS),
        Command::Tidy => tidy::run(&project).map(|()| ExitCode::SUCCESS),
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}
