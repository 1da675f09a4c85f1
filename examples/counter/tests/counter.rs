//! The counter counts presses and requests, for everyone.

use counter::counter;
use referee::prelude::*;
use referee::testkit::{Secrecy, TestRoom};

#[test]
fn presses_and_requests_count_for_everyone() {
    let mut room = TestRoom::new(counter);
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    assert_eq!(room.request("GET", "", &Value::Null), (200, json!(1)));
    assert_eq!(room.request("POST", "", &json!({})), (200, json!(2)));
    assert_eq!(room.seen(ann, "Count"), Some(json!(2)));
    assert_eq!(room.seen(bob, "Count"), Some(json!(2)));
}

#[test]
fn the_count_outlives_the_room() {
    let mut room = TestRoom::new(counter);
    room.request("POST", "", &Value::Null);
    room.restart();
    let ann = room.join("Ann");
    assert_eq!(room.seen(ann, "Count"), Some(json!(1)));
    room.request("POST", "", &Value::Null);
    room.play_again(1);
}

#[test]
fn things_that_nobody_sees_show_in_no_byte() {
    Secrecy::of(counter).holds(|room, run| {
        let ann = room.join("Ann");
        room.change(|world| {
            world.spawn_batch((0..run.either(1, 9)).map(|seat| Owner(Seat(seat))));
        });
        let bob = room.join("Bob");
        room.request("POST", "", &Value::Null);
        [ann, bob]
    });
}
