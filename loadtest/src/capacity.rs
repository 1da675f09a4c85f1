//! How much a server carries: the most rooms at which it keeps its ticks, its budget and its latency,
//! found by search; or the same of the simulation alone, without sockets.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::load::LoadError;
use crate::plan::{MakeBot, Plan};
use crate::report::Spread;

mod host;
mod level;
mod null;
mod search;
mod table;

pub use null::{NullTrial, null_capacity};
pub use table::capacity_table;
pub(crate) use table::{head, row};

use host::Host;
use level::judge;
use search::{Outcome, Search};

/// What must hold at a level.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Bounds {
    /// Input to state, at its p99, in milliseconds.
    pub p99_ms: f64,
    /// Ticks that ran, as a share of those that should have, from 0 to 1.
    pub ticks_kept: f64,
    /// Ticks that took longer than their period, as a share of all, from 0 to 1: where it is 0.01, the
    /// p99 of tick times is within the period.
    pub overruns: f64,
    /// How long each level is measured, in seconds.
    pub window_s: f64,
    /// The search ends when what held and what did not are this near, as a share of the first.
    pub precision: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { p99_ms: 100.0, ticks_kept: 0.95, overruns: 0.01, window_s: 10.0, precision: 0.05 }
    }
}

/// Where the server comes from.
#[derive(Clone, PartialEq, Debug)]
pub enum HostBy {
    /// It runs, at the plan's URL.
    Running,
    /// It is started anew for each level.
    Started {
        /// The program.
        program: PathBuf,
        /// So many cores are its own, from the first on; the bots have the others. None: all are shared.
        cores: Option<usize>,
        /// What it is told besides its port and folder.
        arguments: Vec<String>,
    },
}

/// A search, with its bots and bounds.
#[derive(Clone)]
pub struct Trial {
    /// The bots; rooms and duration are the search's own.
    pub plan: Plan,
    /// The server.
    pub host: HostBy,
    /// What must hold.
    pub bounds: Bounds,
    /// Rooms of the first level.
    pub from: usize,
    /// The most rooms that are tried.
    pub most: usize,
}

/// What one level showed.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Level {
    /// Rooms.
    pub rooms: usize,
    /// Whether all bounds held.
    pub held: bool,
    /// Whether the generator, not the server, was what did not keep up.
    pub by_generator: bool,
    /// What did not hold, as a sentence; empty where all did.
    pub why: String,
    /// Players with a seat.
    pub players: usize,
    /// 99 of 100 ticks were no longer; from a server the bound of a bucket, in milliseconds.
    pub tick_p99_ms: Option<f64>,
    /// Mean time of a tick, in milliseconds.
    pub tick_mean_ms: Option<f64>,
    /// Ticks that took longer than their period, as a share of all.
    pub overruns: Option<f64>,
    /// Ticks that ran, as a share of those that should have.
    pub ticks_kept: Option<f64>,
    /// Input to state; without sockets: one round of ticks of all rooms of a thread.
    pub latency_ms: Spread,
    /// CPU time of the server's process, in percent of one core.
    pub cpu_percent: Option<f64>,
    /// Bytes a second to players.
    pub bytes_per_s: f64,
    /// Most memory of the server's process, in bytes.
    pub rss_bytes: Option<u64>,
    /// The generator's lag at its p99, in milliseconds.
    pub lag_p99_ms: f64,
}

/// What the search was told, as far as it explains the numbers.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Setting {
    /// The game.
    pub game: String,
    /// Players in each room.
    pub players: usize,
    /// `ws`, `quic`, `mix`, or `none` without sockets.
    pub transport: String,
    /// The rooms' params, as JSON; null: none.
    pub params: Option<String>,
    /// Inputs of each player a second; null: as often as the room ticks.
    pub hz: Option<f64>,
    /// The links of the bots, in words; empty: nothing between.
    pub links: Vec<String>,
    /// Cores of the server alone, or threads without sockets; null: it shares all there are.
    pub cores: Option<usize>,
    /// Cores of the machine.
    pub machine_cores: usize,
    /// The seed.
    pub seed: u64,
}

