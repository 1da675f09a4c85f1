//! Rooms that are put out of memory with their connections open, and what brings them back.

use std::time::Duration;

use referee_client_tokio::{Client, Code, RawSocket, Received, Status, Value};
use referee_protocol::frame::{Ack, Lane, split};
use referee_protocol::message::{self, ClientControl, ServerControl};

use crate::kills::Process;
use crate::site::{Site, Transport, back, counts, end, press, soon, until};

/// Rooms in which nothing happens are put out of memory soon.
fn site() -> Site {
    Site::over(Transport::Memory, |config| {
        config.park_after_ms = 100;
        config.room_grace_ms = 50;
    })
}

/// Waits until so many rooms are out of memory, and none is in it.
async fn parked(site: &Site, rooms: u64) {
    let metrics = site.metrics();
    until(|| (metrics.rooms_parked.get(), metrics.rooms.get()) == (rooms, 0)).await;
}

async fn call(site: &Site, path: &str) -> String {
    let (status, body) = site.http("POST", path).await;
    assert_eq!(status, 200, "{body}");
    body
}

/// Two players of a room that is parked after one has acted.
async fn two(site: &Site) -> (Client, Client) {
    let (ann, bob) = (site.join("count/a").await, site.join("count/a").await);
    press(&ann);
    counts(&bob, 1).await;
    parked(site, 1).await;
    (ann, bob)
}

#[tokio::test]
async fn an_act_brings_it_back_and_nobody_has_noticed_anything() {
    let site = site();
    let (ann, bob) = two(&site).await;
    for round in 2..6 {
        press(if round % 2 == 0 { &ann } else { &bob });
        counts(&ann, round).await;
        counts(&bob, round).await;
        parked(&site, 1).await;
    }
    let metrics = site.metrics();
    assert_eq!(metrics.entries("begin"), 1, "it is the same life of the room");
    assert_eq!(metrics.entries("drop"), 0);
    assert_eq!((metrics.parks.get(), metrics.wakes.get()), (5, 4));
    assert_eq!(metrics.wake_seconds.count(), 4);
    assert_eq!((metrics.connections(), metrics.players.get()), (2, 2));
}

#[tokio::test]
async fn players_who_wait_for_the_first_move_are_parked_and_nothing_is_on_disk_of_them() {
    for room in ["count/a", "tally/a"] {
        let mut site = site();
        let (ann, bob) = (site.join(room).await, site.join(room).await);
        parked(&site, 1).await;
        // Somebody looks in, and the same players still wait.
        let cat = site.join(room).await;
        counts(&cat, 0).await;
        parked(&site, 1).await;
        let metrics = site.metrics();
        assert_eq!((metrics.entries("begin"), metrics.rooms_loaded.get()), (1, 0), "{room}");
        press(&bob);
        counts(&ann, 1).await;
        counts(&cat, 1).await;
        parked(&site, 1).await;
        press(&ann);
        counts(&bob, 2).await;
        assert_eq!(metrics.entries("drop"), 0);
        // Now it is on disk.
        site.stop().await;
        site.start();
        counts(&ann, 2).await;
    }
}

#[tokio::test]
async fn a_logged_room_is_parked_however_many_are_in_it() {
    for players in [1, 2, 40] {
        let site = site();
        let mut clients = vec![];
        for _ in 0..players {
            clients.push(site.join("tally/a").await);
            press(&clients[0]);
        }
        parked(&site, 1).await;
        press(&clients[0]);
        for client in &clients {
            counts(client, players + 1).await;
        }
        parked(&site, 1).await;
    }
}

#[tokio::test]
async fn a_request_and_a_newcomer_bring_it_back() {
    let site = site();
    let (ann, bob) = two(&site).await;
    assert_eq!(call(&site, "count/a/call").await, "2");
    counts(&ann, 2).await;
    counts(&bob, 2).await;
    parked(&site, 1).await;
    let cat = site.join("count/a").await;
    counts(&cat, 2).await;
    press(&cat);
    counts(&ann, 3).await;
    parked(&site, 1).await;
    assert_eq!(site.metrics().connections(), 3);
}

