//! Bots for the example games.

use std::process::ExitCode;

fn main() -> ExitCode {
    referee_loadtest::run(|load| {
        load.game("arena", arena::bot);
        load.game("cards", cards::bot);
        load.game("counter", counter::bot);
        load.game("tic-tac-toe", tic_tac_toe::bot);
        load.room("arena", arena::arena);
    })
}
