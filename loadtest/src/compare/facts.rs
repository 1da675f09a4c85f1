//! What reports are compared by, and what must be alike for that.

use crate::capacity::Capacity;
use crate::html::number::{ms, number};
use crate::report::Report;

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

fn differ(what: &str, a: String, b: String) -> Option<String> {
    (a != b).then(|| format!("the {what} differ: {a} in A, {b} in B"))
}

fn or_none<T>(value: Option<T>, text: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "none".into(), text)
}

/// Settings with their names, of both sides in the same order.
fn all_that_differ<const N: usize>(a: [(&str, String); N], b: [(&str, String); N]) -> Vec<String> {
    let pairs = a.into_iter().zip(b);
    pairs.filter_map(|((what, a), (_, b))| differ(what, a, b)).collect()
}

/// What must be alike in two runs.
fn of_a_run(report: &Report) -> [(&'static str, String); 12] {
    let told = &report.told;
    let links = report.by_link.iter().map(|of| format!("{} ({} bots)", of.means, of.bots));
    let links: Vec<String> = links.collect();
    let links = if links.is_empty() { "none".into() } else { links.join(", ") };
    [
        ("games", told.game.clone()),
        ("transports", told.transport.clone()),
        ("numbers of rooms", told.rooms.to_string()),
        ("numbers of players in a room", told.players.to_string()),
        ("patterns", told.pattern.clone()),
        ("links", links),
        ("inputs a second", or_none(told.hz, number)),
        ("ticks' periods", or_none(report.tick_ms, ms)),
        ("rooms' params", or_none(told.params.clone(), |params| params)),
        ("numbers of bots that decode", report.decoding.to_string()),
        ("generator's threads", report.generator.threads.to_string()),
        ("times measured, in seconds", number(told.duration_s)),
    ]
}

/// What must be alike in two capacities.
fn of_a_capacity(found: &Capacity) -> [(&'static str, String); 10] {
    let (setting, bounds) = (&found.setting, &found.bounds);
    let percent = |share: f64| format!("{} %", number(share * 100.0));
    let bounds = format!(
        "p99 {}, ticks kept {}, over their period {}, for {} s",
        ms(bounds.p99_ms),
        percent(bounds.ticks_kept),
        percent(bounds.overruns),
        number(bounds.window_s)
    );
    let links = if setting.links.is_empty() { "none".into() } else { setting.links.join(", ") };
    [
        ("games", setting.game.clone()),
        ("transports", setting.transport.clone()),
        ("numbers of players in a room", setting.players.to_string()),
        ("inputs a second", or_none(setting.hz, number)),
        ("ticks' periods", or_none(found.tick_ms, ms)),
        ("rooms' params", or_none(setting.params.clone(), |params| params)),
        ("links", links),
        ("server's cores", or_none(setting.cores, |cores| cores.to_string())),
        ("machines' cores", setting.machine_cores.to_string()),
        ("bounds", bounds),
    ]
}

/// Why two runs are not alike.
pub(super) fn unfair_runs(a: &Report, b: &Report) -> Vec<String> {
    let mut unfair = all_that_differ(of_a_run(a), of_a_run(b));
    for (name, report) in [("A", a), ("B", b)] {
        if !report.valid {
            unfair.push(format!("{name} is invalid: its generator was the bottleneck"));
        }
    }
    unfair
}

/// Why two capacities are not alike.
pub(super) fn unfair_capacities(a: &Capacity, b: &Capacity) -> Vec<String> {
    let mut unfair = all_that_differ(of_a_capacity(a), of_a_capacity(b));
    for (name, found) in [("A", a), ("B", b)] {
        if !found.is_the_servers {
            unfair.push(format!("{name} is only the least that its server carries"));
        }
    }
    unfair
}
