//! Who holds a seat, and who does not.

use referee_client_tokio::{Code, Options, Seat, Status, Value};
use referee_protocol::frame::{ActionFrame, Payload};

use super::site;
use crate::site::{back, counts, end, named, press, soon, token};

#[tokio::test]
async fn a_full_room_refuses() {
    let site = site(|_| {});
    let first = site.join("single/a").await;
    assert_eq!(site.refused("single/a", Options::default()).await, Code::Full);
    soon(first.leave()).await;
    site.join("single/a").await;
}

#[tokio::test]
async fn one_who_watches_acts_for_nobody() {
    let site = site(|_| {});
    let player = site.join("count/a").await;
    let watching = Options { watch: true, ..Options::default() };
    let watcher = site.join_as("count/a", watching).await;
    assert_eq!(watcher.with(|session| session.seat()), None);
    assert!(watcher.send_action("Press", &Value::Null).is_err(), "the client says so itself");

    // One that tries all the same.
    let mut raw = site.raw("count/a").await;
    let hello = referee_protocol::message::Hello {
        versions: vec![1],
        watch: true,
        ..referee_protocol::message::Hello::default()
    };
    soon(raw.send(&crate::site::said(named("count/a", hello)))).await.unwrap();
    assert_eq!(crate::site::welcome(&mut raw).await.seat, None);
    let press_it = ActionFrame { number: 1, payload: Payload { kind: 0, bits: vec![].into() } };
    soon(raw.send(&press_it.encode())).await.unwrap();
    let metrics = site.metrics();
    crate::site::until(|| metrics.unseated.get() == 1).await;

    press(&player);
    counts(&player, 1).await;
    counts(&watcher, 1).await;
}

#[tokio::test]
async fn a_lost_connection_comes_back_to_its_seat_and_acts_once() {
    let site = site(|_| {});
    let player = site.join("count/a").await;
    let seat = player.with(|session| session.seat());
    for round in 0..5 {
        for _ in 0..10 {
            press(&player);
        }
        player.cut();
        counts(&player, (round + 1) * 10).await;
    }
    assert_eq!(player.with(|session| session.seat()), seat);
}

#[tokio::test]
async fn the_newer_connection_with_a_token_wins_and_the_older_stays_away() {
    let site = site(|_| {});
    let older = site.join("count/a").await;
    let newer = site.join_as("count/a", back(&older)).await;
    let reason = soon(older.wait_until(|session| session.status() == Status::Closed)).await;
    let code = match reason {
        Ok(()) => older.with(|session| session.reason().unwrap().code),
        Err(reason) => reason.code,
    };
    assert_eq!(code, Some(Code::Replaced));
    assert_eq!(newer.with(|session| session.seat()), Some(Seat(0)));
    press(&newer);
    counts(&newer, 1).await;
}

#[tokio::test]
async fn a_token_is_good_for_its_own_room_and_seat_only() {
    let site = site(|_| {});
    let here = site.join("count/a").await;
    let there = site.join("count/b").await;
    let stranger = site.join_as("count/b", back(&here)).await;
    assert_eq!(stranger.with(|session| session.seat()), Some(Seat(1)));
    // Whoever left is somebody new.
    let old = back(&there);
    soon(there.leave()).await;
    let newcomer = site.join_as("count/b", old.clone()).await;
    assert_eq!(newcomer.with(|session| session.seat()), Some(Seat(0)));
    assert_ne!(token(&newcomer), old.token);
}

#[tokio::test]
async fn who_is_let_go_is_told_why() {
    let site = site(|config| {
        config.messages_burst = 10;
        config.messages_per_second = 1;
    });
    let player = site.join("ticker/a").await;
    let (mut raw, _) = site.raw_in("ticker/a").await;
    let ping = referee_protocol::message::ClientControl::Ping { nonce: 1 };
    let ping = referee_protocol::message::encode(&ping);
    let metrics = site.metrics();
    while metrics.ends(Code::TooMany) == 0 {
        // It may be let go while it still talks.
        if soon(raw.send(&ping)).await.is_err() {
            break;
        }
    }
    assert_eq!(end(&mut raw).await.code, Code::TooMany);
    let before = player.with(|session| session.tick());
    soon(player.wait_until(|session| session.tick().0 > before.0 + 3)).await.unwrap();
}
