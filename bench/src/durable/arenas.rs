//! What the journal costs live arenas: processor time with and without it, and bytes.

use std::thread::sleep;

use super::Bench;
use super::report::Report;
use crate::load::{Load, Target};
use crate::process::{Process, free_port};
use crate::scenario::Scenario;
use crate::tally::median;
use crate::{Result, metrics};

/// Players of an arena.
pub(super) const PLAYERS: usize = 4;

pub(super) fn scenario(rooms: usize) -> Scenario {
    Scenario::arenas("arenas", rooms)
}

/// What a window showed.
struct Window {
    /// The server's processor time for each state that came, in microseconds.
    cpu_us_each: f64,
    /// The share of it that the journal's own thread has.
    thread_share: f64,
    journal_bytes: f64,
    minutes: f64,
}

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result {
    let (mut shares, mut threads, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=bench.sizes.rounds {
        let without = window(bench, &["--no-journal"])?;
        let with = window(bench, &[])?;
        shares.push((with.cpu_us_each - without.cpu_us_each) / without.cpu_us_each * 100.0);
        threads.push(with.thread_share * 100.0);
        let players = (bench.sizes.arenas * PLAYERS) as f64;
        bytes.push(with.journal_bytes / players / with.minutes);
        eprintln!(
            "  round {round}: {:.2} us a state with a journal, {:.2} without; its thread has {:.1} %",
            with.cpu_us_each,
            without.cpu_us_each,
            with.thread_share * 100.0
        );
    }
    report.put("journal_cpu_pct", median(&shares));
    report.put("journal_thread_cpu_pct", median(&threads));
    report.put("journal_bytes_per_player_minute", median(&bytes));
    Ok(())
}

fn window(bench: &Bench, arguments: &[&str]) -> Result<Window> {
    let folder = bench.empty("arenas")?;
    let process = Process::begin(&bench.server, free_port()?, &folder, arguments, None)?;
    process.wait_until_up()?;
    let scenario = scenario(bench.sizes.arenas);
    let target = Target::WebSocket { port: process.port };
    let load = bench.runtime.block_on(Load::start(&scenario, &target))?;
    sleep(bench.sizes.warm_up);
    let journal = || metrics::counted(process.port, "referee_journal_bytes_total");
    let (bytes, before) = (journal()?, process.usage()?);
    load.tally.take();
    sleep(bench.sizes.window * 2);
    let seen = load.tally.take();
    let (after, bytes) = (process.usage()?, journal()? - bytes);
    if let Some(fault) = load.tally.fault() {
        return Err(fault.into());
    }
    drop(load);
    process.end()?;
    let cpu_us = after.cpu_us_since(&before);
    Ok(Window {
        cpu_us_each: cpu_us / seen.delivered().max(1) as f64,
        thread_share: after.of_thread("journal").cpu_us_since(&before) / cpu_us,
        journal_bytes: bytes,
        minutes: bench.sizes.window.as_secs_f64() * 2.0 / 60.0,
    })
}
