//! The rules of tic-tac-toe, played in memory.

use referee::prelude::*;
use referee::testkit::{Secrecy, TestPlayer, TestRoom};
use tic_tac_toe::{Board, Mark, Outcome, Place, Rematch, tic_tac_toe};

fn play(room: &mut TestRoom, players: [TestPlayer; 2], cells: &[u8]) {
    for (turn, cell) in cells.iter().enumerate() {
        room.act(players[turn % 2], Place { cell: *cell });
    }
}

fn match_of_two() -> (TestRoom, [TestPlayer; 2]) {
    let mut room = TestRoom::new(tic_tac_toe);
    let players = [room.join("Ann"), room.join("Bob")];
    (room, players)
}

#[test]
fn three_in_a_row_win() {
    let (mut room, players) = match_of_two();
    play(&mut room, players, &[0, 3, 1, 4, 2]);
    assert_eq!(room.resource::<Board>().outcome, Some(Outcome::Won(Mark::X)));
    let seen = room.seen(players[1], "Board").expect("everyone sees the board");
    assert_eq!(seen["outcome"], json!({ "Won": "X" }));
    assert_eq!(seen["cells"], json!(["X", "X", "X", "O", "O", null, null, null, null]));
}

#[test]
fn a_full_board_is_a_draw_and_a_rematch_begins_with_the_other_mark() {
    let (mut room, players) = match_of_two();
    play(&mut room, players, &[0, 1, 2, 4, 3, 5, 7, 6, 8]);
    assert_eq!(room.resource::<Board>().outcome, Some(Outcome::Draw));
    room.act(players[0], Rematch);
    let board = room.resource::<Board>();
    assert_eq!((board.outcome, board.turn, board.round), (None, Mark::O, 1));
    assert!(board.cells.iter().all(Option::is_none));
}

#[test]
fn nobody_moves_out_of_turn_or_onto_a_taken_cell() {
    let (mut room, [ann, bob]) = match_of_two();
    room.act(bob, Place { cell: 0 });
    assert_eq!(room.resource::<Board>().cells[0], None);
    room.act(ann, Place { cell: 0 });
    room.act(bob, Place { cell: 0 });
    assert_eq!(room.resource::<Board>().cells[0], Some(Mark::X));
    room.act(ann, Rematch);
    assert_eq!(room.resource::<Board>().round, 0, "a rematch waits for the end");
}

#[test]
fn nobody_moves_alone_and_the_third_visitor_watches() {
    let mut room = TestRoom::new(tic_tac_toe);
    let ann = room.join("Ann");
    room.act(ann, Place { cell: 0 });
    assert_eq!(room.resource::<Board>().cells[0], None);
    let bob = room.join("Bob");
    let cid = room.try_join("Cid").expect("there is room to watch");
    assert_eq!(room.seat(cid), None);
    play(&mut room, [ann, bob], &[4]);
    assert_eq!(room.seen(cid, "Board").expect("spectators see the board")["cells"][4], json!("X"));
}

#[test]
fn a_newcomer_takes_the_mark_that_is_free() {
    let (mut room, [ann, bob]) = match_of_two();
    room.leave(ann);
    let cid = room.join("Cid");
    assert_eq!(room.component::<Mark>(cid), &Mark::X);
    play(&mut room, [cid, bob], &[0, 4]);
    assert_eq!(room.resource::<Board>().cells[4], Some(Mark::O));
    room.play_again(1);
}

#[test]
fn what_is_kept_and_not_sent_shows_in_no_byte() {
    Secrecy::of(tic_tac_toe).holds(|room, run| {
        let ann = room.join("Ann");
        // What her token says of her, and things without a face that came before Bob.
        let said = run.either("novice", "champion").to_owned();
        let her = room.entity(ann);
        room.change(|world| {
            world.entity_mut(her).insert(Attributes([("level".to_owned(), said)].into()));
            world.spawn_batch((0..run.either(1, 9)).map(|seat| Owner(Seat(seat))));
        });
        let (bob, eve) = (room.join("Bob"), room.watch("Eve"));
        play(room, [ann, bob], &[0, 3, 1]);
        room.restart();
        for player in [ann, bob] {
            room.resume(player).expect("the seat is held");
        }
        play(room, [bob, ann], &[4, 2]);
        room.act(bob, Rematch);
        [ann, bob, eve]
    });
}
