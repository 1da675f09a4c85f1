//! A room whose game panics: what is left of it, and what is saved.

use referee_room::revive::after_panic;

use super::*;
use crate::store::{JournalKeep, StoreConfig};

#[test]
fn a_panic_leaves_what_it_takes_to_make_the_room_again() {
    let site = site(Config::default());
    let mut live = live(&site);
    let (link, wire) = come(&mut live, wish());
    live.message(link, &action(1, 0));
    rest(&mut live);
    live.message(link, &action(2, 1));
    rest(&mut live);
    assert!(live.failed());
    assert_eq!(wire.closed().unwrap().code, Code::Stopped);
    let remains = live.take_remains().unwrap();
    let (_, broken) = remains.broken.unwrap();
    assert!(broken.iter().any(|entry| matches!(entry, Entry::Action { number: 2, .. })));
    let again = Revival::new(&template(&site), remains.base, vec![remains.since], [2; 32]).finish();
    assert_eq!(again.unwrap().room.info().players, 1);
}

/// Else a second panic, which ends the room, would lose what led to what was saved.
#[test]
fn what_led_to_a_snapshot_is_saved_with_it_when_a_room_panics() {
    let store = StoreConfig { journal_keep: JournalKeep::Match, ..StoreConfig::default() };
    let site = site(Config { store, ..Config::default() });
    let template = Template::new("count", |game: &mut Game| {
        count(game);
        game.snapshot_ticks(2);
    })
    .unwrap();
    let mut room = Room::create(&template, &create()).unwrap();
    room.record();
    let mut live = *Live::new(Parts { template, ..parts(&site, room, 1, unix_ms()) });
    let (link, _wire) = come(&mut live, wish());
    for number in 1..9 {
        live.message(link, &action(number, 0));
        rest(&mut live);
    }
    assert!(live.keep.past.waiting(1).is_some(), "it is still to be saved");
    live.message(link, &action(9, 1));
    rest(&mut live);
    assert!(live.failed());
    assert!(live.take_remains().unwrap().past.waiting(1).is_none());
}

/// Of these ticks the one that runs again without what broke it is in one case one in which the room rebuilds
/// itself, and the next is not.
#[test]
fn a_panic_where_the_room_rebuilds_itself_leaves_what_it_takes_to_make_the_room_again() {
    (1..8).for_each(panic_and_go_on);
}

fn panic_and_go_on(snapshot_ticks: u64) {
    let site = site(Config::default());
    let template = Template::new("count", move |game: &mut Game| {
        game.turn_based().max_players(1).replicate::<Count>().action::<Press>();
        game.systems(|mut count: ResMut<Count>, presses: Actions<Press>| {
            count.0 += presses.len() as u32;
        });
        game.on_request(|| -> u32 { panic!("boom") }).snapshot_ticks(snapshot_ticks);
    })
    .unwrap();
    let mut room = Room::create(&template, &create()).unwrap();
    room.record();
    let of = |room, remains| {
        let template = template.clone();
        *Live::new(Parts { template, remains, ..parts(&site, room, 1, unix_ms()) })
    };
    let mut live = of(room, Remains::created(Base::Create(create()), unix_ms()));
    let (link, _wire) = come(&mut live, wish());
    live.message(link, &action(1, 0));
    rest(&mut live);
    // Without it nothing changes in its tick.
    let (answer, _answered) = oneshot::channel();
    live.ask(RoomRequest { method: "GET".into(), path: String::new(), body: vec![] }, answer);
    rest(&mut live);
    assert!(live.failed());
    let mut left = live.take_remains().unwrap();
    let broken = left.broken.take().unwrap();
    let begins = (left.base.clone(), left.since.clone());
    let revived = after_panic(&template, begins, broken, [2; 32]).unwrap();
    let (room, remains) = left.revived(revived);
    let mut live = of(room, remains);
    rest(&mut live);
    let kept = live.keep.kept();
    let again = Revival::new(&template, kept.base, vec![kept.since], [2; 32]).finish().unwrap();
    assert_eq!(again.room.info().tick, live.room.info().tick);
    assert_eq!(again.room.snapshot(), live.room.snapshot());
}

#[test]
fn a_second_panic_ends_the_room_with_a_code_and_what_was_saved_stays() {
    let site = site(Config::default());
    let mut room = Room::create(&template(&site), &create()).unwrap();
    room.record();
    let panicked = Some(Instant::now());
    let mut live = Live::new(Parts { panicked, ..parts(&site, room, 1, unix_ms()) });
    let (link, wire) = come(&mut live, wish());
    live.message(link, &action(1, 0));
    rest(&mut live);
    live.seal();
    let saved = site.house.store.load(&key()).unwrap().unwrap();
    live.message(link, &action(2, 1));
    let (answer, mut answered) = oneshot::channel();
    rest(&mut live);
    assert!(live.failed());
    assert!(live.take_remains().is_none());
    assert_eq!(wire.closed().unwrap().code, Code::Failed);
    let request = RoomRequest { method: "GET".into(), path: String::new(), body: vec![] };
    live.ask(request, answer);
    live.dismiss(&Refusal::new(Code::Failed, "over"));
    assert_eq!(answered.try_recv().unwrap().unwrap_err().code, Code::Failed);
    live.save_now();
    let kept = site.house.store.load(&key()).unwrap().unwrap();
    assert_eq!(kept.snapshot, saved.snapshot);
}
