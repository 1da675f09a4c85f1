//! `cargo xtask train GAME`: bots play whole matches of an example game in memory, and what is likely
//! in its state goes into its `tables.bin`.

use crate::log::Log;
use crate::project::Project;
use crate::{Result, command};
use clap::Args;
use std::path::PathBuf;

/// Which game, and what else `referee-train` is told.
#[derive(Args)]
pub(crate) struct Train {
    /// The game: an example's folder
    game: String,
    /// Where to write the tables [default: tables.bin in the game's folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What else it is told, behind --: its --help says what there is
    #[arg(last = true)]
    rest: Vec<String>,
}

impl Train {
    pub(crate) fn run(&self, project: &Project) -> Result {
        let game = project.games().find(|game| game.name == self.game);
        let game = game.ok_or_else(|| {
            let names: Vec<&str> = project.games().map(|game| game.name.as_str()).collect();
            format!("there is no example {:?}; there are {}", self.game, names.join(", "))
        })?;
        let out = match &self.out {
            Some(file) => std::env::current_dir()?.join(file),
            None => game.folder.join("tables.bin"),
        };
        let mut log = Log::Terminal;
        let mut cargo = command::cargo(&project.root);
        let package = ["-p", "referee-loadtest", "--bin", "referee-train"];
        log.run(cargo.args(["build", "--release"]).args(package))?;
        let binary = format!("referee-train{}", std::env::consts::EXE_SUFFIX);
        let program = project.target.join("release").join(binary);
        let mut train = command::program(program, &project.root);
        log.run(train.arg(&self.game).arg("--out").arg(out).args(&self.rest))
    }
}
