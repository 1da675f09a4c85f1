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

const LONG_MS: u64 = 29 * 24 * 60 * 60 * 1_000;

/// A match that begins with what an earlier one left long ago, and in which nothing happened yet.
async fn after_another(site: &Site) -> Box<Live> {
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
    let room = StoredRoom {
        saved_unix_ms: unix_ms() - LONG_MS,
        snapshot: Some(left::encode(&storage)),
        ..StoredRoom::default()
    };
    assert!(site.house.store.save_alone(key(), room));
    site.house.store.flush().await.unwrap();
    // As `host/actor.rs` makes the next match.
    let create = Create { storage, ..create() };
    let mut room = Room::create(&template(site), &create).unwrap();
    room.record();
    let remains = Remains::created(Base::Create(create), unix_ms());
    Live::new(Parts { remains, ..parts(site, room, 2, unix_ms()) })
}

#[tokio::test]
async fn who_visits_what_a_match_left_keeps_it() {
    let site = site(Config::default());
    let mut live = after_another(&site).await;
    let (link, _wire) = come(&mut live, Wish { watch: true, ..wish() });
    live.gone(link);
    live.seal();
    site.house.store.flush().await.unwrap();
    let stored = site.house.store.load(&key()).unwrap().unwrap();
    assert!(stored.saved_unix_ms > unix_ms() - LONG_MS / 2, "it would expire tomorrow");
}

#[tokio::test]
async fn a_match_that_rested_before_its_first_act_does_not_follow_on_what_another_left() {
    let site = site(Config::default());
    let mut live = after_another(&site).await;
    let storage = live.room.storage();
    let (link, _wire) = come(&mut live, wish());
    rest(&mut live);
    // As before it is parked, or when somebody comes as it is about to go.
    live.seal();
    site.house.store.flush().await.unwrap();
    assert!(left::storage_of(&site.house.store.load(&key()).unwrap().unwrap()).is_some());
    press(&mut live, link, 1..=3);
    site.house.store.flush().await.unwrap();
    // As a crash leaves it: neither sealed nor saved.
    let stored = site.house.store.load(&key()).unwrap().unwrap();
    let (begins, passages) = Remains::stored(stored).unwrap();
    let revived = Revival::new(&template(&site), begins.base, passages, [3; 32]).finish();
    let mut room = revived.unwrap_or_else(|error| panic!("{error}")).room;
    assert_eq!((room.state_hash(), room.storage()), (live.room.state_hash(), storage));
}
