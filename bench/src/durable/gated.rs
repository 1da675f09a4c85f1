//! Gated moves: how many a second, beside a bare floor; and how long they wait while rooms are saved.

use std::process::Command;
use std::time::Duration;

use super::Bench;
use super::moves::{Answered, FLOOR_ANSWER_BYTES, FLOOR_MOVE_BYTES, Moves, Plan, play};
use super::report::Report;
use crate::load::{Load, Target};
use crate::process::{Process, free_port};
use crate::scenario::{ARENA, Scenario};
use crate::tally::median;
use crate::{Result, metrics};

/// What a client that moves as fast as it can needs of the server.
const UNLIMITED: [&str; 2] = ["--messages-per-second", "1000000"];

/// How the rates of a number of clients came out, one for each round.
#[derive(Default)]
struct Rounds {
    clients: usize,
    floor: Vec<f64>,
    gated: Vec<f64>,
}

pub(super) fn rates(bench: &Bench, report: &mut Report) -> Result {
    let sizes = &bench.sizes;
    let mut rounds: Vec<Rounds> = [1, sizes.some_rooms, sizes.many_rooms]
        .map(|clients| Rounds { clients, ..Rounds::default() })
        .into();
    for round in 1..=sizes.rounds {
        for of in &mut rounds {
            let floor = floor(bench, of.clients)?;
            tell(&format!("round {round}: floor, {} clients", of.clients), &floor);
            of.floor.push(floor.per_second);
            let gated = gated(bench, of.clients)?;
            tell(&format!("round {round}: gated, {} rooms", of.clients), &gated);
            of.gated.push(gated.per_second);
        }
    }
    // The names stay when the sizes are others.
    for (of, name) in rounds.iter().zip(["1", "100", "1000"]) {
        report.put(format!("floor_moves_per_s_{name}"), median(&of.floor));
        report.put(format!("gated_moves_per_s_{name}"), median(&of.gated));
        // Of the same round: a change of the machine's mood meets both.
        let pairs = of.gated.iter().zip(&of.floor);
        let ratios: Vec<f64> = pairs.map(|(gated, floor)| gated / floor).collect();
        report.put(format!("gated_ratio_{name}"), median(&ratios));
    }
    Ok(())
}

fn tell(what: &str, moves: &Moves) {
    eprintln!(
        "  {what}: {:.0} moves/s, p50 {:.2} ms, p99 {:.2} ms, {:.0} us of processor and {:.2} wake-ups each",
        moves.per_second,
        moves.wait_ms(50),
        moves.wait_ms(99),
        moves.cpu_us_each,
        moves.wakeups_each,
    );
}

fn floor(bench: &Bench, clients: usize) -> Result<Moves> {
    let folder = bench.empty("gated")?;
    let mut command = Command::new(&bench.floor);
    command.arg("--file").arg(folder.join("moves"));
    command.args(["--length", &FLOOR_MOVE_BYTES.to_string()]);
    command.args(["--answer", &FLOOR_ANSWER_BYTES.to_string()]);
    let process = Process::of_floor(&mut command)?;
    let moves = play(&plan(bench, &process, clients, None))?;
    drop(process);
    Ok(moves)
}

fn gated(bench: &Bench, rooms: usize) -> Result<Moves> {
    let folder = bench.empty("gated")?;
    let process = Process::begin(&bench.server, free_port()?, &folder, &UNLIMITED, None)?;
    process.wait_until_up()?;
    let moves = play(&plan(bench, &process, rooms, Some("gated")))?;
    process.end()?;
    Ok(moves)
}

fn plan<'a>(bench: &Bench, process: &Process, clients: usize, rooms: Option<&'a str>) -> Plan<'a> {
    let (warm_up, window) = (bench.sizes.warm_up, bench.sizes.window);
    let (port, pid) = (process.port, process.pid());
    let game = "counter";
    let answered = Answered::OnDisk;
    Plan { port, game, answered, rooms, clients, pause: Duration::ZERO, warm_up, window, pid }
}

/// Ticks a second of the arenas that are saved meanwhile: each is once in 60 ticks.
const SAVED_HZ: u32 = 20;
/// In so long each of them is saved at least once: the first time when it has ticked 60 times, then after 5 s.
const ALL_ARE_SAVED: Duration = Duration::from_secs(8);
/// How long a gated client waits between an answer and its next move, in milliseconds.
const THINK_MS: u64 = 100;

/// Arenas whose players have gone tick on for a while, and are saved. Their players' frames would only take
/// processor time.
pub(super) fn beside_saves(bench: &Bench, report: &mut Report) -> Result {
    let sizes = &bench.sizes;
    let folder = bench.empty("snapshots")?;
    let process = Process::begin(&bench.server, free_port()?, &folder, &UNLIMITED, None)?;
    process.wait_until_up()?;
    let think = |rooms: &'static str| Plan {
        pause: Duration::from_millis(THINK_MS),
        ..plan(bench, &process, sizes.some_rooms, Some(rooms))
    };
    let alone = play(&think("alone"))?;
    tell("nothing is saved", &alone);
    let rooms = sizes.arenas * 3 / 2;
    let saved =
        Scenario { name: "saved", game: ARENA, rooms, players: 1, hz: SAVED_HZ, inputs_hz: 10 };
    let target = Target::WebSocket { port: process.port };
    let load = bench.runtime.block_on(Load::start(&saved, &target))?;
    std::thread::sleep(sizes.warm_up);
    drop(load);
    let before = metrics::counted(process.port, "referee_store_bytes_total")?;
    let window = sizes.window.max(ALL_ARE_SAVED);
    let moves = play(&Plan { window, ..think("beside") })?;
    let bytes = metrics::counted(process.port, "referee_store_bytes_total")? - before;
    tell("rooms are saved", &moves);
    eprintln!("  meanwhile {:.1} MB of rooms were saved", bytes / 1e6);
    process.end()?;
    report.put("gated_p99_ms_alone", alone.wait_ms(99));
    report.put("gated_p99_ms_under_snapshots", moves.wait_ms(99));
    if bytes == 0.0 {
        return Err("no room was saved: nothing was measured".into());
    }
    Ok(())
}
