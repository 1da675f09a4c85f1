//! Moves in turn-based rooms, one player in each, who moves as soon as the move before is answered: by a
//! state that shows it where the game is logged, and once it is on disk where it is gated.

use std::time::Duration;

use super::figures::{Figures, Round};
use crate::Result;
use crate::durable::moves::{Answered, Moves, Plan, play};
use crate::measure::Bench;
use crate::metrics::counted;
use crate::process::Process;
use crate::usage::OTHERS_MAX;

/// A load that needs more of a core than this may be what was slow.
pub(super) const LOAD_SHARE_MAX: f64 = 0.9;

pub(super) fn run(bench: &Bench, figures: &mut Figures) -> Result {
    let (mut logged, mut gated) = (Vec::new(), Vec::new());
    for round in 1..=bench.sizes.rounds {
        let games =
            [("logged", Answered::Shown, &mut logged), ("gated", Answered::OnDisk, &mut gated)];
        for (game, answered, rates) in games {
            let (moves, paced) = measure(bench, game, answered)?;
            eprintln!(
                "  round {round}: {game}, {:.0} moves/s, p50 {:.2} ms, p99 {:.2} ms, {:.1} us of processor \
                 each, the load took {:.0} % of a core; {paced:.0} threads sent states in some ticks only",
                moves.per_second,
                moves.wait_ms(50),
                moves.wait_ms(99),
                moves.cpu_us_each,
                moves.load_share * 100.0
            );
            rates.push(judged(moves.per_second, moves.load_share, moves.others_share));
        }
    }
    figures.put("moves_per_s_logged", logged);
    figures.put("moves_per_s_gated", gated);
    Ok(())
}

/// A closed loop shows the most that a host can do, unless something else was what was slow.
pub(super) fn judged(figure: f64, load_share: f64, others_share: f64) -> Round {
    if load_share > LOAD_SHARE_MAX {
        let percent = load_share * 100.0;
        return Err(format!(
            "the load took {percent:.0} % of a core, so {figure:.0}/s is the least"
        ));
    }
    if others_share > OTHERS_MAX {
        let percent = others_share * 100.0;
        return Err(format!(
            "other programs had {percent:.0} % of the machine, so {figure:.0}/s is the least"
        ));
    }
    Ok(figure)
}

/// With how many of the server's threads had too much to do at the end.
fn measure(bench: &Bench, game: &str, answered: Answered) -> Result<(Moves, f64)> {
    let process = Process::own_games(&bench.games, &bench.folder.join("data"), 0)?;
    let (port, pid, clients) = (process.port, process.pid(), bench.sizes.move_rooms);
    let (warm_up, window) = (bench.sizes.warm_up, bench.sizes.window);
    let (rooms, pause) = (Some("moves"), Duration::ZERO);
    let moves = play(&Plan { port, game, answered, rooms, clients, pause, warm_up, window, pid })?;
    let paced = counted(port, "referee_threads_paced")?;
    process.end()?;
    Ok((moves, paced))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_busy_machine_let_through_is_no_figure() {
        assert_eq!(judged(9_000.0, 0.5, 0.1), Ok(9_000.0));
        assert!(judged(9_000.0, 0.95, 0.1).unwrap_err().contains("the load took 95 %"));
        assert!(judged(9_000.0, 0.5, 0.6).unwrap_err().contains("9000/s is the least"));
    }
}
