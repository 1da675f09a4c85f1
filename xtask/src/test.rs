//! `cargo xtask test`: the one list of everything that is checked, and the run through it.

use crate::log::{Log, timed};
use crate::project::Project;
use crate::{
    Result, bench, browser, churn, crash, fuzz, load, outside, protocol, steps, tidy, tools,
};
use clap::Args;
use std::process::ExitCode;
use std::time::Duration;

/// One thing that is checked.
pub(crate) struct Step {
    /// What `--only` calls it; also the name of its log file.
    name: &'static str,
    /// What holds when it passes.
    proves: &'static str,
    run_in: RunIn,
    /// The steps without which this one can tell nothing.
    needs: &'static [&'static str],
    run: fn(&Project, &mut Log) -> Result,
}

#[derive(PartialEq, Eq)]
enum RunIn {
    /// Each time.
    Normal,
    /// Only with `--deep`: it takes too long, or needs what takes too long to install.
    Deep,
}
use RunIn::{Deep, Normal};

/// Everything, in order: what is quick comes first, and what others need before them.
#[rustfmt::skip]
const STEPS: &[Step] = &[
    step("tools", "what the others need is installed", Normal, &[], tools::install),
    step("tidy", "the style rules no other tool knows; the edges between the crates", Normal, &[], tidy::step),
    step("fmt", "rustfmt would change nothing", Normal, &[], steps::format),
    step("client", "the browser client builds", Normal, &["tools"], steps::client),
    step("clippy", "no compiler or clippy warning in any target", Normal, &[], steps::clippy),
    step("docs", "every link in the documentation leads somewhere", Normal, &[], steps::docs),
    step("tests", "unit, property and integration tests of all crates", Normal, &[], steps::tests),
    step("doctests", "the examples in the documentation run", Normal, &[], steps::doctests),
    step("wasm", "all portable crates and every game build for the browser", Normal, &["tools"], steps::portable),
    step("release", "the server with all games builds, client included, and the load test", Normal, &["client"], steps::release),
    step("browser", "real pages play the games on the release server", Normal, &["tools", "release"], browser::run),
    step("protocol", "a client made from PROTOCOL.md alone plays on the release server", Normal, &["tools", "release"], protocol::run),
    step("outside", "the README's game, made outside the workspace, is played in a page", Normal, &["tools", "client"], outside::run),
    step("kills", "a server that is killed under load starts again with every room", Normal, &["tools", "release"], steps::kills),
    step("load", "30 bots in an arena over ws and quic: no drop, no wrong state, p99 within 2 ticks; killed, they resume", Normal, &["tools", "release"], load::step),
    step("crashes", "all games under bots, their server killed 20 times: nobody loses a seat, no state is wrong", Normal, &["tools", "release"], crash::step),
    step("churn", "players and rooms that come and go leave no memory, files or sessions behind", Normal, &["tools", "release"], churn::step),
    step("ledger", "the host bench runs, and its figures can be", Normal, &["tools", "release"], bench::step),
    step("durable", "the bench of durability runs, and its figures can be", Normal, &["tools", "release"], bench::durable_step),
    step("wire", "the state of recorded worlds takes as few bytes as it should, and is decoded right, here and in wasm", Normal, &["tools"], bench::wire_step),
    step("properties", "the property tests and simulations, with many more seeds", Deep, &[], steps::properties),
    step("fuzz", "bytes that cargo-fuzz invents are read or refused (installs cargo-fuzz)", Deep, &[], fuzz::deep),
    step("deep kills", "the same, many times over", Deep, &["tools", "release"], steps::deep_kills),
    step("deep crashes", "the same, 200 times", Deep, &["tools", "release"], crash::deep),
    step("deep churn", "the same, for half an hour", Deep, &["tools", "release"], churn::deep),
    step("bench", "a new room of 20 systems costs under 100 us", Deep, &[], steps::bench),
    step("deny", "licences, sources and bans of all dependencies (installs cargo-deny)", Deep, &[], steps::deny),
];

const fn step(
    name: &'static str,
    proves: &'static str,
    run_in: RunIn,
    needs: &'static [&'static str],
    run: fn(&Project, &mut Log) -> Result,
) -> Step {
    Step { name, proves, run_in, needs, run }
}