#[tokio::test]
async fn whoever_comes_back_to_its_seat_takes_it_over() {
    let site = site();
    let (ann, bob) = two(&site).await;
    let again = site.join_as("count/a", back(&ann)).await;
    counts(&again, 1).await;
    soon(ann.wait_until(|session| session.status() == Status::Closed)).await.ok();
    assert_eq!(ann.with(|session| session.seat()), again.with(|session| session.seat()));
    press(&again);
    counts(&bob, 2).await;
    assert_eq!(site.metrics().ends(Code::Replaced), 1);
}

#[tokio::test]
async fn a_timer_and_an_alarm_bring_it_back() {
    for game in ["timed", "reminder", "sure_reminder"] {
        let site = site();
        let room = format!("{game}/a");
        let ann = site.join(&room).await;
        call(&site, &format!("{game}/a/call/3500")).await;
        parked(&site, 1).await;
        counts(&ann, 1).await;
        parked(&site, 1).await;
        let metrics = site.metrics();
        assert_eq!((metrics.parks.get(), metrics.wakes.get()), (2, 1), "{game}");
        assert_eq!(metrics.rooms_woken.get(), 0, "{game}");
    }
}

#[tokio::test]
async fn a_room_in_which_something_is_due_soon_stays() {
    let site = site();
    let ann = site.join("timed/a").await;
    call(&site, "timed/a/call/1000").await;
    counts(&ann, 1).await;
    assert_eq!(site.metrics().parks.get(), 0);
    parked(&site, 1).await;
}

#[tokio::test]
async fn a_connection_that_ends_brings_it_back_and_the_last_one_lets_it_go() {
    let site = site();
    let (ann, bob) = two(&site).await;
    drop(ann);
    let metrics = site.metrics();
    until(|| metrics.entries("drop") == 1).await;
    parked(&site, 1).await;
    assert_eq!((metrics.connections(), metrics.players.get()), (1, 1));
    soon(bob.leave()).await;
    // On its way back it is neither in memory nor out of it.
    until(|| metrics.entries("leave") == 1).await;
    until(|| (metrics.rooms.get(), metrics.rooms_parked.get()) == (0, 0)).await;
    assert_eq!(call(&site, "count/a/call").await, "2");
}

#[tokio::test]
async fn pings_and_acknowledgements_do_not_bring_it_back_and_too_many_end_the_connection() {
    let site = site();
    let (mut raw, _) = site.raw_in("count/a").await;
    call(&site, "count/a/call").await;
    // It acknowledges nothing before the room is parked.
    parked(&site, 1).await;
    soon(raw.send(&Ack { frames: 9, event: 0 }.encode())).await.unwrap();
    soon(raw.send(&[])).await.unwrap();
    let first = pong(&mut raw, 1).await;
    let second = pong(&mut raw, 2).await;
    assert!(first <= second, "time goes on");
    let metrics = site.metrics();
    assert_eq!((metrics.parks.get(), metrics.wakes.get()), (1, 0));
    // It did acknowledge: more states come than may be under way.
    for count in 2..12 {
        assert_eq!(call(&site, "count/a/call").await, count.to_string());
        let ack = Ack { frames: count + 9, event: 0 };
        soon(raw.send(&ack.encode())).await.unwrap();
    }
    parked(&site, 1).await;
    let ping = message::encode(&ClientControl::Ping { nonce: 3 });
    while metrics.ends(Code::TooMany) == 0 {
        if soon(raw.send(&ping)).await.is_err() {
            break;
        }
    }
    assert_eq!(end(&mut raw).await.code, Code::TooMany);
    until(|| (metrics.rooms.get(), metrics.rooms_parked.get()) == (0, 0)).await;
}

