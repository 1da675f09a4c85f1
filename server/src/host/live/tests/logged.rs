//! A logged room: what comes of an act is told at once, that it is done once it is on disk.

use super::*;
use crate::store::tests::disk::Machine;
use referee_room::revive::after_panic;
use tokio::time::timeout;

/// A place for rooms whose disk can be full.
fn on(machine: &Machine) -> Site {
    let mut site = site(Config::default());
    Arc::get_mut(&mut site.house).unwrap().store = machine.open();
    site
}

#[tokio::test]
async fn a_stored_room_says_nothing_before_it_is_on_disk_that_it_lives_again() {
    let machine = Machine::new();
    let site = on(&machine);
    let mut before = live(&site);
    let (link, _wire) = come(&mut before, wish());
    before.message(link, &action(1, 0));
    rest(&mut before);
    site.house.store.flush().await.unwrap();
    drop(before);
    let stored = site.house.store.load(&key()).unwrap().unwrap();
    let (begins, passages) = Remains::stored(stored).unwrap();
    let revival = Revival::new(&template(&site), begins.base.clone(), passages, [2; 32]);
    let (room, remains) = begins.revived(revival.finish().unwrap());
    machine.full(true);
    let mut live = Live::new(Parts { remains, ..parts(&site, room, 2, unix_ms()) });
    let (_, wire) = come(&mut live, wish());
    rest(&mut live);
    assert!(wire.take().is_empty(), "a later life could not tell what this client knows");
    machine.full(false);
    site.house.store.flush().await.unwrap();
    rest(&mut live);
    assert_eq!(welcomed(&wire).incarnation, Incarnation(2));
}

#[tokio::test]
async fn a_turn_based_room_gets_its_turn_when_an_act_is_on_disk() {
    let site = site(Config::default());
    let room = Room::create(&template(&site), &create()).unwrap();
    let parts = parts(&site, room, 1, unix_ms());
    let signals = parts.signals.clone();
    let committed = parts.committed.clone();
    let mut live = Live::new(parts);
    live.room.record();
    let (link, _wire) = come(&mut live, wish());
    live.message(link, &action(1, 0));
    rest(&mut live);
    assert_eq!(live.room.acknowledged(), [(Seat(0), 0)], "its client keeps it");
    let woken = timeout(Duration::from_secs(60), async {
        tokio::select! { () = committed.serve() => {}, () = signals.wake.notified() => {} }
    });
    woken.await.expect("nobody woke it");
    rest(&mut live);
    assert_eq!(live.room.acknowledged(), [(Seat(0), 1)]);
}

#[tokio::test]
async fn without_a_journal_an_action_is_acknowledged_once_it_is_applied() {
    let site = site(Config { journal: false, ..Config::default() });
    let mut live = live(&site);
    let (first, wire) = come(&mut live, wish());
    let token = welcomed(&wire).token.unwrap();
    live.message(first, &action(1, 0));
    rest(&mut live);
    let claim = site.house.tokens.check(&key(), &token);
    let (_, newer) = come(&mut live, Wish { claim, ..wish() });
    let welcome = welcomed(&newer);
    assert_eq!((welcome.resumed, welcome.last_action), (true, 1));
}

#[tokio::test]
async fn after_a_panic_an_action_is_kept_that_is_not_on_disk() {
    let machine = Machine::new();
    let site = on(&machine);
    let mut live = live(&site);
    let (first, _wire) = come(&mut live, wish());
    live.message(first, &action(1, 0));
    rest(&mut live);
    site.house.store.flush().await.unwrap();
    rest(&mut live);
    machine.full(true);
    live.message(first, &action(2, 0));
    rest(&mut live);
    live.message(first, &action(3, 1)); // it panics
    rest(&mut live);
    let mut remains = live.take_remains().unwrap();
    drop(live);
    let begins = (remains.base.clone(), remains.since.clone());
    let broken = remains.broken.take().unwrap();
    let revived = after_panic(&template(&site), begins, broken, [3; 32]).unwrap();
    let (room, remains) = remains.revived(revived);
    let mut live = Live::new(Parts { remains, ..parts(&site, room, 2, unix_ms()) });
    rest(&mut live);
    assert_eq!(live.room.acknowledged(), [(Seat(0), 1)]);
    machine.full(false);
    site.house.store.flush().await.unwrap();
    rest(&mut live);
    assert_eq!(
        live.room.acknowledged(),
        [(Seat(0), 3)],
        "it is on disk now, and the panic's is used up"
    );
}
