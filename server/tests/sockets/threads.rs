//! Rooms that go from one host thread to another, and a thread that does not come out of a room's turn.

use std::sync::atomic::Ordering;
use std::time::Duration;

use referee_client_tokio::{Client, Code, Options, Status};

use crate::games::{CROWDED_MS, SPINS};
use crate::site::{Site, Transport, counts, press, soon, until};

async fn post(site: &Site, path: &str) -> u16 {
    site.http("POST", path).await.0
}

fn is_open(client: &Client) -> bool {
    client.with(|session| session.status() == Status::Open)
}

#[tokio::test]
async fn a_room_goes_to_another_thread_and_nobody_notices() {
    for transport in [Transport::Memory, Transport::WebSocket, Transport::Quic] {
        for room in ["count/a", "runner/a"] {
            let site = Site::over(transport, |_| {});
            let (ann, bob) = (site.join(room).await, site.join(room).await);
            let metrics = site.metrics();
            for round in 0..8 {
                press(&ann);
                counts(&bob, 2 * round + 1).await;
                let thread = [1, 0, 2, 3, 1, 3, 2, 0][round as usize];
                let before = metrics.migrations.get();
                site.migrate(room, thread);
                press(&bob);
                until(|| metrics.migrations.get() > before).await;
                counts(&ann, 2 * round + 2).await;
            }
            assert_eq!(metrics.entries("begin"), 1, "it is the same life of the room");
            assert_eq!((metrics.gone.get(), metrics.entries("drop")), (0, 0));
            assert_eq!((metrics.connections(), metrics.players.get()), (2, 2));
            assert_eq!(metrics.rooms.get(), 1);
            assert!(is_open(&ann) && is_open(&bob));
        }
    }
}

#[tokio::test]
async fn visitors_find_a_room_that_goes_to_and_fro() {
    let site = Site::over(Transport::WebSocket, |config| config.room_grace_ms = 50);
    let (ann, metrics) = (site.join("runner/a").await, site.metrics());
    let mut all = vec![];
    for round in 0..10 {
        site.migrate("runner/a", round % 4);
        let (one, other) = tokio::join!(site.join("runner/a"), site.join("runner/a"));
        press(&one);
        site.migrate("runner/a", (round + 1) % 4);
        press(&other);
        all.extend([one, other]);
    }
    counts(&ann, 20).await;
    assert!(metrics.migrations.get() > 5, "{}", metrics.migrations.get());
    assert_eq!((metrics.rooms_made.get(), metrics.gone.get()), (1, 0));
    // Nor is it made anew for a request, or forgotten when all go.
    assert_eq!(post(&site, "runner/a/call").await, 200);
    drop((ann, all));
    site.empty().await;
}

/// Rooms that are on their way as the server goes down are saved as all others.
#[tokio::test]
async fn a_room_on_its_way_is_saved_when_the_server_stops() {
    for round in 0..8 {
        let mut site = Site::over(Transport::Memory, |_| {});
        let rooms: Vec<String> = (0..12).map(|n| format!("short/{n}")).collect();
        for room in &rooms {
            let client = site.join(room).await;
            press(&client);
            counts(&client, 1).await;
            site.migrate(room, (round + 1) % 4);
            site.migrate(room, round % 4);
        }
        site.stop().await;
        site.start();
        for room in &rooms {
            counts(&site.join(room).await, 1).await;
        }
    }
}

#[tokio::test]
async fn a_heavy_room_goes_to_a_thread_apart() {
    let site = Site::over(Transport::Memory, |config| config.host_threads = 1);
    let (light, heavy) = (site.join("runner/light").await, site.join("runner/heavy").await);
    press(&light);
    counts(&light, 1).await;
    assert_eq!(post(&site, "runner/heavy/call/12").await, 200);
    let metrics = site.metrics();
    until(|| metrics.migrations.get() == 1).await;
    press(&heavy);
    counts(&heavy, 1).await;
    press(&light);
    counts(&light, 2).await;
    assert_eq!(metrics.gone.get(), 0);
}

