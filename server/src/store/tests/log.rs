//! The journal's log: who waits is told at its sync, what it has is found again, and it gives way where it
//! cannot be used.

use super::disk::Rng;
use super::journal::{chunk, whole};
use super::*;

#[tokio::test]
async fn who_waits_is_told_when_a_power_cut_takes_nothing_any_more() {
    let machine = Arc::new(Machine::new());
    let store = machine.open();
    let disks = machine.clone();
    let (told, tells) = std::sync::mpsc::channel();
    let line = JournalLine::new(move || told.send(disks.after_power_cut()).unwrap());
    for number in 1..=200 {
        let next = if number == 1 { whole(1, 0, 1) } else { chunk(1, number - 1, number) };
        // Now and then one that no half of the log has room for.
        let filler = Chunk { bytes: vec![7; 200_000], ..whole(1, 0, number) };
        if number % 20 == 0 {
            let other = JournalLine::new(|| {});
            store.append(&key("large"), &other, filler, false).unwrap();
        }
        store.append(&key("a"), &line, next, true).unwrap();
        let left = tells.recv().unwrap();
        if number % 10 == 0 || number < 4 {
            let found = left.open().load(&key("a")).unwrap().unwrap();
            assert_eq!(found.journal.last().unwrap().upto, number);
        }
    }
    let (of_database, of_log) = machine.journal_syncs();
    assert!(of_log >= 180 && of_database < 100, "{of_log} syncs, and {of_database}");
}

#[tokio::test]
async fn a_log_that_fails_gives_way_to_the_database_and_is_used_again() {
    for operation in 0..6 {
        let machine = Machine::new();
        let store = machine.open();
        let line = JournalLine::new(|| {});
        store.append(&key("a"), &line, whole(1, 0, 1), true).unwrap();
        store.flush().await.unwrap();
        let (of_database, _) = machine.journal_syncs();
        // A write or a sync of the log, or of the database when it is its turn.
        machine.fail_after(operation);
        for number in 2..=10 {
            store.append(&key("a"), &line, chunk(1, number - 1, number), true).unwrap();
            while store.flush().await.is_err() {}
        }
        let (_, of_log) = machine.journal_syncs();
        assert!(of_log > 6, "{of_log} syncs of the log after operation {operation} failed");
        let stats = store.stats().journal;
        let left = machine.after_torn_power_cut(&mut Rng(operation));
        drop(store);
        let found = left.open().load(&key("a")).unwrap().unwrap();
        assert_eq!(found.journal.last().unwrap().upto, 10, "operation {operation}: {stats:?}");
        assert!(machine.journal_syncs().0 >= of_database);
    }
}

#[tokio::test]
async fn what_the_database_took_in_an_attempt_that_failed_is_not_there_twice() {
    for operation in 0..24 {
        let machine = Machine::new();
        let store = machine.open();
        let line = JournalLine::new(|| {});
        store.append(&key("a"), &line, whole(1, 0, 1), true).unwrap();
        store.flush().await.unwrap();
        // No half of the log has room for this one: all of the log goes with it into the database.
        let large = Chunk { bytes: vec![7; 40_000], ..whole(1, 0, 1) };
        machine.fail_after(operation);
        store.append(&key("large"), &line, large, true).unwrap();
        while store.flush().await.is_err() {}
        for number in 2..=40 {
            store.append(&key("a"), &line, chunk(1, number - 1, number), true).unwrap();
            while store.flush().await.is_err() {}
        }
        let left = machine.after_power_cut();
        drop(store);
        let found = left.open().load(&key("a")).unwrap().unwrap();
        let ends: Vec<u64> = found.journal.iter().map(|chunk| chunk.upto).collect();
        assert_eq!(ends, (1..=40).collect::<Vec<_>>(), "operation {operation} failed");
    }
}

#[tokio::test]
async fn a_removed_room_does_not_come_back_from_what_is_still_in_the_log() {
    for moves in 0..60 {
        let machine = Machine::new();
        let store = machine.open();
        let line = JournalLine::new(|| {});
        store.append(&key("a"), &line, whole(1, 0, 1), true).unwrap();
        store.flush().await.unwrap();
        store.delete(key("a"));
        store.flush().await.unwrap();
        // Halves fill, and what nobody needs goes.
        for number in 1..=moves {
            let bytes = vec![3; 900];
            let next = Chunk { bytes, ..whole(2, 0, number) };
            store.append(&key("b"), &line, next, true).unwrap();
            store.flush().await.unwrap();
        }
        let left = machine.after_power_cut();
        drop(store);
        assert!(left.open().load(&key("a")).unwrap().is_none(), "after {moves} batches");
    }
}

#[tokio::test]
async fn a_log_that_is_gone_is_made_anew_and_one_of_another_store_is_refused() {
    let temp = Temp::new();
    let store = temp.open();
    let line = JournalLine::new(|| {});
    store.append(&key("a"), &line, whole(1, 0, 1), true).unwrap();
    store.close().unwrap();
    let log = temp.0.join("journal.log");
    fs::remove_file(&log).unwrap();
    let store = temp.open();
    assert_eq!(store.load(&key("a")).unwrap().unwrap().journal[0].upto, 1, "it had moved on");
    store.append(&key("a"), &line, chunk(1, 1, 2), true).unwrap();
    store.flush().await.unwrap();
    store.close().unwrap();
    let other = Temp::new();
    other.open().close().unwrap();
    fs::copy(other.0.join("journal.log"), &log).unwrap();
    let kept = fs::read(&log).unwrap();
    let refused = Store::open(&temp.0, &StoreConfig::default()).err().unwrap();
    assert!(matches!(refused, StoreError::DamagedJournal { .. }), "{refused}");
    assert!(fs::read(&log).unwrap() == kept, "it stays as it is");
}
