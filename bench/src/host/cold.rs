//! Rooms that are made for their first visitor: from the connection to its first state.

use std::time::Instant;

use super::figures::Figures;
use super::moves::judged;
use super::visitors::Visitors;
use crate::Result;
use crate::measure::Bench;
use crate::process::Process;
use crate::tally::percentile;
use crate::usage::{self, Machine};

/// Visitors that are on their way at once.
const ON_THE_WAY: usize = 64;

pub(super) fn run(bench: &Bench, figures: &mut Figures) -> Result {
    let (mut rates, mut waits) = (Vec::new(), Vec::new());
    for round in 1..=bench.sizes.rounds {
        let cold = measure(bench)?;
        eprintln!(
            "  round {round}: {:.0} rooms/s, {:.2} ms at p99, the load took {:.0} % of a core",
            cold.per_second,
            cold.wait_p99_ms,
            cold.load_share * 100.0
        );
        let rate = judged(cold.per_second, cold.load_share, cold.others_share);
        waits.push(rate.clone().map(|_| cold.wait_p99_ms));
        rates.push(rate);
    }
    figures.put("cold_rooms_per_s", rates);
    figures.put("cold_room_p99_ms", waits);
    Ok(())
}

struct Cold {
    per_second: f64,
    wait_p99_ms: f64,
    /// Of a core.
    load_share: f64,
    /// Of the machine.
    others_share: f64,
}

/// Each visitor goes once it has seen a state, and the next one comes, to another room.
fn measure(bench: &Bench) -> Result<Cold> {
    let process = Process::own_games(&bench.games, &bench.folder.join("data"), 0)?;
    let mut visitors = Visitors::new(process.port, "logged")?;
    let mut rooms = 0;
    let mut next = |visitors: &mut Visitors| {
        rooms += 1;
        visitors.come(&format!("cold-{rooms}"), false)
    };
    for _ in 0..ON_THE_WAY {
        next(&mut visitors)?;
    }
    let mut begun = Instant::now();
    let measured_from = begun + bench.sizes.warm_up / 2;
    let until = measured_from + bench.sizes.window;
    let mut machine = Machine::look(process.pid())?;
    let (mut waits_us, mut own, mut is_warm) = (Vec::new(), 0.0, false);
    while Instant::now() < until {
        visitors.turn(until.saturating_duration_since(Instant::now()))?;
        if !is_warm && Instant::now() >= measured_from {
            (is_warm, begun, own) = (true, Instant::now(), usage::own_thread_us()?);
            machine = Machine::look(process.pid())?;
            waits_us.clear();
        }
        for (number, waited) in visitors.came_in() {
            waits_us.push(waited.as_micros() as u32);
            visitors.leave(number);
            next(&mut visitors)?;
        }
    }
    let (seconds, own) = (begun.elapsed().as_secs_f64(), usage::own_thread_us()? - own);
    let others_share = Machine::look(process.pid())?.others_since(&machine);
    drop(visitors);
    process.end()?;
    Ok(Cold {
        per_second: waits_us.len() as f64 / seconds,
        wait_p99_ms: f64::from(percentile(&waits_us, 99.0)) / 1e3,
        load_share: own / seconds / 1e6,
        others_share,
    })
}
