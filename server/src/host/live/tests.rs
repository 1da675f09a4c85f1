//! A live room with clients in memory.
#![allow(elided_lifetimes_in_paths, reason = "games are written without them")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use referee_protocol::frame::{Ack, ActionFrame, Lane, Payload, split};
use referee_protocol::message::{self, ClientControl, ServerControl, Welcome};
use referee_protocol::{GameName, MatchId, Seat};
use referee_room::entry::Create;
use referee_room::prelude::*;
use referee_room::revive::{Base, Revival};

mod alarms;
mod gated;
mod kept;
mod logged;
mod paced;
mod panics;
mod parked;

use super::*;
use crate::config::Config;
use crate::host::tests::house;
use crate::http::RoomRequest;
use crate::session::Wish;
use crate::store::Store;
use crate::token::Claim;
use crate::transport::memory::Memory;

#[derive(Resource, Replicate, Default)]
struct Count(u32);

#[derive(Action)]
struct Press;

#[derive(Action)]
struct Boom;

#[derive(Action)]
struct Finish;

fn count(game: &mut Game) {
    game.turn_based().max_players(1).spectators(1);
    game.replicate::<Count>().action::<Press>().action::<Boom>().action::<Finish>();
    game.systems(
        |mut count: ResMut<Count>,
         presses: Actions<Press>,
         booms: Actions<Boom>,
         ends: Actions<Finish>,
         mut referee: Referee| {
            assert!(booms.is_empty(), "boom");
            count.0 += presses.len() as u32;
            if !ends.is_empty() {
                referee.end(count.0);
            }
        },
    );
    game.on_request(|mut count: ResMut<Count>| {
        count.0 += 1;
        count.0
    });
}

