//! The games that can be loaded, and a run from its plan to its report.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use referee_client::bot::Bot;

use crate::plan::{MakeBot, Plan};
use crate::report::Report;

/// Why there is no report.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan cannot be run.
    #[error("{0}")]
    Plan(String),
    /// No bot got in.
    #[error("no bot got into {game} at {url}: {why}")]
    NobodyIn {
        /// The server.
        url: String,
        /// The game.
        game: String,
        /// What the bots were told.
        why: String,
    },
    /// The system gave no thread or runtime.
    #[error("the system gave no thread: {0}")]
    Thread(String),
}

/// The games that a load test knows bots for.
#[derive(Default)]
pub struct Load {
    games: BTreeMap<String, MakeBot>,
}

impl Load {
    /// Names a game and makes its bots. Each bot has another seed; the same seed makes the same bot.
    pub fn game<B: Bot + 'static>(
        &mut self,
        name: &str,
        bot: impl Fn(u64) -> B + Send + Sync + 'static,
    ) {
        self.games.insert(name.to_owned(), Arc::new(move |seed| Box::new(bot(seed))));
    }
}

/// Runs a load test as the command line says (`--help` shows what it can say). `setup` names the
/// games.
pub fn run<R>(setup: impl FnOnce(&mut Load) -> R) -> ExitCode {
    let mut load = Load::default();
    setup(&mut load);
    crate::cli::main(&load.games)
}

/// Runs a plan and blocks until it is done. On a tokio runtime call it by `spawn_blocking`.
///
/// # Errors
/// When the plan cannot be run, or no bot gets in.
pub fn run_plan(plan: Plan) -> Result<Report, LoadError> {
    crate::run::run(plan)
}
