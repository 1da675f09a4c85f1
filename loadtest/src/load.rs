//! The games that can be loaded, and a run from its plan to its report.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use referee_client::bot::Bot;

use referee::room::Game;

use crate::plan::{MakeBot, Plan};
use crate::report::Report;
use crate::train::MakeGame;

/// Why there is no report.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan cannot be run.
    #[error("{0}")]
    Plan(String),
    /// There is no server.
    #[error("{0}")]
    NoAnswer(String),
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
    /// Bots panicked, which says nothing of the server.
    #[error("{0} bots panicked; what they said stands above")]
    Panicked(u64),
    /// The server that was to be measured cannot be started.
    #[error("{0}")]
    Server(String),
    /// The system gave no thread or runtime.
    #[error("the system gave no thread: {0}")]
    Thread(String),
}

/// The games that a load test knows bots for.
#[derive(Default)]
pub struct Load {
    pub(crate) games: BTreeMap<String, MakeBot>,
    pub(crate) rooms: BTreeMap<String, MakeGame>,
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

    /// Says how a game's rooms are made, for `capacity --null`, which runs them in this process.
    pub fn room(&mut self, name: &str, game: impl Fn(&mut Game) + Send + Sync + 'static) {
        self.rooms.insert(name.to_owned(), Arc::new(game));
    }
}

/// Runs a load test as the command line says (`--help` shows what it can say). `setup` names the
/// games.
pub fn run<R>(setup: impl FnOnce(&mut Load) -> R) -> ExitCode {
    let mut load = Load::default();
    setup(&mut load);
    crate::cli::main(&load)
}

/// Runs a plan and blocks until it is done. On a tokio runtime call it by `spawn_blocking`.
///
/// # Errors
/// When the plan cannot be run, or no bot gets in.
pub fn run_plan(plan: Plan) -> Result<Report, LoadError> {
    crate::run::run(plan)
}
