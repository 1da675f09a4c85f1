//! What reports are compared by, and what must be alike for that.

use std::fmt::Debug;

use crate::capacity::Capacity;
use crate::report::{Report, Told};

/// Which values are the good ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    Low,
    High,
}

/// One number of a report.
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) unit: &'static str,
    pub(super) value: f64,
    pub(super) wish: Wish,
}

fn low(name: &str, unit: &'static str, value: Option<f64>) -> Option<Fact> {
    let value = value.filter(|value| value.is_finite())?;
    Some(Fact { name: name.into(), unit, value, wish: Wish::Low })
}

/// The numbers of a run; what was not measured is left out.
pub(super) fn of_run(report: &Report) -> Vec<Fact> {
    let Report { latency_ms, jitter_ms, connect_ms, resume_ms, server, .. } = report;
    let some = |spread: &crate::report::Spread, value: f64| (spread.count > 0).then_some(value);
    let states = report.states_per_s();
    let a_state = |value: Option<f64>| value.filter(|_| states > 0.0).map(|value| value / states);
    let count = |n: u64| Some(n as f64);
    let facts = [
        low("latency p50", "ms", some(latency_ms, latency_ms.p50)),
        low("latency p90", "ms", some(latency_ms, latency_ms.p90)),
        low("latency p99", "ms", some(latency_ms, latency_ms.p99)),
        low("latency p99.9", "ms", some(latency_ms, latency_ms.p999)),
        low("tick jitter p99", "ms", some(jitter_ms, jitter_ms.p99)),
        low("connecting p99", "ms", some(connect_ms, connect_ms.p99)),
        low("back after a cut p99", "ms", some(resume_ms, resume_ms.p99)),
        low("server CPU", "% of a core", server.cpu_percent),
        low("server CPU a state", "µs", a_state(server.cpu_percent.map(|p| p * 1e4))),
        low("server memory", "MB", server.rss_bytes.map(|bytes| bytes as f64 / 1e6)),
        low("tick mean", "ms", server.tick_mean_ms),
        low("tick p99, up to", "ms", server.tick_p99_ms),
        low("overruns", "", server.overruns),
        low("bytes a state", "", a_state(Some(report.traffic.in_bytes_per_s))),
        low("drops", "", count(report.drops)),
        low("seats lost", "", count(report.seats_lost)),
        low("wrong states", "", count(report.wrong)),
        low("unanswered", "", count(report.unanswered)),
        low("players not in", "", count(report.missing())),
    ];
    facts.into_iter().flatten().collect()
}

/// The numbers of a capacity: the rooms, and what the levels were like that both may have.
pub(super) fn of_capacity(found: &Capacity) -> Vec<Fact> {
    let rooms = found.rooms as f64;
    let mut facts = vec![Fact { name: "rooms".into(), unit: "", value: rooms, wish: Wish::High }];
    if let Some(scaling) = found.scaling.filter(|scaling| scaling.one > 0.0) {
        let value = scaling.two / scaling.one;
        facts.push(Fact {
            name: "two threads, times one".into(),
            unit: "",
            value,
            wish: Wish::High,
        });
    }
    for level in found.levels.iter().filter(|level| level.held) {
        let at = |what: &str| format!("{what} at {} rooms", level.rooms);
        let each = level.rss_bytes.map(|rss| rss as f64 / 1e3 / level.rooms.max(1) as f64);
        facts.extend(low(&at("p99 latency"), "ms", Some(level.latency_ms.p99)));
        facts.extend(low(&at("CPU"), "% of a core", level.cpu_percent));
        facts.extend(low(&at("memory a room"), "kB", each));
    }
    facts
}

fn differ<T: PartialEq + Debug>(what: &str, a: &T, b: &T) -> Option<String> {
    (a != b).then(|| format!("the {what} differ: A {a:?}, B {b:?}"))
}

/// Why two runs are not alike.
pub(super) fn unfair_runs(a: &Report, b: &Report) -> Vec<String> {
    let links = |report: &Report| -> Vec<String> {
        report.by_link.iter().map(|of| format!("{} ({} bots)", of.means, of.bots)).collect()
    };
    let (Told { hz: hz_a, .. }, Told { hz: hz_b, .. }) = (&a.told, &b.told);
    let threads = |report: &Report| report.generator.threads;
    let mut unfair: Vec<String> = [
        differ("games", &a.told.game, &b.told.game),
        differ("transports", &a.told.transport, &b.told.transport),
        differ("numbers of rooms", &a.told.rooms, &b.told.rooms),
        differ("numbers of players in a room", &a.told.players, &b.told.players),
        differ("patterns", &a.told.pattern, &b.told.pattern),
        differ("links", &links(a), &links(b)),
        differ("rates of inputs", hz_a, hz_b),
        differ("ticks' periods in ms", &a.tick_ms, &b.tick_ms),
        differ("rooms' params", &a.told.params, &b.told.params),
        differ("bots that decode", &a.decoding, &b.decoding),
        differ("generator's threads", &threads(a), &threads(b)),
        differ("times measured, in s", &a.told.duration_s, &b.told.duration_s),
    ]
    .into_iter()
    .flatten()
    .collect();
    for (name, report) in [("A", a), ("B", b)] {
        if !report.valid {
            unfair.push(format!("{name} is invalid: its generator was the bottleneck"));
        }
    }
    unfair
}

/// Why two capacities are not alike.
pub(super) fn unfair_capacities(a: &Capacity, b: &Capacity) -> Vec<String> {
    let (one, two) = (&a.setting, &b.setting);
    let mut unfair: Vec<String> = [
        differ("games", &one.game, &two.game),
        differ("transports", &one.transport, &two.transport),
        differ("numbers of players in a room", &one.players, &two.players),
        differ("rates of inputs", &one.hz, &two.hz),
        differ("ticks' periods in ms", &a.tick_ms, &b.tick_ms),
        differ("rooms' params", &one.params, &two.params),
        differ("links", &one.links, &two.links),
        differ("server's cores", &one.cores, &two.cores),
        differ("machines' cores", &one.machine_cores, &two.machine_cores),
        differ("bounds", &a.bounds, &b.bounds),
    ]
    .into_iter()
    .flatten()
    .collect();
    for (name, found) in [("A", a), ("B", b)] {
        if !found.is_the_servers {
            unfair.push(format!("{name} is only the least that its server carries"));
        }
    }
    unfair
}
