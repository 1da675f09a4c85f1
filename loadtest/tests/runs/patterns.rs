//! Players that come and go, links that are cut or slow, on a real server.

use std::time::Duration;

use referee_loadtest::{Plan, Report, Transport, run_plan};

use crate::site::{Site, eight, is_good};

fn patterned(site: &Site, pattern: &str, seconds: u64) -> Plan {
    let duration = Duration::from_secs(seconds);
    Plan { pattern: pattern.parse().unwrap(), duration, ..eight(&site.url(), "counter") }
}

/// Nobody was lost but by the load test's own hand.
#[track_caller]
fn nobody_is_lost(report: &Report) {
    assert_eq!((report.drops, report.wrong, report.missing()), (0, 0, 0), "{report:#?}");
    assert_eq!((report.seats_lost, report.unanswered), (0, 0), "{report:#?}");
    assert!(report.valid && report.latency_ms.count > 0, "{report:#?}");
}

#[test]
fn a_flash_crowd_comes_at_its_moment_and_all_get_in() {
    let site = Site::new();
    let report = run_plan(patterned(&site, "flash:at=1s,share=75%,over=100ms", 4)).unwrap();
    nobody_is_lost(&report);
    assert_eq!((report.expected, report.joined, report.visits), (2, 2, 8));
    let players = |from: f64, upto: f64| {
        report.samples.iter().filter(move |s| s.at_s > from && s.at_s < upto).map(|s| s.players)
    };
    assert!(players(0.0, 1.0).all(|players| players <= 2), "{:?}", report.samples);
    assert_eq!(players(3.0, 4.0).max(), Some(8), "{:?}", report.samples);
}

#[test]
fn a_ramp_ends_with_all_of_them() {
    let site = Site::new();
    let report = run_plan(patterned(&site, "ramp:from=25%", 3)).unwrap();
    nobody_is_lost(&report);
    assert_eq!((report.expected, report.visits), (2, 8));
}

#[test]
fn players_and_rooms_come_and_go() {
    let site = Site::new();
    let report = run_plan(patterned(&site, "churn:stay=1s,away=100ms,room=2s", 6)).unwrap();
    nobody_is_lost(&report);
    assert!(report.visits > 16, "{} visits", report.visits);
    assert_eq!(report.resumes, 0, "who comes anew is somebody new");
}

fn all_links_are_cut_and_everybody_is_back(transport: Transport) {
    let site = Site::new();
    let plan = patterned(&site, "storm:at=1s,every=1500ms", 4);
    let report = run_plan(Plan { transport, ..plan }).unwrap();
    nobody_is_lost(&report);
    assert_eq!((report.cuts, report.resumes), (16, 16), "{report:#?}");
    assert_eq!(report.resume_ms.count, 16);
    let resumed: u64 = report.intervals.iter().map(|interval| interval.resumes).sum();
    assert_eq!(resumed, 16, "{:#?}", report.intervals);
}

#[test]
fn after_a_storm_everybody_is_back_over_websocket() {
    all_links_are_cut_and_everybody_is_back(Transport::Ws);
}

#[test]
fn after_a_storm_everybody_is_back_over_quic() {
    all_links_are_cut_and_everybody_is_back(Transport::Quic);
}

/// Half of the bots have a delay of 100 ms each way, the others none, in the same rooms: the first wait
/// 200 ms longer for their states, in the middle and nearly all of them.
#[test]
fn a_delay_counts_twice_in_the_latency() {
    let site = Site::new();
    let links = ["50%:delay=100ms", "none"].map(|link| link.parse().unwrap()).to_vec();
    let duration = Duration::from_secs(3);
    let plan = Plan { links, duration, rooms: 2, players: 4, ..eight(&site.url(), "counter") };
    let report = run_plan(plan).unwrap();
    is_good(&report);
    let [far, near] = [&report.by_link[0], &report.by_link[1]];
    assert_eq!((far.bots + near.bots, far.means.as_str()), (8, "100 ms ± 0 ms each way"));
    assert!(far.bots >= 3 && near.bots >= 3, "{} and {}", far.bots, near.bots);
    // No frame arrives before its time; the machine is shared, so it may be later.
    assert!(far.latency_ms.p50 >= 199.0, "{far:?}");
    let more = far.latency_ms.p50 - near.latency_ms.p50;
    assert!((150.0..300.0).contains(&more), "{more} ms: {far:?} {near:?}");
}

#[test]
fn a_bad_link_is_slow_and_loses_nobody() {
    let site = Site::new();
    for transport in [Transport::Ws, Transport::Quic] {
        let links = vec!["bad".parse().unwrap()];
        let duration = Duration::from_secs(4);
        let plan = Plan { links, transport, duration, hz: None, ..eight(&site.url(), "arena") };
        let report = run_plan(plan).unwrap();
        assert_eq!((report.joined, report.drops, report.wrong), (8, 0, 0), "{report:#?}");
        assert!(report.latency_ms.p50 > 200.0 && report.states_checked > 0, "{report:#?}");
    }
}
