//! Whole runs.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use referee_client::bot::Value;
use referee_loadtest::{Bot, Check, LoadError, Plan, Say, Transport, judge, run_plan};

use referee_server::config::Config;

use crate::site::{Site, eight, is_good};

fn the_counters_bots_play(transport: Transport) {
    let site = Site::new();
    let report = run_plan(Plan { transport, ..eight(&site.url(), "counter") }).unwrap();
    is_good(&report);
    assert_eq!(report.decoding, 1, "one of eight is checked, the others play blind");
    assert!(report.states_checked > 0, "{report:#?}");
    assert_eq!(report.tick_ms, None);
    let asserted = "p99=10s,drops=0,missing=0".split(',').map(|part| part.parse().unwrap());
    assert_eq!(judge(&asserted.collect::<Vec<_>>(), &report).failed, [""; 0]);
}

#[test]
fn the_counters_bots_play_over_websocket_without_drops_or_wrong_states() {
    the_counters_bots_play(Transport::Ws);
}

#[test]
fn the_counters_bots_play_over_quic_without_drops_or_wrong_states() {
    the_counters_bots_play(Transport::Quic);
}

#[test]
fn tic_tac_toes_bots_play_one_round_after_another_over_both() {
    let site = Site::new();
    let plan = eight(&site.url(), "tic-tac-toe");
    let report = run_plan(Plan { check: Check::All, transport: Transport::Mix, ..plan }).unwrap();
    is_good(&report);
    assert_eq!(report.decoding, 8);
    // Both players of a room move in turn: more moves than one round has.
    assert!(report.latency_ms.count > 4 * 9, "{report:#?}");
    assert!(report.states_checked > 4 * 9, "{report:#?}");
}

#[test]
fn the_cards_bots_play_whole_rounds() {
    let site = Site::new();
    let duration = Duration::from_secs(4);
    let plan = Plan { duration, check: Check::All, ..eight(&site.url(), "cards") };
    let report = run_plan(plan).unwrap();
    is_good(&report);
    // Only whoever is on turn acts: a round takes some twenty turns of two.
    assert!(report.latency_ms.count > 4 * 40, "{report:#?}");
}

fn the_arenas_bots_play(transport: Transport) {
    let site = Site::new();
    let plan = Plan { transport, hz: None, ..eight(&site.url(), "arena") };
    let report = run_plan(plan).unwrap();
    is_good(&report);
    assert!(report.tick_ms.is_some() && report.jitter_ms.count > 0, "{report:#?}");
    assert!(report.states_checked > 10, "{report:#?}");
}

#[test]
fn the_arenas_bots_play_over_websocket_without_drops_or_wrong_states() {
    the_arenas_bots_play(Transport::Ws);
}

#[test]
fn the_arenas_bots_play_over_quic_without_drops_or_wrong_states() {
    the_arenas_bots_play(Transport::Quic);
}

/// The README's block that makes a bot.
fn readmes_bot() -> &'static str {
    let readme = include_str!("../../../README.md");
    let blocks = readme.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.into_iter().find(|block| block.contains("impl Bot")).expect("the README has a bot")
}

#[test]
fn the_readmes_bot_plays_the_arena() {
    assert!(include_str!("homer.rs").contains(readmes_bot()), "homer.rs is not what README.md has");
    let site = Site::new();
    let bot = Plan::new("arena", crate::homer::bot).bot;
    let report = run_plan(Plan { bot, hz: None, ..eight(&site.url(), "arena") }).unwrap();
    is_good(&report);
    let refused = report.notes.iter().find(|note| note.contains("does not take"));
    assert_eq!(refused, None, "{report:#?}");
}

/// A bot that knows what to do three times.
struct Fragile(u32);

impl Bot for Fragile {
    fn play(&mut self, _: &referee_client::Session) -> Option<Say> {
        self.0 = self.0.checked_sub(1).expect("the bot knows what to do");
        None
    }
}

