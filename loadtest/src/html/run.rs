//! The page of one run.

use super::chart::{Chart, Series};
use super::number::{bytes, count, ms, number};
use super::{Fact, Mood, Page};
use crate::report::{Interval, Report, Sample, Spread};

/// The report of a run as one HTML page.
#[must_use]
pub fn page(report: &Report) -> String {
    let told = &report.told;
    let mut page = Page::new(&format!("Load test: {}", told.game), &lead(report));
    match &report.invalid_because {
        Some(why) => page.banner(Mood::Bad, &format!("The times cannot be believed: {why}.")),
        None if report.drops + report.wrong + report.missing() > 0 => {
            page.banner(Mood::Bad, &faults(report));
        }
        None => page.banner(
            Mood::Good,
            "Nobody was dropped or kept out, no state was wrong, and the generator kept to its schedule.",
        ),
    }
    page.facts(&facts(report));
    page.charts(&charts(report));
    page.heading("Times in milliseconds");
    page.table(["", "count", "p50", "p90", "p99", "p99.9", "max"], &times(report));
    page.heading("What was counted");
    page.list(&counted(report));
    page.heading("What was asked for");
    page.list(&settings(report));
    page.notes(&report.notes);
    page.finish()
}

fn lead(report: &Report) -> String {
    let told = &report.told;
    let (players, rooms) = (count(told.bots, "player"), count(told.rooms, "room"));
    let over = match told.transport.as_str() {
        "ws" => "WebSocket",
        "quic" => "QUIC",
        _ => "WebSocket and QUIC",
    };
    let times = match report.latency_ms.count {
        0 => "No input was measured.".to_owned(),
        _ => format!(
            "Half of all inputs were seen in a state within {}, 99 of 100 within {}.",
            ms(report.latency_ms.p50),
            ms(report.latency_ms.p99)
        ),
    };
    format!(
        "{players} in {rooms} over {over} for {} s ({}). {times}",
        number(report.measured_s),
        told.pattern
    )
}

fn faults(report: &Report) -> String {
    let parts = [
        (report.drops, "connections were dropped"),
        (report.missing(), "players did not get in"),
        (report.wrong, "states were wrong"),
    ];
    let said: Vec<String> = parts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{} {what}", number(*n as f64)))
        .collect();
    format!("{}.", said.join(", "))
}

fn facts(report: &Report) -> Vec<Fact> {
    let fact = |name, value, about| Fact { name, value, about, mood: Mood::Plain };
    let Spread { p50, p99, .. } = report.latency_ms;
    let tick = report.tick_ms.map_or_else(String::new, |tick| {
        format!("{} ticks of {}", number(p99 / tick.max(1e-9)), ms(tick))
    });
    let mut facts = vec![
        fact("Latency, p50", ms(p50), "input to state".into()),
        fact("Latency, p99", ms(p99), tick),
    ];
    let bad = report.drops > 0;
    facts.push(Fact {
        mood: if bad { Mood::Bad } else { Mood::Good },
        ..fact("Drops", number(report.drops as f64), format!("{} resumes", report.resumes))
    });
    let server = &report.server;
    if let Some(percent) = server.cpu_percent {
        let each = percent * 1e4 / report.states_per_s().max(1e-9);
        let about = format!("of a core, {} µs a state", number(each));
        facts.push(fact("Server CPU", format!("{} %", number(percent)), about));
    }
    if let Some(p99) = server.tick_p99_ms {
        let overruns = number(server.overruns.unwrap_or(0.0));
        facts.push(fact("Tick, p99 up to", ms(p99), format!("{overruns} overruns")));
    }
    if let Some(rss) = server.rss_bytes {
        let each = rss as f64 / report.told.rooms.max(1) as f64;
        facts.push(fact("Server memory", bytes(rss as f64), format!("{} a room", bytes(each))));
    }
    if report.resume_ms.count > 0 {
        let about = format!("p99, after {} cuts", number(report.cuts as f64));
        facts.push(fact("Back after a cut", ms(report.resume_ms.p99), about));
    }
    let to = report.traffic.in_bytes_per_s;
    let each = to / connected(report).max(1.0);
    facts.push(fact("To players", format!("{}/s", bytes(to)), format!("{}/s each", bytes(each))));
    facts
}

/// How many players were connected on average while it was measured.
fn connected(report: &Report) -> f64 {
    let measured = report.samples.iter().filter(|sample| sample.at_s > 0.0);
    let players: Vec<f64> = measured.map(|sample| sample.players as f64).collect();
    match players.len() {
        0 => report.joined as f64,
        n => players.iter().sum::<f64>() / n as f64,
    }
}

