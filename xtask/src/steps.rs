//! The steps of the test command that are a cargo call or two.

use crate::log::Log;
use crate::project::Project;
use crate::{Result, command, play, setup, wasm};
use std::process::Command;

/// Cases for each property test in a deep run; the usual number is 256.
const DEEP_CASES: &str = "20000";

/// How often a server is killed in a usual run, and in a deep one.
const KILLS: u32 = 20;
const DEEP_KILLS: u32 = 200;

/// Seeds for each simulation in a deep run.
const DEEP_SEEDS: &str = "200";

/// The cargo-deny that `deny.toml` was written for.
const CARGO_DENY: &str = "0.20.2";

pub(crate) fn format(project: &Project, log: &mut Log) -> Result {
    log.run(cargo(project).args(["fmt", "--all", "--", "--check"]))
}

/// `--locked` makes this also the step that finds a forgotten `Cargo.lock`.
pub(crate) fn clippy(project: &Project, log: &mut Log) -> Result {
    let mut clippy = cargo(project);
    clippy.args(["clippy", "--locked", "--workspace", "--all-targets", "--keep-going"]);
    clippy.args(["--", "-D", "warnings"]);
    log.run(&mut clippy)
}

pub(crate) fn docs(project: &Project, log: &mut Log) -> Result {
    let mut doc = cargo(project);
    doc.args(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    log.run(doc.env("RUSTDOCFLAGS", "-D warnings"))
}

pub(crate) fn tests(project: &Project, log: &mut Log) -> Result {
    log.run(&mut test_runner(project, "default"))
}

pub(crate) fn doctests(project: &Project, log: &mut Log) -> Result {
    log.run(cargo(project).args(["test", "--workspace", "--doc"]))
}

pub(crate) fn client(project: &Project, log: &mut Log) -> Result {
    let toolchain = setup::wasm_toolchain(project, log)?;
    wasm::build_client(project, toolchain, log)
}

pub(crate) fn portable(project: &Project, log: &mut Log) -> Result {
    let toolchain = setup::wasm_toolchain(project, log)?;
    wasm::check_portable(project, toolchain, log)
}

/// Both in one call: apart, they would build what they share twice, with other features each.
pub(crate) fn release(project: &Project, log: &mut Log) -> Result {
    let packages = ["-p", "referee-examples", "-p", "referee-loadtest"];
    log.run(cargo(project).args(["build", "--release"]).args(packages))
}

/// What a room costs, with a limit on making one.
pub(crate) fn bench(project: &Project, log: &mut Log) -> Result {
    log.run(cargo(project).args(["bench", "-p", "referee-room", "--bench", "rooms"]))
}

pub(crate) fn kills(project: &Project, log: &mut Log) -> Result {
    kill(project, KILLS, log)
}

pub(crate) fn deep_kills(project: &Project, log: &mut Log) -> Result {
    kill(project, DEEP_KILLS, log)
}

fn kill(project: &Project, kills: u32, log: &mut Log) -> Result {
    let mut node = command::program("node", &project.root);
    node.args(["--test", "--test-reporter=spec", "--test-timeout=600000"]);
    node.arg("tests/kills/kills.test.mjs");
    node.env("REFEREE_SERVER", play::server_binary(project));
    log.run(node.env("REFEREE_KILLS", kills.to_string()))
}

pub(crate) fn properties(project: &Project, log: &mut Log) -> Result {
    let mut tests = test_runner(project, "deep");
    log.run(tests.env("PROPTEST_CASES", DEEP_CASES).env("REFEREE_SEEDS", DEEP_SEEDS))
}

/// Known vulnerabilities are not among what is checked: their list is a git clone away, and a
/// build must not depend on what is in it today.
pub(crate) fn deny(project: &Project, log: &mut Log) -> Result {
    if command::answer(cargo(project).args(["deny", "--version"])).is_none() {
        log.run(cargo(project).args(["install", "cargo-deny", "--version", CARGO_DENY]))?;
    }
    log.run(cargo(project).args(["deny", "check", "bans", "licenses", "sources"]))
}

/// nextest where there is one: it runs the tests of all crates at once, and ends one that hangs.
fn test_runner(project: &Project, profile: &str) -> Command {
    let has_nextest = command::answer(cargo(project).args(["nextest", "--version"])).is_some();
    let mut tests = cargo(project);
    if has_nextest {
        tests.args(["nextest", "run", "--workspace", "--no-fail-fast", "--profile", profile]);
    } else {
        tests.args(["test", "--workspace", "--all-targets", "--no-fail-fast"]);
    }
    tests
}

fn cargo(project: &Project) -> Command {
    command::cargo(&project.root)
}
