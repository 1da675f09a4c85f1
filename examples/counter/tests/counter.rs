//! The counter counts presses and requests, for everyone.

use counter::counter;
use referee::prelude::*;
use referee::testkit::TestRoom;

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
}
