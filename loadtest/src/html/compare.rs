//! The page of a comparison.

use super::chart::{Chart, Series};
use super::number::number;
use super::{Mood, Page};
use crate::capacity::Capacity;
use crate::compare::{Comparison, Sides};
use crate::report::{Interval, Report};

/// A comparison as one HTML page.
#[must_use]
pub fn page(found: &Comparison) -> String {
    let lead = format!("A is {}. B is {}. {}", found.a, found.b, found.verdict);
    let mut page = Page::new("Load test: comparison", &lead);
    for why in &found.unfair {
        page.banner(Mood::Bad, &format!("Not fair: {why}."));
    }
    match &found.sides {
        Sides::Runs(both) => page.charts(&of_runs(&both[0], &both[1])),
        Sides::Capacities(both) => page.charts(&of_capacities(&both[0], &both[1])),
    }
    page.heading("What both tell");
    let rows: Vec<_> = found
        .differences
        .iter()
        .map(|difference| {
            let name = match difference.unit {
                "" => difference.name.clone(),
                unit => format!("{}, {unit}", difference.name),
            };
            let ratio = difference.ratio.map_or_else(|| "-".into(), number);
            let (a, b) = (number(difference.a), number(difference.b));
            let word = difference.judgement.word().to_owned();
            [name, a, b, ratio, difference.words.clone(), word]
        })
        .collect();
    page.table(["", "A", "B", "B / A", "B is", "which is"], &rows);
    page.finish()
}

fn both<'a, T>(
    a: &'a [T],
    b: &'a [T],
    point: impl Fn(&T) -> (f64, Option<f64>) + Copy + 'a,
) -> Vec<Series> {
    vec![Series::new("A", a.iter().map(point)), Series::new("B", b.iter().map(point))]
}

fn of_runs(a: &Report, b: &Report) -> Vec<Chart> {
    let over_time = |title, unit, value: fn(&Interval) -> Option<f64>| Chart {
        title,
        unit,
        series: both(&a.intervals, &b.intervals, move |i: &Interval| (i.at_s, value(i))),
        from_zero: true,
        ..Chart::default()
    };
    vec![
        over_time("Latency, p99", "ms, input to state", |i| i.p99_ms),
        over_time("Latency, p50", "ms, input to state", |i| i.p50_ms),
        Chart {
            title: "Server CPU",
            unit: "% of a core",
            series: both(&a.samples, &b.samples, |s| (s.at_s, s.cpu_percent)),
            from_zero: true,
            ..Chart::default()
        },
        Chart {
            title: "Tick time, mean",
            unit: "ms",
            series: both(&a.samples, &b.samples, |s| (s.at_s, s.tick_mean_ms)),
            from_zero: true,
            ..Chart::default()
        },
        over_time("Bytes to players", "kB/s", |i| Some(i.in_bytes_per_s / 1e3)),
        Chart {
            title: "Server memory",
            unit: "MB",
            series: both(&a.samples, &b.samples, |s| (s.at_s, s.rss_bytes.map(|b| b as f64 / 1e6))),
            from_zero: true,
            ..Chart::default()
        },
    ]
}

fn of_capacities(a: &Capacity, b: &Capacity) -> Vec<Chart> {
    let curve = |title, unit, value: fn(&crate::capacity::Level) -> Option<f64>| {
        let (a, b) = (super::capacity::curve(a), super::capacity::curve(b));
        let series = both(&a, &b, move |level| (level.rooms as f64, value(level)));
        Chart { title, unit, series, dots: true, axis: "rooms", ..Chart::default() }
    };
    vec![
        curve("Latency, p99", "ms", |level| Some(level.latency_ms.p99)),
        curve("CPU", "% of a core", |level| level.cpu_percent),
        curve("Memory", "MB", |level| level.rss_bytes.map(|bytes| bytes as f64 / 1e6)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::tests::is_a_page;
    use super::*;
    use crate::capacity::Level;

    #[test]
    fn the_page_has_both_sides() {
        let report = |p99: f64| {
            let interval = |at: u32| Interval {
                at_s: f64::from(at),
                p99_ms: Some(p99),
                ..Interval::default()
            };
            let intervals = (0..5).map(interval).collect();
            let mut report = Report { intervals, ..Report::default() };
            (report.latency_ms.count, report.latency_ms.p99) = (9, p99);
            report
        };
        let names = ["<old>.json".to_owned(), "new.json".to_owned()];
        let page = page(&crate::compare::runs(names, report(50.0), report(30.0)));
        is_a_page(&page);
        for part in [
            "&lt;old&gt;.json",
            "40 % lower",
            "<td class=\"good\">better</td>",
            "Not fair: A is invalid",
        ] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn capacities_have_their_curves() {
        let found = |rooms| {
            let level = |rooms| Level { rooms, held: true, ..Level::default() };
            Capacity { rooms, levels: vec![level(10), level(20)], ..Capacity::default() }
        };
        let names = ["a".to_owned(), "b".to_owned()];
        is_a_page(&page(&crate::compare::capacities(names, found(20), found(10))));
    }
}
