//! What is kept of a room's past for replays.

use redb::ReadableTable;

use super::journal::{chunk, saved};
use super::*;

fn open(temp: &Temp, keep: JournalKeep) -> Arc<Store> {
    Store::open(&temp.0, &StoreConfig { journal_keep: keep, ..StoreConfig::default() }).unwrap()
}

fn save(store: &Store, past: Chunk) {
    let room = StoredRoom { history: Some(past.clone()), ..saved(past.life, past.upto) };
    assert!(store.save(key("a"), room));
}

fn past(store: &Store) -> Vec<(u64, u64)> {
    let past = store.history(&key("a")).unwrap();
    past.into_iter()
        .map(|part| {
            assert_eq!(part, chunk(part.life, part.after, part.upto));
            (part.after, part.upto)
        })
        .collect()
}

#[tokio::test]
async fn the_past_of_a_match_is_kept_until_the_room_is_removed() {
    let temp = Temp::new();
    let store = open(&temp, JournalKeep::Match);
    save(&store, chunk(1, 0, 10));
    save(&store, chunk(1, 10, 20));
    assert_eq!(past(&store), [(0, 10), (10, 20)], "before it is on disk");
    store.flush().await.unwrap();
    save(&store, chunk(1, 20, 30));
    assert_eq!(past(&store), [(0, 10), (10, 20), (20, 30)]);
    store.close().unwrap();
    let store = open(&temp, JournalKeep::Match);
    assert_eq!(past(&store), [(0, 10), (10, 20), (20, 30)]);
    // Time went back.
    save(&store, chunk(2, 20, 25));
    assert_eq!(past(&store), [(0, 10), (10, 20), (20, 25)]);
    store.flush().await.unwrap();
    assert_eq!(past(&store), [(0, 10), (10, 20), (20, 25)]);
    assert_eq!(store.load(&key("a")).unwrap().unwrap().history, None);

    store.delete(key("a"));
    assert!(past(&store).is_empty());
    save(&store, chunk(3, 0, 5));
    assert_eq!(past(&store), [(0, 5)]);
    store.close().unwrap();
    let store = open(&temp, JournalKeep::Match);
    assert_eq!(past(&store), [(0, 5)], "that of the room before is gone");
    store.delete(key("a"));
    store.close().unwrap();
    assert!(past(&open(&temp, JournalKeep::Match)).is_empty());
}

#[tokio::test]
async fn nothing_or_some_minutes_of_it_are_kept() {
    let temp = Temp::new();
    let store = open(&temp, JournalKeep::Minutes(5));
    save(&store, chunk(1, 0, 10));
    store.flush().await.unwrap();
    age(&store, 10 * 60_000);
    save(&store, chunk(1, 10, 20));
    store.flush().await.unwrap();
    assert_eq!(past(&store), [(10, 20)], "the first is older than that");
    store.close().unwrap();
    let store = open(&temp, JournalKeep::None);
    save(&store, chunk(1, 20, 30));
    store.flush().await.unwrap();
    assert!(past(&store).is_empty());
}

/// Makes what is kept look older than it is.
fn age(store: &Store, by_ms: u64) {
    let database = store.shared.database.read().unwrap();
    let transaction = database.as_ref().unwrap().begin_write().unwrap();
    let mut history = transaction.open_table(format::HISTORY).unwrap();
    let rows: Vec<_> = history
        .range(("", 0)..)
        .unwrap()
        .map(|row| row.map(|(key, row)| (key.value().1, row.value().to_vec())).unwrap())
        .collect();
    for (upto, row) in rows {
        let saved_ms = format::chunk_saved(&row).unwrap() - by_ms;
        let row = format::encode_chunk(&format::decode_chunk(&row).unwrap(), saved_ms);
        history.insert((key("a").to_string().as_str(), upto), row.as_slice()).unwrap();
    }
    drop(history);
    transaction.commit().unwrap();
}

#[tokio::test]
async fn what_is_saved_alone_is_all_there_is() {
    let temp = Temp::new();
    let config = StoreConfig { journal_keep: JournalKeep::Match, ..StoreConfig::default() };
    let store = Store::open(&temp.0, &config).unwrap();
    let line = JournalLine::new(|| {});
    let room = |life, tick| StoredRoom { history: Some(chunk(life, 0, tick)), ..saved(life, tick) };
    for flush in [false, true] {
        assert!(store.save(key("a"), room(4, 8)));
        store.append(&key("a"), &line, chunk(4, 8, 9), false).unwrap();
        if flush {
            store.settle(&key("a"));
            store.flush().await.unwrap();
        }
        let alone = StoredRoom { history: None, ..saved(4, 9) };
        assert!(store.save_alone(key("a"), alone.clone()));
        for _ in 0..2 {
            assert_eq!(store.load(&key("a")).unwrap(), Some(alone.clone()));
            assert_eq!(store.history(&key("a")).unwrap(), []);
            store.flush().await.unwrap();
        }
    }
}
