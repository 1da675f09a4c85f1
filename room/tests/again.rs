//! A match that is played again: the same states, and whoever breaks that is named.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

use common::{busy, play_round};
use referee_room::prelude::*;
use referee_room::testkit::TestRoom;

fn played(game: impl Fn(&mut Game) + Send + Sync + 'static) -> TestRoom {
    let mut room = TestRoom::with(game, 11, &Value::Null).expect("it is created");
    let players = [room.join("Ann"), room.join("Bob")];
    for round in 0..30u32 {
        play_round(&mut room, players, round);
        if round == 20 {
            room.restart();
            players.into_iter().for_each(|player| room.resume(player).expect("the seat is held"));
        }
    }
    room
}

#[test]
fn a_match_comes_to_the_same_states_however_often_its_room_is_made_anew() {
    for seed in 0..4 {
        played(busy).play_again(seed);
    }
}

/// What it says of a game that is not the same again.
fn blamed(game: impl Fn(&mut Game) + Send + Sync + 'static) -> String {
    let mut room = played(game);
    let outcome = catch_unwind(AssertUnwindSafe(|| room.play_again(1)));
    let panic = outcome.expect_err("it was not noticed");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
#[should_panic(expected = "what `change` does to a room is no act of a player")]
fn a_match_that_was_changed_from_outside_is_refused_and_the_game_not_blamed() {
    let mut room = played(busy);
    room.change(|_| ());
    room.play_again(1);
}

#[test]
fn what_a_system_keeps_for_itself_is_found() {
    let said = blamed(|game: &mut Game| {
        busy(game);
        game.systems(
            |mut own: bevy_ecs::prelude::Local<u32>, mut ships: Query<&mut common::Position>| {
                *own += 1;
                for mut at in &mut ships {
                    at.x = (*own % 90) as f32;
                }
            },
        );
    });
    assert!(said.contains("made anew"), "{said}");
    assert!(said.contains("entity 1, Position, x: "), "{said}");
}

#[test]
fn what_comes_from_outside_is_found() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let said = blamed(|game: &mut Game| {
        busy(game);
        game.snapshot_ticks(10_000);
        game.systems(|mut tally: ResMut<common::Tally>| {
            tally.draws = CALLS.fetch_add(1, Ordering::Relaxed);
        });
    });
    assert!(said.starts_with("tick 1: "), "{said}");
    assert!(said.contains("resources, Tally, draws: "), "{said}");
}
