//! What players did under an earlier version, applied by a later one.

use std::sync::Arc;

use referee_protocol::Seat;
use referee_protocol::frame::Payload;
use referee_room::entry::{Create, Entry};
use referee_room::field::{Action, Field, Input, Quantiser};
use referee_room::prelude::*;
use referee_room::revive::{Base, Passage, Revival, ReviveError, Revived};
use referee_room::{Room, Template};

use super::{common, template, v1, v2};

/// An action or an input as the journal has it.
fn payload<T: Field>(kind: u16, value: &T) -> Payload {
    let ty = T::shape(&referee_room::field::Hints::default()).expect("the game has it");
    let mut words = Vec::new();
    value.quantise(&ty, &mut Quantiser::new(&mut words, &|_| 0));
    Payload::from_words(kind, &ty, &words)
}

fn action<T: Action>(number: u64, kind: u16, value: &T) -> Entry {
    Entry::Action { seat: Seat(0), number, payload: payload(kind, value) }
}

fn input<T: Input>(sample: u64, tick: u64, value: &T) -> Entry {
    Entry::Input { seat: Seat(0), sample, tick: Tick(tick), payload: payload(0, value) }
}

/// What a room of the first version left after so many ticks: how it was created, a snapshot of tick 20,
/// and what happened.
struct Left {
    create: Base,
    snapshot: Base,
    all: Passage,
    since: Passage,
}

fn left(template: &Arc<Template>) -> Left {
    let types = template.type_bytes().clone();
    let create = Create { seed: [3; 32], unix_ms: 1, types, ..Create::default() };
    let mut room = Room::create(template, &create).expect("the game creates its room");
    room.record();
    let (mut all, mut since) = (Passage::empty(Tick(0)), Passage::empty(Tick(20)));
    let mut snapshot = None;
    for tick in 1..=75 {
        match tick {
            2 => room.handle(common::join(1, "Ann")),
            10 => room.handle(action(1, 1, &v1::Say("first".into()))),
            18 | 70 => room.handle(input(tick, tick + 4, &v1::Stick { x: Axis(0.5), fire: true })),
            20 => room.handle(Entry::Seal),
            30 => {
                room.handle(action(2, 0, &v1::Wave));
                room.handle(action(3, 1, &v1::Say("third".into())));
            }
            40 => room.handle(Entry::Action {
                seat: Seat(0),
                number: 4,
                payload: Payload { kind: 1, bits: vec![0xff; 3].into() },
            }),
            _ => {}
        }
        room.tick(Tick(tick));
        let passage = if tick <= 20 { &mut all } else { &mut since };
        room.take_journal(&mut passage.bytes);
        passage.upto = Tick(tick);
        let outputs = std::iter::from_fn(|| room.poll_output());
        if let Some(saved) = outputs.filter_map(|output| output.saved()).last()
            && tick == 20
        {
            snapshot = Some(Base::Snapshot(saved.into()));
        }
    }
    let (bytes, upto) = ([&all.bytes[..], &since.bytes].concat(), since.upto);
    let all = Passage { bytes, upto, ..all };
    Left { create: Base::Create(create), snapshot: snapshot.expect("a seal saves"), all, since }
}

fn revive(template: &Arc<Template>, base: Base, passage: Passage) -> Result<Revived, ReviveError> {
    Revival::new(template, base, vec![passage], [0; 32]).finish()
}

/// A room's beginning and all that happened in it, as the build wrote it that had this format first.
const KEPT: &[u8] = include_bytes!("../data/evolution-journal-4.bin");

fn kept(mut bytes: &[u8]) -> (Base, Passage) {
    let base = Base::decode(&mut bytes).expect("it is read");
    (base, Passage { after: Tick(0), upto: Tick(75), bytes: bytes.to_vec() })
}

/// With the build that made it: `REFEREE_WRITE_DATA=1 cargo test -p referee-room --test evolution`.
#[test]
fn what_an_older_version_of_a_game_wrote_is_kept_as_data() {
    let left = left(&template(v1::game));
    let mut bytes = Vec::new();
    left.create.encode(&mut bytes);
    bytes.extend(&left.all.bytes);
    if std::env::var_os("REFEREE_WRITE_DATA").is_some() {
        std::fs::write("tests/data/evolution-journal-4.bin", &bytes).expect("it is written");
    }
    assert_eq!(kept(KEPT).1.upto, left.all.upto);
}

