//! A room made again from its journal is the room that was: at every tick, from its creation or from
//! any snapshot, and where a tick panics.

mod common;

use std::sync::Arc;

use common::script::{Script, advance, payload};
use common::{Say, bare, busy, join};
use referee_protocol::frame::{EventsFrame, Lane};
use referee_protocol::message::Resume;
use referee_protocol::{Incarnation, LinkId, Seat, SessionId, Tick};
use referee_room::entry::{Create, Entry};
use referee_room::output::{Joined, Output};
use referee_room::prelude::*;
use referee_room::revive::{Base, Passage, Report, Revival, ReviveError, Revived, after_panic};
use referee_room::room::Link;
use referee_room::{Room, Template};

const TICKS: u64 = 300;

fn create() -> Create {
    Create { seed: [3; 32], ..Create::default() }
}

fn revive(template: &Arc<Template>, base: Base, passages: Vec<Passage>) -> (Room, Report) {
    let revived =
        Revival::new(template, base.clone(), passages, [9; 32]).finish().expect("it is made again");
    let Revived { room, before, base: newest, since, report, .. } = revived;
    // What is left of it makes it once more, from where it began and from its newest snapshot.
    for (base, passages) in [(base, vec![before, since.clone()]), (newest, vec![since])] {
        let again = Revival::new(template, base, passages, [8; 32]).finish().expect("once more");
        assert_eq!(again.room.snapshot(), room.snapshot());
        assert_eq!(again.report.panicked, []);
    }
    (room, report)
}

fn take(room: &mut Room) -> Passage {
    let mut bytes = vec![];
    let span = room.take_journal(&mut bytes).expect("ticks have run");
    Passage { after: span.after, upto: span.upto, bytes }
}

/// A room after its first tick, in which Ann came.
fn begun(game: fn(&mut Game)) -> (Arc<Template>, Room) {
    let (template, mut room) = bare(game);
    room.record();
    room.handle(join(1, "Ann"));
    room.tick(Tick(1));
    (template, room)
}

/// A match that is journaled every few ticks, with the hash after each tick and all snapshots.
struct Played {
    template: Arc<Template>,
    room: Room,
    passages: Vec<Passage>,
    hashes: Vec<u64>,
    snapshots: Vec<(u64, Vec<u8>)>,
}

fn play(seed: u64) -> Played {
    let (template, mut room) = bare(|game: &mut Game| {
        busy(game);
        game.snapshot_ticks(25);
    });
    room.record();
    let (mut script, mut acts) = (Script(seed), [0; 8]);
    let (mut passages, mut hashes, mut snapshots) = (vec![], vec![], vec![]);
    for tick in 1..=TICKS {
        advance(&template, &mut room, &mut script, &mut acts);
        hashes.push(room.state_hash());
        if tick % 25 == 0 {
            snapshots.push((tick, room.snapshot()));
        }
        if tick % 7 == 0 || tick == TICKS {
            passages.push(take(&mut room));
        }
    }
    Played { template, room, passages, hashes, snapshots }
}

#[test]
fn from_its_creation_a_room_comes_to_every_tick_as_it_was() {
    for seed in 0..3 {
        let played = play(seed);
        let mut revival = Revival::new(
            &played.template,
            Base::Create(create()),
            played.passages.clone(),
            [9; 32],
        );
        let mut hashes = vec![];
        let mut after = |room: &Room| {
            hashes.push(referee_protocol::hash::hash(&room.snapshot()));
            true
        };
        while !revival.run(&mut after).unwrap() {}
        assert_eq!(hashes.len() as u64, TICKS);
        let Revived { mut room, report, .. } = revival.finish().unwrap();
        assert_eq!(Some(&room.state_hash()), played.hashes.last(), "seed {seed}");
        // The entry that made it has no types in it.
        let untold = true;
        let expected = Report { ticks: TICKS, hashes: TICKS / 25, untold, ..Report::default() };
        assert_eq!(report, expected, "seed {seed}");
    }
}

#[test]
fn from_any_snapshot_a_room_comes_to_its_end_and_goes_on_from_there() {
    let mut played = play(5);
    for (tick, snapshot) in played.snapshots.clone() {
        let base = Base::Snapshot(Arc::new(snapshot));
        let (mut room, report) = revive(&played.template, base, played.passages.clone());
        assert_eq!(Some(&room.state_hash()), played.hashes.last(), "from tick {tick}");
        assert_eq!((report.ticks, report.differs), (TICKS - tick, None));
        // What it writes from now on follows on what there is.
        room.tick(Tick(TICKS + 1));
        assert_eq!(take(&mut room).after, Tick(TICKS));
    }
    advance(&played.template, &mut played.room, &mut Script(1), &mut [0; 8]);
}

#[test]
fn a_room_can_be_looked_at_as_it_was_in_any_tick() {
    let played = play(6);
    for tick in [1, 24, 25, 26, 199, TICKS] {
        let base = Base::Create(create());
        let revival = Revival::new(&played.template, base, played.passages.clone(), [9; 32]);
        let Revived { mut room, .. } = revival.until(Tick(tick)).finish().unwrap();
        assert_eq!(room.info().tick, Tick(tick));
        assert_eq!(room.state_hash(), played.hashes[tick as usize - 1], "tick {tick}");
    }
}

