//! Whether a level held, from the report of its run. Pure.

use super::{Bounds, Level};
use crate::html::number::ms;
use crate::report::Report;

/// How near to its bound something is run again.
const NEAR: f64 = 0.1;
/// How much of the latency's bound the generator's own lag may be where all holds.
const LAG_SHARE: f64 = 0.25;

/// What the report of a level says. The server's own numbers count also where the generator was late, if
/// the server had cores of its own; what the bots saw does not.
pub(super) fn judge(report: &Report, bounds: &Bounds, own_cores: bool) -> Level {
    let server = &report.server;
    let ticks = server.ticks;
    let mut level = Level {
        rooms: report.told.rooms,
        players: report.joined,
        tick_p99_ms: server.tick_p99_ms,
        tick_mean_ms: server.tick_mean_ms,
        overruns: server.overruns.zip(ticks).map(|(late, ticks)| late / ticks.max(1.0)),
        ticks_kept: kept(report),
        latency_ms: report.latency_ms,
        cpu_percent: server.cpu_percent,
        bytes_per_s: report.traffic.in_bytes_per_s,
        rss_bytes: server.rss_bytes,
        lag_p99_ms: report.generator.lag_ms.p99,
        ..Level::default()
    };
    let server_misses = servers_own(&level, report, bounds);
    let seen_misses = seen(report, bounds);
    let misses = server_misses.is_some() || seen_misses.is_some();
    level.why = match (server_misses, own_lag(report, bounds, misses), seen_misses) {
        (Some(why), None, _) => why,
        (Some(why), Some(_), _) if own_cores => why,
        (_, Some(why), _) => {
            level.by_generator = true;
            why
        }
        (None, None, seen) => seen.unwrap_or_default(),
    };
    level.held = level.why.is_empty();
    level
}

/// Why the generator's lag keeps the level from telling anything, if it does. Latency counts from the
/// schedule, so lag only makes it worse: what holds in spite of some of it holds. What does not hold may be
/// the lag's doing.
fn own_lag(report: &Report, bounds: &Bounds, something_misses: bool) -> Option<String> {
    let own = &report.generator;
    let may = match something_misses {
        true => own.lag_limit_ms,
        false => own.lag_limit_ms.max(bounds.p99_ms * LAG_SHARE),
    };
    let lag = own.lag_ms.p99;
    (lag > may).then(|| format!("its own lag was {} at p99, {} may be", ms(lag), ms(may)))
}

/// Ticks that ran, of those that should have: from the server's count where that is known, else from the
/// states that came.
fn kept(report: &Report) -> Option<f64> {
    let hz = 1_000.0 / report.tick_ms?;
    let due = hz * report.measured_s;
    let rooms = report.told.rooms as f64;
    let of_bots = report.states as f64 / (due * report.joined.max(1) as f64);
    Some(report.server.ticks.map_or(of_bots, |ticks| ticks / (due * rooms)))
}

/// What the server itself says that it did not keep.
fn servers_own(level: &Level, report: &Report, bounds: &Bounds) -> Option<String> {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    if let Some(kept) = level.ticks_kept.filter(|kept| *kept < bounds.ticks_kept) {
        let (kept, bound) = (percent(kept), percent(bounds.ticks_kept));
        return Some(format!("{kept} of the ticks ran, {bound} must"));
    }
    let paced = report.server.ticks_paced.zip(report.server.ticks);
    let paced = paced.map_or(0.0, |(paced, ticks)| paced / ticks.max(1.0));
    if paced > 1.0 - bounds.ticks_kept {
        let (paced, bound) = (percent(paced), percent(1.0 - bounds.ticks_kept));
        return Some(format!(
            "in {paced} of the ticks the server sent states less often, since it had too much to do; {bound} \
             may"
        ));
    }
    let overruns = level.overruns.filter(|overruns| *overruns > bounds.overruns)?;
    let period = report.tick_ms.map_or_else(String::new, |tick| format!(" of {}", ms(tick)));
    let (late, bound) = (percent(overruns), percent(bounds.overruns));
    Some(format!("{late} of the ticks took longer than their period{period}, {bound} may"))
}

