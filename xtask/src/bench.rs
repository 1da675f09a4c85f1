//! `cargo xtask bench host`: what the host costs for each delivered message, beside a bare floor, and what it
//! carries. Builds the release server, the bench's programs and its counting library, and runs the bench.
//! `cargo xtask bench durable`: what durability costs, and what it is worth after a kill.
//! `cargo xtask bench wire`: what state costs on the wire, and what coding it takes. Builds the bench,
//! the counting library and the decoder for wasm.

use crate::log::Log;
use crate::project::Project;
use crate::{Result, command, play, setup, tools, wasm};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is measured.
#[derive(Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// What the host costs for each delivered state message, what that is made of, and what the host carries
    Host(Host),
    /// Durable moves beside a bare floor, what the journal costs, and the time from a kill to playing on
    Durable(Durable),
    /// The bytes of state frames of recorded worlds, and the time that coding them takes
    Wire(Wire),
}

#[derive(Args)]
struct Host {
    /// Write the figures as one flat object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fewer clients, short windows, one round: says whether it works, not what things cost
    #[arg(long)]
    quick: bool,
    /// Rounds of what is taken more than once [default: 5; 1 with --quick]
    #[arg(long, value_name = "NUMBER")]
    rounds: Option<u8>,
    /// Only this part: 1x200, 1x500, 250x4, 500x4, quic, syscalls, rooms-per-core, lateness, scaling, moves,
    /// cold, rss, idle or isolation; may be given more than once
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
}

#[derive(Args)]
struct Durable {
    /// Write the figures as one flat object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Small and short: says whether it works, not what things cost
    #[arg(long)]
    quick: bool,
    /// Only this part: gated, snapshots, arenas, restore or crash; may be given more than once
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
}

#[derive(Args)]
struct Wire {
    /// Write the figures as one flat object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Bytes only, and an error where they are not good
    #[arg(long)]
    quick: bool,
    /// Show instead where in the code a steady tick asks for memory (needs addr2line)
    #[arg(long, conflicts_with_all = ["json", "quick"])]
    where_allocations: bool,
}

impl Bench {
    pub(crate) fn run(&self, project: &Project) -> Result {
        match &self.what {
            What::Host(host) => host.run(project),
            What::Durable(durable) => durable.run(project),
            What::Wire(wire) => wire.run(project),
        }
    }
}

impl Host {
    fn run(&self, project: &Project) -> Result {
        let mut log = Log::Terminal;
        tools::count_syscalls(project, &mut log)?;
        play::build_server(project, &mut log)?;
        let mut bench = prepare(project, &mut log)?;
        if let Some(file) = &self.json {
            bench.arg("--json").arg(absolute(file)?);
        }
        if self.quick {
            bench.arg("--quick");
        }
        if let Some(rounds) = self.rounds {
            bench.arg("--rounds").arg(rounds.to_string());
        }
        for only in &self.only {
            bench.arg("--only").arg(only);
        }
        log.run(&mut bench)
    }
}

impl Durable {
    fn run(&self, project: &Project) -> Result {
        let mut log = Log::Terminal;
        play::build_server(project, &mut log)?;
        let mut bench = prepare_durable(project, &mut log)?;
        if let Some(file) = &self.json {
            bench.arg("--json").arg(absolute(file)?);
        }
        if self.quick {
            bench.arg("--quick");
        }
        for only in &self.only {
            bench.arg("--only").arg(only);
        }
        log.run(&mut bench)
    }
}

/// As a step of the test command: everything works, and the figures can be.
pub(crate) fn durable_step(project: &Project, log: &mut Log) -> Result {
    let mut bench = prepare_durable(project, log)?;
    log.run(bench.arg("--quick").arg("--json").arg(folder(project).join("durable.json")))
}

/// Builds all but the server, and says how to run it.
fn prepare_durable(project: &Project, log: &mut Log) -> Result<Command> {
    let mut cargo = command::cargo(&project.root);
    let of_bench = ["referee-bench", "referee-bench-fill", "referee-bench-parked"];
    let of_bench = of_bench.into_iter().flat_map(|package| ["-p", package]);
    log.run(cargo.args(["build", "--release", "--bins"]).args(of_bench))?;
    let release = |name: &str| project.target.join("release").join(name);
    let mut bench = command::program(release("referee-bench"), &project.root);
    bench.arg("durable").arg("--server").arg(play::server_binary(project));
    bench.arg("--floor").arg(release("durable_floor"));
    bench.arg("--fill").arg(release("referee-bench-fill"));
    bench.arg("--parked").arg(release("referee-bench-parked"));
    bench.arg("--folder").arg(folder(project).join("durable"));
    Ok(bench)
}

