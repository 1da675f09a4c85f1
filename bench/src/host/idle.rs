//! What turn-based rooms cost in which nothing happens, two sockets each: the server's processor time beside
//! what it takes to keep as many connections alive, which one room with all of them tells.

use std::time::{Duration, Instant};

use super::figures::{Figures, Round};
use super::visitors::Visitors;
use crate::measure::Bench;
use crate::process::Process;
use crate::{Result, metrics};

const SOCKETS: usize = 2;
/// Visitors come at this rate.
const COMING_PER_SECOND: u32 = 400;
/// All must be in, and parked, within this time beyond the ramp.
const WITHIN: Duration = Duration::from_secs(20);
/// A room is parked after so long.
const PARK_AFTER_MS: u64 = 500;

pub(super) fn run(bench: &Bench, figures: &mut Figures) -> Result {
    let rooms = bench.sizes.idle_rooms;
    let (mut parked, mut loaded, mut alive) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=bench.sizes.rounds {
        let keep_alive = percent(bench, Among::One, PARK_AFTER_MS)?;
        let with = percent(bench, Among::Many, PARK_AFTER_MS)?;
        let without = percent(bench, Among::Many, 0)?;
        eprintln!(
            "  round {round}: {with:.3} % of a core parked, {without:.3} % in memory, {keep_alive:.3} % in \
             one room"
        );
        let each = |percent: f64| -> Round { Ok((percent - keep_alive) * 1_000.0 / rooms as f64) };
        parked.push(each(with));
        loaded.push(each(without));
        alive.push(Ok(keep_alive));
    }
    figures.put("idle_cpu_pct_per_1000", parked);
    figures.put("idle_unparked_cpu_pct_per_1000", loaded);
    figures.put("idle_keep_alive_cpu_pct", alive);
    Ok(())
}

/// Where the sockets are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Among {
    /// All in one room.
    One,
    /// Two in each.
    Many,
}

/// What the server takes of a core while nothing happens, in percent.
fn percent(bench: &Bench, among: Among, park_after_ms: u64) -> Result<f64> {
    let rooms = bench.sizes.idle_rooms;
    let process = Process::own_games(&bench.games, &bench.folder.join("data"), park_after_ms)?;
    let mut visitors = Visitors::new(process.port, "logged")?;
    for number in 0..rooms * SOCKETS {
        let room = if among == Among::One { 0 } else { number / SOCKETS };
        // A room stays in memory in which nothing was ever done.
        let acts = if among == Among::One { number == 0 } else { number % SOCKETS == 0 };
        visitors.come(&format!("idle-{room}"), acts)?;
        visitors.stay(Duration::from_secs(1) / COMING_PER_SECOND)?;
        if number == 0 {
            // Else others may come before it, and take the seats: who watches cannot act.
            first(&mut visitors)?;
        }
    }
    let expected = match (park_after_ms, among) {
        (0, _) => 0,
        (_, Among::One) => 1,
        (_, Among::Many) => rooms,
    };
    wait(&mut visitors, process.port, rooms * SOCKETS - 1, expected)?;
    visitors.stay(bench.sizes.warm_up)?;
    let (before, begun) = (process.usage()?, Instant::now());
    visitors.stay(bench.sizes.idle_window)?;
    let us = process.usage()?.cpu_us_since(&before);
    let seconds = begun.elapsed().as_secs_f64();
    drop(visitors);
    process.end()?;
    Ok(us / seconds / 1e4)
}

/// Until somebody is in.
fn first(visitors: &mut Visitors) -> Result {
    let begun = Instant::now();
    while visitors.came_in().is_empty() {
        if begun.elapsed() > WITHIN {
            return Err("the first visitor did not come in".into());
        }
        visitors.turn(Duration::from_millis(100))?;
    }
    Ok(())
}

/// Until so many more are in, and so many rooms are parked.
fn wait(visitors: &mut Visitors, port: u16, sockets: usize, parked: usize) -> Result {
    let (begun, mut came) = (Instant::now(), 0);
    loop {
        visitors.stay(Duration::from_millis(100))?;
        came += visitors.came_in().len();
        let now = metrics::counted(port, "referee_rooms_parked")? as usize;
        if came == sockets && now == parked {
            return Ok(());
        }
        if begun.elapsed() > WITHIN {
            let all =
                format!("{came} of {sockets} visitors came in, {now} of {parked} rooms are parked");
            return Err(all.into());
        }
    }
}
