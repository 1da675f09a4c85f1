//! How long it takes to make a match again from its journal.

use std::process::Command;
use std::thread::sleep;

use super::Bench;
use super::arenas::scenario;
use super::report::Report;
use crate::Result;
use crate::light::match_id;
use crate::load::{Load, Target};
use crate::process::{Process, free_port};
use crate::scenario::ARENA;
use crate::tally::median;

/// Times that it is played again.
const TIMES: usize = 5;

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result {
    let folder = bench.empty("restore")?;
    let keep = ["--keep-journal", "match"];
    let process = Process::begin(&bench.server, free_port()?, &folder, &keep, None)?;
    process.wait_until_up()?;
    let target = Target::WebSocket { port: process.port };
    let load = bench.runtime.block_on(Load::start(&scenario(1), &target))?;
    sleep(bench.sizes.match_length);
    drop(load);
    process.end()?;
    let mut each = Vec::new();
    for _ in 0..TIMES {
        let mut replay = Command::new(&bench.server);
        replay.arg("replay").arg(format!("{ARENA}/{}", match_id(0))).arg("--data").arg(&folder);
        let output = replay.output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("the match cannot be played again: {said}{error}").into());
        }
        let (ticks, ms) = read(&said).ok_or_else(|| format!("the replay said {said:?}"))?;
        each.push(ms / (ticks / f64::from(scenario(1).hz) / 60.0));
    }
    eprintln!("  {:.1} ms for each minute of an arena of 4", median(&each));
    report.put("restore_ms_per_match_minute", median(&each));
    Ok(())
}

/// The ticks that ran, and how long that took.
fn read(said: &str) -> Option<(f64, f64)> {
    let words: Vec<&str> = said.lines().next()?.split_whitespace().collect();
    let before = |after: &str| {
        let at = words.iter().position(|word| *word == after)?;
        words.get(at.checked_sub(1)?)?.parse().ok()
    };
    Some((before("that")?, before("ms")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_replay_says_is_read() {
        let said = "arena/a: ticks 0 to 600 again, 598 that ran, in 41.5 ms\nmore";
        assert_eq!(read(said), Some((598.0, 41.5)));
        assert_eq!(read("no match"), None);
    }
}
