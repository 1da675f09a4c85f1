//! A room that is out of memory: what its clients may do meanwhile, and what keeps it from going.

use super::*;
use crate::host::parked::Parked;

const SECOND: Duration = Duration::from_secs(1);

/// A room with a player who has acted and a spectator, sealed and saved.
async fn sealed(site: &Site) -> (Live, [(LinkId, Memory); 2]) {
    let mut live = live(site);
    let ann = come(&mut live, wish());
    let bob = come(&mut live, Wish { watch: true, ..wish() });
    live.message(ann.0, &action(1, 0));
    rest(&mut live);
    flush(&mut live).await;
    assert!(live.may_park(Instant::now()) && live.seal_to_park());
    flush(&mut live).await;
    drop((ann.1.take(), bob.1.take()));
    (live, [ann, bob])
}

async fn flush(live: &mut Live) {
    live.house.store.flush().await.unwrap();
    rest(live);
}

async fn parked(site: &Site) -> (Box<Parked>, [(LinkId, Memory); 2]) {
    let (mut live, clients) = sealed(site).await;
    let parked = live.park(Instant::now()).expect("nothing keeps it");
    (parked, clients)
}

fn unparked(site: &Site, parked: Parked) -> Box<Live> {
    let stored = site.house.store.load(&key()).unwrap().unwrap();
    let (begins, passages) = Remains::stored(stored).unwrap();
    let base = begins.base.clone();
    let revived = Revival::new(&template(site), base, passages, [3; 32]).finish().unwrap();
    let (room, remains) = begins.revived(revived);
    let mut live = Live::unpark(Parts { remains, ..parts(site, room, 1, 0) }, parked);
    rest(&mut live);
    live
}

#[tokio::test]
async fn what_happens_while_it_is_saved_keeps_it() {
    let site = site(Config::default());
    for happens in 0..4 {
        let (mut live, [(ann, wire), (bob, _)]) = sealed(&site).await;
        match happens {
            0 => assert!(live.message(ann, &action(2, 0))),
            1 => live.gone(bob),
            2 => {
                wire.slow(true);
                live.message(ann, &action(2, 0));
                rest(&mut live);
            }
            _ => assert_eq!(ask(&mut live), 2),
        }
        assert!(live.park(Instant::now()).is_none(), "{happens}");
        // It lives on.
        live.message(ann, &action(3, 0));
        rest(&mut live);
    }
    let (mut live, _) = sealed(&site).await;
    let (answer, _answered) = oneshot::channel();
    let request = RoomRequest { method: "GET".into(), path: String::new(), body: vec![] };
    live.ask(request, answer);
    assert!(live.park(Instant::now()).is_none(), "somebody waits for an answer");
}

#[tokio::test]
async fn a_room_that_nothing_changed_is_parked_and_leaves_nothing_on_disk() {
    let site = site(Config::default());
    let mut live = live(&site);
    let (ann, bob) = (come(&mut live, wish()), come(&mut live, wish()));
    rest(&mut live);
    flush(&mut live).await;
    assert!(live.may_park(Instant::now()) && live.seal_to_park());
    flush(&mut live).await;
    let mut parked = live.park(Instant::now()).expect("nothing keeps it");
    drop(live);
    drop((ann.1.take(), bob.1.take()));
    assert_eq!(site.house.store.load(&key()), Ok(None));
    assert!(!parked.message(&site.house, &key(), ann.0, &action(1, 0)));
    let kept = *parked.kept.take().expect("the store has nothing of it");
    let (base, since) = (kept.base.clone(), kept.since.clone());
    let revived = Revival::new(&template(&site), base, vec![since], [3; 32]).finish().unwrap();
    assert_eq!(revived.room.info().tick, parked.tick);
    let (room, remains) = kept.revived(revived);
    let mut live = Live::unpark(Parts { remains, ..parts(&site, room, 1, 0) }, *parked);
    rest(&mut live);
    flush(&mut live).await;
    assert!(lanes(&ann.1.take()).contains(&Lane::State), "what she did is told");
    assert_eq!(lanes(&bob.1.take()), [Lane::State]);
    let stored = site.house.store.load(&key()).unwrap().expect("it is worth keeping now");
    assert!(stored.journal.first().is_some_and(|chunk| chunk.whole) || stored.snapshot.is_some());
}

#[tokio::test]
async fn a_room_that_nobody_is_in_or_a_realtime_one_is_not_parked() {
    let site = site(Config::default());
    let mut live = live(&site);
    assert_eq!(live.park_due(Next::Never), None, "nobody is in it");
    come(&mut live, wish());
    flush(&mut live).await;
    assert!(live.park_due(Next::Never).is_some_and(|at| at > Instant::now() + 50 * SECOND));
    assert_eq!(live.park_due(Next::Soon), None);
    live.clock = Clock::realtime(20, Tick(0), Instant::now());
    assert_eq!(live.park_due(Next::Never), None);
}

