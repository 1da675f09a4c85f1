//! One run with its report.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::{Bots, FAILED, Files, INVALID, stop_on_interrupt};
use crate::assertion::{Assertion, judge};
use crate::load::Load;
use crate::pattern::Pattern;
use crate::plan::Plan;
use crate::report::Report;
use crate::score::Recording;
use crate::table::table;
use crate::time::duration;

/// One run.
#[derive(Clone, Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) bots: Bots,
    /// How many rooms
    #[arg(long, value_name = "N", default_value_t = 1)]
    rooms: usize,
    /// How long to measure, once all bots are in: 30s, 500ms, 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    duration: Duration,
    /// The time over which the joins are spread [default: 200 bots a second]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    ramp: Option<Duration>,
    /// How players come and go while it is measured, with times from its beginning: steady,
    /// ramp:from=10%, churn:stay=30s,away=1s,room=2m, flash:at=10s,share=90%,over=1s,
    /// storm:at=10s,every=30s,share=100% (repeatable, or joined by +)
    #[arg(long, value_name = "PATTERN")]
    pattern: Vec<String>,
    /// Play this recorded match in each room, over and over, as the server's `export` wrote it
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// What the rooms' names begin with [default: something new]
    #[arg(long, value_name = "TEXT")]
    room_prefix: Option<String>,
    #[command(flatten)]
    files: Files,
    /// What must hold: p99=50ms,drops=0
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(super) assert: Vec<Assertion>,
}

impl Run {
    /// Runs it, and says what came of it.
    ///
    /// # Errors
    /// Why there is no report, as a sentence.
    pub(super) fn go(&self, load: &Load) -> Result<ExitCode, String> {
        self.files.check()?;
        let plan = self.plan(load)?;
        crate::run::check(&plan).map_err(|error| error.to_string())?;
        stop_on_interrupt(plan.stop.clone());
        eprintln!("watch them play: {}/{}/{}", plan.url, plan.game, plan.match_of(0, 0));
        let report = crate::run_plan(plan).map_err(|error| error.to_string())?;
        self.files.write(&table(&report), &report, || crate::html::run_page(&report))?;
        Ok(self.verdict(&report))
    }

    pub(super) fn plan(&self, load: &Load) -> Result<Plan, String> {
        let mut pattern = Pattern::default();
        for text in self.pattern.iter().flat_map(|text| text.split('+')) {
            pattern.add(text.trim()).map_err(|error| error.to_string())?;
        }
        let replay = self.replay.as_deref().map(Recording::read).transpose();
        let replay = replay.map_err(|error| error.to_string())?.map(Arc::new);
        let mut bots = self.bots.clone();
        if let Some(recording) = &replay {
            bots.game.get_or_insert_with(|| recording.game.clone());
            if !recording.params.is_empty() {
                bots.params.get_or_insert_with(|| recording.params.clone());
            }
        }
        let plan = bots.plan(load)?;
        Ok(Plan {
            rooms: self.rooms,
            room_prefix: self.room_prefix.clone().unwrap_or(plan.room_prefix),
            duration: self.duration,
            ramp: self.ramp,
            pattern,
            replay,
            ..plan
        })
    }

    /// As the last line of the help says it.
    pub(super) fn verdict(&self, report: &Report) -> ExitCode {
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
