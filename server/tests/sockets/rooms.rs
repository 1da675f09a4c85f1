//! Rooms coming up, going away and coming back.

use referee_client_tokio::{Client, Code, Options, Seat, Status, Value};

use referee_protocol::Refusal;
use referee_protocol::message::Hello;

use referee_server::store::JournalKeep;
use referee_server::tools;

use super::{brief, site};
use crate::games::recount;
use crate::site::{
    Site, all_games, back, counts, end, end_code, hello_to, named, press, said, soon, until,
};

#[tokio::test(flavor = "multi_thread")]
async fn first_visitors_at_once_land_in_one_room() {
    let site = site(|_| {});
    for round in 0..5 {
        let path = format!("count/r{round}");
        let joins: Vec<_> = (0..20)
            .map(|_| {
                let joining = site.joining(&path, Options::default());
                tokio::spawn(joining)
            })
            .collect();
        let mut clients = vec![];
        for join in joins {
            clients.push(soon(join).await.unwrap().unwrap());
        }
        for client in &clients {
            press(client);
        }
        for client in &clients {
            counts(client, 20).await;
        }
    }
    assert_eq!(site.metrics().rooms_made.get(), 5);
}

#[tokio::test]
async fn a_room_goes_away_and_comes_back_where_it_was() {
    let site = brief();
    let player = site.join("count/a").await;
    press(&player);
    counts(&player, 1).await;
    soon(player.leave()).await;
    site.empty().await;
    let player = site.join("count/a").await;
    counts(&player, 1).await;
    assert_eq!(site.metrics().rooms_loaded.get(), 1);
}

