//! A capacity report as plain text.

use std::fmt::Write;

use super::{Capacity, Level};
use crate::html::number::{bytes, number};

/// The head of [`row`]s; without sockets a round of ticks stands where the latency does.
pub(crate) fn head(without_sockets: bool) -> String {
    let p99 = if without_sockets { "round p99" } else { "latency p99" };
    format!(
        "{:>7} {:>7} {:>10} {p99:>14} {:>12} {:>6} {:>12} {:>10}",
        "rooms", "players", "tick p99", "ticks kept", "CPU", "to players", "memory"
    )
}

/// A level in one line.
pub(crate) fn row(level: &Level) -> String {
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    let tick = or_none(level.tick_p99_ms.map(|ms| format!("{} ms", number(ms))));
    let kept = or_none(level.ticks_kept.map(|kept| format!("{:.1} %", kept * 100.0)));
    let cpu = or_none(level.cpu_percent.map(|percent| format!("{percent:.0} %")));
    let memory = or_none(level.rss_bytes.map(|rss| bytes(rss as f64)));
    let latency = format!("{} ms", number(level.latency_ms.p99));
    let sent = format!("{}/s", bytes(level.bytes_per_s));
    let said = match (level.held, level.by_generator) {
        (true, _) => "held".to_owned(),
        (false, true) => format!("the load ran out: {}", level.why),
        (false, false) => level.why.clone(),
    };
    let Level { rooms, players, .. } = level;
    format!(
        "{rooms:>7} {players:>7} {tick:>10} {latency:>14} {kept:>12} {cpu:>6} {sent:>12} {memory:>10}  {said}"
    )
}

/// The report for people: the verdict, and a line for each level by its rooms.
#[must_use]
pub fn capacity_table(found: &Capacity) -> String {
    let mut out = String::new();
    let setting = &found.setting;
    let _ = writeln!(out, "{}: {}", setting.game, found.verdict);
    if let Some(each) = found.rooms_per_core().filter(|_| found.is_the_servers) {
        let _ = writeln!(out, "{} rooms for each core", number(each));
    }
    out.push('\n');
    let _ = writeln!(out, "{}", head(setting.transport == "none"));
    let mut levels: Vec<&Level> = found.levels.iter().collect();
    levels.sort_by_key(|level| level.rooms);
    levels.iter().for_each(|level| {
        let _ = writeln!(out, "{}", row(level));
    });
    if let Some(scaling) = found.scaling {
        let share = scaling.two / scaling.one.max(1e-9);
        let _ = writeln!(
            out,
            "\ntwo threads against one: {} and {} ticks/s, {share:.2} times as many; threads that only \
             count reach {:.2} times\nticks in a second of CPU time: {} with two threads, {} with one",
            number(scaling.two),
            number(scaling.one),
            scaling.counting,
            number(scaling.two_per_cpu_s),
            number(scaling.one_per_cpu_s)
        );
    }
    for note in &found.notes {
        let _ = writeln!(out, "note: {note}");
    }
    out
}
