//! What is only in the log is read there: for a load, and when it moves on into the database.

use super::journal::{append, chunk, quiet, saved, whole};
use super::*;

/// Appends so many batches that take a KiB of the log each, and waits for each.
async fn fill(store: &Store, batches: u64) {
    for number in 1..=batches {
        append(store, "filler", Chunk { bytes: vec![9; 900], ..whole(1, 0, number) });
        store.flush().await.unwrap();
    }
}

/// The same, as bytes that some room needs, until one fails. Gives the last tick that is on disk.
async fn fill_until_it_fails(store: &Store) -> u64 {
    for number in 1..100 {
        let bytes = vec![9; 900];
        append(store, "filler", Chunk { bytes, ..chunk(1, number - 1, number) });
        if store.flush().await.is_err() {
            return number - 1;
        }
    }
    panic!("the log was written over what could not be read");
}

fn ends(store: &Store, match_id: &str) -> Vec<u64> {
    let found = store.load(&key(match_id)).unwrap().unwrap();
    found.journal.iter().map(|chunk| chunk.upto).collect()
}

/// A runtime for what is done between listing and reading.
fn wait_for<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

#[test]
fn what_moves_on_and_is_written_over_between_listing_and_reading_is_read_all_the_same() {
    let mut overwritten = 0;
    for batches in [0, 1, 12, 20, 36, 50, 70] {
        for has_older_in_database in [false, true] {
            let machine = Machine::new();
            let store = machine.open();
            append(&store, "a", whole(1, 0, 7776));
            if has_older_in_database {
                wait_for(fill(&store, 40));
            }
            append(&store, "a", chunk(1, 7776, 7777));
            wait_for(store.flush()).unwrap();
            let needle = chunk(1, 7776, 7777).bytes;
            assert!(machine.find_in_log(&needle).is_some());
            let journal = &store.shared.journal;
            let found = journal.read_after(&key("a"), || wait_for(fill(&store, batches))).unwrap();
            let found: Vec<_> = found.into_iter().map(|found| found.chunk).collect();
            assert_eq!(found, [whole(1, 0, 7776), chunk(1, 7776, 7777)], "{batches} batches");
            overwritten += usize::from(machine.find_in_log(&needle).is_none());
        }
    }
    assert!(overwritten >= 4, "{overwritten}");
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_not_written_over_and_moves_on_later() {
    let machine = Machine::new();
    let store = machine.open();
    store.save(key("filler"), saved(1, 0));
    append(&store, "a", whole(1, 0, 5));
    store.flush().await.unwrap();
    machine.deaf_log(true);
    let last = fill_until_it_fails(&store).await;
    assert!(last > 20, "{last}: both halves were written");
    let why = store.healthy().unwrap_err();
    assert!(why.contains("batch 1 in the log cannot be read: no answer"), "{why}");
    assert_eq!(store.stats().journal.moves, 0);
    let StoreError::Read(why) = store.load(&key("a")).unwrap_err() else { panic!("not read") };
    assert!(why.contains("batch 1 in its log: no answer"), "{why}");
    let left = machine.after_power_cut().open();
    assert_eq!((ends(&left, "a"), ends(&left, "filler")), (vec![5], (1..=last).collect()));

    machine.deaf_log(false);
    assert_eq!(ends(&store, "a"), [5]);
    while store.flush().await.is_err() {}
    let all = (vec![5], (1..=last + 1).collect());
    assert_eq!((ends(&store, "a"), ends(&store, "filler")), all);
    assert!(store.stats().journal.moves > 0);
    let left = machine.after_power_cut().open();
    assert_eq!((ends(&left, "a"), ends(&left, "filler")), all);
}

#[tokio::test]
async fn a_damaged_chunk_in_the_log_is_named_and_not_lost_before_a_snapshot_has_it() {
    let machine = Machine::new();
    let store = machine.open();
    for name in ["bad", "good", "filler"] {
        store.save(key(name), saved(1, 0));
    }
    append(&store, "bad", chunk(1, 0, 7777));
    append(&store, "good", chunk(1, 0, 5));
    store.flush().await.unwrap();
    machine.damage_log(machine.find_in_log(b"7777").unwrap());
    let StoreError::Unreadable { room, why } = store.load(&key("bad")).unwrap_err() else {
        panic!("read")
    };
    assert_eq!(room, "game/bad");
    assert!(why.contains("in batch 1 of the log"), "{why}");
    assert_eq!(ends(&store, "good"), [5]);

    let last = fill_until_it_fails(&store).await;
    let why = store.healthy().unwrap_err();
    assert!(why.contains("batch 1 in the log is damaged"), "{why}");
    let all: Vec<_> = (1..=last + 1).collect();
    assert_eq!(ends(&store, "filler"), all, "the last one waits in memory");
    for name in ["bad", "good"] {
        store.save(key(name), saved(1, 7777));
    }
    while store.flush().await.is_err() {}
    assert_eq!((ends(&store, "bad"), ends(&store, "good")), (vec![], vec![]));
    let left = machine.after_power_cut().open();
    assert_eq!(ends(&left, "filler"), all);
}

#[tokio::test]
async fn a_load_does_not_wait_for_a_sync_of_the_log() {
    let machine = Machine::new();
    let store = machine.open();
    append(&store, "a", whole(1, 0, 5));
    store.flush().await.unwrap();
    let held = machine.hold_log_syncs();
    store.append(&key("b"), &quiet(), whole(1, 0, 1), true).unwrap();
    while !machine.log_is_unsynced() {
        std::thread::yield_now();
    }
    let (told, tells) = std::sync::mpsc::channel();
    let reads = store.clone();
    std::thread::spawn(move || told.send(ends(&reads, "a")).unwrap());
    let waited = tells.recv_timeout(std::time::Duration::from_secs(60));
    drop(held);
    assert_eq!(waited, Ok(vec![5]), "it waits for the sync");
}