/// What the bots saw that should not be.
fn seen(report: &Report, bounds: &Bounds) -> Option<String> {
    if report.missing() > 0 {
        let why = report.notes.iter().find(|note| note.contains("did not get in"));
        let why = why.map_or_else(String::new, |why| format!(" ({why})"));
        return Some(format!("{} players had no seat{why}", report.missing()));
    }
    if report.drops > 0 {
        return Some(format!("{} connections were dropped", report.drops));
    }
    if report.wrong > 0 {
        return Some(format!("{} states were wrong", report.wrong));
    }
    if report.latency_ms.count == 0 {
        return Some("no input was told of by a state".into());
    }
    let p99 = report.latency_ms.p99;
    (p99 > bounds.p99_ms)
        .then(|| format!("the p99 latency was {}, the bound is {}", ms(p99), ms(bounds.p99_ms)))
}

impl Level {
    /// Whether something is so near its bound that chance may have decided.
    pub(super) fn is_near(&self, bounds: &Bounds) -> bool {
        let near = |value: f64, bound: f64| (value - bound).abs() <= bound * NEAR;
        let kept = self.ticks_kept.is_some_and(|kept| near(1.0 - kept, 1.0 - bounds.ticks_kept));
        let overruns = self.overruns.is_some_and(|late| near(late, bounds.overruns));
        kept || overruns || near(self.latency_ms.p99, bounds.p99_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10 rooms of 4 at 20 Hz for ten seconds.
    fn report(ticks: f64, overruns: f64, p99: f64) -> Report {
        let mut report = Report {
            valid: true,
            expected: 40,
            joined: 40,
            measured_s: 10.0,
            tick_ms: Some(50.0),
            ..Report::default()
        };
        report.told.rooms = 10;
        (report.latency_ms.count, report.latency_ms.p99) = (1_000, p99);
        (report.server.ticks, report.server.overruns) = (Some(ticks), Some(overruns));
        report
    }

    #[test]
    fn all_bounds_must_hold() {
        let bounds = Bounds::default();
        let level = |report: &Report| judge(report, &bounds, true);
        let paced = |ticks| {
            let mut report = report(2_000.0, 0.0, 60.0);
            report.server.ticks_paced = Some(ticks);
            report
        };
        assert!(level(&report(2_000.0, 0.0, 60.0)).held);
        assert!(level(&paced(99.0)).held);
        for (report, part) in [
            (report(1_800.0, 0.0, 60.0), "90.0 % of the ticks ran, 95.0 % must"),
            (
                report(2_000.0, 40.0, 60.0),
                "2.0 % of the ticks took longer than their period of 50 ms",
            ),
            (paced(101.0), "in 5.1 % of the ticks the server sent states less often"),
            (report(2_000.0, 0.0, 120.0), "p99 latency was 120 ms, the bound is 100 ms"),
            (Report { drops: 2, ..report(2_000.0, 0.0, 60.0) }, "2 connections were dropped"),
            (Report { joined: 39, ..report(2_000.0, 0.0, 60.0) }, "1 players had no seat"),
        ] {
            let level = level(&report);
            assert!(!level.held && !level.by_generator && level.why.contains(part), "{level:?}");
        }
    }

    #[test]
    fn a_late_generator_says_nothing_of_the_server() {
        let late = |ticks| late(report(ticks, 0.0, 500.0), 9.0);
        let bounds = Bounds::default();
        let level = judge(&late(2_000.0), &bounds, true);
        assert!(!level.held && level.by_generator);
        let level = judge(&late(1_000.0), &bounds, true);
        assert!(!level.held && !level.by_generator, "the server says so itself, on its own cores");
        assert!(judge(&late(1_000.0), &bounds, false).by_generator, "the generator took its cores");
    }

    /// A report of a generator with this lag; 5 ms are allowed.
    fn late(mut report: Report, lag_ms: f64) -> Report {
        report.valid = false;
        (report.generator.lag_ms.p99, report.generator.lag_limit_ms) = (lag_ms, 5.0);
        report
    }

    #[test]
    fn what_holds_in_spite_of_some_lag_holds() {
        let level = |lag| judge(&late(report(2_000.0, 0.0, 60.0), lag), &Bounds::default(), true);
        assert!(level(24.0).held);
        let level = level(26.0);
        assert!(!level.held && level.by_generator && level.why.contains("26 ms at p99, 25 ms may"));
    }

    #[test]
    fn what_is_near_a_bound_is_known() {
        let bounds = Bounds::default();
        let near = |report: &Report| judge(report, &bounds, true).is_near(&bounds);
        assert!(!near(&report(2_000.0, 0.0, 60.0)));
        assert!(near(&report(2_000.0, 0.0, 95.0)) && near(&report(1_902.0, 0.0, 60.0)));
        assert!(near(&report(2_000.0, 19.0, 60.0)));
    }
}