#[tokio::test]
async fn a_silent_client_is_found_and_let_go_when_the_room_is_back() {
    let site = site(Config::default());
    let (mut parked, [(ann, wire), (bob, _)]) = parked(&site).await;
    let now = Instant::now();
    let again = parked.look(ann, now + 3 * SECOND).expect("it has time");
    assert!(again > now + 3 * SECOND && wire.probes() == 1);
    // The other one gives a sign of life.
    assert!(parked.message(&site.house, &key(), bob, &[]) && !parked.is_called());
    assert_eq!(parked.look(ann, now + 7 * SECOND), None);
    assert!(parked.is_called() && parked.has_news_of(ann) && !parked.has_news_of(bob));
    let mut live = unparked(&site, *parked);
    assert_eq!(wire.closed().map(|refusal| refusal.code), Some(Code::Silent));
    assert_eq!(live.connections.keys().copied().collect::<Vec<_>>(), [bob]);
    assert!(live.look(bob, Instant::now()).is_some());
    assert_eq!(live.room.info().connected, 1, "the spectator");
}

#[tokio::test]
async fn one_message_waits_for_the_room_and_no_more_is_read_before_it_is_back() {
    let site = site(Config::default());
    let (mut parked, [(ann, wire), (bob, other)]) = parked(&site).await;
    let house = &site.house;
    assert!(parked.message(house, &key(), ann, &Ack { frames: 2, event: 0 }.encode()));
    assert!(!parked.message(house, &key(), ann, &action(2, 0)));
    assert!(!parked.message(house, &key(), ann, &action(3, 0)), "it was told to wait");
    assert!(!parked.message(house, &key(), bob, &[9, 9, 9]), "it says what is nothing");
    parked.ends(ann, crate::host::parked::News::Gone);
    let mut live = unparked(&site, *parked);
    assert_eq!(other.closed().map(|refusal| refusal.code), Some(Code::BadMessage));
    assert!(live.connections.is_empty() && wire.closed().is_none(), "it went by itself");
    let count = live.room.to_json()["resources"]["Count"].clone();
    assert_eq!(count, json!(2), "it had acted before: {}", live.room.to_json());
}

#[tokio::test]
async fn its_clients_go_on_where_they_were() {
    let site = site(Config::default());
    let (mut parked, [(ann, wire), (_, other)]) = parked(&site).await;
    // Three states are under way, and no more than four may be.
    assert!(parked.message(&site.house, &key(), ann, &Ack { frames: 3, event: 0 }.encode()));
    let mut live = unparked(&site, *parked);
    assert!(wire.take().is_empty() && other.take().is_empty(), "nothing is told again");
    live.message(ann, &action(2, 0));
    rest(&mut live);
    flush(&mut live).await;
    // One for what changed, one that says that the action is on disk.
    assert_eq!(lanes(&wire.take()), [Lane::State, Lane::State]);
    assert_eq!(lanes(&other.take()), [Lane::State]);
    assert_eq!(site.house.metrics.players.get(), 1);
    drop(live);
    assert_eq!(site.house.metrics.rooms.get(), 0);
}

#[tokio::test]
async fn it_comes_back_before_it_is_due_and_before_what_is_stored_of_it_expires() {
    let site = site(Config::default());
    let (mut parked, _) = parked(&site).await;
    let now = Instant::now();
    let half_a_day = Duration::from_secs(12 * 3_600);
    let at = parked.back_at(now);
    assert!(at > now + half_a_day - 5 * SECOND && at < now + half_a_day);
    parked.alarm_unix_ms = Some(unix_ms() + 60_000);
    let at = parked.back_at(now);
    assert!(at > now + 58 * SECOND && at < now + 60 * SECOND);
    parked.alarm_unix_ms = Some(u64::MAX);
    assert!(parked.back_at(now) > now + half_a_day - 5 * SECOND);
    parked.timer = now;
    assert!(parked.back_at(now) <= now);
}

#[tokio::test]
async fn without_a_journal_an_act_is_acknowledged_after_a_park_as_before() {
    let site = site(Config { journal: false, ..Config::default() });
    let (parked, [(ann, _), _]) = parked(&site).await;
    let mut live = unparked(&site, *parked);
    live.message(ann, &action(2, 0));
    rest(&mut live);
    assert_eq!(live.room.acknowledged(), [(Seat(0), 2)]);
}
