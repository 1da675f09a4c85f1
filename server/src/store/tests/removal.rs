//! Removed rooms: at every point at which the power goes out they are there as they were last, or gone.

use super::disk::Rng;
use super::journal::{append, chunk, saved, ticks, whole};
use super::*;

/// As many operations as a removal has, and some more.
const OPERATIONS: u64 = 60;

/// A machine with a room whose journal has a hole that its snapshot covers: others hold the batch with
/// its beginning.
async fn with_old_chunks(machine: &Machine) -> Arc<Store> {
    let store = machine.open();
    append(&store, "other", whole(1, 0, 5));
    append(&store, "a", whole(1, 0, 5));
    store.flush().await.unwrap();
    append(&store, "a", chunk(1, 5, 8));
    store.flush().await.unwrap();
    store.save(key("a"), saved(1, 8));
    store.flush().await.unwrap();
    append(&store, "a", chunk(1, 8, 10));
    store.flush().await.unwrap();
    store
}

const NEWEST: Option<(Option<u64>, [u64; 1])> = Some((Some(8), [10]));

fn newest(store: &Store) -> Option<(Option<u64>, Vec<u64>)> {
    let found = ticks(store, "a");
    assert_eq!(ticks(store, "other"), Some((None, vec![5])));
    found
}

#[tokio::test]
async fn a_room_is_there_as_it_was_last_or_gone_wherever_its_removal_is_cut() {
    let (mut rng, mut there, mut gone) = (Rng(7), 0, 0);
    for operation in 0..OPERATIONS {
        let machine = Machine::new();
        let store = with_old_chunks(&machine).await;
        assert_eq!(newest(&store), NEWEST.map(|(tick, upto)| (tick, upto.to_vec())));
        machine.cut_after(operation);
        store.delete(key("a"));
        let removed = store.flush().await.is_ok();
        open::quietly(|| drop(store));
        let mut machine = machine.after_torn_power_cut(&mut rng);
        let mut before = None;
        for start in 0..3 {
            let store = machine.open();
            let found = newest(&store);
            let as_last = found.as_ref().is_some_and(|found| {
                NEWEST.is_some_and(|(tick, upto)| *found == (tick, upto.to_vec()))
            });
            assert!(as_last || found.is_none(), "cut after {operation}, start {start}: {found:?}");
            assert!(!removed || found.is_none(), "cut after {operation}: it was removed");
            assert!(before.is_none_or(|before| before == as_last), "cut after {operation}");
            before = Some(as_last);
            if start == 0 {
                store.flush().await.unwrap();
            }
            machine = machine.after_power_cut();
            open::quietly(|| drop(store));
        }
        if before == Some(true) { there += 1 } else { gone += 1 }
    }
    assert!(there > 3 && gone > 3, "{there} there, {gone} gone: both happen");
}

#[tokio::test]
async fn between_the_two_commits_of_a_removal_nothing_of_the_room_is_found() {
    let machine = Machine::new();
    let store = with_old_chunks(&machine).await;
    store.delete(key("a"));
    store.flush_rooms().await.unwrap();
    let machine = machine.after_power_cut();
    let store = machine.open();
    assert_eq!(newest(&store), None);
    // A room made since under the same name is not concerned.
    append(&store, "a", whole(2, 0, 3));
    store.flush().await.unwrap();
    let machine = machine.after_power_cut();
    let store = machine.open();
    assert_eq!(newest(&store), Some((None, vec![3])));
}

#[tokio::test]
async fn what_is_noted_of_a_removed_room_goes_when_the_journal_has_forgotten_it() {
    let machine = Machine::new();
    let store = with_old_chunks(&machine).await;
    let noted = |store: &Store| {
        let database = store.shared.database.read().unwrap();
        load::gone(database.as_ref().unwrap()).unwrap()
    };
    store.delete(key("a"));
    store.flush_rooms().await.unwrap();
    assert_eq!(noted(&store), [(key("a"), 1)]);
    store.flush().await.unwrap();
    store.save(key("b"), saved(2, 1));
    store.flush().await.unwrap();
    assert_eq!(noted(&store), []);
    drop(store);
    assert_eq!(newest(&machine.after_power_cut().open()), None);
}

#[tokio::test]
async fn a_room_that_is_visited_on_the_day_on_which_it_expires_stays() {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let temp = Temp::new();
    let store = temp.open();
    store.save(key("more"), saved(1, 1));
    store.flush().await.unwrap();
    let aged = || StoredRoom { saved_unix_ms: now_ms() - 32 * DAY_MS, ..saved(1, 8) };
    for name in ["visited", "forgotten"] {
        store.save(key(name), aged());
    }
    store.flush().await.unwrap();
    assert!(store.load(&key("visited")).unwrap().is_some());
    for _ in 0..2 {
        store.shared.queue().sweep_next(Instant::now());
        store.save(key("more"), saved(1, 2));
        store.flush().await.unwrap();
    }
    // What it does now follows on what was stored.
    append(&store, "visited", chunk(2, 8, 9));
    store.close().unwrap();
    let store = temp.open();
    assert_eq!(ticks(&store, "visited"), Some((Some(8), vec![9])));
    assert_eq!(ticks(&store, "forgotten"), None);
}

#[tokio::test]
async fn an_expired_room_does_not_come_back_out_of_the_journal() {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let temp = Temp::new();
    let store = temp.open();
    append(&store, "other", whole(1, 0, 5));
    append(&store, "a", whole(1, 0, 5));
    store.flush().await.unwrap();
    let old = StoredRoom { saved_unix_ms: now_ms() - 32 * DAY_MS, ..saved(1, 8) };
    store.save(key("a"), old);
    store.close().unwrap();
    for _ in 0..2 {
        let store = temp.open();
        store.save(key("b"), saved(2, 1));
        store.flush().await.unwrap();
        assert_eq!(newest(&store), None);
        store.close().unwrap();
    }
}