/// What two threads did against one.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Scaling {
    /// Ticks a second of one thread.
    pub one: f64,
    /// Of two together.
    pub two: f64,
    /// Ticks in a second of one thread's own CPU time, where it runs alone.
    pub one_per_cpu_s: f64,
    /// The same where two run: what they cost each other, whatever else the machine does.
    pub two_per_cpu_s: f64,
    /// What two threads that only count reach, against one, in the same run: 2 on a machine with two
    /// cores to itself.
    pub counting: f64,
}

/// What a search found.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Capacity {
    /// What kind of report it is: `capacity`.
    pub kind: String,
    /// What was told.
    pub setting: Setting,
    /// What had to hold.
    pub bounds: Bounds,
    /// The most rooms at which all of it held; 0: none.
    pub rooms: usize,
    /// What that means, as a sentence: also where the server could do more than could be tried.
    pub verdict: String,
    /// Whether `rooms` is what the server carries, and not only the least of it.
    pub is_the_servers: bool,
    /// All levels in the order in which they were tried.
    pub levels: Vec<Level>,
    /// The room's tick, in milliseconds.
    pub tick_ms: Option<f64>,
    /// Without sockets: two threads against one.
    pub scaling: Option<Scaling>,
    /// What a reader should know beside the numbers.
    pub notes: Vec<String>,
}

impl Capacity {
    /// Rooms for each core of the server, where it had cores of its own.
    #[must_use]
    pub fn rooms_per_core(&self) -> Option<f64> {
        self.setting.cores.map(|cores| self.rooms as f64 / cores.max(1) as f64)
    }
}

/// How long a server that many bots came to may settle before it is measured.
const WARM_UP: Duration = Duration::from_secs(2);
/// Bots that come in a second while a level begins.
const JOINS_PER_S: usize = 400;

/// Searches, and blocks until it is done. `told` hears of each level.
///
/// # Errors
/// When the server cannot be started, or a level cannot be run at all.
pub fn capacity(trial: &Trial, mut told: impl FnMut(&Level)) -> Result<Capacity, LoadError> {
    check(trial)?;
    let mut search = Search::new(trial.from, trial.most, trial.bounds.precision);
    let mut found = Capacity {
        kind: "capacity".into(),
        setting: setting(trial),
        bounds: trial.bounds,
        ..Capacity::default()
    };
    while let Some(rooms) = search.next_level() {
        if trial.plan.stop.is_asked() {
            found.notes.push("it was ended early: the search is not over".into());
            break;
        }
        let (level, tick_ms) = run_level(trial, rooms)?;
        found.tick_ms = found.tick_ms.or(tick_ms);
        told(&level);
        search.tell(rooms, outcome(&level, &trial.bounds));
        found.levels.push(level);
    }
    if matches!(trial.host, HostBy::Started { cores: None, .. } | HostBy::Running) {
        found.notes.push(
            "bots and server shared this machine's cores, or the bots ran elsewhere: with --server and \
             --server-cores the server has its own"
                .into(),
        );
    }
    conclude(&mut found, &search, trial.most);
    Ok(found)
}

fn check(trial: &Trial) -> Result<(), LoadError> {
    let wrong = |text: String| Err(LoadError::Plan(text));
    if trial.plan.players == 0 || trial.from == 0 {
        return wrong("0 players or rooms are asked for; at least one of each is needed".into());
    }
    if trial.most < trial.from {
        let Trial { from, most, .. } = trial;
        return wrong(format!("--most {most} is below --from {from}: raise it, or begin lower"));
    }
    if !trial.plan.pattern.is_steady() {
        return wrong("a capacity is that of a steady crowd: leave out --pattern".into());
    }
    Ok(())
}

