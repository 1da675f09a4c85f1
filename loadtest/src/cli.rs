//! The command line.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::link::Link;
use crate::load::Load;
use crate::plan::{Check, Plan, Progress, Stop, Transport};
use crate::time::duration;

mod capacity;
mod compare;
mod run;

/// An assertion does not hold.
const FAILED: u8 = 1;
/// There is no report.
const NO_REPORT: u8 = 2;
/// The generator was the bottleneck, so the times say nothing, or some of those that were asserted.
const INVALID: u8 = 3;

/// Plays games on a Referee server with many bots, and says honestly what they saw.
#[derive(Clone, Debug, Parser)]
#[command(name = "referee-loadtest", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\n  \
    30 bots in one arena:           --game arena --players 30\n  \
    200 rooms over both transports: --game arena --rooms 200 --players 4 --transport mix\n  \
    A report to show:               --game arena --rooms 50 --html report.html --json report.json\n  \
    All links cut after 10 s:       --game arena --rooms 50 --pattern storm:at=10s\n  \
    Phones and home networks:       --game arena --rooms 50 --link 70%:wifi --link 30%:mobile\n  \
    How many rooms it carries:      capacity --game arena --players 4 --server ./referee --server-cores 1\n  \
    A check for CI:                 --game arena --players 30 --assert p99=2ticks,drops=0,wrong=0\n\n\
    --assert takes p50, p90, p99, p999, max (input to state), jitter, connect, lag (their p99) with a \
    time in us, ms, s or ticks, and drops, wrong, resumes, seats_lost, unanswered, missing with a \
    number: each may be at most that, or with >= must be at least that. Where bots are missing, and missing \
    is not asserted, no assertion holds.\n\n\
    Exit code: 0 all holds; 1 an assertion does not hold; 2 there is no report; 3 the run is invalid: \
    the generator was the bottleneck, so that its times and drops say nothing, or only p999 or max, \
    which are then named.")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Run,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Find the most rooms that a server carries within bounds
    Capacity(Box<capacity::Capacity>),
    /// Compare two reports that --json wrote
    Compare(compare::Compare),
}

/// Who plays, and how.
#[derive(Clone, Debug, Args)]
struct Bots {
    /// The server; of one over https the system must know the certificate, or the file that SSL_CERT_FILE
    /// in the environment names must hold it
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7777")]
    url: String,
    /// The game to play
    #[arg(long, value_name = "NAME")]
    game: Option<String>,
    /// How many players in each room
    #[arg(long, value_name = "N", default_value_t = 2)]
    players: usize,
    /// What to connect over
    #[arg(long, value_enum, default_value_t)]
    transport: Transport,
    /// What stands between bots and server: lan, wifi, mobile, bad or none, or
    /// delay=TIME,jitter=TIME,stall=TIME@EVERY,rate=BYTES; before it, for part of the bots, 30%:
    /// (repeatable)
    #[arg(long, value_name = "LINK")]
    link: Vec<Link>,
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
    /// Threads that drive the bots; 0 for half of the cores
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// The generator's own lag, at its p99, over which the run is invalid
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = duration)]
    lag_limit: Duration,
    /// The server's process [default: found by its port, on this machine]
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
}

/// Where reports go.
#[derive(Clone, Debug, Args)]
struct Files {
    /// Write the report as JSON to this file; - for stdout, in place of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as one HTML page with plots to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What the binary does.
pub(crate) fn main(load: &Load) -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        None => cli.run.go(load),
        Some(Command::Capacity(capacity)) => capacity.go(load),
        Some(Command::Compare(compare)) => compare.go(),
    };
    done.unwrap_or_else(|problem| {
        eprintln!("{problem}");
        ExitCode::from(NO_REPORT)
    })
}

impl Bots {
    /// A plan with these bots.
    fn plan(&self, load: &Load) -> Result<Plan, String> {
        let names: Vec<&str> = load.games.keys().map(String::as_str).collect();
        let game = match (&self.game, &names[..]) {
            (Some(game), _) => game.clone(),
            (None, [only]) => (*only).to_owned(),
            (None, _) => return Err(format!("which game? --game {}", names.join(" or --game "))),
        };
        let Some(bot) = load.games.get(&game) else {
            return Err(format!("there is no bot for {game:?}; there is for {}", names.join(", ")));
        };
        let on_terminal = std::io::stderr().is_terminal();
        Ok(Plan {
            url: self.url.trim_end_matches('/').to_owned(),
            players: self.players,
            params: self.params.clone(),
            links: self.link.clone(),
            transport: self.transport,
            check: self.check,
            seed: self.seed,
            hz: self.hz,
            threads: self.threads,
            lag_limit: self.lag_limit,
            server_pid: self.server_pid,
            progress: if on_terminal { Progress::Bar } else { Progress::Lines },
            ..Plan::with(&game, bot.clone())
        })
    }
}

impl Files {
    /// Writes what is wished for; the table goes to stdout where the JSON does not.
    fn write(
        &self,
        table: &str,
        json: &impl serde::Serialize,
        html: impl Fn() -> String,
    ) -> Result<(), String> {
        let json = serde_json::to_string_pretty(json).map_err(|error| error.to_string())? + "\n";
        let to_stdout = self.json.as_deref().filter(|path| path.as_os_str() == "-").is_some();
        if let Some(path) = self.json.as_deref().filter(|_| !to_stdout) {
            write(path, &json)?;
        }
        if let Some(path) = self.html.as_deref() {
            write(path, &html())?;
        }
        // Whoever reads it may have heard enough.
        let _ = std::io::stdout().write_all(if to_stdout { &json } else { table }.as_bytes());
        Ok(())
    }

    /// Checks before a long run that its report can be written at its end.
    fn check(&self) -> Result<(), String> {
        for path in [&self.json, &self.html].into_iter().flatten() {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
                let (path, folder) = (path.display(), folder.display());
                return Err(format!("{path} cannot be written: there is no folder {folder}"));
            }
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
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
