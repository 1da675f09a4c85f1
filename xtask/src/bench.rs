//! `cargo xtask bench host`: what the host costs for each delivered message, beside a bare floor.
//! Builds the release server, the bench's programs and its counting library, and runs the bench.

use crate::log::Log;
use crate::project::Project;
use crate::{Result, command, play, tools};
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
    /// The server's processor time for each delivered state message, and what it is made of
    Host(Host),
}

#[derive(Args)]
struct Host {
    /// Write the figures as one flat object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fewer clients, short windows, one round: says whether it works, not what things cost
    #[arg(long)]
    quick: bool,
}

impl Bench {
    pub(crate) fn run(&self, project: &Project) -> Result {
        let What::Host(host) = &self.what;
        let mut log = Log::Terminal;
        tools::count_syscalls(project, &mut log)?;
        play::build_server(project, &mut log)?;
        let mut bench = prepare(project, &mut log)?;
        if let Some(file) = &host.json {
            bench.arg("--json").arg(absolute(file)?);
        }
        if host.quick {
            bench.arg("--quick");
        }
        log.run(&mut bench)
    }
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
    log.run(cargo.args(["build", "--release", "-p", "referee-bench", "--bins"]))?;
    let folder = folder(project);
    std::fs::create_dir_all(&folder)?;
    let counts = folder.join("counts.so");
    compile_counts(project, &counts, log)?;
    let release = |name: &str| project.target.join("release").join(name);
    let mut bench = command::program(release("referee-bench"), &project.root);
    bench.arg("--server").arg(play::server_binary(project));
    bench.arg("--floor").arg(release("floor")).arg("--counts").arg(counts);
    bench.arg("--folder").arg(folder);
    Ok(bench)
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