#[test]
fn a_bot_that_panics_ends_the_run_without_a_report() {
    let site = Site::new();
    let bot = Plan::new("counter", |seed| Fragile(if seed % 2 == 0 { 3 } else { u32::MAX })).bot;
    let duration = Duration::from_secs(60);
    let begun = Instant::now();
    let error = run_plan(Plan { bot, duration, ..eight(&site.url(), "counter") }).unwrap_err();
    assert!(matches!(error, LoadError::Panicked(1..)), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// A bot that never lets go of its stick.
struct Holder;

impl Bot for Holder {
    fn play(&mut self, _: &referee_client::Session) -> Option<Say> {
        let stick =
            [("x", 1.0.into()), ("y", 0.0.into()), ("aim", 0.0.into()), ("fire", false.into())];
        Some(Say::Input("Stick", Value::record(stick)))
    }
}

#[test]
fn an_input_that_is_held_has_no_latency() {
    let site = Site::new();
    let bot = Plan::new("arena", |_| Holder).bot;
    let report = run_plan(Plan { bot, ..eight(&site.url(), "arena") }).unwrap();
    assert!(report.inputs_held > report.latency_ms.count, "{report:#?}");
    assert_eq!((report.unanswered, report.drops), (0, 0), "{report:#?}");
}

fn bots_come_back(transport: Transport) {
    let mut site = Site::new();
    for game in ["counter", "tic-tac-toe"] {
        let duration = Duration::from_secs(4);
        let plan = Plan { duration, transport, ..eight(&site.url(), game) };
        let running = std::thread::spawn(move || run_plan(plan));
        std::thread::sleep(Duration::from_millis(1_500));
        site.restart();
        let report = running.join().unwrap().unwrap();
        assert_eq!((report.drops, report.resumes, report.seats_lost), (8, 8, 0), "{report:#?}");
        assert_eq!((report.wrong, report.unanswered), (0, 0), "{report:#?}");
    }
}

#[test]
fn bots_come_back_by_themselves_when_the_server_is_restarted() {
    bots_come_back(Transport::Ws);
}

#[test]
fn bots_come_back_over_quic_when_the_server_is_restarted() {
    bots_come_back(Transport::Quic);
}

#[test]
fn bots_that_only_watch_are_not_counted_as_in() {
    let site = Site::new();
    let plan = Plan { players: 3, ..eight(&site.url(), "tic-tac-toe") };
    let report = run_plan(plan).unwrap();
    assert_eq!((report.joined, report.watching, report.seats_lost), (8, 4, 0), "{report:#?}");
    assert!(report.notes.iter().any(|note| note.contains("4 bots only watch")), "{report:#?}");
    assert!(!report.notes.iter().any(|note| note.contains("did not get in")), "{report:#?}");
    let failed = judge(&["missing=0".parse().unwrap()], &report).failed;
    assert!(failed[0].contains("only watch"), "{failed:?}");
}

/// Six of eight bots are let in. The other two hear why not, again and again.
#[test]
fn who_is_refused_for_long_is_not_waited_for() {
    let site = Site::of(Config { connections_per_address_max: 6, ..Config::default() });
    let standstill = Duration::from_millis(500);
    let begun = Instant::now();
    let report = run_plan(Plan { standstill, ..eight(&site.url(), "counter") }).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!((report.joined, report.missing()), (6, 2), "{report:#?}");
    let note = report.notes.iter().find(|note| note.starts_with("2 bots did not get in"));
    assert!(
        note.is_some_and(|note| note.contains("6 connections of your address")),
        "{:?}",
        report.notes
    );
    let failed = judge(&["p99=10s".parse().unwrap()], &report).failed;
    assert!(failed.len() == 1 && failed[0].contains("add missing=2"), "{failed:?}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plan = eight(&format!("http://{free}"), "counter");
    let error = run_plan(Plan { join_within: Duration::ZERO, ..plan }).unwrap_err();
    assert!(matches!(error, LoadError::NoAnswer(_)), "{error}");
    assert!(error.to_string().contains(&free.to_string()), "{error}");
}

#[test]
fn a_game_that_is_not_there_is_named() {
    let site = Site::new();
    let plan = Plan { game: "chess".into(), ..eight(&site.url(), "counter") };
    let error = run_plan(plan).unwrap_err().to_string();
    assert!(error.contains("unknown_game"), "{error}");
}

/// A bot that holds up the thread that drives it.
struct Slow;

impl Bot for Slow {
    fn play(&mut self, _: &referee_client::Session) -> Option<Say> {
        self.play_blind()
    }

    fn play_blind(&mut self) -> Option<Say> {
        std::thread::sleep(Duration::from_millis(40));
        Some(Say::Action("Press", Value::Null))
    }
}

#[test]
fn a_generator_that_stalls_says_that_the_run_is_invalid() {
    let site = Site::new();
    let plan = Plan::new("counter", |_| Slow);
    let lag_limit = Duration::from_millis(5);
    let report = run_plan(Plan { lag_limit, bot: plan.bot, ..eight(&site.url(), "counter") });
    let report = report.unwrap();
    assert!(!report.valid, "{report:#?}");
    let why = report.invalid_because.unwrap();
    assert!(why.contains("the generator was the bottleneck"), "{why}");
    assert!(report.latency_ms.max > 40.0, "latency counts from the schedule");
    let verdict = judge(&["p99=1us".parse().unwrap()], &referee_loadtest::Report::default());
    assert_eq!(verdict.unproved.len(), 1);
}

/// Passes bytes on, but for one bit of each hash that the server says a view has.
fn lie(mut from: TcpStream, mut to: TcpStream) {
    const MARK: &[u8] = b"\xa4hash\xcf";
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let at = bytes[..count].windows(MARK.len()).position(|window| window == MARK);
        if let Some(last) = at.map(|at| at + MARK.len()).filter(|last| *last < count) {
            bytes[last] ^= 1;
        }
        if to.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
}

/// A way to a server on which views and their hashes come to differ.
fn lying_relay(port: u16) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (back, forth) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || lie(back, client));
            std::thread::spawn(move || std::io::copy(&mut &forth, &mut &server));
        }
    });
    url
}

#[test]
fn a_wrong_state_is_found() {
    let site = Site::new();
    let report = run_plan(eight(&lying_relay(site.port()), "counter")).unwrap();
    assert!(report.wrong > 0 && report.drops == 0, "{report:#?}");
    assert!(!judge(&["wrong=0".parse().unwrap()], &report).failed.is_empty());
}
