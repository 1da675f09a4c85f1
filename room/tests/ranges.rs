//! Values outside their declared range: clamped on the wire and named once; an error in the test kit.

mod common;

use common::{Position, bare, join};
use referee_room::prelude::*;
use referee_room::testkit::TestRoom;

/// A player that is somewhere else each tick, always outside its range.
fn outside(game: &mut Game) {
    game.realtime(20).replicate::<Position>();
    game.player(Position::default);
    game.systems(|mut all: Query<&mut Position>, time: Res<Time>| {
        all.iter_mut().for_each(|mut at| at.x = 1000.0 + time.tick.0 as f32);
    });
}

#[test]
fn a_room_goes_on_counts_and_names_the_type_once() {
    let (_, mut room) = bare(outside);
    room.handle(join(1, "Ann"));
    (1..=3).for_each(|tick| room.tick(Tick(tick)));
    assert_eq!(room.counters().clamped_values, 3);
    let warning = room.take_warning().expect("the author is told");
    assert!(warning.starts_with("Position: "), "{warning}");
    assert_eq!(room.take_warning(), None);
}

#[test]
#[should_panic(expected = "Position: a value does not fit what its type declares")]
fn the_test_kit_makes_it_an_error() {
    TestRoom::new(outside).join("Ann");
}

#[derive(Component)]
struct Stranger;

#[test]
#[should_panic(expected = "Stranger: it is in the world but not registered")]
fn the_test_kit_finds_what_nobody_registered() {
    TestRoom::new(|game: &mut Game| {
        game.turn_based().player(|| Stranger);
    })
    .join("Ann");
}
