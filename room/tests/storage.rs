//! What a room keeps by name: part of its state, and there for the next match.

mod common;

use std::sync::Arc;

use common::{bare, busy, join};
use referee_protocol::Seat;
use referee_protocol::frame::Payload;
use referee_room::entry::Create;
use referee_room::prelude::*;
use referee_room::revive::{Base, Passage, Revival};
use referee_room::testkit::{Secrecy, TestRoom};
use referee_room::{Entry, Room, Template};

#[derive(Action)]
struct Win;

#[derive(Action)]
struct Note(#[field(max = 64)] String);

#[derive(Serialize, Deserialize)]
#[serde(crate = "referee_room::prelude::serde")]
struct Best {
    name: String,
    wins: u32,
}

/// The first win ends the match; wins are counted by name, over all matches.
fn wins(game: &mut Game) {
    game.turn_based().max_players(4).action::<Win>().action::<Note>();
    game.systems((count, note));
    game.on_request(|storage: Res<Storage>| {
        storage.range::<Value>("").map(|(key, value)| json!([key, value])).collect::<Vec<_>>()
    });
}

fn count(
    wins: Actions<Win>,
    players: Query<&Player>,
    mut storage: ResMut<Storage>,
    mut referee: Referee,
) -> Result {
    for (player, Win) in &wins {
        let name = &players.get(player)?.name;
        let key = format!("wins/{name}");
        let won = storage.get(&key).unwrap_or(0) + 1;
        storage.set(&key, &won)?;
        if storage.get("best").is_none_or(|best: Best| best.wins < won) {
            storage.set("best", &Best { name: name.clone(), wins: won })?;
        }
        referee.end(name.as_str());
    }
    Ok(())
}

fn note(notes: Actions<Note>, mut storage: ResMut<Storage>) {
    for (_, Note(text)) in &notes {
        storage.set("note", text).expect("a note is short");
    }
}

fn kept(room: &mut TestRoom) -> Value {
    room.request("GET", "", &Value::Null).1
}

#[test]
fn it_outlives_a_restart_and_the_match() {
    let mut room = TestRoom::new(wins);
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    room.act(bob, Win);
    room.restart();
    room.resume(ann).expect("the seat is held");
    let expected = json!([["best", { "name": "Bob", "wins": 1 }], ["wins/Bob", 1]]);
    assert_eq!(kept(&mut room), expected);
    room.play_again(1);

    room.next_match();
    assert_eq!(room.players(), [], "somebody else may come");
    assert_eq!(kept(&mut room), expected);
    let (_, bob) = (room.join("Ann"), room.join("Bob"));
    room.act(bob, Win);
    let expected = json!([["best", { "name": "Bob", "wins": 2 }], ["wins/Bob", 2]]);
    assert_eq!(kept(&mut room), expected);
    assert_eq!(room.room().to_json()["storage"]["wins/Bob"], json!(2));
    room.play_again(2);
    room.next_match();
    assert_eq!(kept(&mut room), expected);
}

#[test]
fn no_byte_of_it_is_sent() {
    Secrecy::of(wins).holds(|room, run| {
        let (ann, bob) = (room.join("Ann"), room.join("Bob"));
        room.act(ann, Note(run.either("short", "something longer").to_owned()));
        room.act(bob, Win);
        [ann, bob]
    });
}

/// What is set without an act of anybody.
#[test]
fn a_room_in_which_only_the_storage_has_changed_is_worth_keeping() {
    fn born(game: &mut Game) {
        game.turn_based();
        game.on_start(|mut storage: ResMut<Storage>| storage.set("born", &true).expect("it fits"));
    }
    fn ticks(game: &mut Game) {
        game.realtime(20).systems(|time: Res<Time>, mut storage: ResMut<Storage>| {
            let whole = time.tick.0 / 3;
            storage.set("whole", &whole.min(1)).expect("it fits");
        });
    }
    assert!(bare(born).1.is_lasting());
    let (_, mut room) = bare(ticks);
    assert!(!room.is_lasting());
    room.tick(Tick(1));
    assert!(room.is_lasting());
    // A match that begins with something has not done anything yet.
    let storage = room.storage();
    let (template, _) = bare(ticks);
    let create = Create { storage, ..Create::default() };
    let mut next = Room::create(&template, &create).expect("it is created");
    assert!(!next.is_lasting());
    next.tick(Tick(3));
    assert!(next.is_lasting(), "it has set another value");
}

fn template(game: fn(&mut Game)) -> Arc<Template> {
    Template::new("test", game).unwrap_or_else(|e| panic!("{e}"))
}

fn revived(template: &Arc<Template>, base: Base, passages: Vec<Passage>) -> Room {
    let revival = Revival::new(template, base, passages, [9; 32]).finish();
    revival.unwrap_or_else(|e| panic!("{e}")).room
}

#[test]
fn the_next_match_is_made_again_from_what_it_began_with() {
    let template = template(wins);
    let mut room = revived(&template, Base::Create(Create::default()), vec![]);
    let win = |number| {
        let payload = Payload { kind: 0, bits: vec![].into() };
        Entry::Action { seat: Seat(0), number, payload }
    };
    room.handle(join(1, "Ann"));
    room.tick(Tick(1));
    room.handle(win(1));
    room.tick(Tick(2));
    let base = Base::Create(Create { storage: room.storage(), ..Create::default() });
    let mut bytes = vec![];
    base.encode(&mut bytes);
    let again = Base::decode(&mut &bytes[..]).expect("it was just written");
    assert_eq!(again, base);

    let mut next = revived(&template, base, vec![]);
    next.handle(join(2, "Ann"));
    next.tick(Tick(1));
    next.handle(win(1));
    next.tick(Tick(2));
    let mut bytes = vec![];
    let span = next.take_journal(&mut bytes).expect("it ran");
    let passage = Passage { after: span.after, upto: span.upto, bytes };
    let mut copy = revived(&template, again, vec![passage]);
    assert_eq!(copy.to_json(), next.to_json());
    assert_eq!(copy.snapshot(), next.snapshot());
    assert_eq!(copy.to_json()["storage"]["wins/Ann"], json!(2));
}

/// The same game, before it had a storage and after.
fn plain(game: &mut Game) {
    game.turn_based().max_players(4).action::<Win>().action::<Note>();
    game.systems((|| {}, || {})).on_request(|| Value::Null);
}

#[test]
fn a_game_may_begin_to_use_it_and_what_is_kept_stays_where_one_ends_to() {
    let (old, new) = (template(plain), template(wins));
    let mut room = revived(&old, Base::Create(Create::default()), vec![]);
    room.handle(join(1, "Ann"));
    room.tick(Tick(1));
    assert!(room.to_json().get("storage").is_none());
    let snapshot = Base::Snapshot(Arc::new(room.snapshot()));
    let mut room = revived(&new, snapshot, vec![]);
    assert_eq!(room.to_json()["storage"], json!({}));
    let payload = Payload { kind: 0, bits: vec![].into() };
    room.handle(Entry::Action { seat: Seat(0), number: 1, payload });
    room.tick(Tick(2));
    let (storage, snapshot) = (room.storage(), Base::Snapshot(Arc::new(room.snapshot())));
    assert!(!storage.is_empty());
    let room = revived(&old, snapshot, vec![]);
    assert_eq!(room.storage(), storage);
    let room = revived(
        &old,
        Base::Create(Create { storage: storage.clone(), ..Create::default() }),
        vec![],
    );
    assert_eq!(room.storage(), storage);
}

#[test]
fn a_damaged_storage_is_refused() {
    let (template, room) = bare(wins);
    assert!(room.storage().is_empty());
    let create = Create { storage: vec![1, 9], ..Create::default() };
    let refusal = Room::create(&template, &create).err().expect("it is damaged");
    assert!(refusal.message.contains("storage"), "{refusal}");
}

#[test]
fn a_game_without_a_storage_is_as_it_was() {
    let (_, mut room) = bare(busy);
    room.handle(join(1, "Ann"));
    room.tick(Tick(1));
    assert!(room.storage().is_empty() && room.to_json().get("storage").is_none());
}
