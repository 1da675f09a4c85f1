//! Tables are learnt from matches in memory, and make what is sent smaller.
#![allow(clippy::unwrap_used, reason = "what helps tests fails like a test")]

use std::time::Duration;

use referee::room::Template;
use referee_loadtest::Training;
use referee_protocol::codec::fit;

fn short(mut training: Training) -> Training {
    (training.players, training.matches) = (4, 2);
    training.length = Duration::from_secs(10);
    training
}

#[test]
fn the_tables_of_the_arena_are_for_its_types_and_make_its_states_smaller() {
    let template = Template::new("arena", arena::arena).unwrap();
    assert!(!template.schema().tables.is_empty() && fit(template.schema()));
    let mut training = short(Training::new(arena::arena, arena::bot));
    training.seed = 99; // not among those that the tables were made from
    let (with, players) = training.sample(None).unwrap();
    let (without, _) = training.sample(Some(&[])).unwrap();
    assert_eq!(players, 4);
    assert!(with < 0.85 * without, "{with} bytes with tables, {without} without");
}

#[test]
fn the_same_matches_make_the_same_tables() {
    let training = short(Training::new(arena::arena, arena::bot));
    let (one, two) = (training.run().unwrap(), training.run().unwrap());
    assert_eq!(one, two);
    assert!(one.bytes_with < one.bytes_without, "{one:?}");
}

#[test]
fn turns_are_learnt_from_too() {
    let training = short(Training::new(cards::cards, cards::bot));
    let learnt = training.run().unwrap();
    assert!(learnt.bytes_with < learnt.bytes_without, "{learnt:?}");
}

#[test]
fn a_room_that_cannot_be_is_named() {
    let mut training = short(Training::new(arena::arena, arena::bot));
    training.params = "no JSON".into();
    let error = training.run().unwrap_err().to_string();
    assert!(error.contains("the game makes no room"), "{error}");
}
