//! The most arenas of four that a server with one core carries: inputs are told of within 100 ms at p99, and
//! at least 95 % of the ticks run. The load tool searches; its bots have the other cores, and some of them
//! check what they see.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::figures::{Figures, Round};
use crate::Result;
use crate::measure::{Bench, LAG_MAX_MS};
use crate::scenario::Scenario;

/// The search says so where it ended before the server did.
const NOT_THE_SERVERS: i32 = 3;

pub(super) fn run(bench: &Bench, figures: &mut Figures) -> Result {
    if std::thread::available_parallelism()?.get() < 2 {
        let why = "there is one core, and the load needs another".to_owned();
        figures.put("rooms_per_core", [Err(why)]);
        return Ok(());
    }
    let file = bench.folder.join("capacity.json");
    let [from, most, window] = bench.sizes.search;
    let scenario = Scenario::arenas("rooms", 1);
    let mut search = Command::new(&bench.loadtest);
    search.args(["capacity", "--game", scenario.game, "--params", &scenario.params(0)]);
    search.args(["--players", &scenario.players.to_string()]);
    search.args(["--hz", &scenario.inputs_hz.to_string(), "--check", "sample"]);
    search.args(["--server-cores", "1", "--server-arg", "--test-mode"]);
    // Beyond this the rest of the bench is invalid as well.
    let lag_max = format!("{LAG_MAX_MS}ms");
    search.args(["--p99", "100ms", "--ticks-kept", "95%", "--lag-limit", &lag_max]);
    search.args(["--from", from, "--most", most, "--window", window]);
    search.arg("--server").arg(&bench.server).arg("--json").arg(&file);
    let status = search.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let program = bench.loadtest.display();
    let status = status.map_err(|error| format!("{program} cannot be started: {error}"))?;
    if !status.success() && status.code() != Some(NOT_THE_SERVERS) {
        return Err(format!("{program} found no capacity: {status}; what it said is above").into());
    }
    let found: Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
    figures.note("rooms_per_core_at_least", found["rooms"].as_f64().unwrap_or(f64::NAN));
    figures.put("rooms_per_core", [read(&found)]);
    Ok(())
}

/// What the search found, where it is the server's.
fn read(found: &Value) -> Round {
    let verdict = found["verdict"].as_str().unwrap_or("the search said nothing");
    match (found["rooms"].as_f64(), found["is_the_servers"].as_bool()) {
        (Some(rooms), Some(true)) if rooms > 0.0 => Ok(rooms),
        _ => Err(verdict.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_the_server_carries_is_a_figure() {
        let found = |rooms: u32, of_server: bool| {
            read(&json!({"rooms": rooms, "is_the_servers": of_server, "verdict": "so much"}))
        };
        assert_eq!(found(400, true), Ok(400.0));
        assert_eq!(found(400, false), Err("so much".to_owned()));
        assert_eq!(found(0, true), Err("so much".to_owned()));
        assert!(read(&json!({})).is_err());
    }
}
