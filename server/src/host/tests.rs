//! Stored rooms that cannot be loaded: when they are tried again, and what is left of them.
#![allow(elided_lifetimes_in_paths, reason = "games are written without them")]

use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use referee_protocol::{GameName, MatchId};
use referee_room::Template;
use referee_room::prelude::*;

use super::*;
use crate::games::Hosted;
use crate::store::tests::disk::Machine;
use crate::store::{Chunk, JournalLine, StoreConfig, StoredRoom};

#[derive(Resource, Replicate, Default)]
struct Count(u32);

/// Counts requests.
fn count(game: &mut Game) {
    counting(game, 0);
}

fn counting(game: &mut Game, least: u32) {
    game.turn_based().replicate::<Count>();
    game.on_request(|mut count: ResMut<Count>| {
        count.0 += 1;
        count.0
    });
    game.systems(move |count: Res<Count>| assert!(count.0 >= least, "not now"));
}

/// The same in a build that panics whatever happens.
fn broken(game: &mut Game) {
    counting(game, u32::MAX);
}

mod other {
    use referee_room::prelude::*;

    #[derive(Resource, Replicate, Default)]
    pub(super) struct Count(f32);
}

/// What became of it in a later build, which does not say how what was counted goes over.
fn other(game: &mut Game) {
    game.turn_based().replicate::<other::Count>();
}

/// A server without an edge.
struct Site {
    hosts: Hosts,
    threads: Vec<JoinHandle<()>>,
    _door: Door,
    _stop: watch::Sender<bool>,
}

/// What the rooms of a server share, with one game and one thread.
pub(super) fn house(
    config: Arc<Config>,
    store: Arc<Store>,
    (game, template): (GameName, Arc<Template>),
) -> Arc<House> {
    let hosted = Hosted { template, title: None, description: None, page: None };
    let metrics = Arc::new(Metrics::default());
    Arc::new(House {
        unnumbered: AtomicBool::default(),
        directory: Local::new(&config, 1),
        marks: Marks::new(metrics.clone()),
        metrics,
        tokens: Tokens::new(store.token_key()),
        wakes: Wakes::default(),
        loads: Loads::new(1),
        games: Games::from([(game, hosted)]),
        config,
        store,
    })
}

impl Site {
    fn new(machine: &Machine, game: fn(&mut Game)) -> Self {
        let config = Arc::new(Config::default());
        // What is read comes from the disk each time.
        let uncached = StoreConfig { cache_bytes: 0, ..config.store };
        let store = machine.try_open(&uncached).unwrap();
        let template = Template::new("count", game).unwrap();
        let house = house(config, store, (key().game, template));
        let (stop, stopped) = watch::channel(false);
        let (hosts, starts, door) = Hosts::new(house, 1, stopped);
        let run = |start: Start| std::thread::spawn(move || start.run().unwrap());
        let threads = starts.into_iter().map(run).collect();
        Self { hosts, threads, _door: door, _stop: stop }
    }

    async fn ask(&self) -> Result<Vec<u8>, Refusal> {
        self.hosts.request(key(), HOME, request()).await.map(|reply| reply.body)
    }

    /// Asks until the answer is no refusal, or one for good.
    async fn ask_until_it_is_sure(&self) -> Result<Vec<u8>, Refusal> {
        let asking = async {
            loop {
                match self.ask().await {
                    Err(refusal) if refusal.code.may_retry() => {
                        let at_once = refusal.code == Code::Stopped;
                        assert!(at_once || refusal.retry_after_ms.is_some(), "{refusal}");
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    sure => return sure,
                }
            }
        };
        timeout(Duration::from_secs(30), asking).await.expect("it takes too long")
    }

    fn stored(&self) -> StoredRoom {
        self.hosts.house.store.load(&key()).unwrap().unwrap()
    }

    fn loads_failed(&self) -> u64 {
        self.hosts.metrics().loads_failed.get()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.hosts.stop();
        let ended: Vec<_> = self.threads.drain(..).map(JoinHandle::join).collect();
        let _ = self.hosts.house.store.close();
        if !std::thread::panicking() {
            assert!(ended.iter().all(Result::is_ok));
        }
    }
}

#[tokio::test]
async fn a_thread_whose_last_room_has_gone_to_another_one_costs_nothing() {
    let machine = Machine::new();
    let site = Site::new(&machine, count);
    assert_eq!(site.ask().await, Ok(b"1".to_vec()));
    let migrations = || site.hosts.metrics().migrations.get();
    let until = async |done: &dyn Fn() -> bool| {
        let wait = async {
            while !done() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), wait).await.expect("it takes too long");
    };
    let loads = &site.hosts.house.loads;
    loads.set(0, 500);
    assert!(site.hosts.migrate(key(), 1));
    until(&|| migrations() == 1).await;
    until(&|| loads.all()[0] == 0).await;
    assert_eq!(site.ask().await, Ok(b"2".to_vec()));
}