impl Wire {
    fn run(&self, project: &Project) -> Result {
        let mut log = Log::Terminal;
        let mut bench = prepare_wire(project, &mut log)?;
        if self.quick {
            with_decoder(project, &mut bench, &mut log)?;
            return log.run(bench.arg("--quick"));
        }
        let counts = build_counts(project, &mut log)?;
        bench.arg("--counts").arg(counts).arg("--folder").arg(folder(project));
        if self.where_allocations {
            return log.run(bench.arg("--where-allocations"));
        }
        with_decoder(project, &mut bench, &mut log)?;
        if let Some(file) = &self.json {
            bench.arg("--json").arg(absolute(file)?);
        }
        log.run(&mut bench)
    }
}

/// As a step of the test command: the bytes are good. They are the same on every machine.
pub(crate) fn wire_step(project: &Project, log: &mut Log) -> Result {
    let mut bench = prepare_wire(project, log)?;
    with_decoder(project, &mut bench, log)?;
    log.run(bench.arg("--quick"))
}

/// Builds the decoder for wasm, and has the bench use it.
fn with_decoder(project: &Project, bench: &mut Command, log: &mut Log) -> Result {
    let decoder = folder(project).join("decoder");
    let toolchain = setup::wasm_toolchain(project, log)?;
    wasm::build_module(project, toolchain, ("referee-bench-decoder", "decoder", &decoder), log)?;
    bench.arg("--decoder").arg(&decoder);
    bench.arg("--script").arg(project.root.join("bench/decode.mjs"));
    Ok(())
}

/// Builds the bench of the wire, and says how to run it.
fn prepare_wire(project: &Project, log: &mut Log) -> Result<Command> {
    let mut cargo = command::cargo(&project.root);
    log.run(cargo.args(["build", "--release", "-p", "referee-bench", "--bins"]))?;
    let wire = project.target.join("release").join("wire");
    let mut bench = command::program(wire, &project.root);
    bench.arg("--data").arg(project.root.join("bench/data"));
    Ok(bench)
}

/// A short run, as a step of the test command: everything works, and the figures can be. How fast
/// the machine is today says nothing about the code.
pub(crate) fn step(project: &Project, log: &mut Log) -> Result {
    let mut bench = prepare(project, log)?;
    log.run(bench.arg("--quick").arg("--json").arg(folder(project).join("quick.json")))
}

/// Builds all but the server, and says how to run it.
fn prepare(project: &Project, log: &mut Log) -> Result<Command> {
    let mut cargo = command::cargo(&project.root);
    let of_bench = ["referee-bench", "referee-bench-parked", "referee-loadtest"];
    let of_bench = of_bench.into_iter().flat_map(|package| ["-p", package]);
    log.run(cargo.args(["build", "--release", "--bins"]).args(of_bench))?;
    let counts = build_counts(project, log)?;
    let release = |name: &str| project.target.join("release").join(name);
    let mut bench = command::program(release("referee-bench"), &project.root);
    bench.arg("host").arg("--server").arg(play::server_binary(project));
    bench.arg("--floor").arg(release("floor")).arg("--counts").arg(counts);
    bench.arg("--games").arg(release("referee-bench-parked"));
    bench.arg("--loadtest").arg(release("referee-loadtest"));
    bench.arg("--folder").arg(folder(project));
    Ok(bench)
}

fn build_counts(project: &Project, log: &mut Log) -> Result<PathBuf> {
    let folder = folder(project);
    std::fs::create_dir_all(&folder)?;
    let counts = folder.join("counts.so");
    compile_counts(project, &counts, log)?;
    Ok(counts)
}

/// The two flags keep the compiler from making a call of memcpy out of the body of memcpy.
fn compile_counts(project: &Project, library: &Path, log: &mut Log) -> Result {
    let mut cc = command::program("cc", &project.root);
    cc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]);
    cc.args(["-fno-builtin", "-fno-tree-loop-distribute-patterns"]);
    cc.arg("-o").arg(library).arg("bench/counts.c");
    log.run(&mut cc).map_err(|error| {
        format!("the counting library (Linux with glibc, compiled by cc): {error}").into()
    })
}

fn folder(project: &Project) -> PathBuf {
    project.target.join("bench")
}

/// The bench runs in the project's folder, and the path was meant for the one we are in.
fn absolute(file: &Path) -> Result<PathBuf> {
    Ok(std::env::current_dir()?.join(file))
}
