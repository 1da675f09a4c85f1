//! The search for a capacity.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{Bots, Files, INVALID, stop_on_interrupt};
use crate::capacity::{
    self as search, Bounds, HostBy, Level, NullTrial, Setting, Simulated, Trial, capacity_table,
    null_capacity,
};
use crate::html::capacity_page;
use crate::load::Load;
use crate::plan::{Plan, Progress};
use crate::time::{duration, share};

/// A search for the most rooms.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "A level counts when all of it holds for the whole window: the p99 latency, the share of \
    ticks that ran, and the p99 of tick times within the tick's period. What is within a tenth of a bound \
    is tried again until two tries agree.\n\nExit code: 0 the server's capacity was found; 2 there is no \
    report; 3 the load or the search ended before the server did."
)]
pub(super) struct Capacity {
    #[command(flatten)]
    bots: Bots,
    /// Start this server anew for each level, instead of using the one at --url
    #[arg(long, value_name = "PATH", conflicts_with = "server_pid")]
    server: Option<PathBuf>,
    /// Give the server so many cores of its own, and the bots the others (Linux)
    #[arg(long, value_name = "N", requires = "server")]
    server_cores: Option<usize>,
    /// Tell the started server this as well (repeatable)
    #[arg(long, value_name = "ARGUMENT", requires = "server", allow_hyphen_values = true)]
    server_arg: Vec<String>,
    /// Without sockets: rooms in this process, to see what the simulation alone carries
    #[arg(long, conflicts_with_all = ["server", "link"])]
    null: bool,
    /// Threads that run rooms with --null
    #[arg(long, value_name = "N", default_value_t = 1, requires = "null")]
    null_threads: usize,
    /// What the p99 latency, input to state, may be
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = duration)]
    p99: Duration,
    /// Which part of the ticks must run
    #[arg(long, value_name = "SHARE", default_value = "95%", value_parser = share)]
    ticks_kept: f64,
    /// How long each level is measured
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    window: Duration,
    /// How near what held and what did not must be at the end
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = share)]
    precision: f64,
    /// Rooms of the first level
    #[arg(long, value_name = "ROOMS", default_value_t = 16)]
    from: usize,
    /// The most rooms to try
    #[arg(long, value_name = "ROOMS", default_value_t = 8_192)]
    most: usize,
    #[command(flatten)]
    files: Files,
}

impl Capacity {
    /// Searches, and says what came of it.
    ///
    /// # Errors
    /// Why there is no report, as a sentence.
    pub(super) fn go(&self, load: &Load) -> Result<ExitCode, String> {
        self.files.check()?;
        if self.window.is_zero() {
            return Err("--window is 0; each level must be measured for some time, like 10s".into());
        }
        let plan = Plan { progress: Progress::Silent, ..self.bots.plan(load)? };
        let mut head = Some(search::head(self.null));
        let told = |level: &Level| {
            head.take().iter().for_each(|head| eprintln!("{head}"));
            eprintln!("{}", search::row(level));
        };
        let found = match self.null {
            true => null_capacity(&self.null_trial(&plan, load)?, told),
            false => {
                let trial = self.trial(plan);
                stop_on_interrupt(trial.plan.stop.clone());
                search::capacity(&trial, told)
            }
        };
        let found = found.map_err(|error| error.to_string())?;
        eprintln!();
        self.files.write(&capacity_table(&found), &found, || capacity_page(&found))?;
        Ok(if found.is_the_servers { ExitCode::SUCCESS } else { ExitCode::from(INVALID) })
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            p99_ms: self.p99.as_secs_f64() * 1_000.0,
            ticks_kept: self.ticks_kept,
            window_s: self.window.as_secs_f64(),
            precision: self.precision,
            ..Bounds::default()
        }
    }

    fn trial(&self, plan: Plan) -> Trial {
        let host = match &self.server {
            None => HostBy::Running,
            Some(program) => HostBy::Started {
                program: program.clone(),
                cores: self.server_cores,
                arguments: self.server_arg.clone(),
            },
        };
        Trial { plan, host, bounds: self.bounds(), from: self.from, most: self.most }
    }

    fn null_trial(&self, plan: &Plan, load: &Load) -> Result<NullTrial, String> {
        let Some(game) = load.rooms.get(&plan.game) else {
            let names: Vec<&str> = load.rooms.keys().map(String::as_str).collect();
            let known = match names.is_empty() {
                true => "no game".to_owned(),
                false => names.join(", "),
            };
            return Err(format!(
                "--null plays the rooms of {known}, and not of {:?}: add load.room(\"{}\", ..) to the \
                 program, or leave --null out",
                plan.game, plan.game
            ));
        };
        let setting = Setting {
            game: plan.game.clone(),
            players: plan.players,
            params: plan.params.clone(),
            hz: plan.hz,
            seed: plan.seed,
            ..Setting::default()
        };
        let simulated = Simulated { bot: plan.bot.clone(), game: game.clone() };
        let (threads, from, most) = (self.null_threads, self.from, self.most);
        Ok(NullTrial { simulated, setting, threads, from, most, bounds: self.bounds() })
    }
}
