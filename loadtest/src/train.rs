//! Tables: bots play whole matches in memory, and what is likely in the game's state is counted and
//! written to a file that the game includes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use referee::room::{Game, Template};
use referee_client::bot::Bot;
use referee_protocol::codec;

use crate::plan::MakeBot;
use crate::rehearsal::{Rehearsal, Traffic};

/// Why there are no tables.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TrainError {
    /// The game has mistakes.
    #[error("{0}")]
    Game(String),
    /// The game makes no room with these params.
    #[error("the game makes no room: {0}")]
    Room(String),
    /// No bot got a seat.
    #[error("no bot got a seat: the room's params must leave one free")]
    NoSeat,
}

/// What a game is, to be registered once and again with other tables.
pub type MakeGame = Arc<dyn Fn(&mut Game) + Send + Sync>;

/// Matches that a game learns from.
#[derive(Clone)]
pub struct Training {
    game: MakeGame,
    bot: MakeBot,
    /// How many bots play; those who find no seat free do not.
    pub players: u16,
    /// How many matches.
    pub matches: u32,
    /// How long each lasts, in the game's time.
    pub length: Duration,
    /// The rooms' params as JSON; empty: none.
    pub params: String,
    /// Seeds the rooms and bots.
    pub seed: u64,
}

/// What was learnt, and what it is worth: on a match that was not learnt from.
#[derive(Clone, PartialEq, Debug)]
pub struct Learnt {
    /// The tables, for [`Game::tables`].
    pub tables: Vec<u8>,
    /// Mean bytes of a state frame without tables.
    pub bytes_without: f64,
    /// Mean bytes of a state frame with the new ones.
    pub bytes_with: f64,
    /// How many bots played that match.
    pub players: usize,
}

impl Training {
    /// Eight matches of a minute, with eight bots.
    pub fn new<B: Bot + 'static>(
        game: impl Fn(&mut Game) + Send + Sync + 'static,
        bot: impl Fn(u64) -> B + Send + Sync + 'static,
    ) -> Self {
        Self {
            game: Arc::new(game),
            bot: Arc::new(move |seed| Box::new(bot(seed))),
            players: 8,
            matches: 8,
            length: Duration::from_secs(60),
            params: String::new(),
            seed: 1,
        }
    }

    /// Plays the matches, and one more to see what the tables are worth.
    ///
    /// # Errors
    /// When the game has mistakes, or there is no room or seat for the bots.
    pub fn run(&self) -> Result<Learnt, TrainError> {
        let template = self.template(Some(&[]))?;
        let mut training = codec::Training::default();
        for number in 0..self.matches.into() {
            let mut rehearsal = self.rehearsal(&template, number)?;
            rehearsal.learn();
            rehearsal.play(self.length_ms());
            training.add(rehearsal.learnt());
        }
        let tables = training.tables(template.schema());
        let (without, _) = self.sample(Some(&[]))?;
        // A game's tables live as long as the program.
        let (with, players) = self.sample(Some(tables.clone().leak()))?;
        Ok(Learnt { tables, bytes_without: without, bytes_with: with, players })
    }

    /// Mean bytes of a state frame in a match that is not learnt from, with these tables (none: those
    /// that the game has), and how many bots played it.
    ///
    /// # Errors
    /// As [`Training::run`].
    pub fn sample(&self, tables: Option<&'static [u8]>) -> Result<(f64, usize), TrainError> {
        let template = self.template(tables)?;
        let mut rehearsal = self.rehearsal(&template, u64::MAX / 2)?;
        rehearsal.play(self.length_ms());
        let Traffic { frames, bytes } = rehearsal.traffic();
        Ok((bytes as f64 / frames.max(1) as f64, rehearsal.players()))
    }

    fn rehearsal(&self, template: &Arc<Template>, number: u64) -> Result<Rehearsal, TrainError> {
        let seed = self.seed.wrapping_mul(1 << 20).wrapping_add(number);
        Rehearsal::new(template, &self.params, (&self.bot, self.players, seed))
    }

    fn length_ms(&self) -> u64 {
        self.length.as_millis() as u64
    }

    fn template(&self, tables: Option<&'static [u8]>) -> Result<Arc<Template>, TrainError> {
        let make = Arc::clone(&self.game);
        let game = move |game: &mut Game| {
            make(game);
            if let Some(tables) = tables {
                game.tables(tables);
            }
        };
        Template::new("training", game).map_err(|e| TrainError::Game(e.to_string()))
    }
}