/// A house in a folder that goes with it.
struct Site {
    house: Arc<House>,
    folder: PathBuf,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.house.store.close();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn site(config: Config) -> Site {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("referee-live-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let store = Store::open(&folder, &config.store).unwrap();
    let template = Template::new("count", count).unwrap();
    let house = house(Arc::new(config), store, (GameName::new("count").unwrap(), template));
    Site { house, folder }
}

fn key() -> RoomKey {
    RoomKey { game: GameName::new("count").unwrap(), match_id: MatchId::new("m").unwrap() }
}

fn live(site: &Site) -> Live {
    let mut room = Room::create(&template(site), &create()).unwrap();
    room.record();
    live_with(site, room, 1, unix_ms())
}

fn create() -> Create {
    Create { seed: [1; 32], ..Create::default() }
}

fn template(site: &Site) -> Arc<Template> {
    site.house.games[&key().game].template.clone()
}

fn live_with(site: &Site, room: Room, incarnation: u64, created_unix_ms: u64) -> Live {
    *Live::new(parts(site, room, incarnation, created_unix_ms))
}

fn parts(site: &Site, room: Room, incarnation: u64, created_unix_ms: u64) -> Parts {
    Parts {
        house: site.house.clone(),
        key: key(),
        template: template(site),
        room,
        incarnation: Incarnation(incarnation),
        remains: Remains::created(Base::Create(create()), created_unix_ms),
        panicked: None,
        signals: Arc::default(),
        committed: Arc::default(),
        pulse: Arc::default(),
    }
}

fn wish() -> Wish {
    Wish {
        version: 1,
        name: "Ann".into(),
        watch: false,
        check: false,
        schema: None,
        claim: None,
        resume: None,
        params: vec![],
    }
}

fn come(live: &mut Live, wish: Wish) -> (LinkId, Memory) {
    let wire = Memory::default();
    let link = live.admit(wish, Box::new(wire.clone()));
    rest(live);
    (link, wire)
}

/// Gives the room its turns until it has done all there is to do.
fn rest(live: &mut Live) {
    while live.turn() == Next::Soon {}
}

fn lanes(frames: &[Vec<u8>]) -> Vec<Lane> {
    frames.iter().map(|frame| split(frame).unwrap().0).collect()
}

fn controls(frames: &[Vec<u8>]) -> Vec<ServerControl> {
    let bodies = frames.iter().map(|frame| split(frame).unwrap());
    bodies
        .filter(|(lane, _)| *lane == Lane::Control)
        .map(|(_, body)| message::decode(body).unwrap())
        .collect()
}

fn welcomed(wire: &Memory) -> Welcome {
    match controls(&wire.take()).into_iter().next() {
        Some(ServerControl::Welcome(welcome)) => welcome,
        other => panic!("{other:?}"),
    }
}

fn action(number: u64, kind: u16) -> Vec<u8> {
    ActionFrame { number, payload: Payload { kind, bits: vec![].into() } }.encode()
}

fn ask(live: &mut Live) -> u32 {
    let (answer, mut answered) = oneshot::channel();
    let request = RoomRequest { method: "GET".into(), path: String::new(), body: vec![] };
    live.ask(request, answer);
    rest(live);
    let reply = answered.try_recv().unwrap().unwrap();
    assert_eq!(reply.status, 200);
    String::from_utf8(reply.body).unwrap().parse().unwrap()
}

#[test]
fn a_client_is_welcomed_then_told_the_schema_then_shown_the_state() {
    let site = site(Config::default());
    let mut live = live(&site);
    let (_, wire) = come(&mut live, wish());
    let frames = wire.take();
    assert_eq!(lanes(&frames), [Lane::Control, Lane::Schema, Lane::State]);
    let Some(ServerControl::Welcome(welcome)) = controls(&frames).pop() else { panic!() };
    assert_eq!((welcome.seat, welcome.resumed, welcome.hz), (Some(Seat(0)), false, None));
    assert_eq!(welcome.schema, live.template.schema_hash());
    let token = welcome.token.unwrap();
    assert_eq!(site.house.tokens.check(&key(), &token).unwrap().seat, Seat(0));
}

#[test]
fn a_client_that_has_the_schema_is_not_sent_it() {
    let site = site(Config::default());
    let mut live = live(&site);
    let schema = Some(live.template.schema_hash());
    let (_, wire) = come(&mut live, Wish { schema, ..wish() });
    assert_eq!(lanes(&wire.take()), [Lane::Control, Lane::State]);
}

#[test]
fn who_finds_no_place_is_told_so() {
    let site = site(Config::default());
    let mut live = live(&site);
    let (_, _player) = come(&mut live, wish());
    let (_, watcher) = come(&mut live, wish());
    assert_eq!(welcomed(&watcher).seat, None);
    let (_, third) = come(&mut live, wish());
    assert_eq!(third.closed().unwrap().code, Code::Full);
    assert_eq!(site.house.metrics.ends(Code::Full), 1);
    assert_eq!(site.house.metrics.connections(), 2);
}

#[test]
fn a_spectator_does_nothing() {
    let site = site(Config::default());
    let mut live = live(&site);
    let (_, _player) = come(&mut live, wish());
    let (link, watcher) = come(&mut live, Wish { watch: true, ..wish() });
    assert!(live.message(link, &action(1, 0)));
    rest(&mut live);
    assert_eq!(site.house.metrics.unseated.get(), 1);
    assert_eq!(ask(&mut live), 1, "only the request counts");
    assert!(watcher.closed().is_none());
}

#[tokio::test]
async fn a_seat_comes_back_by_its_token_and_the_older_connection_is_told() {
    let site = site(Config::default());
    let mut live = live(&site);
    let (first, wire) = come(&mut live, wish());
    let token = welcomed(&wire).token.unwrap();
    live.message(first, &action(1, 0));
    rest(&mut live);
    // Once what it did is on disk, its client need not keep it.
    site.house.store.flush().await.unwrap();
    rest(&mut live);
    let claim = site.house.tokens.check(&key(), &token);
    let (_, newer) = come(&mut live, Wish { claim, ..wish() });
    let welcome = welcomed(&newer);
    assert_eq!((welcome.resumed, welcome.seat, welcome.last_action), (true, Some(Seat(0)), 1));
    assert_eq!(wire.closed().unwrap().code, Code::Replaced);
    live.gone(first);
    rest(&mut live);
    assert_eq!(live.room.info().connected, 1, "the older one's end changes nothing");
}

#[test]
fn a_dead_token_joins_as_somebody_new() {
    let site = site(Config::default());
    let mut live = live(&site);
    let claim = Some(Claim { seat: Seat(0), generation: 999_999 });
    let (_, wire) = come(&mut live, Wish { claim, ..wish() });
    let welcome = welcomed(&wire);
    assert_eq!((welcome.resumed, welcome.seat), (false, Some(Seat(0))));
}

#[test]
fn one_that_goes_before_it_is_in_leaves_nobody_behind() {
    let site = site(Config::default());
    let mut live = live(&site);
    let link = live.admit(wish(), Box::new(Memory::default()));
    live.gone(link);
    rest(&mut live);
    let info = live.room.info();
    assert_eq!((info.players, info.connected), (1, 0), "the seat is held, nobody is on it");
    assert!(live.quiet_since().is_some());
}

#[test]
fn who_leaves_is_let_go_and_its_seat_is_free() {
    let site = site(Config::default());
    let mut live = live(&site);
    let (link, wire) = come(&mut live, wish());
    live.message(link, &message::encode(&ClientControl::Leave));
    rest(&mut live);
    assert_eq!(wire.closed().unwrap().code, Code::Left);
    assert_eq!(live.room.info().players, 0);
    assert!(live.was_left());
}

#[test]
fn a_client_waits_for_the_tick_after_many_actions_and_loses_none() {
    let site = site(Config { messages_burst: 10_000, ..Config::default() });
    let mut live = live(&site);
    let (link, _wire) = come(&mut live, wish());
    let mut sent = 0;
    while live.message(link, &action(sent + 1, 0)) {
        sent += 1;
    }
    assert_eq!(sent + 1, referee_protocol::limits::ACTIONS_PER_TICK_MAX as u64);
    assert!(!live.may_say(link));
    rest(&mut live);
    assert!(live.may_say(link));
    assert_eq!(u64::from(ask(&mut live)), sent + 2);
}

#[test]
fn a_full_inbox_stops_everyone_until_the_tick() {
    let site = site(Config { inbox_max_bytes: 100, ..Config::default() });
    let mut live = live(&site);
    let (link, _wire) = come(&mut live, wish());
    assert!(live.message(link, &action(1, 0)));
    assert!(!live.message(link, &action(2, 0)));
    rest(&mut live);
    assert!(live.may_say(link));
    assert_eq!(ask(&mut live), 3);
}

#[test]
fn bad_input_ends_the_connection_with_a_code() {
    let site = site(Config { messages_burst: 5, messages_per_second: 1, ..Config::default() });
    let mut live = live(&site);
    let mut watch = || come(&mut live, Wish { watch: true, ..wish() });
    let (link, wire) = watch();
    live.message(link, &[9, 9, 9]);
    assert_eq!(wire.closed().unwrap().code, Code::BadMessage);
    let (link, wire) = come(&mut live, wish());
    live.message(link, &action(1, 77));
    assert_eq!(wire.closed().unwrap().code, Code::BadMessage);
    rest(&mut live);
    let (link, wire) = come(&mut live, Wish { watch: true, ..wish() });
    let ping = message::encode(&ClientControl::Ping { nonce: 1 });
    let most = 2 * (5 + referee_protocol::limits::ACTIONS_KEPT_MAX);
    let sent = (0..most).take_while(|_| {
        live.message(link, &ping);
        wire.closed().is_none()
    });
    assert_eq!(sent.count(), 5 + referee_protocol::limits::ACTIONS_KEPT_MAX);
    assert_eq!(wire.closed().unwrap().code, Code::TooMany);
}

#[test]
fn a_client_whose_wire_is_full_is_let_go_and_others_play_on() {
    let site = site(Config::default());
    let mut live = live(&site);
    let (link, player) = come(&mut live, wish());
    let (_, watcher) = come(&mut live, Wish { watch: true, ..wish() });
    player.take();
    watcher.fill();
    live.message(link, &action(1, 0));
    rest(&mut live);
    assert_eq!(watcher.closed().unwrap().code, Code::SlowReader);
    assert_eq!(lanes(&player.take()), [Lane::State]);
}

#[test]
fn the_quiet_are_asked_and_the_silent_let_go() {
    let site = site(Config::default());
    let mut live = live(&site);
    let (silent, wire) = come(&mut live, wish());
    live.message(silent, &Ack { frames: 1, event: 0 }.encode());
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let again = live.look(silent, at(1)).expect("it is there");
    assert_eq!(wire.probes(), 0);
    assert!(again < at(3), "it is looked at when a probe may be due");
    let again = live.look(silent, at(5)).expect("it is there");
    assert_eq!((wire.probes(), wire.closed()), (1, None));
    assert!(again <= at(6), "and when it would be silent for too long");
    assert_eq!(live.look(silent, at(7)), None);
    assert_eq!(wire.closed().unwrap().code, Code::Silent);
    assert_eq!(live.look(silent, at(8)), None, "it is gone");
}

#[test]
fn a_client_behind_a_slow_network_is_skipped_and_gets_the_newest_without_a_tick() {
    let site = site(Config::default());
    let mut live = live(&site);
    let (link, player) = come(&mut live, wish());
    let (watching, watcher) = come(&mut live, Wish { watch: true, ..wish() });
    rest(&mut live);
    player.take();
    watcher.take();
    watcher.slow(true);
    live.message(link, &action(1, 0));
    rest(&mut live);
    assert_eq!(lanes(&watcher.take()), [Lane::State], "this one waits for the network");
    for number in 2..10 {
        live.message(link, &action(number, 0));
        live.message(link, &Ack { frames: number, event: 0 }.encode());
        rest(&mut live);
    }
    assert_eq!(lanes(&player.take()).len(), 9, "nobody else notices");
    assert!(watcher.take().is_empty(), "none is made behind it");
    watcher.slow(false);
    live.written(watching);
    assert_eq!(lanes(&watcher.take()), [Lane::State], "the newest, once");
    assert_eq!(live.room.counters().skipped_states, 8);
    live.written(watching);
    assert!(watcher.take().is_empty());
}

/// At 50 Hz, and its third tick takes 200 ms.
fn stumbles(game: &mut Game) {
    game.realtime(50);
    game.systems(|time: Res<Time>| {
        if time.tick == Tick(3) {
            std::thread::sleep(Duration::from_millis(200));
        }
    });
}

#[test]
fn after_a_long_tick_a_room_gives_way_then_makes_up_for_a_little_and_slips_the_rest() {
    let site = site(Config::default());
    let template = Template::new("stumbles", stumbles).unwrap();
    let create = Create { seed: [1; 32], ..Create::default() };
    let room = Room::create(&template, &create).unwrap();
    let mut live = Live::new(Parts { template, ..parts(&site, room, 1, unix_ms()) });
    come(&mut live, wish());
    let metrics = &site.house.metrics;
    let tick = |live: &Live| live.room.info().tick.0;
    while tick(&live) < 3 {
        match live.turn() {
            Next::At(at) => std::thread::sleep(at.saturating_duration_since(Instant::now())),
            Next::Soon => assert_eq!(tick(&live), 3, "it gives way right after the long one"),
            Next::Never => panic!("a realtime room goes on"),
        }
    }
    assert_eq!(metrics.overruns.get(), 1);
    // Ten periods are over; four are made up for, and what became due meanwhile.
    let next = live.turn();
    assert!(matches!(next, Next::At(_) | Next::Soon), "{next:?}");
    let slips = metrics.slips.get();
    assert!((5..=9).contains(&slips), "{slips} slips");
    assert!((4..=7).contains(&tick(&live)), "tick {}", tick(&live));
    assert!(metrics.tick_lateness.seconds() > 0.1, "it is seen how late they were");
}

#[test]
fn a_realtime_tick_is_waited_for_until_a_moment_before_it_is_due_and_runs_then() {
    let site = site(Config::default());
    let template = Template::new("stumbles", stumbles).unwrap();
    let create = Create { seed: [1; 32], ..Create::default() };
    let room = Room::create(&template, &create).unwrap();
    let mut live = Live::new(Parts { template, ..parts(&site, room, 1, unix_ms()) });
    let (now, second) = (Instant::now(), Duration::from_secs(1));
    live.clock = Clock::realtime(1, Tick(0), now);
    let early = Duration::from_millis(1);
    assert_eq!(live.turn(), Next::At(now + second - early));
    let due = Instant::now() + early * 9 / 10;
    live.clock = Clock::realtime(1, Tick(0), due - second);
    live.turn();
    assert_eq!(live.room.last_tick(), Tick(1));
}

#[test]
fn ticks_that_nobody_feels_are_counted_apart() {
    let site = site(Config::default());
    let mut live = live(&site);
    let (link, _) = come(&mut live, wish());
    let metrics = &site.house.metrics;
    let felt = metrics.tick_seconds.count();
    assert!(felt > 0 && metrics.ticks.get() == felt + metrics.ticks_unattended.get());
    live.gone(link);
    rest(&mut live);
    assert_eq!(metrics.tick_seconds.count(), felt, "nobody is there");
    assert!(metrics.ticks.get() > felt && metrics.ticks_unattended.get() > 0);
}

#[test]
fn a_connection_that_ends_after_a_long_silence_counts_as_silent() {
    let site = site(Config::default());
    let mut live = live(&site);
    let metrics = site.house.metrics.clone();
    let silent = || metrics.ends(Code::Silent);
    let (link, _wire) = come(&mut live, wish());
    live.gone_at(link, Instant::now() + Duration::from_secs(1));
    assert_eq!((metrics.gone.get(), silent()), (1, 0));
    let (link, _wire) = come(&mut live, wish());
    live.gone_at(link, Instant::now() + Duration::from_secs(5));
    assert_eq!((metrics.gone.get(), silent()), (1, 1));
}

#[test]
fn the_end_of_the_match_is_told_and_kept() {
    let site = site(Config::default());
    let mut live = live(&site);
    let (link, wire) = come(&mut live, wish());
    live.message(link, &action(1, 0));
    live.message(link, &action(2, 2));
    rest(&mut live);
    let ended = ServerControl::Ended { result: "1".into() };
    assert!(controls(&wire.take()).contains(&ended));
    let (_, watcher) = come(&mut live, Wish { watch: true, ..wish() });
    assert_eq!(welcomed(&watcher).ended.as_deref(), Some("1"));
    assert!(live.match_ended());
}

#[test]
fn a_room_in_which_nothing_happened_is_not_saved() {
    let site = site(Config::default());
    let mut live = live(&site);
    let (link, _wire) = come(&mut live, wish());
    live.gone(link);
    rest(&mut live);
    live.seal();
    assert_eq!(site.house.store.load(&key()).unwrap(), None);
}

#[test]
fn requests_have_a_bound() {
    let site = site(Config { requests_waiting_max: 1, ..Config::default() });
    let mut live = live(&site);
    let request = RoomRequest { method: "GET".into(), path: String::new(), body: vec![] };
    let (first, _first_answer) = oneshot::channel();
    let (second, mut second_answer) = oneshot::channel();
    live.ask(request.clone(), first);
    live.ask(request, second);
    assert_eq!(second_answer.try_recv().unwrap().unwrap_err().code, Code::Busy);
}

#[test]
fn seats_outlast_the_time_in_which_their_room_is_not_loaded() {
    let site = site(Config::default());
    let mut live = live(&site);
    let (link, wire) = come(&mut live, wish());
    let token = welcomed(&wire).token.unwrap();
    live.message(link, &action(1, 0));
    rest(&mut live);
    live.gone(link);
    rest(&mut live);
    live.seal();
    let stored = site.house.store.load(&key()).unwrap().unwrap();
    drop(live);

    // Long after the seat's grace would have passed, had the room been loaded.
    let room = Room::restore(&template(&site), &stored.snapshot.unwrap(), [2; 32]).unwrap();
    let hour_ms = 3_600_000;
    let mut live = live_with(&site, room, 2, stored.created_unix_ms - hour_ms);
    let (_, _watcher) = come(&mut live, Wish { watch: true, ..wish() });
    rest(&mut live);
    let claim = site.house.tokens.check(&key(), &token);
    let (_, wire) = come(&mut live, Wish { claim, ..wish() });
    let welcome = welcomed(&wire);
    assert_eq!((welcome.resumed, welcome.seat), (true, Some(Seat(0))));
    assert!(welcome.tick.0 >= hour_ms, "time has gone on");
}

#[test]
fn what_the_store_does_not_take_is_still_to_be_saved() {
    let site = site(Config::default());
    let mut live = live(&site);
    let (link, _wire) = come(&mut live, wish());
    live.message(link, &action(1, 0));
    rest(&mut live);
    site.house.store.close().unwrap();
    live.seal();
    assert!(live.has_unsaved());
    assert!(!live.save_now());
}
