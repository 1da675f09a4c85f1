//! What memory an arena of four takes while it is played, its sockets in the server included.

use std::thread::sleep;

use super::figures::{Figures, Round};
use crate::load::{Load, Target};
use crate::measure::{Bench, fault};
use crate::process::Process;
use crate::scenario::Scenario;
use crate::{Result, usage};

pub(super) fn run(bench: &Bench, figures: &mut Figures) -> Result {
    let mut rounds = Vec::new();
    for round in 1..=bench.sizes.rounds {
        let each = measure(bench)?;
        match &each {
            Ok(kib) => eprintln!("  round {round}: {kib:.1} KiB"),
            Err(why) => eprintln!("  round {round}: INVALID, {why}"),
        }
        rounds.push(each);
    }
    figures.put("rss_kib_per_room", rounds);
    Ok(())
}

fn measure(bench: &Bench) -> Result<Round> {
    let process = Process::referee(&bench.server, &bench.folder.join("data"), None)?;
    let empty = usage::resident_kib(process.pid())?;
    let scenario = Scenario::arenas("memory", bench.sizes.memory_rooms);
    let target = Target::WebSocket { port: process.port };
    let load = bench.runtime.block_on(Load::start(&scenario, &target))?;
    sleep(bench.sizes.warm_up);
    load.tally.take();
    sleep(bench.sizes.window);
    let full = usage::resident_kib(process.pid())?;
    let seen = load.tally.take();
    let invalid = load.tally.fault().or_else(|| fault(&seen, &scenario, bench.sizes.window));
    drop(load);
    process.end()?;
    Ok(invalid.map_or(Ok((full - empty) / scenario.rooms as f64), Err))
}
