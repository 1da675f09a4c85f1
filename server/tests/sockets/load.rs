//! Clients that read slowly, say too little, or too much, while others play.

use std::time::Duration;

use referee_client_tokio::{Client, Code, Received};
use referee_protocol::frame::Ack;
use referee_protocol::limits::{EVENTS_KEPT_MAX_BYTES, LINK_SILENCE_MAX_MS};
use referee_protocol::message::{self, ClientControl};

use super::site;
use crate::site::{counts, end, press, soon, until};

/// The client sees the room go on.
async fn goes_on(client: &Client) {
    let before = client.with(|session| session.tick());
    soon(client.wait_until(|session| session.tick().0 > before.0 + 10)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_acknowledges_nothing_is_let_go_while_others_play() {
    let site = site(|_| {});
    let player = site.join("flood/a").await;
    let (mut raw, _) = site.raw_in("flood/a").await;
    let ping = message::encode(&ClientControl::Ping { nonce: 1 });
    let metrics = site.metrics();
    // Not silent: only reading is what it does not do.
    while metrics.ends(Code::SlowReader) == 0 {
        let _ = soon(raw.send(&ping)).await;
        goes_on(&player).await;
    }
    assert_eq!(end(&mut raw).await.code, Code::SlowReader);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_claims_to_read_and_does_not_is_sent_no_state_and_let_go() {
    let site = site(|_| {});
    let player = site.join("flood/a").await;
    let (mut raw, _) = site.raw_in("flood/a").await;
    let metrics = site.metrics();
    let (mut frames, before) = (0, metrics.ticks.get());
    while metrics.ends(Code::SlowReader) == 0 {
        frames += 4;
        // It may be let go while it lies.
        if soon(raw.send(&Ack { frames, event: 0 }.encode())).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    until(|| metrics.ends(Code::SlowReader) == 1).await;
    // Most states of the time in which it lied, as many as those were: a busy machine has fewer ticks.
    let (skips, ticks) = (metrics.skips.get(), metrics.ticks.get() - before);
    assert!(skips * 2 > ticks, "what the network does not take is not made: {skips} of {ticks}");
    goes_on(&player).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_events_unacknowledged_is_let_go_at_a_bound() {
    let site = site(|_| {});
    let (mut raw, _) = site.raw_in("teller/a").await;
    // It reads; what it does not say is that it did.
    let refusal = end(&mut raw).await;
    assert_eq!(refusal.code, Code::SlowReader);
    let most = EVENTS_KEPT_MAX_BYTES as u64 + 64 * 1024;
    let sent = site.metrics().bytes_out.get();
    assert!(sent < most, "{sent} bytes were sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_lost_waits_up_to_a_bound_in_bytes_and_then_the_client_is_let_go() {
    let site = site(|config| config.send_queue_max_bytes = 4 << 20);
    let (mut raw, _) = site.raw_in("teller/a").await;
    let metrics = site.metrics();
    // It says that it took all of it, and takes nothing.
    let mut event = 0;
    while metrics.ends(Code::SlowReader) == 0 {
        event += 10;
        if soon(raw.send(&Ack { frames: event, event }.encode())).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    until(|| metrics.ends(Code::SlowReader) == 1).await;
    let refusal = end(&mut raw).await;
    assert!(refusal.message.contains("at most 4194304 may"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_sleeps_is_kept_while_its_connection_lives() {
    let site = site(|_| {});
    let (mut raw, _) = site.raw_in("count/a").await;
    // It reads, so its library answers pings; it says nothing itself, for longer than silence may last.
    let patience = Duration::from_millis(LINK_SILENCE_MAX_MS + 1_500);
    let heard = tokio::time::timeout(patience, end(&mut raw)).await;
    assert!(heard.is_err(), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_that_never_say_hello_hinder_nobody() {
    let site = site(|_| {});
    let player = site.join("count/a").await;
    let mut crowd = vec![];
    for _ in 0..1000 {
        crowd.push(site.raw("count/a").await);
    }
    let metrics = site.metrics();
    until(|| metrics.hellos_waiting.get() > 0).await;
    for count in 1..=50 {
        press(&player);
        counts(&player, count).await;
    }
    site.join("count/b").await;
    // Each is let go, in time and with a reason.
    let last = crowd.last_mut().unwrap();
    assert_eq!(end(last).await.code, Code::HelloTimeout);
    drop(crowd);
    until(|| metrics.hellos_waiting.get() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_realtime_room_keeps_its_pace() {
    let site = site(|_| {});
    let player = site.join("ticker/a").await;
    let begun = (tokio::time::Instant::now(), player.with(|session| session.tick()));
    soon(player.wait_until(|session| session.tick().0 >= begun.1.0 + 50)).await.unwrap();
    let took = begun.0.elapsed();
    assert!(took > Duration::from_millis(900), "50 ticks at 50 Hz took only {took:?}");
    // A client that only reads is sent state all the time, also when nothing changed.
    let (mut raw, _) = site.raw_in("ticker/a").await;
    for _ in 0..3 {
        assert!(matches!(soon(raw.receive()).await, Ok(Received::Frame(_))));
    }
}
