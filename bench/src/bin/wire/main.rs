//! What state costs on the wire, and what coding it takes: recorded worlds played in real rooms.
//!
//! `cargo xtask bench wire` builds what this needs and runs it. `trace` reads the records, `games`
//! plays them, `stage` is the room and its client, `reference` the codec alone at
//! some distance; `traffic` measures both; `jitter` is a hundred clients over a bad network; `crowd` is a match of a thousand; `wasm` and `allocations` have other programs measure; `rows` is
//! what is asked for.

mod allocations;
mod audience;
mod crowd;
mod games;
mod jitter;
mod reference;
mod report;
mod rows;
mod stage;
mod trace;
mod traffic;
mod wasm;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use allocations::Tells;
use report::Report;
use rows::Worlds;

/// What goes wrong here is shown to a person and never handled: a line of text is enough.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Measures the bytes of state frames, and the time that coding them takes.
#[derive(Parser)]
struct Arguments {
    /// The folder of the recorded worlds
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The folder of the decoder as a wasm module; what is measured of it needs node
    #[arg(long, value_name = "DIR")]
    decoder: Option<PathBuf>,
    /// The program for node that times it
    #[arg(long, value_name = "FILE", requires = "decoder")]
    script: Option<PathBuf>,
    /// The counting library
    #[arg(long, value_name = "FILE", requires = "folder")]
    counts: Option<PathBuf>,
    /// A folder for counts; what is in it may be lost
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Write the figures as one flat object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Bytes only, and an error where they are not good
    #[arg(long)]
    quick: bool,
    /// Show instead where in the code a steady tick asks for memory; needs addr2line
    #[arg(long, requires = "counts")]
    where_allocations: bool,
    /// Be the process in which allocations are counted
    #[arg(long, hide = true)]
    allocations: bool,
    /// And have each told of
    #[arg(long, hide = true)]
    tell: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result {
    if arguments.allocations {
        let tells = if arguments.tell { Tells::Each } else { Tells::Nothing };
        return allocations::run(&rows::arena(&arguments.data)?, None, tells);
    }
    let counting = arguments.counts.as_deref().zip(arguments.folder.as_deref());
    if let Some((counts, folder)) = counting.filter(|_| arguments.where_allocations) {
        print!("{}", allocations::places(counts, folder, &arguments.data)?);
        return Ok(());
    }
    let mut report = Report::default();
    let worlds = Worlds::read(&arguments.data)?;
    let measured = rows::bytes(&worlds, &mut report);
    rows::jittered(&worlds, &mut report);
    rows::audience(&worlds, arguments.quick, &mut report);
    let wasm = arguments.decoder.as_deref().zip(arguments.script.as_deref());
    if let Some(wasm) = wasm {
        rows::same_in_wasm(&worlds, &measured, wasm)?;
    }
    if !arguments.quick {
        rows::times(&worlds, &measured, &mut report);
        rows::crowd(&arguments.data, &mut report)?;
        if let Some(wasm) = wasm {
            rows::decode(&worlds, &measured, wasm, &mut report)?;
        }
        if let Some((counts, folder)) = counting {
            rows::allocations((counts, folder, &arguments.data), &mut report)?;
        }
    }
    print!("{}", report.table());
    if let Some(file) = &arguments.json {
        std::fs::write(file, format!("{:#}\n", report.json()))
            .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    let missed = report.missed();
    match arguments.quick && !missed.is_empty() {
        true => Err(missed.join("\n").into()),
        false => Ok(()),
    }
}