fn charts(report: &Report) -> Vec<Chart> {
    let of = |name: &str, value: fn(&Interval) -> Option<f64>| {
        Series::new(name, report.intervals.iter().map(|i| (i.at_s + i.length_s / 2.0, value(i))))
    };
    let seen = |name: &str, value: fn(&Sample) -> Option<f64>| {
        Series::new(name, report.samples.iter().map(|sample| (sample.at_s, value(sample))))
    };
    let marks: Vec<_> = report.marks.iter().map(|mark| (mark.at_s, mark.what.clone())).collect();
    let over_time = || Chart { from_zero: true, marks: marks.clone(), ..Chart::default() };
    let budget = report.tick_ms.map(|tick| (tick, "a tick's period".to_owned()));
    let bars = report.latency_buckets.iter();
    let bars = bars.map(|bucket| (ms(two_digits(bucket.upto_ms)), bucket.count as f64)).collect();
    vec![
        Chart {
            title: "Latency over time",
            unit: "ms, input to state",
            series: vec![of("p50", |i| i.p50_ms), of("p90", |i| i.p90_ms), of("p99", |i| i.p99_ms)],
            ..over_time()
        },
        Chart { title: "How many latencies were how long", bars, ..Chart::default() },
        Chart {
            title: "Tick time",
            unit: "ms",
            series: vec![seen("mean", |s| s.tick_mean_ms), seen("p99, up to", |s| s.tick_p99_ms)],
            limit: budget,
            ..over_time()
        },
        Chart {
            title: "CPU",
            unit: "% of a core",
            series: vec![
                seen("server", |s| s.cpu_percent),
                seen("generator", |s| s.generator_cpu_percent),
            ],
            ..over_time()
        },
        Chart {
            title: "Players connected",
            series: vec![seen("players", |s| Some(s.players as f64))],
            ..over_time()
        },
        Chart { title: "Rooms loaded", series: vec![seen("rooms", |s| s.rooms)], ..over_time() },
        Chart {
            title: "Bytes",
            unit: "kB/s",
            series: vec![
                of("to players", |i| Some(i.in_bytes_per_s / 1e3)),
                of("from players", |i| Some(i.out_bytes_per_s / 1e3)),
            ],
            ..over_time()
        },
        Chart {
            title: "States",
            unit: "a second to players",
            series: vec![of("states", |i| Some(i.states_per_s))],
            ..over_time()
        },
        Chart {
            title: "Server memory",
            unit: "MB",
            series: vec![seen("memory", |s| s.rss_bytes.map(|b| b as f64 / 1e6))],
            ..over_time()
        },
        Chart {
            title: "The generator's own lag",
            unit: "ms, longest",
            series: vec![of("lag", |i| Some(i.lag_max_ms))],
            limit: Some((report.generator.lag_limit_ms, "limit at p99".into())),
            ..over_time()
        },
    ]
}

/// The value with its first two digits.
fn two_digits(value: f64) -> f64 {
    let power = 10_f64.powf(value.abs().max(1e-9).log10().floor() - 1.0);
    (value / power).round() * power
}

fn times(report: &Report) -> Vec<[String; 7]> {
    let mut rows: Vec<(String, Spread)> = vec![("input to state".into(), report.latency_ms)];
    rows.extend(
        report
            .by_link
            .iter()
            .map(|of| (format!("… over {}, {}", of.link, count(of.bots, "bot")), of.latency_ms)),
    );
    rows.push(("tick jitter".into(), report.jitter_ms));
    rows.push(("connecting".into(), report.connect_ms));
    rows.push(("back after a cut".into(), report.resume_ms));
    rows.push(("generator's lag".into(), report.generator.lag_ms));
    rows.retain(|(_, spread)| spread.count > 0);
    let row = |(name, Spread { count, p50, p90, p99, p999, max, .. }): (String, Spread)| {
        let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(number);
        [name, number(count as f64), p50, p90, p99, p999, max]
    };
    rows.into_iter().map(row).collect()
}

