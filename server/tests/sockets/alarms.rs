//! Alarms of rooms that nobody is in: while the server runs, over a planned stop, and over a crash.

use std::time::{SystemTime, UNIX_EPOCH};

use referee_client_tokio::Client;

use crate::kills::Process;
use crate::site::{Site, counts, request, soon, until};

/// With a short grace for rooms.
fn brief() -> Site {
    Site::new(|config| config.room_grace_ms = 50)
}

async fn call(site: &Site, path: &str) -> String {
    let (status, body) = site.http("POST", path).await;
    assert_eq!(status, 200, "{body}");
    body
}

async fn past(unix_ms: u128) {
    until(|| now() > unix_ms).await;
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

#[tokio::test]
async fn a_room_that_nobody_is_in_is_woken_and_goes_to_sleep_again() {
    for game in ["reminder", "sure_reminder", "live_reminder"] {
        let site = brief();
        let metrics = site.metrics();
        call(&site, &format!("{game}/a/call/3000")).await;
        call(&site, &format!("{game}/a/call/3000")).await;
        site.empty().await;
        assert_eq!((metrics.rooms_woken.get(), metrics.alarms.get()), (0, 0), "{game}");
        until(|| metrics.alarms.get() == 2).await;
        site.empty().await;
        assert_eq!(metrics.rooms_woken.get(), 1, "{game}");
        assert_eq!(call(&site, &format!("{game}/a/call")).await, "2");
        assert_eq!(metrics.alarms.get(), 2, "once each");
    }
}

#[tokio::test]
async fn a_room_that_somebody_is_in_sees_to_its_own_alarms() {
    let site = brief();
    let player: Client = site.join("reminder/a").await;
    call(&site, "reminder/a/call/200").await;
    counts(&player, 1).await;
    assert_eq!(site.metrics().rooms_woken.get(), 0);
    assert_eq!(site.metrics().entries("alarm"), 1);
    // It is saved with what it waits for; then another one is set that is due before that.
    call(&site, "reminder/a/call/3600000").await;
    soon(player.leave()).await;
    site.empty().await;
    call(&site, "reminder/a/call/1500").await;
    site.empty().await;
    until(|| site.metrics().alarms.get() == 2).await;
}

#[tokio::test]
async fn what_came_due_while_there_was_no_server_is_due_at_its_start_a_bounded_number_of_rooms_at_once()
 {
    let mut site = brief();
    for room in 0..150 {
        call(&site, &format!("reminder/r{room}/call/4000")).await;
    }
    let (all_due, before) = (now() + 4_000, site.metrics());
    soon(site.stop()).await;
    past(all_due).await;
    site.start();
    let metrics = site.metrics();
    // A slow machine may have come to some of them before.
    let left = 150 - before.alarms.get();
    let mut most = 0;
    until(|| {
        most = most.max(metrics.rooms.get());
        metrics.alarms.get() == left
    })
    .await;
    assert!((1..=64).contains(&most), "{most} rooms at once");
    site.empty().await;
    assert_eq!(metrics.rooms_woken.get(), left);
    assert_eq!(call(&site, "reminder/r77/call").await, "1");
}

#[tokio::test]
async fn the_end_that_an_alarm_brings_is_there_to_be_seen() {
    let site = brief();
    call(&site, "reminder/a/call/end/3000").await;
    site.empty().await;
    until(|| site.metrics().alarms.get() == 1).await;
    site.empty().await;
    let player = site.join("reminder/a").await;
    soon(player.wait_until(|session| session.result() == Some("\"time is up\""))).await.unwrap();
}

#[tokio::test]
async fn an_alarm_that_breaks_its_game_does_so_once() {
    let site = brief();
    call(&site, "reminder/a/call/bomb/1500").await;
    call(&site, "reminder/a/call/2500").await;
    site.empty().await;
    let metrics = site.metrics();
    until(|| metrics.rooms_failed.get() == 1).await;
    site.empty().await;
    until(|| metrics.alarms.get() >= 2).await;
    site.empty().await;
    assert_eq!(call(&site, "reminder/a/call").await, "1", "the other one came");
    assert_eq!(metrics.rooms_failed.get(), 1);
}

async fn sample(process: &Process, name: &str) -> Option<String> {
    let url = format!("127.0.0.1:{}", process.port());
    let text = request(&url, "GET", "metrics").await.1;
    text.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_after_the_last_snapshot_is_due_after_a_kill() {
    let data = std::env::temp_dir().join(format!("referee-alarms-{}", std::process::id()));
    let first = Process::start(0, &data);
    let url = format!("127.0.0.1:{}", first.port());
    let (status, _) = request(&url, "POST", "sure_reminder/a/call/3000").await;
    assert_eq!(status, 200, "it is answered, and so on disk");
    let due = now() + 3_000;
    drop(first);
    past(due).await;
    let second = Process::start(0, &data);
    let rung =
        async { while sample(&second, "referee_alarms_total").await.as_deref() != Some("1") {} };
    soon(rung).await;
    let url = format!("127.0.0.1:{}", second.port());
    assert_eq!(request(&url, "GET", "sure_reminder/a/call").await, (200, "1".to_owned()));
    drop(second);
    let _ = std::fs::remove_dir_all(&data);
}