/// Which steps to run.
#[derive(Args)]
pub(crate) struct Test {
    /// Also the steps that take long
    #[arg(long)]
    deep: bool,
    /// Just this step; may be given more than once
    #[arg(long, value_name = "STEP", value_parser = clap::builder::PossibleValuesParser::new(STEPS.iter().map(|step| step.name)))]
    only: Vec<String>,
}

/// What became of one step.
struct Outcome {
    step: &'static Step,
    took: Duration,
    result: Result,
}

impl Test {
    pub(crate) fn run(&self, project: &Project) -> Result<ExitCode> {
        let chosen: Vec<&'static Step> = STEPS.iter().filter(|step| self.includes(step)).collect();
        let mut outcomes: Vec<Outcome> = Vec::new();
        for (index, step) in chosen.iter().enumerate() {
            println!("[{:2}/{}] {}: {}", index + 1, chosen.len(), step.name, step.proves);
            let outcome = run_step(project, step, &outcomes)?;
            outcomes.push(outcome);
        }
        self.print_summary(&outcomes);
        let all_passed = outcomes.iter().all(Outcome::passed);
        Ok(if all_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn includes(&self, step: &Step) -> bool {
        if self.only.is_empty() {
            self.deep || step.run_in == Normal
        } else {
            self.only.iter().any(|name| name == step.name)
        }
    }

    /// Ends with the line that says how many steps passed and failed.
    fn print_summary(&self, outcomes: &[Outcome]) {
        println!("\n{:<12} {:>8}  result", "step", "seconds");
        for outcome in outcomes {
            let result = match &outcome.result {
                Ok(()) => "ok".to_owned(),
                Err(error) => format!("FAILED: {error}"),
            };
            println!("{:<12} {:>8.1}  {result}", outcome.step.name, outcome.took.as_secs_f32());
        }
        let total: Duration = outcomes.iter().map(|outcome| outcome.took).sum();
        println!("{:<12} {:>8.1}", "total", total.as_secs_f32());
        if self.only.is_empty() && !self.deep {
            println!("\nLeft to `cargo xtask test --deep`:");
            for step in STEPS.iter().filter(|step| step.run_in == Deep) {
                println!("  {}: {}", step.name, step.proves);
            }
        }
        let passed = outcomes.iter().filter(|outcome| outcome.passed()).count();
        println!("\n{passed} passed, {} failed", outcomes.len() - passed);
    }
}

impl Outcome {
    fn passed(&self) -> bool {
        self.result.is_ok()
    }
}

/// A step whose need has failed counts as failed: it has proved nothing.
fn run_step(project: &Project, step: &'static Step, before: &[Outcome]) -> Result<Outcome> {
    let missing = before.iter().find(|o| !o.passed() && step.needs.contains(&o.step.name));
    if let Some(missing) = missing {
        let reason = format!("not run, it needs `{}`", missing.step.name);
        println!("        {reason}");
        return Ok(Outcome { step, took: Duration::ZERO, result: Err(reason.into()) });
    }
    let mut log = Log::file(&project.target, step.name)?;
    let heartbeat = |elapsed: Duration| println!("        .. {} s", elapsed.as_secs());
    let (result, took) = timed(heartbeat, || (step.run)(project, &mut log));
    match &result {
        Ok(()) => println!("        ok, {:.1} s", took.as_secs_f32()),
        Err(error) => println!("{}        FAILED: {error}", log.tail()),
    }
    Ok(Outcome { step, took, result })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_need_is_a_step_that_comes_earlier() {
        for (index, step) in STEPS.iter().enumerate() {
            for need in step.needs {
                assert!(STEPS[..index].iter().any(|s| s.name == *need), "{}: {need}", step.name);
            }
        }
    }

    #[test]
    fn a_normal_step_needs_no_deep_one() {
        let deep = |name: &str| STEPS.iter().any(|s| s.name == name && s.run_in == Deep);
        for step in STEPS.iter().filter(|step| step.run_in == Normal) {
            assert!(!step.needs.iter().any(|need| deep(need)), "{}", step.name);
        }
    }

    #[test]
    fn names_are_unique() {
        for (index, step) in STEPS.iter().enumerate() {
            assert!(STEPS[..index].iter().all(|s| s.name != step.name), "{}", step.name);
        }
    }
}
