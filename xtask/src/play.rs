//! `cargo xtask play`: from an empty clone to a running server.

use crate::log::{Log, timed};
use crate::project::Project;
use crate::{Result, command, setup, wasm};
use clap::Args;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What the server is started with; what is left out is the server's own default.
#[derive(Args)]
pub(crate) struct Play {
    /// The port to listen on (0: any free one)
    #[arg(long, default_value_t = 7777)]
    port: u16,
    /// The address to listen on
    #[arg(long, value_name = "ADDR")]
    bind: Option<String>,
    /// A name under which the server may be reached; may be given more than once
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// The folder that keeps the rooms
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Play {
    pub(crate) fn run(&self, project: &Project) -> Result {
        build_client(project)?;
        phase(project, "server", "building the server", |log| build_server(project, log))?;
        let mut server = Command::new(server_binary(project));
        server.args(self.server_arguments());
        become_program(server)
    }

    fn server_arguments(&self) -> Vec<OsString> {
        let mut arguments = vec!["--port".into(), self.port.to_string().into()];
        if let Some(address) = &self.bind {
            arguments.extend(["--bind".into(), address.into()]);
        }
        for name in &self.host {
            arguments.extend(["--host".into(), name.into()]);
        }
        if let Some(folder) = &self.data {
            arguments.extend(["--data".into(), folder.into()]);
        }
        arguments
    }
}

/// `cargo xtask wasm`: the browser client, and before it the target that it is built for.
pub(crate) fn build_client(project: &Project) -> Result {
    let toolchain = phase(project, "target", "making sure of the wasm32 target", |log| {
        setup::wasm_toolchain(project, log)
    })?;
    phase(project, "client", "building the browser client", |log| {
        wasm::build_client(project, toolchain, log)
    })
}

/// Builds the server with all example games.
pub(crate) fn build_server(project: &Project, log: &mut Log) -> Result {
    log.run(command::cargo(&project.root).args(["build", "--release", "-p", "referee-examples"]))
}

/// Where `build_server` leaves it.
pub(crate) fn server_binary(project: &Project) -> PathBuf {
    let file = format!("referee-examples{}", std::env::consts::EXE_SUFFIX);
    project.target.join("release").join(file)
}

/// Where the release build leaves it.
pub(crate) fn loadtest_binary(project: &Project) -> PathBuf {
    let file = format!("referee-loadtest{}", std::env::consts::EXE_SUFFIX);
    project.target.join("release").join(file)
}

/// One long step: says what it does, how long it has taken so far, and what went wrong.
fn phase<T>(
    project: &Project,
    name: &str,
    title: &str,
    work: impl FnOnce(&mut Log) -> Result<T>,
) -> Result<T> {
    let at_terminal = std::io::stderr().is_terminal();
    let mut log = if at_terminal {
        Log::Terminal
    } else {
        Log::file(&project.target, &format!("play-{name}"))?
    };
    eprintln!("xtask: {title} ...");
    let heartbeat = |elapsed: Duration| {
        // At a terminal cargo draws its own progress.
        if !at_terminal {
            eprintln!("xtask: still {title}, {} s", elapsed.as_secs());
        }
    };
    let (outcome, took) = timed(heartbeat, || work(&mut log));
    match outcome {
        Ok(result) => {
            eprintln!("xtask: {title}: done, {:.1} s", took.as_secs_f32());
            Ok(result)
        }
        Err(error) => {
            eprint!("{}", log.tail());
            Err(format!("{title} failed: {error}").into())
        }
    }
}

/// Goes on as the server, in this very process: a signal that is meant for the command reaches the
/// server, which saves its rooms before it ends, and the shell waits for that end.
#[cfg(unix)]
fn become_program(mut program: Command) -> Result {
    use std::os::unix::process::CommandExt;
    let name = program.get_program().to_owned();
    let error = program.stdin(Stdio::inherit()).exec();
    Err(format!("cannot start {}: {error}", name.to_string_lossy()).into())
}

/// Where no process can become another, both get the console's Ctrl-C and we wait.
#[cfg(not(unix))]
fn become_program(mut program: Command) -> Result {
    let status = program.stdin(Stdio::inherit()).status()?;
    if status.success() { Ok(()) } else { Err(format!("the server ended: {status}").into()) }
}
