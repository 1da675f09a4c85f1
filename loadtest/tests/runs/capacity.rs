//! A search on a real server.

use std::time::Duration;

use referee_loadtest::{Bounds, HostBy, LoadError, Plan, Trial, capacity};

use crate::site::{Site, eight};

fn trial(site: &Site, bounds: Bounds) -> Trial {
    let plan = Plan { players: 2, ..eight(&site.url(), "arena") };
    Trial { plan, host: HostBy::Running, bounds, from: 1, most: 2 }
}

#[test]
fn what_a_server_carries_with_ease_is_only_the_least_of_it() {
    let site = Site::new();
    // Bounds that no machine can miss: that the search ends at its most is what is shown here.
    let bounds = Bounds {
        p99_ms: 60_000.0,
        ticks_kept: 0.01,
        overruns: 1.0,
        window_s: 0.5,
        ..Bounds::default()
    };
    let mut rooms = Vec::new();
    let found = capacity(&trial(&site, bounds), |level| rooms.push(level.rooms)).unwrap();
    assert_eq!((rooms, found.rooms, found.is_the_servers), (vec![1, 2], 2, false), "{found:#?}");
    assert!(found.verdict.contains("raise --most") && found.tick_ms.is_some(), "{found:#?}");
    let last = found.levels.last().unwrap();
    assert_eq!((last.held, last.players), (true, 4), "{last:#?}");
    assert!(last.ticks_kept > Some(0.0) && last.bytes_per_s > 0.0, "{last:#?}");
    assert!(last.tick_p99_ms.is_some() && last.latency_ms.count > 0, "{last:#?}");
}

#[test]
fn what_cannot_be_kept_is_found_and_named() {
    let site = Site::new();
    let bounds = Bounds { p99_ms: 0.001, window_s: 0.5, ..Bounds::default() };
    let found = capacity(&trial(&site, bounds), |_| ()).unwrap();
    assert_eq!((found.rooms, found.is_the_servers), (0, true), "{found:#?}");
    assert!(found.verdict.starts_with("not even 1 rooms of 2 players"), "{}", found.verdict);
}

#[test]
fn a_server_that_is_not_there_is_no_capacity_of_zero() {
    let site = Site::new();
    let mut trial = trial(&site, Bounds::default());
    trial.plan.url = "http://127.0.0.1:1".into();
    trial.plan.join_within = Duration::from_millis(500);
    let error = capacity(&trial, |_| ()).unwrap_err();
    assert!(matches!(error, LoadError::NoAnswer(_)), "{error}");
}