#[tokio::test]
async fn a_room_in_which_nothing_happened_leaves_nothing() {
    let mut site = brief();
    let player = site.join("count/a").await;
    soon(player.leave()).await;
    site.http("GET", "count/b/call").await;
    site.empty().await;
    site.stop().await;
    site.start();
    site.join("count/a").await;
    assert_eq!(site.http("GET", "count/b/call").await, (200, "0".into()));
    let metrics = site.metrics();
    assert_eq!((metrics.rooms_made.get(), metrics.rooms_loaded.get()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_and_nothing_is_lost_between_going_away_and_coming_back() {
    let site = site(|config| config.room_grace_ms = 0);
    for count in 1..=60 {
        let player = site.join("count/a").await;
        counts(&player, count - 1).await;
        press(&player);
        counts(&player, count).await;
        // Gone without a word: the next one comes while the room is being saved, or after.
        drop(player);
        if count % 4 == 0 {
            site.empty().await;
        }
    }
    assert!(site.metrics().rooms_loaded.get() >= 14, "each of these times it was loaded again");
}

#[tokio::test]
async fn a_restart_keeps_rooms_and_seats() {
    let mut site = site(|_| {});
    let first = site.join("count/a").await;
    let second = site.join("count/a").await;
    for _ in 0..3 {
        press(&first);
    }
    counts(&second, 3).await;
    let (mut raw, _) = site.raw_in("count/b").await;
    let mut silent = site.raw("count/c").await;
    // Who is still on the way to the door is told nothing.
    let metrics = site.metrics();
    until(|| metrics.hellos_waiting.get() == 1).await;
    site.stop().await;
    assert_eq!(end(&mut raw).await.code, Code::GoingDown);
    assert_eq!(end_code(&mut silent).await, Some(Code::GoingDown));
    soon(first.wait_until(|session| session.status() == Status::Reconnecting)).await.unwrap();

    // Where they can, they come back by themselves, and take the places of those that come instead.
    let tokens = [back(&first), back(&second)];
    drop((first, second));
    site.start();
    let [first, second] = tokens;
    let again = site.join_as("count/a", second).await;
    assert_eq!(again.with(|session| session.seat()), Some(Seat(1)));
    counts(&again, 3).await;
    let first = site.join_as("count/a", first).await;
    assert_eq!(first.with(|session| session.seat()), Some(Seat(0)));
    press(&first);
    counts(&again, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_come_back_by_themselves_after_a_restart() {
    let mut site = site(|_| {});
    let players = [site.join("count/a").await, site.join("count/a").await];
    press(&players[0]);
    counts(&players[1], 1).await;
    let port = site.port();
    site.stop().await;
    // Said while there is no server, it is done once there is one.
    press(&players[1]);
    site.start_at(port).await;
    for (seat, player) in players.iter().enumerate() {
        counts(player, 2).await;
        assert_eq!(player.with(|session| session.seat()), Some(Seat(seat as u16)));
    }
    press(&players[0]);
    counts(&players[1], 3).await;
}

#[tokio::test]
async fn an_ended_match_shows_its_result_and_the_next_visit_starts_afresh() {
    let site = brief();
    let player = site.join("count/a").await;
    press(&player);
    player.send_action("Finish", &Value::Null).unwrap();
    soon(player.wait_until(|session| session.result() == Some("1"))).await.unwrap();
    let late = site.join("count/a").await;
    assert_eq!(late.with(|session| session.result().map(str::to_owned)), Some("1".into()));
    soon(late.leave()).await;
    soon(player.leave()).await;
    site.empty().await;
    let player = site.join("count/a").await;
    counts(&player, 0).await;
    assert_eq!(site.metrics().rooms_loaded.get(), 0);
}

async fn ends(player: Client) {
    player.send_action("Finish", &Value::Null).unwrap();
    soon(player.wait_until(|session| session.result().is_some())).await.unwrap();
    soon(player.leave()).await;
}

#[tokio::test]
async fn the_next_match_begins_with_what_the_one_before_kept() {
    let mut site = brief();
    let player = site.join("keeper/a").await;
    press(&player);
    press(&player);
    counts(&player, 2).await;
    ends(player).await;
    site.empty().await;
    let player = site.join("keeper/a").await;
    counts(&player, 2).await;
    assert_eq!(player.with(|session| session.result().map(str::to_owned)), None, "a new match");
    // Nothing happens in it: what there was is still there for the next one.
    soon(player.leave()).await;
    site.empty().await;
    soon(site.stop()).await;
    let left = tools::inspect(&all_games(), &site.config, "keeper/a", None).unwrap();
    assert_eq!(left.split_whitespace().collect::<String>(), "{\"storage\":{\"pressed\":2}}");
    let error = tools::replay(&all_games(), &site.config, "keeper/a").unwrap_err().to_string();
    assert!(error.contains("keeper/a has ended"), "{error}");

    site.start();
    let player = site.join("keeper/a").await;
    counts(&player, 2).await;
    press(&player);
    counts(&player, 3).await;
    soon(site.stop()).await;
    let state = tools::inspect(&all_games(), &site.config, "keeper/a", None).unwrap();
    assert!(state.contains("\"pressed\": 3"), "{state}");
    // Where it can, it comes back by itself, and takes the place of the one that comes instead.
    let token = back(&player);
    drop(player);
    site.start();
    let player = site.join_as("keeper/a", token).await;
    counts(&player, 3).await;
    ends(player).await;
    site.empty().await;
    counts(&site.join("keeper/a").await, 3).await;
}

#[tokio::test]
async fn requests_bring_a_room_up_and_count_with_those_who_play() {
    let site = brief();
    assert_eq!(site.http("POST", "count/a/call").await, (200, "1".into()));
    let player = site.join("count/a").await;
    counts(&player, 1).await;
    assert_eq!(site.http("POST", "count/a/call").await, (200, "2".into()));
    counts(&player, 2).await;
    press(&player);
    counts(&player, 3).await;
    drop(player);
    site.empty().await;
    assert_eq!(site.http("GET", "count/a/call").await, (200, "3".into()));
    site.empty().await;
}

#[tokio::test]
async fn a_panic_takes_a_room_back_one_tick_a_second_ends_it_and_nobody_else_is_harmed() {
    // One thread: the room that fails and the one that does not are neighbours.
    let site = site(|config| {
        config.room_grace_ms = 50;
        config.host_threads = 1;
    });
    let neighbour = site.join("count/a").await;
    let player = site.join("bomb/a").await;
    press(&player);
    counts(&player, 1).await;
    soon(player.leave()).await;
    let metrics = site.metrics();
    until(|| metrics.rooms.get() == 1).await;

    let (mut raw, _) = site.raw_in("bomb/a").await;
    let player = site.join("bomb/a").await;
    counts(&player, 1).await;
    press(&player);
    counts(&player, 2).await;
    player.send_action("Finish", &Value::Null).unwrap();
    assert_eq!(end(&mut raw).await.code, Code::Stopped);
    // The match goes on where it was, without what broke it, which is not tried again.
    press(&player);
    counts(&player, 3).await;

    let (mut raw, _) = site.raw_in("bomb/a").await;
    player.send_action("Finish", &Value::Null).unwrap();
    assert_eq!(end(&mut raw).await.code, Code::Failed);
    drop(player);
    press(&neighbour);
    counts(&neighbour, 1).await;
    assert_eq!(metrics.rooms_failed.get(), 2);
    // Nothing of what was seen is lost: the room is back as it was then.
    until(|| metrics.rooms.get() == 1).await;
    let player = site.join("bomb/a").await;
    counts(&player, 3).await;
}

#[tokio::test]
async fn a_game_that_panics_as_it_is_saved_loses_nothing_and_lets_the_server_end() {
    let mut site = site(|_| {});
    let player = site.join("stubborn/a").await;
    press(&player);
    counts(&player, 1).await;
    let back = back(&player);
    drop(player);
    soon(site.stop()).await;
    site.start();
    let again = site.join_as("stubborn/a", back).await;
    counts(&again, 1).await;
}

#[tokio::test]
async fn a_match_that_is_kept_whole_is_played_again_over_a_panic_and_a_crash() {
    let mut site = site(|config| {
        config.store.journal_keep = JournalKeep::Match;
        config.save_every_ms = 1;
    });
    let player = site.join("stubborn/a").await;
    let counted = async |player: &Client, range: std::ops::RangeInclusive<i128>| {
        for count in range {
            press(player);
            counts(player, count).await;
        }
    };
    counted(&player, 1..=50).await;
    player.send_action("Finish", &Value::Null).unwrap();
    counted(&player, 51..=100).await;
    let options = back(&player);
    drop(player);
    // It panics as it is saved: the next start has to make it from its journal.
    soon(site.stop()).await;
    site.start();
    let player = site.join_as("stubborn/a", options).await;
    counted(&player, 101..=150).await;
    drop(player);
    soon(site.stop()).await;
    let replay = tools::replay(&all_games(), &site.config, "stubborn/a").unwrap();
    assert!(replay.starts_with("stubborn/a: ticks 0 to "), "{replay}");
    let state = tools::inspect(&all_games(), &site.config, "stubborn/a", None).unwrap();
    assert!(state.contains("\"Count\": 150"), "{state}");
}

/// Why a room is not made with these params.
async fn unmade(site: &Site, path: &str, params: &str) -> Refusal {
    let mut raw = site.raw(path).await;
    let params = Some(params.to_owned());
    let hello = Hello { versions: vec![1], params, ..Hello::default() };
    soon(raw.send(&said(named(path, hello)))).await.unwrap();
    end(&mut raw).await
}

#[tokio::test]
async fn a_room_that_cannot_be_made_says_why_and_the_next_try_is_free() {
    let site = site(|_| {});
    assert_eq!(unmade(&site, "bomb/a", "{\"bad\":1}").await.code, Code::Failed);
    let refusal = unmade(&site, "bomb/a", "{\"odd\":7}").await;
    assert_eq!((refusal.code, refusal.message.as_str()), (Code::BadParams, "7 is odd"));
    site.join("bomb/a").await;
}

#[tokio::test]
async fn a_stored_room_that_cannot_be_read_is_left_as_it_is() {
    let mut site = brief();
    let player = site.join("count/a").await;
    press(&player);
    counts(&player, 1).await;
    site.stop().await;

    site.start_with(recount);
    assert_eq!(unmade(&site, "count/a", "").await.code, Code::Unreadable);
    let (status, body) = site.http("GET", "count/a/call").await;
    assert!(status >= 500 && body.contains("unreadable"), "{status} {body}");
    site.join("count/b").await;
    site.join("single/b").await;
    site.stop().await;

    // Or else both come back, and one takes the other's place.
    let token = back(&player);
    drop(player);
    site.start();
    let player = site.join_as("count/a", token).await;
    counts(&player, 1).await;
}

#[tokio::test]
async fn public_rooms_are_listed_while_they_are_there() {
    let site = brief();
    let public = Options { params: Some("{\"public\":true}".into()), ..Options::default() };
    let player = site.join_as("count/open", public).await;
    let _hidden = site.join("count/hidden").await;
    let (_, body) = site.http("GET", "api/rooms").await;
    assert!(body.contains("\"open\"") && !body.contains("hidden"), "{body}");
    soon(player.leave()).await;
    let metrics = site.metrics();
    until(|| metrics.rooms.get() == 1).await;
    let (_, body) = site.http("GET", "api/rooms").await;
    assert!(!body.contains("\"open\""), "{body}");
}

#[tokio::test]
async fn rooms_have_limits() {
    let small = site(|config| config.rooms_max = 2);
    let _held = (small.join("count/a").await, small.join("count/b").await);
    let mut raw = small.raw("count/c").await;
    soon(raw.send(&hello_to("count/c"))).await.unwrap();
    let refusal = end(&mut raw).await;
    assert_eq!(refusal.code, Code::Busy);
    assert!(refusal.retry_after_ms.is_some());
    small.join("count/a").await;

    let site = site(|config| {
        config.new_rooms_burst = 2;
        config.new_rooms_per_second = 1;
    });
    let _held = (site.join("count/a").await, site.join("count/b").await);
    let (status, body) = site.http("GET", "count/c/call").await;
    assert!(status >= 400 && body.contains("room_rate"), "{status} {body}");
    site.join("count/a").await;
}