/// Asks for an answer, and gives its tick.
async fn pong(raw: &mut RawSocket, nonce: u32) -> u64 {
    soon(raw.send(&message::encode(&ClientControl::Ping { nonce }))).await.unwrap();
    loop {
        let Received::Frame(frame) = soon(raw.receive()).await.unwrap() else { panic!("closed") };
        if frame.is_empty() {
            continue;
        }
        if let (Lane::Control, body) = split(&frame).unwrap()
            && let ServerControl::Pong { nonce: of, tick } = message::decode(body).unwrap()
        {
            assert_eq!(of, nonce);
            return tick.0;
        }
    }
}

#[tokio::test]
async fn a_client_that_is_quiet_is_asked_whether_it_is_there_and_stays() {
    let site = Site::new(|config| config.park_after_ms = 100);
    let (mut raw, _) = site.raw_in("count/a").await;
    call(&site, "count/a/call").await;
    parked(&site, 1).await;
    // Its library answers pings; it says nothing itself, for longer than silence may last.
    let heard = tokio::time::timeout(Duration::from_millis(7_500), end(&mut raw)).await;
    assert!(heard.is_err(), "{heard:?}");
    assert_eq!(site.metrics().wakes.get(), 0);
}

#[tokio::test]
async fn a_game_that_panics_after_it_was_brought_back_goes_on_from_the_tick_before() {
    let site = site();
    let (ann, bob) = (site.join("bomb/a").await, site.join("bomb/a").await);
    press(&ann);
    counts(&bob, 1).await;
    parked(&site, 1).await;
    ann.send_action("Finish", &Value::Null).unwrap();
    let metrics = site.metrics();
    until(|| metrics.ends(Code::Stopped) == 2).await;
    press(&bob);
    counts(&ann, 2).await;
    counts(&bob, 2).await;
    assert_eq!(metrics.rooms_failed.get(), 1);
    parked(&site, 1).await;
}

#[tokio::test]
async fn a_server_that_stops_has_saved_it_and_tells_its_clients() {
    let mut site = site();
    let (ann, _bob) = two(&site).await;
    let (mut raw, _) = site.raw_in("count/a").await;
    parked(&site, 1).await;
    let metrics = site.metrics();
    site.stop().await;
    assert_eq!(end(&mut raw).await.code, Code::GoingDown);
    assert_eq!((metrics.rooms_parked.get(), metrics.connections()), (0, 0));
    site.start();
    counts(&ann, 1).await;
    press(&ann);
    counts(&ann, 2).await;
}

#[tokio::test]
async fn a_match_that_was_parked_is_the_same_when_it_is_played_again() {
    let mut site = Site::over(Transport::Memory, |config| {
        config.park_after_ms = 100;
        config.store.journal_keep = referee_server::store::JournalKeep::Match;
    });
    let (ann, bob) = two(&site).await;
    for round in 2..5 {
        press(&ann);
        counts(&bob, round).await;
        parked(&site, 1).await;
    }
    site.stop().await;
    let games = crate::site::all_games();
    let said = referee_server::tools::replay(&games, &site.config, "count/a").unwrap();
    assert!(said.contains("all equal"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_it_is_there_and_its_clients_come_back() {
    let data = std::env::temp_dir().join(format!("referee-parks-{}", std::process::id()));
    let first = Process::start(0, &data);
    let port = first.port();
    let url = format!("ws://127.0.0.1:{port}/count/a");
    let ann = soon(Client::connect(&url, Default::default())).await.unwrap();
    press(&ann);
    counts(&ann, 1).await;
    let authority = format!("127.0.0.1:{port}");
    let sleeps = async {
        loop {
            let text = crate::site::request(&authority, "GET", "metrics").await.1;
            if text.contains("referee_rooms_parked 1\n") {
                return;
            }
        }
    };
    soon(sleeps).await;
    drop(first);
    let second = Process::start(port, &data);
    press(&ann);
    counts(&ann, 2).await;
    drop(second);
    let _ = std::fs::remove_dir_all(&data);
}
