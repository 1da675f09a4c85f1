//! Rooms that an earlier version of a game saved, read by a later one.
#![allow(elided_lifetimes_in_paths, reason = "games are written without them")]

#[path = "../common/mod.rs"]
mod common;
mod journal;
mod random;
mod refused;
mod v1;
mod v2;

use std::time::Duration;

use referee_room::Room;
use referee_room::inspect;
use referee_room::prelude::*;
use referee_room::testkit::{TestPlayer, TestRoom};
use serde_json::Value;

/// A room of the first version in which there is something of everything.
fn full() -> (TestRoom, TestPlayer) {
    let mut room = TestRoom::new(v1::game);
    let ann = room.join("Ann");
    room.act(ann, v1::Say("hello".into()));
    room.input(ann, &v1::Stick { x: Axis(0.5), fire: true });
    room.run(Duration::from_millis(200));
    (room, ann)
}

/// What [`full`] saved.
fn saved() -> Vec<u8> {
    full().0.room().snapshot()
}

/// The same, as the build wrote it that had this format first.
const KEPT: &[u8] = include_bytes!("../data/evolution-5.bin");
/// And as that one did which had the first format that says how values lie.
const KEPT_BEFORE: &[u8] = include_bytes!("../data/evolution-4.bin");

#[track_caller]
fn template(game: fn(&mut Game)) -> std::sync::Arc<referee_room::Template> {
    referee_room::Template::new("test", game).unwrap_or_else(|error| panic!("{error}"))
}

fn entities<'a>(state: &'a Value, component: &str) -> Vec<&'a Value> {
    let all = state["entities"].as_array().expect("a list");
    all.iter().filter_map(|entity| entity.get(component)).collect()
}

/// With the build that made it: `REFEREE_WRITE_DATA=1 cargo test -p referee-room --test evolution`.
#[test]
fn what_an_older_version_of_a_game_saved_is_kept_as_data() {
    if std::env::var_os("REFEREE_WRITE_DATA").is_some() {
        std::fs::write("tests/data/evolution-5.bin", saved()).expect("it is written");
    }
    assert_eq!(KEPT[..6], saved()[..6], "raise the version and keep a file of it");
}

