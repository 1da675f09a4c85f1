//! Tic-tac-toe: turns, a win or a draw, a rematch; whoever comes third watches.

pub mod bot;

pub use bot::bot;
use referee::prelude::*;

/// The page, played at `/tic-tac-toe/{match}`.
pub const PAGE: &str = include_str!("../page.html");

const LINES: [[usize; 3]; 8] =
    [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]];

/// What a player puts on the board.
#[derive(Component, Replicate, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mark {
    /// Begins the first round.
    #[default]
    X,
    /// Begins the second.
    O,
}

/// How a round ended.
#[derive(Replicate, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Three in a row.
    Won(Mark),
    /// A full board.
    Draw,
}

/// The board, and whose turn it is.
#[derive(Resource, Replicate, Default)]
pub struct Board {
    /// Row by row from the top left.
    pub cells: [Option<Mark>; 9],
    /// Whose turn it is.
    pub turn: Mark,
    /// How the round ended, once it has.
    pub outcome: Option<Outcome>,
    /// How many rounds were played before.
    pub round: u32,
}

/// Puts one's mark into a cell.
#[derive(Action)]
pub struct Place {
    /// Row by row from the top left.
    #[field(max = 8)]
    pub cell: u8,
}

/// Begins another round; the other mark begins.
#[derive(Action)]
pub struct Rematch;

/// The game.
pub fn tic_tac_toe(game: &mut Game) {
    game.turn_based().gated().max_players(2).spectators(64);
    game.replicate::<Board>().replicate::<Mark>().action::<Place>().action::<Rematch>();
    game.player(|player: Player| if player.seat.0 == 0 { Mark::X } else { Mark::O });
    game.systems((place, rematch));
}

fn place(mut board: ResMut<Board>, places: Actions<Place>, marks: Query<&Mark>) {
    for (player, place) in &places {
        let (Ok(&mark), cell) = (marks.get(player), usize::from(place.cell)) else { continue };
        let free = board.cells[cell].is_none() && board.outcome.is_none();
        if !free || board.turn != mark || marks.iter().len() < 2 {
            continue;
        }
        board.cells[cell] = Some(mark);
        board.turn = other(mark);
        if LINES.iter().any(|line| line.iter().all(|at| board.cells[*at] == Some(mark))) {
            board.outcome = Some(Outcome::Won(mark));
        } else if board.cells.iter().all(Option::is_some) {
            board.outcome = Some(Outcome::Draw);
        }
    }
}

fn rematch(mut board: ResMut<Board>, asked: Actions<Rematch>) {
    if !asked.is_empty() && board.outcome.is_some() {
        let round = board.round + 1;
        let turn = if round.is_multiple_of(2) { Mark::X } else { Mark::O };
        *board = Board { turn, round, ..Board::default() };
    }
}

fn other(mark: Mark) -> Mark {
    if mark == Mark::X { Mark::O } else { Mark::X }
}
