//! A match that is kept whole, over what a crash leaves of it.

use super::*;
use crate::host::left;
use crate::store::{JournalKeep, StoredRoom};
use crate::tools;

/// So many presses, after those that there were.
fn press(live: &mut Live, link: LinkId, presses: std::ops::RangeInclusive<u64>) {
    for number in presses {
        live.message(link, &action(number, 0));
        rest(live);
    }
}

#[tokio::test]
async fn what_was_never_saved_is_in_the_history_after_a_crash() {
    let mut config = Config::default();
    config.store.journal_keep = JournalKeep::Match;
    for saved in [false, true] {
        let site = site(config.clone());
        let mut live = live(&site);
        let (link, _wire) = come(&mut live, wish());
        press(&mut live, link, 1..=80);
        if saved {
            assert!(live.save_now());
        }
        press(&mut live, link, 81..=160);
        site.house.store.flush().await.unwrap();
        // As a crash leaves it: neither sealed nor saved.
        drop(live);

        let stored = site.house.store.load(&key()).unwrap().unwrap();
        assert_eq!(stored.snapshot.is_some(), saved);
        let (begins, passages) = Remains::stored(stored).unwrap();
        let base = begins.base.clone();
        let revived = Revival::new(&template(&site), base, passages, [3; 32]).finish().unwrap();
        let (room, remains) = begins.revived(revived);
        let mut live = Live::new(Parts { remains, ..parts(&site, room, 2, unix_ms()) });
        rest(&mut live);
        live.seal();
        drop(live);
        site.house.store.close().unwrap();

        let config = Config { data: site.folder.clone(), ..config.clone() };
        let replay = tools::replay(&site.house.games, &config, "count/m").unwrap();
        assert!(replay.starts_with("count/m: ticks 0 to "), "saved: {saved}: {replay}");
    }
}

fn keeps(game: &mut Game) {
    game.turn_based().action::<Press>();
    game.systems(|presses: Actions<Press>, mut storage: ResMut<Storage>| {
        let pressed = storage.get("pressed").unwrap_or(0) + presses.len();
        storage.set("pressed", &pressed).expect("a number is short");
    });
}

#[tokio::test]
async fn a_match_that_began_with_what_was_left_is_itself_again_after_a_crash() {
    let mut config = Config::default();
    config.store.journal_keep = JournalKeep::Match;
    let site = site(config);
    let store = &site.house.store;
    let template = Template::new("count", keeps).unwrap();
    let mut left = vec![];
    for life in 1..=3u64 {
        let create = Create { storage: left.clone(), ..create() };
        let mut room = Room::create(&template, &create).unwrap();
        room.record();
        let remains = Remains::created(Base::Create(create), unix_ms());
        let parts = Parts { remains, template: template.clone(), ..parts(&site, room, life, 0) };
        let mut live = Live::new(parts);
        let (link, _wire) = come(&mut live, wish());
        press(&mut live, link, 1..=10 * life);
        store.flush().await.unwrap();

        let stored = store.load(&key()).unwrap().unwrap();
        assert_eq!(left::storage_of(&stored), None, "more has happened since");
        let (begins, passages) = Remains::stored(stored).unwrap();
        let revived = Revival::new(&template, begins.base, passages, [3; 32]).finish().unwrap();
        assert_eq!(revived.room.snapshot(), live.room.snapshot(), "life {life}");

        assert!(live.leave_storage());
        let stored = store.load(&key()).unwrap().unwrap();
        assert_eq!(left::storage_of(&stored), Some(&live.room.storage()[..]));
        left = live.room.storage();
        assert!(store.history(&key()).unwrap().is_empty(), "the match is over");
        store.flush().await.unwrap();
    }
    assert_eq!(
        Room::create(&template, &Create { storage: left, ..create() }).unwrap().to_json()["storage"],
        json!({ "pressed": 60 })
    );
}

#[tokio::test]
async fn who_visits_what_a_match_left_keeps_it() {
    let site = site(Config::default());
    let storage = {
        let template = Template::new("count", |game: &mut Game| {
            game.turn_based();
            game.on_create(|_: Params, mut storage: ResMut<Storage>| {
                storage.set("a", &1).unwrap();
            });
        })
        .unwrap();
        Room::create(&template, &create()).unwrap().storage()
    };
    let long_ago = unix_ms() - 29 * 24 * 60 * 60 * 1_000;
    let room = StoredRoom {
        saved_unix_ms: long_ago,
        snapshot: Some(left::encode(&storage)),
        ..StoredRoom::default()
    };
    assert!(site.house.store.save_alone(key(), room));
    site.house.store.flush().await.unwrap();
    // As `host/actor.rs` makes the next match.
    let create = Create { storage, ..create() };
    let mut room = Room::create(&template(&site), &create).unwrap();
    room.record();
    let remains = Remains::created(Base::Create(create), unix_ms());
    let mut live = Live::new(Parts { remains, ..parts(&site, room, 2, unix_ms()) });
    let (link, _wire) = come(&mut live, Wish { watch: true, ..wish() });
    live.gone(link);
    live.seal();
    site.house.store.flush().await.unwrap();
    let stored = site.house.store.load(&key()).unwrap().unwrap();
    assert!(stored.saved_unix_ms > long_ago, "it would expire tomorrow");
}
