//! A game as turn-based games are: a board, whose turn it is, a move.
#![allow(elided_lifetimes_in_paths, reason = "games are written without them")]

use referee_protocol::GameName;
use referee_room::Template;
use referee_room::prelude::*;
use referee_server::games::{Games, Hosted};

#[derive(Resource, Replicate, Default)]
struct Board {
    cells: [u8; 9],
    turn: u8,
    moves: u32,
}

#[derive(Action)]
struct Move;

impl Board {
    fn play(&mut self) {
        let cell = self.moves as usize % self.cells.len();
        self.cells[cell] = 1 + self.turn;
        self.turn = 1 - self.turn;
        self.moves += 1;
    }
}

fn logged(game: &mut Game) {
    game.turn_based().max_players(2).spectators(u16::MAX);
    game.replicate::<Board>().action::<Move>();
    game.systems(|mut board: ResMut<Board>, moves: Actions<Move>| {
        moves.iter().for_each(|_| board.play());
    });
    game.on_request(|mut board: ResMut<Board>| {
        board.play();
        board.moves
    });
}

fn gated(game: &mut Game) {
    logged(game);
    game.gated();
}

/// Both of them.
pub(crate) fn all() -> Games {
    let games = [("logged", logged as fn(&mut Game)), ("gated", gated)];
    let hosted = games.into_iter().map(|(name, game)| {
        let template = Template::new(name, game).expect("the game is sound");
        let hosted = Hosted { template, title: None, description: None, page: None };
        (GameName::new(name).expect("it is short"), hosted)
    });
    hosted.collect()
}