fn setting(trial: &Trial) -> Setting {
    let plan = &trial.plan;
    let cores = match &trial.host {
        HostBy::Started { cores, .. } => *cores,
        HostBy::Running => None,
    };
    Setting {
        game: plan.game.clone(),
        players: plan.players,
        transport: plan.transport.name().into(),
        params: plan.params.clone(),
        hz: plan.hz,
        links: plan
            .links
            .iter()
            .map(|link| format!("{}: {}", link.name, link.describe()))
            .collect(),
        cores,
        machine_cores: std::thread::available_parallelism().map_or(1, usize::from),
        seed: plan.seed,
    }
}

/// One level, on a server of its own where it is started here.
fn run_level(trial: &Trial, rooms: usize) -> Result<(Level, Option<f64>), LoadError> {
    let host = Host::begin(&trial.host)?;
    let fresh = Plan::with(&trial.plan.game, trial.plan.bot.clone());
    let bots = rooms * trial.plan.players;
    let mut plan = Plan {
        rooms,
        room_prefix: fresh.room_prefix,
        duration: Duration::from_secs_f64(trial.bounds.window_s),
        ramp: Some(Duration::from_millis((bots * 1_000 / JOINS_PER_S) as u64)),
        warm_up: WARM_UP,
        ..trial.plan.clone()
    };
    if let Some(host) = &host {
        plan.url = host.url();
        plan.server_pid = Some(host.pid());
    }
    let own_cores = matches!(&trial.host, HostBy::Started { cores: Some(_), .. });
    let run = move || crate::run_plan(plan);
    let report = match &host {
        Some(host) => host.beside(run)?,
        None => run(),
    };
    match report {
        Ok(report) => Ok((judge(&report, &trial.bounds, own_cores), report.tick_ms)),
        // On the first level that is a mistake; later the server takes nobody any more.
        Err(LoadError::NobodyIn { why, .. } | LoadError::NoAnswer(why)) if rooms > trial.from => {
            let why = format!("no player got in: {why}");
            Ok((Level { rooms, why, ..Level::default() }, None))
        }
        Err(error) => Err(error),
    }
}

fn outcome(level: &Level, bounds: &Bounds) -> Outcome {
    match (level.held, level.by_generator) {
        (_, true) => Outcome::Exhausted,
        (held, false) => Outcome::Told { held, near: level.is_near(bounds) },
    }
}

/// Says what the search came to.
fn conclude(found: &mut Capacity, search: &Search, most: usize) {
    found.rooms = search.held();
    let last = |rooms: usize| found.levels.iter().rev().find(|level| level.rooms == rooms);
    let why = |rooms: usize| last(rooms).map_or_else(String::new, |level| level.why.clone());
    let (players, held) = (found.setting.players, search.held());
    let carried = format!("{held} rooms of {players} players ({} players)", held * players);
    (found.verdict, found.is_the_servers) = match (search.failed(), search.exhausted()) {
        (Some(failed), _) if held == 0 => {
            (format!("not even {failed} rooms of {players} players: {}", why(failed)), true)
        }
        (Some(failed), None) => (format!("{carried}; at {failed} rooms {}", why(failed)), true),
        (Some(failed), Some(exhausted)) if failed < exhausted => {
            (format!("{carried}; at {failed} rooms {}", why(failed)), true)
        }
        (_, Some(exhausted)) => (
            format!(
                "at least {carried}: the load, not the server, ran out at {exhausted} rooms ({})",
                why(exhausted)
            ),
            false,
        ),
        (None, None) if held == most => {
            (format!("at least {carried}: no more were tried; raise --most"), false)
        }
        (None, None) => (format!("at least {carried}"), false),
    };
}

/// The bots of a game, and how its rooms are made, for a search without sockets.
#[derive(Clone)]
pub struct Simulated {
    /// Makes the bots.
    pub bot: MakeBot,
    /// What the game is.
    pub game: crate::train::MakeGame,
}

#[cfg(test)]
mod tests;
