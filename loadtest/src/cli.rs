//! The command line.

use std::collections::BTreeMap;
use std::fs;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::assertion::{Assertion, judge};
use crate::plan::{Check, MakeBot, Plan, Progress, Stop, Transport};
use crate::report::Report;
use crate::table::table;

/// An assertion does not hold.
const FAILED: u8 = 1;
/// There is no report.
const NO_REPORT: u8 = 2;
/// The generator was the bottleneck, so the times say nothing, or some of those that were asserted.
const INVALID: u8 = 3;

/// Plays games on a Referee server with many bots, and says honestly what they saw.
#[derive(Clone, Debug, Parser)]
#[command(name = "referee-loadtest", version)]
#[command(after_help = "Examples:\n  \
    30 bots in one arena:           --game arena --players 30\n  \
    200 rooms over both transports: --game arena --rooms 200 --players 4 --transport mix\n  \
    A check for CI:                 --game arena --players 30 --assert p99=2ticks,drops=0,wrong=0\n\n\
    --assert takes p50, p90, p99, p999, max (input to state), jitter, connect, lag (their p99) with a \
    time in us, ms, s or ticks, and drops, wrong, resumes, seats_lost, unanswered, missing with a \
    number: each may be at most that, or with >= must be at least that.\n\n\
    Exit code: 0 all holds; 1 an assertion does not hold; 2 there is no report; 3 the run is invalid: \
    the generator was the bottleneck, so that its times and drops say nothing, or only p999 or max, \
    which are then named.")]
struct Cli {
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7777")]
    url: String,
    /// The game to play
    #[arg(long, value_name = "NAME")]
    game: Option<String>,
    /// How many rooms
    #[arg(long, value_name = "N", default_value_t = 1)]
    rooms: usize,
    /// How many players in each room
    #[arg(long, value_name = "N", default_value_t = 2)]
    players: usize,
    /// How long to measure, once all bots are in: 30s, 500ms, 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    duration: Duration,
    /// What to connect over
    #[arg(long, value_enum, default_value_t)]
    transport: Transport,
    /// The time over which the joins are spread [default: 200 bots a second]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    ramp: Option<Duration>,
    /// Seeds the bots
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How often each bot plays, a second [default: as often as the room ticks; 2 in a turn-based game]
    #[arg(long, value_name = "RATE")]
    hz: Option<f64>,
    /// Parameters for the rooms
    #[arg(long, value_name = "JSON")]
    params: Option<String>,
    /// Which bots decode what they get and compare it with the server's hash (server: --test-mode)
    #[arg(long, value_enum, default_value_t)]
    check: Check,
    /// What the rooms' names begin with [default: something new]
    #[arg(long, value_name = "TEXT")]
    room_prefix: Option<String>,
    /// Threads that drive the bots; 0 for half of the cores
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// The generator's own lag, at its p99, over which the run is invalid
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = duration)]
    lag_limit: Duration,
    /// The server's process [default: found by its port, on this machine]
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Write the report as JSON to this file; - for stdout, in place of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What must hold: p99=50ms,drops=0
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    assert: Vec<Assertion>,
}

/// Reads `30s`, `500ms`, `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let scale = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(format!("{text:?} has no unit; write it like 30s, 500ms or 2m")),
    };
    let number: f64 = number.trim().parse().map_err(|_| format!("{text:?} is no time"))?;
    Duration::try_from_secs_f64(number * scale).map_err(|_| format!("{text:?} is no time"))
}

/// What the binary does.
pub(crate) fn main(games: &BTreeMap<String, MakeBot>) -> ExitCode {
    let cli = Cli::parse();
    let plan = match cli.plan(games) {
        Ok(plan) => plan,
        Err(problem) => return no_report(&problem),
    };
    stop_on_interrupt(plan.stop.clone());
    let url = plan.url.trim_end_matches('/');
    eprintln!("watch them play: {url}/{}/{}", plan.game, plan.match_of(0, 0));
    match crate::run_plan(plan) {
        Ok(report) => cli.finish(&report),
        Err(error) => no_report(&error.to_string()),
    }
}

fn no_report(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::from(NO_REPORT)
}

impl Cli {
    fn plan(&self, games: &BTreeMap<String, MakeBot>) -> Result<Plan, String> {
        let names: Vec<&str> = games.keys().map(String::as_str).collect();
        let game = match (&self.game, &names[..]) {
            (Some(game), _) => game.clone(),
            (None, [only]) => (*only).to_owned(),
            (None, _) => return Err(format!("which game? --game {}", names.join(" or --game "))),
        };
        let Some(bot) = games.get(&game) else {
            return Err(format!("there is no bot for {game:?}; there is for {}", names.join(", ")));
        };
        let plan = Plan::with(&game, bot.clone());
        let on_terminal = std::io::stderr().is_terminal();
        Ok(Plan {
            url: self.url.trim_end_matches('/').to_owned(),
            rooms: self.rooms,
            players: self.players,
            room_prefix: self.room_prefix.clone().unwrap_or(plan.room_prefix),
            params: self.params.clone(),
            duration: self.duration,
            ramp: self.ramp,
            transport: self.transport,
            check: self.check,
            seed: self.seed,
            hz: self.hz,
            threads: self.threads,
            lag_limit: self.lag_limit,
            server_pid: self.server_pid,
            progress: if on_terminal { Progress::Bar } else { Progress::Lines },
            ..plan
        })
    }

    fn finish(&self, report: &Report) -> ExitCode {
        let json = serde_json::to_string_pretty(report).unwrap_or_default();
        match &self.json {
            Some(path) if path.as_os_str() == "-" => println!("{json}"),
            path => {
                print!("{}", table(report));
                if let Some(path) = path
                    && let Err(error) = fs::write(path, json + "\n")
                {
                    return no_report(&format!("{}: {error}", path.display()));
                }
            }
        }
        self.verdict(report)
    }

    /// As the last line of the help says it.
    fn verdict(&self, report: &Report) -> ExitCode {
        let verdict = judge(&self.assert, report);
        if !verdict.held.is_empty() {
            eprintln!("holds: {}", verdict.held.join(", "));
        }
        verdict.failed.iter().for_each(|line| eprintln!("FAILED: {line}"));
        verdict.unproved.iter().for_each(|line| eprintln!("not proved: {line}"));
        let proved = report.valid && verdict.unproved.is_empty();
        match (verdict.failed.is_empty(), proved) {
            (false, _) => ExitCode::from(FAILED),
            (true, false) => ExitCode::from(INVALID),
            (true, true) => ExitCode::SUCCESS,
        }
    }
}

/// Ctrl-C ends the run early, with its report; a second one ends the process.
fn stop_on_interrupt(stop: Stop) {
    let waiting = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.now();
                if tokio::signal::ctrl_c().await.is_ok() {
                    std::process::exit(130);
                }
            }
        });
    };
    // Without it the process just ends, as processes do.
    let _ = std::thread::Builder::new().name("referee-interrupt".into()).spawn(waiting);
}

#[cfg(test)]
mod tests;