/// The games that tables can be made for.
#[derive(Default)]
pub struct Trainings(BTreeMap<String, Training>);

impl Trainings {
    /// Names a game, with what it is and its bots. What is given back may be changed.
    pub fn game<B: Bot + 'static>(
        &mut self,
        name: &str,
        game: impl Fn(&mut Game) + Send + Sync + 'static,
        bot: impl Fn(u64) -> B + Send + Sync + 'static,
    ) -> &mut Training {
        self.0.entry(name.to_owned()).insert_entry(Training::new(game, bot)).into_mut()
    }
}

/// Learns from matches what is likely in a game's state, and writes it to a file for
/// `game.tables(include_bytes!(..))`.
#[derive(Clone, Debug, Parser)]
#[command(name = "referee-train", version)]
struct Cli {
    /// The game
    game: String,
    /// Where to write the tables
    #[arg(long, value_name = "FILE", default_value = "tables.bin")]
    out: PathBuf,
    /// How many bots play in each match
    #[arg(long, value_name = "N")]
    players: Option<u16>,
    /// How many matches
    #[arg(long, value_name = "N")]
    matches: Option<u32>,
    /// How long each lasts, in seconds of the game's time
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Parameters for the rooms
    #[arg(long, value_name = "JSON")]
    params: Option<String>,
    /// Seeds the rooms and bots
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Makes tables as the command line says (`--help` shows what it can say). `setup` names the games.
///
/// ```no_run
/// # use referee::prelude::*;
/// # use referee_client::{Session, bot::{Bot, Say}};
/// # struct Mine; impl Bot for Mine { fn play(&mut self, _: &Session) -> Option<Say> { None } }
/// # fn my_bot(_seed: u64) -> Mine { Mine }
/// # fn my_game(_: &mut Game) {}
/// fn main() -> std::process::ExitCode {
///     referee_loadtest::train(|train| train.game("my-game", my_game, my_bot).players = 4)
/// }
/// ```
pub fn train<R>(setup: impl FnOnce(&mut Trainings) -> R) -> ExitCode {
    let mut games = Trainings::default();
    setup(&mut games);
    match Cli::parse().run(&games) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    fn run(&self, games: &Trainings) -> Result<String, String> {
        let names: Vec<&str> = games.0.keys().map(String::as_str).collect();
        let known = games.0.get(&self.game).ok_or_else(|| {
            format!("there is no bot for {:?}; there is for {}", self.game, names.join(", "))
        })?;
        let training = Training {
            players: self.players.unwrap_or(known.players),
            matches: self.matches.unwrap_or(known.matches),
            length: self.seconds.map_or(known.length, Duration::from_secs),
            params: self.params.clone().unwrap_or_else(|| known.params.clone()),
            seed: self.seed.unwrap_or(known.seed),
            ..known.clone()
        };
        let learnt = training.run().map_err(|e| e.to_string())?;
        let out = self.out.display();
        std::fs::write(&self.out, &learnt.tables).map_err(|e| format!("{out}: {e}"))?;
        Ok(format!(
            "{out}: {} bytes of tables, from {} matches of {} s\n\
             a state frame of a match that was not learnt from, with {} players: {:.1} bytes, {:.1} \
             without tables",
            learnt.tables.len(),
            training.matches,
            training.length.as_secs(),
            learnt.players,
            learnt.bytes_with,
            learnt.bytes_without
        ))
    }
}