#[test]
fn another_state_than_it_was_is_found() {
    let played = play(7);
    let base = Base::Create(Create { seed: [4; 32], ..create() });
    let (_, report) = revive(&played.template, base, played.passages);
    assert_eq!(report.differs, Some(Tick(25)));
}

#[test]
fn a_journal_with_a_gap_or_too_much_in_it_is_refused() {
    let played = play(8);
    let outcome = |passages| {
        let base = Base::Create(create());
        Revival::new(&played.template, base, passages, [9; 32]).finish().map(|_| ()).unwrap_err()
    };
    let mut gap = played.passages.clone();
    gap.remove(2);
    assert_eq!(outcome(gap), ReviveError::Gap { after: 21, reached: 14 });
    let mut beyond = played.passages.clone();
    beyond[1].upto = Tick(13);
    assert_eq!(outcome(beyond), ReviveError::Beyond { found: 14, upto: 13 });
    let mut cut = played.passages.clone();
    cut[0].bytes.pop();
    assert!(matches!(outcome(cut), ReviveError::Journal(_)));
}

#[test]
fn bases_round_trip() {
    let snapshot = Base::Snapshot(Arc::new(vec![1, 2, 3]));
    for base in [Base::Create(create()), snapshot] {
        let mut bytes = vec![];
        base.encode(&mut bytes);
        for cut in 0..bytes.len() {
            assert!(Base::decode(&mut &bytes[..cut]).is_err(), "cut to {cut}");
        }
        bytes.push(7);
        let mut rest = &bytes[..];
        assert_eq!(Base::decode(&mut rest), Ok(base));
        assert_eq!(rest, [7]);
    }
}

/// A game that panics where somebody says "boom".
fn fragile(game: &mut Game) {
    game.realtime(20).max_players(2).action::<Say>().replicate::<Heard>().snapshot_ticks(10);
    game.systems(|says: Actions<Say>, mut heard: ResMut<Heard>| {
        for (_, say) in &says {
            assert_ne!(say.0, "boom", "it went off");
            heard.0 += 1;
        }
        heard.1 += 1;
    });
}

#[derive(Resource, Replicate, Default)]
struct Heard(u32, u32);

fn say(template: &Template, number: u64, text: &str) -> Entry {
    let payload = payload(template, true, 0, &Say(text.into()));
    Entry::Action { seat: Seat(0), number, payload }
}

#[test]
fn a_tick_that_panicked_is_run_again_without_the_act_that_broke_it() {
    let (template, mut room) = begun(fragile);
    room.handle(say(&template, 1, "hello"));
    room.tick(Tick(2));
    while let Some(output) = room.poll_output() {
        assert!(!matches!(output, Output::Save(_)));
    }
    for (number, text) in [(2, "before"), (3, "boom"), (4, "after")] {
        room.handle(say(&template, number, text));
    }
    room.handle(join(2, "Bob"));
    let broke = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| room.tick(Tick(3))));
    assert!(broke.is_err());
    let (at, entries) = room.broken_tick().unwrap();
    assert_eq!((at, entries.len()), (Tick(3), 4));
    let passage = take(&mut room);
    assert_eq!(passage.upto, Tick(2), "the tick that broke off is not in it");

    let begins = (Base::Create(create()), passage);
    let Revived { room: mut again, since, .. } =
        after_panic(&template, begins, (at, entries), [9; 32]).unwrap();
    assert_eq!((again.info().tick, again.info().players), (Tick(3), 2), "Bob came all the same");
    assert_eq!(since.upto, Tick(2));
    assert_eq!(
        take(&mut again).upto,
        Tick(3),
        "what the tick was without it is still to be written"
    );
    assert_eq!(heard(&mut again), 3, "hello, before and after");
    // The act is used up, as the others are: the next one is the fifth.
    again.handle(say(&template, 4, "again"));
    again.handle(say(&template, 5, "on"));
    again.tick(Tick(4));
    assert_eq!((again.counters().bad_payloads, heard(&mut again)), (1, 4));
}

#[test]
fn where_no_single_act_broke_a_tick_all_are_left_out() {
    let (template, mut room) = begun(fragile);
    let passage = take(&mut room);
    let entries: Vec<_> =
        [(1, "boom"), (2, "fine"), (3, "boom")].map(|(n, text)| say(&template, n, text)).into();
    let begins = (Base::Create(create()), passage);
    let revived = after_panic(&template, begins, (Tick(2), entries), [9; 32]).unwrap();
    let mut again = revived.room;
    assert_eq!((again.info().tick, heard(&mut again)), (Tick(2), 0));
    again.handle(say(&template, 4, "on"));
    again.tick(Tick(3));
    assert_eq!(heard(&mut again), 1, "the three are used up");
}

fn heard(room: &mut Room) -> u64 {
    room.to_json()["resources"]["Heard"][0].as_u64().expect("a number")
}

