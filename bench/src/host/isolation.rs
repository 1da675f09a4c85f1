//! How much later the ticks of light rooms begin beside one whose ticks take 40 ms. The light rooms note
//! themselves when they tick: the heavy one does not count.

use std::thread::sleep;

use super::figures::{Figures, Round};
use crate::Result;
use crate::load::{Load, Target};
use crate::measure::{Bench, LAG_MAX_MS};
use crate::metrics::counted;
use crate::process::Process;
use crate::scenario::Scenario;

/// Light rooms that are this late by themselves, in milliseconds at p99, tell nothing.
const QUIET_MAX_MS: f64 = 10.0;

const fn scenario(game: &'static str, rooms: usize, players: usize) -> Scenario {
    Scenario { name: game, game, rooms, players, hz: 20, inputs_hz: 10 }
}

pub(super) fn run(bench: &Bench, figures: &mut Figures) -> Result {
    let (mut rises, mut alone, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=bench.sizes.rounds {
        let seen = measure(bench)?;
        let Seen { alone: quiet, beside: loud, .. } = &seen;
        eprintln!(
            "  round {round}: p99 {quiet:.2} ms alone, {loud:.2} ms beside a heavy room; {:.0} rooms went to \
             another thread, {:.0} are slowed{}",
            seen.migrations,
            seen.slowed,
            seen.invalid.as_ref().map_or_else(String::new, |why| format!(": INVALID, {why}"))
        );
        let of = |value: f64| -> Round { seen.invalid.clone().map_or(Ok(value), Err) };
        rises.push(of(loud - quiet));
        alone.push(of(*quiet));
        beside.push(of(*loud));
    }
    figures.put("isolation_p99_ms", rises);
    figures.put("isolation_p99_ms_alone", alone);
    figures.put("isolation_p99_ms_beside", beside);
    Ok(())
}

/// The p99 of light rooms' lateness, in milliseconds.
struct Seen {
    alone: f64,
    beside: f64,
    migrations: f64,
    /// Rooms at the end: the heavy one may be.
    slowed: f64,
    invalid: Option<String>,
}

fn measure(bench: &Bench) -> Result<Seen> {
    let mut process = Process::own_games(&bench.games, &bench.folder.join("data"), 0)?;
    let target = Target::WebSocket { port: process.port };
    let light = scenario("light", bench.sizes.light_rooms, 2);
    let load = bench.runtime.block_on(Load::start(&light, &target))?;
    sleep(bench.sizes.warm_up);
    let alone = window(bench, &mut process)?;
    load.tally.take();
    let heavy = bench.runtime.block_on(Load::start(&scenario("heavy", 1, 2), &target))?;
    sleep(bench.sizes.settle);
    let beside = window(bench, &mut process)?;
    let lag = load.tally.take().lag_p99_ms();
    let fault = load.tally.fault().or_else(|| heavy.tally.fault());
    let invalid = fault.or_else(|| {
        (alone > QUIET_MAX_MS)
            .then(|| format!("alone they are {alone:.1} ms late, {QUIET_MAX_MS} may be"))
            .or_else(|| {
                (lag > LAG_MAX_MS).then(|| format!("the load was late: {lag:.1} ms at p99"))
            })
    });
    let migrations = counted(process.port, "referee_migrations_total")?;
    let slowed = counted(process.port, "referee_rooms_slowed")?;
    drop((load, heavy));
    process.end()?;
    Ok(Seen { alone, beside, migrations, slowed, invalid })
}

/// The p99 of what the rooms noted in a window.
fn window(bench: &Bench, process: &mut Process) -> Result<f64> {
    process.ask()?;
    sleep(bench.sizes.window);
    let said = process.ask()?;
    said.get(2).copied().ok_or_else(|| format!("the server said {said:?}").into())
}
