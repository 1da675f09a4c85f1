//! A match that was played, stored and exported is load for other rooms.

use std::sync::Arc;
use std::time::Duration;

use referee_loadtest::{Plan, Recording, run_plan};
use referee_server::tools::export;

use crate::site::{Site, eight};

/// Plays a game for two seconds, stops the server, and reads what was said.
fn recorded(game: &str) -> (Site, Recording, serde_json::Value) {
    let mut site = Site::keeping_journals();
    let duration = Duration::from_secs(2);
    let plan = Plan { duration, rooms: 1, room_prefix: "m".into(), ..eight(&site.url(), game) };
    let report = run_plan(plan).unwrap();
    assert!(report.latency_ms.count > 0, "{report:#?}");
    let text = site.while_stopped(|games, config| export(games, config, &format!("{game}/m-0")));
    let text = text.unwrap();
    let file = std::env::temp_dir().join(format!("referee-{game}-{}.json", std::process::id()));
    std::fs::write(&file, &text).unwrap();
    let recording = Recording::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    (site, recording, serde_json::from_str(&text).unwrap())
}

#[test]
fn a_recorded_arena_is_played_in_many_rooms_by_its_times() {
    let (site, recording, json) = recorded("arena");
    assert_eq!((recording.game.as_str(), recording.seats.len()), ("arena", 2), "{json}");
    assert!(json["hz"].as_u64() > Some(0) && json["left_out"] == 0, "{json}");
    assert!((1_500..60_000).contains(&recording.length_ms), "{}", recording.length_ms);
    let said: Vec<_> =
        json["seats"].as_array().unwrap().iter().map(|s| s.as_array().unwrap().len()).collect();
    let expected: usize = said.iter().sum::<usize>() * 3;
    // Three rooms hear it once: the time measured is the match's own.
    let duration = Duration::from_millis(recording.length_ms);
    let replay = Some(Arc::new(recording));
    let plan = Plan { replay, duration, rooms: 3, ..eight(&site.url(), "arena") };
    let report = run_plan(plan).unwrap();
    assert_eq!((report.joined, report.drops, report.wrong, report.missing()), (6, 0, 0, 0));
    assert!(!report.notes.iter().any(|note| note.contains("does not take")), "{:?}", report.notes);
    let told = (report.latency_ms.count + report.inputs_held) as usize;
    // What falls due in the last instants may be told of later than is measured.
    assert!(told * 10 >= expected * 8 && told <= expected, "{told} of {expected}: {report:#?}");
    assert!(report.told.pattern.contains("recorded match of 2 seats"), "{}", report.told.pattern);
}

#[test]
fn recorded_actions_are_done_again() {
    let (site, recording, _) = recorded("counter");
    let replay = Some(Arc::new(recording));
    let plan = Plan { replay, rooms: 2, ..eight(&site.url(), "counter") };
    let report = run_plan(plan).unwrap();
    assert_eq!((report.joined, report.drops, report.wrong), (4, 0, 0), "{report:#?}");
    assert!(report.latency_ms.count > 20 && report.unanswered == 0, "{report:#?}");
}
