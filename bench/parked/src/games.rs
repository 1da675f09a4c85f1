//! Games that only a bench wants: one as turn-based games are, with a board, whose turn it is, a move; a light
//! realtime one that notes when its ticks run, and a heavy one.
#![allow(elided_lifetimes_in_paths, reason = "games are written without them")]

use std::time::Instant;

use referee_protocol::GameName;
use referee_room::Template;
use referee_room::prelude::*;
use referee_server::games::{Games, Hosted};

use crate::stamps;

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

/// How long a tick of the heavy game takes, of the 50 ms that there are.
const HEAVY: Duration = Duration::from_millis(40);

#[derive(Input, Default, Clone)]
struct Stick {
    x: Axis,
    y: Axis,
}

#[derive(Component, Replicate, Clone, Copy)]
struct Position(#[field(range = 0.0..=1000.0, step = 0.125)] Vec2);

/// Which of the bench's rooms this is.
#[derive(Resource, Replicate, Default)]
struct Number(u16);

/// Its param: `room`, the number that its notes have.
fn light(game: &mut Game) {
    game.realtime(stamps::HZ).max_players(4).input::<Stick>();
    game.replicate::<Position>().keep::<Number>();
    game.on_create(|params: Params, mut number: ResMut<Number>| -> Result<(), String> {
        number.0 = params.whole("room", 0..=u16::MAX)?.unwrap_or(0);
        Ok(())
    });
    game.player(|| Position(Vec2::splat(500.0)));
    game.systems(
        |time: Res<Time>, number: Res<Number>, mut all: Query<(&mut Position, &Stick)>| {
            stamps::note(number.0, time.tick.0);
            for (mut at, stick) in &mut all {
                let step = Vec2::new(stick.x.0, stick.y.0) * time.delta * 100.0;
                at.0 = (at.0 + step).clamp(Vec2::ZERO, Vec2::splat(1000.0));
            }
        },
    );
}

fn heavy(game: &mut Game) {
    game.realtime(stamps::HZ).max_players(4).input::<Stick>();
    game.replicate::<Position>().player(|| Position(Vec2::ZERO));
    game.systems(|| {
        let begun = Instant::now();
        while begun.elapsed() < HEAVY {
            std::hint::spin_loop();
        }
    });
}

/// All of them.
pub(crate) fn all() -> Games {
    let games =
        [("logged", logged as fn(&mut Game)), ("gated", gated), ("light", light), ("heavy", heavy)];
    let hosted = games.into_iter().map(|(name, game)| {
        let template = Template::new(name, game).expect("the game is sound");
        let hosted = Hosted { template, title: None, description: None, page: None };
        (GameName::new(name).expect("it is short"), hosted)
    });
    hosted.collect()
}