#[test]
fn every_kind_of_change_goes_over() {
    let v2 = template(v2::game);
    for snapshot in [&saved()[..], KEPT, KEPT_BEFORE] {
        let mut room = Room::restore(&v2, snapshot, [0; 32]).expect("it is read");
        let state = room.to_json();
        // Renamed type, renamed field, new fields with a default by type and by attribute; one is gone.
        assert_eq!(state["resources"]["Treasure"], json!({"gold": 7, "silver": 0, "gems": 3}));
        // A new resource, with its own default.
        assert_eq!(state["resources"]["Weather"], json!({"wind": 2.5}));
        assert_eq!(state["resources"].get("Purse"), None);
        // By a function, on every entity that has one.
        assert_eq!(entities(&state, "Health"), [&json!({"points": 20.0, "most": 50.0})]);
        // Nested: in a list, an option and an array.
        let sword = json!({"name": "sword", "weight": 1.5, "number": 70_000});
        let axe = json!({"name": "axe", "weight": 1.5, "number": 7});
        let pack =
            json!({"first": axe, "items": [sword, axe], "pair": [axe, sword], "other": null});
        assert_eq!(entities(&state, "Pack"), [&pack]);
        // Variants: the same one in another place, a renamed one with a renamed field and a new one.
        let door = |doors: &[Value]| doors.iter().map(|d| d.to_string()).collect::<Vec<_>>().join();
        let doors: Vec<Value> = entities(&state, "Door").into_iter().cloned().collect();
        assert_eq!(door(&doors), r#"{"state":"Open"}{"state":{"Locked":{"code":9,"tries":3}}}"#);
        // A component is gone, and with it the entities that had nothing else.
        assert_eq!(entities(&state, "Gone").len() + entities(&state, "Bullet").len(), 0);
        let empty = |entity: &&Value| entity.as_object().is_some_and(|fields| fields.len() == 1);
        assert_eq!(state["entities"].as_array().unwrap().iter().filter(empty).count(), 0);
        // References: one to what is there, one to what is gone.
        let player = state["seats"][0]["player"].clone();
        assert_eq!(entities(&state, "Points"), [&json!({"at": player, "gone": null})]);
        // A whole number in a wider type, a float in a wider one, a value in an option, a newtype.
        let wider = json!({"number": -5, "float": 1.5, "maybe": 6, "bare": 8, "wrapped": 9});
        assert_eq!(entities(&state, "Wider"), [&wider]);
        assert_eq!(state["storage"], json!({"kept": 1}));
    }
}

trait Join {
    fn join(self) -> String;
}

impl Join for Vec<String> {
    fn join(self) -> String {
        self.concat()
    }
}

#[test]
fn timers_alarms_and_inputs_go_over_and_go_on() {
    let (mut room, ann) = full();
    room.update(v2::game).expect("it is read");
    room.resume(ann).expect("its seat is held");
    // A new input stands with its default, a renamed one with what it was, and a new field.
    assert_eq!(room.component::<v2::Aim>(ann).at, 4);
    let pad = room.component::<v2::Pad>(ann);
    assert_eq!((pad.fire, pad.jump), (true, false));
    assert!((pad.x.0 - 0.5).abs() < 0.01, "{pad:?}");
    // What was set by the first version comes due in the second.
    assert_eq!(*room.resource::<v2::Rung>(), v2::Rung::default());
    room.run(Duration::from_secs(3));
    let rung = room.resource::<v2::Rung>();
    assert_eq!((rung.bells, rung.dawns), (40, 0));
    room.restart_after(Duration::from_secs(100));
    assert_eq!(room.resource::<v2::Rung>().dawns, 6);
    // And what players do is of the present types.
    room.resume(ann).expect("its seat is held");
    room.act(ann, v2::Say { text: "new".into(), loud: false });
    room.input(ann, &v2::Pad { x: Axis(-1.0), fire: false, jump: true });
    room.run(Duration::from_millis(100));
    assert!(room.component::<v2::Pad>(ann).jump);
    assert_eq!(room.resource::<v2::Heard>().said, ["hello", "new"]);
}

#[test]
fn a_storage_comes_with_the_first_version_that_takes_it_and_stays() {
    fn without(game: &mut Game) {
        game.turn_based().keep::<v1::Purse>();
    }
    fn with(game: &mut Game) {
        game.turn_based().keep::<v2::Treasure>();
        game.on_request(|mut storage: ResMut<Storage>| {
            let asked: u32 = storage.get("asked").unwrap_or(0) + 1;
            storage.set("asked", &asked).expect("there is room for it");
            asked
        });
    }
    let mut room = TestRoom::new(without);
    room.update(with).expect("it is read");
    assert_eq!(room.request("POST", "", &Value::Null), (200, json!(1)));
    room.update(|game: &mut Game| {
        game.turn_based().keep::<v2::Weather>();
    })
    .expect("it is read");
    room.update(with).expect("it is read");
    assert_eq!(room.request("POST", "", &Value::Null), (200, json!(2)));
}

#[test]
fn clients_of_a_changed_game_see_its_state_anew() {
    let (mut room, ann) = full();
    assert_eq!(room.seen(ann, "Purse"), Some(json!({"coins": 7, "lost": 1})));
    room.update(v2::game).expect("it is read");
    room.resume(ann).expect("its seat is held");
    room.run(Duration::from_millis(100));
    let treasure = json!({"gold": 7, "silver": 0, "gems": 3});
    assert_eq!(room.seen(ann, "Treasure"), Some(treasure));
    assert_eq!(room.seen_on_entities(ann, "Door").len(), 2);
}

#[test]
fn an_unchanged_game_reads_the_very_same() {
    let snapshot = saved();
    let v1 = template(v1::game);
    let mut room = Room::restore(&v1, &snapshot, [0; 32]).expect("it is read");
    let (hash, again) = (room.state_hash(), room.snapshot());
    assert_eq!(inspect::stored(&snapshot).unwrap()["hash"], json!(format!("{hash:016x}")));
    assert_eq!(again, snapshot);
}

#[test]
fn a_room_that_went_over_is_the_same_from_then_on() {
    let v2 = template(v2::game);
    let mut over = Room::restore(&v2, KEPT, [0; 32]).expect("it is read");
    let snapshot = over.snapshot();
    let mut again = Room::restore(&v2, &snapshot, [0; 32]).expect("it is read");
    assert_eq!(over.state_hash(), again.state_hash());
    for _ in 0..100 {
        let next = Tick(over.info().tick.0 + 1);
        over.tick(next);
        again.tick(next);
        assert_eq!(inspect::difference(&over.to_json(), &again.to_json()), None, "{next:?}");
        assert_eq!(over.state_hash(), again.state_hash());
    }
}

#[test]
fn a_stored_room_is_shown_without_its_game() {
    let state = inspect::stored(KEPT).expect("it says itself how it lies");
    assert_eq!(state["resources"]["Purse"], json!({"coins": 7, "lost": 1}));
    assert_eq!(entities(&state, "Health"), [&json!({"percent": 40})]);
    assert_eq!(entities(&state, "Player")[0]["name"], json!("Ann"));
    assert_eq!(entities(&state, "Stick")[0]["fire"], json!(true));
    assert_eq!(entities(&state, "Bullet"), [&json!(3)]);
    let doors = [json!({"state": "Open"}), json!({"state": {"Closed": 9}})];
    assert_eq!(entities(&state, "Door"), doors.iter().collect::<Vec<_>>());
    assert_eq!(state["timers"]["Fuse"][0]["value"], json!({"power": 40}));
    assert_eq!(state["alarms"]["Dawn"][0]["value"], json!({"hour": 6}));
    assert_eq!(state["storage"], json!({"kept": 1}));
    // Where the game is the same, it is what the room itself says.
    let mut room = Room::restore(&template(v1::game), KEPT, [0; 32]).expect("it is read");
    let mut live = room.to_json();
    for key in ["next_alarm", "timers", "alarms"] {
        live[key] = state[key].clone();
    }
    let stick = |state: &Value| entities(state, "Stick")[0]["x"].as_f64().unwrap();
    assert!((stick(&live) - stick(&state)).abs() < 0.01, "what is sent is coarser");
    let mut same = state.clone();
    same["entities"] = live["entities"].clone();
    assert_eq!(inspect::difference(&live, &same), None);
}
