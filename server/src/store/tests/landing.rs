//! Who waits is told as soon as the commit is on disk: not before, and not when redb is done with it.

use std::sync::{OnceLock, Weak};

use super::journal::{chunk, whole};
use super::*;

#[tokio::test]
async fn who_waits_is_told_when_a_power_cut_takes_nothing_any_more_and_before_redb_is_done() {
    let machine = Arc::new(Machine::new());
    let store = machine.open();
    let (of_store, disks) = (Arc::new(OnceLock::<Weak<Store>>::new()), machine.clone());
    of_store.set(Arc::downgrade(&store)).unwrap();
    let (told, tells) = std::sync::mpsc::channel();
    let line = JournalLine::new(move || {
        let store = of_store.get().and_then(Weak::upgrade);
        let commits = store.map(|store| store.stats().journal.commits);
        told.send((commits, disks.after_power_cut())).unwrap();
    });
    for number in 1..=200 {
        let next = if number == 1 { whole(1, 0, 1) } else { chunk(1, number - 1, number) };
        // Large ones now and then: the file grows, which is a sync of its own.
        let filler = Chunk { bytes: vec![7; 200_000], ..whole(1, 0, number) };
        if number % 20 == 0 {
            let other = JournalLine::new(|| {});
            store.append(&key("large"), &other, filler, false).unwrap();
        }
        store.append(&key("a"), &line, next, true).unwrap();
        let (commits, left) = tells.recv().unwrap();
        store.flush().await.unwrap();
        let after = store.stats().journal.commits;
        assert!(number == 1 || commits < Some(after), "chunk {number}: {commits:?} of {after}");
        if number % 10 == 0 || number < 4 {
            let found = left.open().load(&key("a")).unwrap().unwrap();
            assert_eq!(found.journal.last().unwrap().upto, number);
        }
    }
}
