//! The page of a capacity.

use std::collections::BTreeMap;

use super::chart::{Chart, Series};
use super::number::{bytes, count, ms, number};
use super::{Fact, Mood, Page};
use crate::capacity::{Capacity, Level};

/// The levels by their rooms; of a level that was tried more than once, the last time.
pub(super) fn curve(found: &Capacity) -> Vec<Level> {
    let levels = found.levels.iter().map(|level| (level.rooms, level.clone()));
    levels.collect::<BTreeMap<_, _>>().into_values().collect()
}

/// The report of a capacity as one HTML page.
#[must_use]
pub fn page(found: &Capacity) -> String {
    let setting = &found.setting;
    let without = setting.transport == "none";
    let verdict = capitalised(&found.verdict);
    let title = match without {
        true => format!("Capacity of the simulation: {}", setting.game),
        false => format!("Capacity: {}", setting.game),
    };
    let mut page = Page::new(&title, &format!("{verdict}."));
    if !found.is_the_servers {
        let text = "This is the least that the server carries, not the most: the load or the search ended first.";
        page.banner(Mood::Bad, text);
    }
    page.facts(&facts(found));
    page.charts(&charts(found, without));
    page.heading("All levels, as they were tried");
    let p99 = if without { "round p99" } else { "p99" };
    let head =
        ["rooms", "players", "tick p99", p99, "ticks kept", "CPU", "to players", "memory", ""];
    page.table(head, &found.levels.iter().map(row).collect::<Vec<_>>());
    page.heading("What had to hold");
    page.list(&bounds(found, without));
    page.notes(&found.notes);
    page.finish()
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn facts(found: &Capacity) -> Vec<Fact> {
    let fact = |name, value, about| Fact { name, value, about, mood: Mood::Plain };
    let players = count(found.rooms * found.setting.players, "player");
    let rooms = number(found.rooms as f64);
    let least = if found.is_the_servers { "" } else { "≥ " };
    let mut facts = vec![Fact {
        mood: if found.is_the_servers { Mood::Good } else { Mood::Bad },
        ..fact("Rooms carried", format!("{least}{rooms}"), players)
    }];
    if let Some(each) = found.rooms_per_core() {
        let cores = count(found.setting.cores.unwrap_or(1), "core");
        facts.push(fact("Rooms for each core", format!("{least}{}", number(each)), cores));
    }
    let level = found.levels.iter().rev().find(|level| level.rooms == found.rooms);
    if let Some(level) = level {
        let about = format!("at {}", count(level.rooms, "room"));
        facts.push(fact("p99 there", ms(level.latency_ms.p99), about.clone()));
        facts.extend(
            level
                .cpu_percent
                .map(|cpu| fact("CPU there", format!("{} %", number(cpu)), "of a core".into())),
        );
        facts.extend(level.rss_bytes.map(|rss| {
            let each = rss as f64 / level.rooms.max(1) as f64;
            fact("Memory there", bytes(rss as f64), format!("{} a room", bytes(each)))
        }));
    }
    facts.extend(found.scaling.map(|scaling| {
        let times = scaling.two / scaling.one.max(1e-9);
        let about = format!("× one; counting reaches {}", number(scaling.counting));
        fact("Two threads", number(times), about)
    }));
    facts
}

fn charts(found: &Capacity, without: bool) -> Vec<Chart> {
    let levels = curve(found);
    let line = |name: &str, value: fn(&Level) -> Option<f64>| {
        Series::new(name, levels.iter().map(|level| (level.rooms as f64, value(level))))
    };
    let marks = match found.rooms {
        0 => Vec::new(),
        rooms => vec![(rooms as f64, "carried".to_owned())],
    };
    let over_rooms =
        || Chart { dots: true, axis: "rooms", marks: marks.clone(), ..Chart::default() };
    let bound = found.bounds.p99_ms;
    let latency = if without { "One round of all rooms, p99" } else { "Latency, p99" };
    vec![
        Chart {
            title: latency,
            unit: "ms",
            series: vec![line("p99", |level| Some(level.latency_ms.p99))],
            limit: Some((bound, format!("bound: {}", ms(bound)))),
            ..over_rooms()
        },
        Chart {
            title: "Tick time",
            unit: "ms",
            series: vec![
                line("mean", |level| level.tick_mean_ms),
                line("p99", |level| level.tick_p99_ms),
            ],
            limit: found.tick_ms.map(|tick| (tick, format!("period: {}", ms(tick)))),
            ..over_rooms()
        },
        Chart {
            title: "CPU",
            unit: "% of a core",
            series: vec![line("cpu", |level| level.cpu_percent)],
            ..over_rooms()
        },
        Chart {
            title: "Ticks kept",
            unit: "%",
            series: vec![line("kept", |level| {
                level.ticks_kept.map(|kept| (kept * 100.0).min(100.0))
            })],
            ..over_rooms()
        },
        Chart {
            title: "Ticks over their period",
            unit: "% of all",
            series: vec![line("over", |level| level.overruns.map(|over| over * 100.0))],
            limit: Some((found.bounds.overruns * 100.0, "bound".into())),
            ..over_rooms()
        },
        Chart {
            title: "Bytes to players",
            unit: "kB/s",
            series: vec![line("bytes", |level| Some(level.bytes_per_s / 1e3))],
            ..over_rooms()
        },
        Chart {
            title: "Memory",
            unit: "MB",
            series: vec![line("memory", |level| level.rss_bytes.map(|rss| rss as f64 / 1e6))],
            ..over_rooms()
        },
        Chart {
            title: "The generator's own lag, p99",
            unit: "ms",
            series: vec![line("lag", |level| (level.lag_p99_ms > 0.0).then_some(level.lag_p99_ms))],
            ..over_rooms()
        },
    ]
}

fn row(level: &Level) -> [String; 9] {
    let none = || "-".to_owned();
    let said = match (level.held, level.by_generator) {
        (true, _) => "held",
        (false, true) => "the load ran out",
        (false, false) => "did not hold",
    };
    [
        number(level.rooms as f64),
        number(level.players as f64),
        level.tick_p99_ms.map_or_else(none, ms),
        ms(level.latency_ms.p99),
        level.ticks_kept.map_or_else(none, |kept| format!("{:.1} %", kept * 100.0)),
        level.cpu_percent.map_or_else(none, |cpu| format!("{cpu:.0} %")),
        format!("{}/s", bytes(level.bytes_per_s)),
        level.rss_bytes.map_or_else(none, |rss| bytes(rss as f64)),
        said.into(),
    ]
}

fn bounds(found: &Capacity, without: bool) -> Vec<(&'static str, String)> {
    let (bounds, setting) = (&found.bounds, &found.setting);
    let percent = |share: f64| format!("{} %", number(share * 100.0));
    let mut rows = vec![
        ("game", setting.game.clone()),
        ("players in each room", setting.players.to_string()),
        (
            if without { "p99 of a round" } else { "p99 latency" },
            format!("at most {}", ms(bounds.p99_ms)),
        ),
    ];
    if !without {
        rows.push(("ticks that ran", format!("at least {}", percent(bounds.ticks_kept))));
        let overruns = percent(bounds.overruns);
        rows.push(("ticks over their period", format!("at most {overruns} of all")));
        rows.push(("transport", setting.transport.clone()));
    }
    let often = setting.hz.map_or("with each tick".into(), |hz| format!("{} a second", number(hz)));
    rows.push(("inputs", often));
    rows.push((
        "each level",
        format!("{} s; a near one again, until two agree", number(bounds.window_s)),
    ));
    rows.push(("apart at the end", format!("at most {}", percent(bounds.precision))));
    rows.extend(setting.params.clone().map(|params| ("params", params)));
    if !setting.links.is_empty() {
        rows.push(("links", setting.links.join("; ")));
    }
    let cores = setting.cores.map_or("shared with the bots".to_owned(), |cores| cores.to_string());
    let name = if without { "threads" } else { "the server's cores" };
    rows.push((name, format!("{cores}, of {} in the machine", setting.machine_cores)));
    rows
}

#[cfg(test)]
mod tests {
    use super::super::tests::is_a_page;
    use super::*;

    fn found() -> Capacity {
        let level = |rooms: usize, held| Level {
            rooms,
            held,
            tick_p99_ms: Some(2.0),
            cpu_percent: Some(rooms as f64 / 5.0),
            ..Level::default()
        };
        let mut found = Capacity {
            rooms: 200,
            is_the_servers: true,
            verdict: "200 rooms of 4 players".into(),
            levels: vec![level(100, true), level(200, true), level(400, false)],
            tick_ms: Some(50.0),
            ..Capacity::default()
        };
        (found.setting.cores, found.setting.players) = (Some(2), 4);
        found
    }

    #[test]
    fn the_page_shows_the_curve_and_the_verdict() {
        let page = page(&found());
        is_a_page(&page);
        for part in
            ["800 players", "Rooms for each core", ">100<", "carried</text>", "did not hold"]
        {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn a_capacity_that_is_only_the_least_says_so() {
        let page = page(&Capacity { is_the_servers: false, ..found() });
        assert!(page.contains("This is the least") && page.contains("≥ 200"), "{page}");
    }
}
