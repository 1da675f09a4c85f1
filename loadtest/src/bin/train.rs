//! Tables for the example games.

use std::process::ExitCode;

fn main() -> ExitCode {
    referee_loadtest::train(|train| {
        train.game("arena", arena::arena, arena::bot).players = 16;
        train.game("cards", cards::cards, cards::bot).players = 4;
        train.game("counter", counter::counter, counter::bot);
        train.game("tic-tac-toe", tic_tac_toe::tic_tac_toe, tic_tac_toe::bot).players = 2;
    })
}