#[tokio::test]
async fn a_room_whose_ticks_are_too_long_is_slowed_until_they_are_not() {
    let site = Site::over(Transport::Memory, |_| {});
    let (ann, metrics) = (site.join("runner/a").await, site.metrics());
    assert_eq!(post(&site, "runner/a/call/60").await, 200);
    until(|| metrics.rooms_slowed.get() == 1).await;
    // It keeps its slower pace, and leaves no tick out.
    let (slips, ticks) = (metrics.slips.get(), metrics.ticks.get());
    until(|| metrics.ticks.get() >= ticks + 30).await;
    let slipped = metrics.slips.get() - slips;
    assert!(slipped < 3, "as it was, it would leave out 6 of 30: {slipped}");
    press(&ann);
    counts(&ann, 1).await;
    assert_eq!(post(&site, "runner/a/call/0").await, 200);
    until(|| metrics.rooms_slowed.get() == 0).await;
    press(&ann);
    counts(&ann, 2).await;
    assert_eq!(metrics.gone.get(), 0);
}

/// Their ticks take four times the time that one thread has, and are too short to go apart.
#[tokio::test]
async fn a_thread_with_too_much_to_do_sends_less_until_it_has_not() {
    let site = Site::over(Transport::Memory, |config| config.host_threads = 1);
    let mut clients = vec![];
    for n in 0..64 {
        clients.push(site.join(&format!("crowded/{n}")).await);
    }
    let metrics = site.metrics();
    assert_eq!(metrics.ticks_paced.get(), 0);
    CROWDED_MS.store(3, Ordering::SeqCst);
    until(|| metrics.threads_paced.get() > 0 && metrics.ticks_paced.get() > 0).await;
    // What happens is seen all the same.
    press(&clients[0]);
    counts(&clients[0], 1).await;
    CROWDED_MS.store(0, Ordering::SeqCst);
    until(|| metrics.threads_paced.get() == 0).await;
    // A client that hears nothing for half a second comes by a second connection. The server lets nobody go.
    let let_go = [Code::Silent, Code::SlowReader, Code::Busy].map(|code| metrics.ends(code));
    assert_eq!((let_go, metrics.entries("leave")), ([0; 3], 0));
    until(|| metrics.players.get() == 64).await;
    assert!(clients.iter().all(is_open));
}

/// All rooms are on one thread. A gated, a logged and a turn-based one go on where they were.
#[tokio::test]
async fn an_endless_loop_ends_its_own_room_and_no_other() {
    let mut site = Site::over(Transport::WebSocket, |config| {
        (config.host_threads, config.turn_max_ms) = (1, 500);
    });
    let ann = site.join("count/a").await;
    let bob = site.join("runner/a").await;
    let cat = site.join("keeper/a").await;
    let eve = site.join("spinner/a").await;
    press(&ann);
    press(&bob);
    counts(&ann, 1).await;
    counts(&bob, 1).await;
    SPINS.store(true, Ordering::SeqCst);
    press(&eve);
    let metrics = site.metrics();
    until(|| metrics.threads_given_up.get() == 1).await;
    assert_eq!(site.refused("spinner/a", Options::default()).await, Code::Unreadable);
    press(&ann);
    press(&bob);
    counts(&ann, 2).await;
    counts(&bob, 2).await;
    soon(cat.wait_until(|session| session.status() == Status::Open)).await.unwrap();
    // The loop ends after all: what its thread does then counts for nothing.
    SPINS.store(false, Ordering::SeqCst);
    until(|| metrics.rooms.get() == 3).await;
    // Nor does it go on counting those who were on it.
    until(|| (metrics.connections(), metrics.players.get()) == (3, 3)).await;
    press(&ann);
    press(&bob);
    counts(&ann, 3).await;
    counts(&bob, 3).await;
    assert_eq!(metrics.threads_given_up.get(), 1);
    tokio::time::timeout(Duration::from_secs(10), site.stop()).await.expect("it stops");
    site.start();
    let (ann, bob) = (site.join("count/a").await, site.join("runner/a").await);
    counts(&ann, 3).await;
    counts(&bob, 3).await;
}

/// A thread that never comes back does not keep the server from stopping.
#[tokio::test]
async fn a_server_with_an_endless_loop_stops() {
    let mut site = Site::over(Transport::Memory, |config| {
        (config.host_threads, config.turn_max_ms) = (1, 500);
    });
    let eve = site.join("spinner_for_ever/a").await;
    press(&eve);
    let metrics = site.metrics();
    until(|| metrics.threads_given_up.get() == 1).await;
    let ann = site.join("count/a").await;
    press(&ann);
    counts(&ann, 1).await;
    tokio::time::timeout(Duration::from_secs(10), site.stop()).await.expect("it stops");
}