#[test]
fn entries_of_an_earlier_version_are_said_anew() {
    let (v1, v2) = (template(v1::game), template(v2::game));
    let left = left(&v1);
    let all = [(left.snapshot, left.since), (left.create, left.all), kept(KEPT)];
    for (base, passage) in all {
        let ticks = passage.upto.0 - passage.after.0;
        let mut revived = revive(&v2, base, passage).expect("it is read");
        assert!(revived.report.another_build && revived.report.hashes == 0);
        let dropped = ["Bullet", "Forgotten", "Gone", "Heard.waves", "Purse.lost", "Wave"];
        assert_eq!(revived.report.dropped, dropped);
        assert_eq!((revived.report.ticks, revived.report.differs), (ticks, None));
        let state = revived.room.to_json();
        assert_eq!(state["resources"]["Heard"]["said"], json!(["first", "third"]));
        assert_eq!(state["seats"][0]["last_action"], json!(4), "what is gone is used up");
        let pad = super::entities(&state, "Pad")[0];
        assert_eq!((&pad["fire"], &pad["jump"]), (&json!(true), &json!(false)));
        assert!(pad["x"].as_f64().is_some_and(|x| (x - 0.5).abs() < 0.01), "{pad}");
        // From here on all is as this version writes it, and follows on itself.
        assert_eq!(revived.began.type_bytes(), Some(&v2.type_bytes()[..]));
        let mut passages = vec![revived.before.clone(), revived.since.clone()];
        passages.retain(|passage| passage.after < passage.upto);
        let again = Revival::new(&v2, revived.began.clone(), passages, [0; 32]).finish();
        let mut again = again.expect("it wrote that itself");
        assert!(!again.report.another_build && again.report.differs.is_none());
        assert!(again.report.hashes > 0);
        assert_eq!(again.room.state_hash(), revived.room.state_hash());
        let newest = revive(&v2, revived.base, revived.since).expect("it wrote that itself");
        assert!(!newest.report.another_build);
        let mut newest = newest.room;
        assert_eq!(newest.state_hash(), revived.room.state_hash());
    }
}

#[test]
fn a_sample_that_waits_is_said_anew() {
    let (left, v2) = (left(&template(v1::game)), template(v2::game));
    let Base::Snapshot(snapshot) = left.snapshot else { panic!("it is one") };
    let mut room = Room::restore(&v2, &snapshot, [0; 32]).expect("it is read");
    let mut fire = Vec::new();
    for tick in 21..=23 {
        room.tick(Tick(tick));
        fire.push(super::entities(&room.to_json(), "Pad")[0]["fire"] == json!(true));
    }
    assert_eq!(fire, [false, true, true]);
}

#[test]
fn the_same_version_compares_hashes() {
    let v1 = template(v1::game);
    let left = left(&v1);
    let report = revive(&v1, left.create, left.all).expect("it is read").report;
    assert!(!report.another_build && report.hashes > 0 && report.differs.is_none());
}

#[test]
fn other_systems_are_another_build() {
    let more = template(|game: &mut Game| {
        v1::game(game);
        game.systems(|mut heard: ResMut<v1::Heard>| heard.said.clear());
    });
    let left = left(&template(v1::game));
    let revived = revive(&more, left.snapshot, left.since).expect("its types are the same");
    assert!(revived.report.another_build && revived.report.differs.is_none());
}

#[test]
fn so_are_as_many_systems_of_other_names_or_conditions() {
    fn hush(mut heard: ResMut<v1::Heard>) {
        heard.said.clear();
    }
    fn forget(mut heard: ResMut<v1::Heard>) {
        heard.said.clear();
    }
    let build = |systems: fn(&mut Game)| {
        let game = move |game: &mut Game| {
            v1::game(game);
            systems(game);
        };
        let template = Template::new("test", game).unwrap_or_else(|error| panic!("{error}"));
        template.type_bytes().to_vec()
    };
    let first = build(|game| _ = game.systems(hush));
    assert_eq!(first, build(|game| _ = game.systems(hush)));
    assert_ne!(first, build(|game| _ = game.systems(forget)));
    assert_ne!(first, build(|game| _ = game.systems(hush.run_if(started))));
}

#[derive(Action)]
struct Say(u64);

#[test]
fn an_entry_that_does_not_go_over_is_refused() {
    let left = left(&template(v1::game));
    let other = template(|game: &mut Game| {
        game.realtime(20).action::<Say>();
    });
    let error = revive(&other, left.snapshot, left.since).err().expect("it is refused");
    assert!(matches!(error, ReviveError::Restore(_)), "{error}");
    let said = error.to_string();
    assert!(said.contains("Say: stored is Say(text), wanted is Say(u64)"), "{said}");
}