/// Somebody looked for a room where it was, went, and is there before the room, which comes back.
#[tokio::test]
async fn who_overtakes_a_room_that_comes_back_waits_for_it_and_has_no_second_one_made() {
    let machine = Machine::new();
    let site = Site::new(&machine, count);
    assert_eq!(site.ask().await, Ok(b"1".to_vec()));
    let directory = &site.hosts.house.directory;
    let enter = |key: &RoomKey| directory.enter(key, HOME, Instant::now()).unwrap().1;
    let (mut sent, ticket) = (vec![], enter(&key()));
    let mut send = |key: &RoomKey, to| {
        assert!(directory.transfer(key, to, |ticket| {
            sent.push(ticket);
            Ok(())
        }));
    };
    send(&key(), 1);
    let ask = |key, ticket| {
        let (answer, answered) = oneshot::channel();
        let ask = Command::Ask { key, request: request(), answer, ticket };
        site.hosts.ways.to(1).try_send(ask).ok().unwrap();
        answered
    };
    let answered = ask(key(), ticket);
    // Another room is on that thread. Whoever comes to it comes behind him.
    let other = RoomKey { match_id: MatchId::new("n").unwrap(), ..key() };
    let ticket = enter(&other);
    send(&other, 1);
    directory.take(&other);
    let behind = ask(other.clone(), ticket).await.unwrap();
    assert_eq!(behind.map(|reply| reply.body), Ok(b"1".to_vec()));
    // In truth the room never went.
    send(&key(), 0);
    directory.take(&key());
    assert_eq!(answered.await.unwrap().map(|reply| reply.body), Ok(b"2".to_vec()));
    assert_eq!(site.hosts.metrics().rooms.get(), 2);
    sent.clear();
}

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn request() -> RoomRequest {
    RoomRequest { method: "POST".into(), path: String::new(), body: vec![] }
}

fn key() -> RoomKey {
    RoomKey { game: GameName::new("count").unwrap(), match_id: MatchId::new("m").unwrap() }
}

/// A machine that holds a room in which one request was made.
async fn machine() -> Machine {
    let machine = Machine::new();
    let site = Site::new(&machine, count);
    assert_eq!(site.ask().await, Ok(b"1".to_vec()));
    drop(site);
    machine
}

#[tokio::test]
async fn a_disk_that_does_not_answer_is_asked_again_after_a_while() {
    let machine = machine().await;
    let site = Site::new(&machine, count);
    machine.deaf(true);
    let refusal = site.ask().await.unwrap_err();
    assert_eq!(refusal.code, Code::Busy);
    assert!(refusal.retry_after_ms.is_some_and(|ms| ms <= 251), "{refusal:?}");
    // The first who reads hears what the disk says; until it is opened again others hear that of redb.
    let whys = ["no answer", "Previous I/O error"];
    assert!(whys.iter().any(|why| refusal.message.contains(why)), "{refusal}");
    assert_eq!(site.ask().await.unwrap_err().code, Code::Busy);
    assert_eq!(site.loads_failed(), 1, "it was not tried a second time");
    machine.deaf(false);
    assert_eq!(site.ask_until_it_is_sure().await, Ok(b"2".to_vec()));
    assert_eq!(site.hosts.metrics().rooms_marked.get(), 0);
}

/// The room is refused for good after one try, is left as it is, and goes on with the next start.
async fn is_marked_at_once(machine: &Machine, game: fn(&mut Game), why: &str) {
    let site = Site::new(machine, game);
    let stored = site.stored();
    for _ in 0..3 {
        let refusal = site.ask().await.unwrap_err();
        assert_eq!((refusal.code, refusal.retry_after_ms), (Code::Unreadable, None));
        assert!(refusal.message.contains(why), "{refusal}");
    }
    assert_eq!((site.loads_failed(), site.hosts.metrics().rooms_marked.get()), (1, 1));
    assert!(Rooms::metrics(&site.hosts).contains("referee_rooms_marked 1\n"));
    assert_eq!(site.stored(), stored);
}

#[tokio::test]
async fn a_room_of_other_types_is_marked_at_once_and_plays_on_under_its_own_build() {
    let machine = machine().await;
    is_marked_at_once(&machine, other, "types have changed").await;
    assert_eq!(Site::new(&machine, count).ask().await, Ok(b"2".to_vec()));
}

#[tokio::test]
async fn a_room_whose_snapshot_is_damaged_is_marked_at_once() {
    let machine = machine().await;
    let store = machine.open();
    let damaged =
        StoredRoom { snapshot: Some(b"RFSN".to_vec()), ..store.load(&key()).unwrap().unwrap() };
    assert!(store.save(key(), damaged));
    store.close().unwrap();
    is_marked_at_once(&machine, count, "no snapshot").await;
}

#[tokio::test]
async fn a_room_whose_journal_is_damaged_is_marked_at_once() {
    let machine = machine().await;
    let store = machine.open();
    let stored = store.load(&key()).unwrap().unwrap();
    let (life, after) = (stored.incarnation, stored.tick);
    let torn = Chunk { life, after, upto: after + 1, whole: false, bytes: vec![0xff; 3] };
    assert!(store.append(&key(), &JournalLine::new(|| {}), torn, true).is_some());
    store.close().unwrap();
    is_marked_at_once(&machine, count, "journal is damaged").await;
}

#[tokio::test]
async fn a_room_that_panics_on_every_try_is_marked_after_a_few_and_loses_nothing() {
    let machine = machine().await;
    let site = Site::new(&machine, broken);
    let stored = site.stored();
    let refusal = site.ask_until_it_is_sure().await.unwrap_err();
    assert_eq!(refusal.code, Code::Unreadable);
    let tries = site.loads_failed();
    assert_eq!((tries, site.hosts.metrics().rooms_loaded.get()), (5, 5));
    for _ in 0..10 {
        assert_eq!(site.ask().await, Err(refusal.clone()));
    }
    assert_eq!(site.hosts.metrics().rooms_loaded.get(), 5, "nothing is replayed for ever");
    assert_eq!((site.stored().snapshot, site.stored().tick), (stored.snapshot, stored.tick));
    drop(site);
    assert_eq!(Site::new(&machine, count).ask().await, Ok(b"2".to_vec()));
}