fn counted(report: &Report) -> Vec<(&'static str, String)> {
    let n = |count: u64| number(count as f64);
    let by_code = |codes: &std::collections::BTreeMap<String, u64>| -> String {
        codes.iter().map(|(code, count)| format!(", {code} {count}")).collect()
    };
    let refused: u64 = report.refusals_by_code.values().sum();
    let mut rows = vec![
        ("states", format!("{}, {} ticks without one", n(report.states), n(report.states_skipped))),
        ("states checked", format!("{}, {} wrong", n(report.states_checked), n(report.wrong))),
        ("visits", format!("{}, {} did not get in", n(report.visits), n(report.missing()))),
        ("drops", format!("{}{}", n(report.drops), by_code(&report.drops_by_code))),
        ("refusals", format!("{}{}", n(refused), by_code(&report.refusals_by_code))),
        ("links cut by the load test", n(report.cuts)),
        ("resumes", format!("{}, {} to another seat", n(report.resumes), n(report.seats_lost))),
        ("unanswered", n(report.unanswered)),
        ("inputs held", format!("{}, which said nothing new", n(report.inputs_held))),
    ];
    let server = &report.server;
    let known = [
        ("ticks", server.ticks),
        ("overruns", server.overruns),
        ("slips", server.slips),
        ("skips", server.skips),
        ("late inputs", server.inputs_late),
    ];
    let known: Vec<String> = known
        .iter()
        .filter_map(|(name, count)| Some(format!("{} {name}", number((*count)?))))
        .collect();
    if !known.is_empty() {
        rows.push(("server", known.join(", ")));
    }
    rows
}

fn settings(report: &Report) -> Vec<(&'static str, String)> {
    let (told, own) = (&report.told, &report.generator);
    let often = told
        .hz
        .map_or("as often as the room ticks".into(), |hz| format!("{} a second", number(hz)));
    let mut rows = vec![
        ("game", told.game.clone()),
        ("rooms", format!("{} of {} players", told.rooms, told.players)),
        ("transport", told.transport.clone()),
        ("inputs", often),
        ("pattern", told.pattern.clone()),
    ];
    rows.extend(told.params.clone().map(|params| ("params", params)));
    let links = report.by_link.iter().map(|of| format!("{}: {}", of.link, of.means));
    let links: Vec<String> = links.collect();
    if !links.is_empty() {
        rows.push(("links", links.join("; ")));
    }
    rows.push(("joins spread over", format!("{} s", number(told.ramp_s))));
    rows.push(("checked", format!("{}, {} decode what they get", told.check, report.decoding)));
    rows.push(("seed", told.seed.to_string()));
    let cpu = number(own.cpu_percent);
    let generator = format!("{}, {cpu} % of a core", count(own.threads, "thread"));
    rows.push(("generator", generator));
    rows
}

#[cfg(test)]
mod tests {
    use super::super::tests::is_a_page;
    use super::*;
    use crate::report::{Bucket, Mark, OfLink};

    /// A run of a minute with a storm.
    pub(crate) fn report() -> Report {
        let interval = |n: u32| Interval {
            at_s: f64::from(n) - 3.0,
            length_s: 1.0,
            count: 100,
            p50_ms: Some(20.0),
            p90_ms: Some(30.0),
            p99_ms: (n != 7).then(|| 40.0 + f64::from(n)),
            ..Interval::default()
        };
        let sample = |n: u32| Sample {
            at_s: f64::from(n) - 3.0,
            players: 100,
            rooms: Some(25.0),
            cpu_percent: Some(31.0),
            ..Sample::default()
        };
        let latency = Spread { count: 1_000, p50: 21.5, p99: 43.21, ..Spread::default() };
        let mut report = Report {
            valid: true,
            joined: 100,
            expected: 100,
            measured_s: 60.0,
            tick_ms: Some(50.0),
            latency_ms: latency,
            latency_buckets: vec![
                Bucket { upto_ms: 25.1, count: 700 },
                Bucket { upto_ms: 31.6, count: 9 },
            ],
            by_link: vec![OfLink {
                link: "wifi".into(),
                means: "3 ms".into(),
                bots: 50,
                latency_ms: latency,
            }],
            intervals: (0..20).map(interval).collect(),
            samples: (0..20).map(sample).collect(),
            marks: vec![Mark { at_s: 10.0, what: "links cut".into() }],
            notes: vec!["a <note>".into()],
            ..Report::default()
        };
        report.told.game = "arena".into();
        report.told.pattern = "steady".into();
        (report.told.bots, report.told.rooms, report.told.players) = (100, 25, 4);
        report
    }

    #[test]
    fn the_page_shows_what_was_found() {
        let page = page(&report());
        is_a_page(&page);
        for part in [
            "99 of 100 within 43.2 ms",
            "Nobody was dropped",
            "100 players in 25 rooms",
            "links cut</text>",
            "up to 25 ms: 700",
            "… over wifi, 50 bots",
            "a &lt;note&gt;",
            "Latency over time",
            "Players connected",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("Server memory</figcaption>"), "nothing is known of it");
    }

    #[test]
    fn what_went_wrong_stands_at_the_top() {
        let bad = Report { drops: 3, ..report() };
        assert!(page(&bad).contains("<p class=\"banner bad\">3 connections were dropped.</p>"));
        let invalid = Report { invalid_because: Some("too slow".into()), ..report() };
        assert!(page(&invalid).contains("The times cannot be believed: too slow."));
        is_a_page(&page(&invalid));
    }
}