#[test]
fn a_panic_in_what_is_run_again_is_treated_the_same() {
    let (template, mut room) = begun(fragile);
    for (number, text) in [(1, "one"), (2, "two"), (3, "three")] {
        room.handle(say(&template, number, text));
        room.tick(Tick(number + 1));
    }
    let passage = take(&mut room);
    // A newer build that panics at what the old one took.
    let newer = Template::new("test", |game: &mut Game| {
        fragile(game);
        game.systems(|says: Actions<Say>| {
            assert!(says.iter().all(|(_, say)| say.0 != "two"), "not this one");
        });
    })
    .unwrap();
    let (again, report) = revive(&newer, Base::Create(create()), vec![passage]);
    assert_eq!((again.info().tick, report.panicked), (Tick(4), vec![Tick(3)]));
}

/// Its players were told of what they did.
#[test]
fn an_act_of_a_gated_game_is_not_left_out_because_a_build_panics_at_it() {
    let gated = |game: &mut Game| {
        fragile(game);
        game.gated();
    };
    let (template, mut room) = begun(gated);
    for (number, text) in [(1, "one"), (2, "two")] {
        room.handle(say(&template, number, text));
        room.tick(Tick(number + 1));
    }
    let passage = take(&mut room);
    let newer = Template::new("test", move |game: &mut Game| {
        gated(game);
        game.systems(|says: Actions<Say>| {
            assert!(says.iter().all(|(_, say)| say.0 != "two"), "not this one");
        });
    })
    .unwrap();
    let revival = Revival::new(&newer, Base::Create(create()), vec![passage.clone()], [9; 32]);
    let refused = revival.finish().map(|_| ());
    assert!(matches!(refused, Err(ReviveError::Panicked { tick: 3, .. })), "{refused:?}");
    let (again, report) = revive(&template, Base::Create(create()), vec![passage]);
    assert_eq!((again.info().tick, report.panicked), (Tick(3), vec![]));
}

#[test]
fn a_game_that_panics_in_any_case_is_given_up() {
    let (_, mut room) = bare(fragile);
    room.record();
    (1..=9).for_each(|tick| room.tick(Tick(tick)));
    let passage = take(&mut room);
    let newer = Template::new("test", |game: &mut Game| {
        fragile(game);
        game.systems(|heard: Res<Heard>| assert_ne!(heard.1, 6, "six is too many"));
    })
    .unwrap();
    let outcome = Revival::new(&newer, Base::Create(create()), vec![passage], [9; 32]).finish();
    let error = outcome.map(|_| ()).unwrap_err();
    assert!(matches!(error, ReviveError::Panicked { tick: 6, .. }), "{error}");
}

/// A room that said "hello" in its first life, and goes on in its second: what a client that comes back
/// with `resume` is told, as (events lost, the last event before those that come, how many come).
fn back(resume: Option<(u64, u64, u64)>) -> (bool, u64, usize) {
    let (template, mut room) = bare(busy);
    room.record();
    room.handle(Entry::Begin { incarnation: Incarnation(3) });
    room.handle(join(1, "Ann"));
    room.tick(Tick(1));
    room.handle(say(&template, 1, "hello"));
    room.tick(Tick(2));
    let (mut again, _) = revive(&template, Base::Create(create()), vec![take(&mut room)]);
    again.handle(Entry::Begin { incarnation: Incarnation(4) });
    let session = SessionId(7);
    let resume = resume.map(|(life, tick, event)| Resume {
        incarnation: Incarnation(life),
        tick: Tick(tick),
        event,
    });
    again.link(LinkId(7), Link::Open { session, resume });
    again.handle(Entry::Resume { session, seat: Seat(0), generation: 1 });
    again.handle(say(&template, 2, "again"));
    again.tick(Tick(3));
    let (mut told, mut events) = ((false, 0), 0);
    while let Some(output) = again.poll_output() {
        match output {
            Output::Joined { outcome: Joined::Seated { events_lost, last_event, .. }, .. } => {
                told = (events_lost, last_event)
            }
            Output::Send { frame, .. } => {
                let bytes = frame.to_vec();
                if bytes.first() == Some(&(Lane::Events as u8)) {
                    events += EventsFrame::decode(&bytes[1..]).expect("good events").events.len();
                }
            }
            _ => {}
        }
    }
    (told.0, told.1, events)
}

#[test]
fn events_are_told_once_over_all_lives_of_a_room() {
    assert_eq!(back(Some((3, 2, 1))), (false, 1, 1), "it has heard hello");
    assert_eq!(back(Some((3, 1, 0))), (false, 0, 2), "it has not");
    // What it heard in what is lost of its life did not happen in this one.
    assert_eq!(back(Some((3, 5, 4))), (false, 1, 1));
    // It says nothing of what it heard.
    assert_eq!(back(None), (false, 0, 2));
    // Nobody knows what it heard: rather none of it than some of it twice.
    assert_eq!(back(Some((2, 2, 1))), (true, 1, 1));
}
