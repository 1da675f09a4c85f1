//! A report as a plain table.

use std::fmt::Write;

use crate::report::{Report, Server, Spread};

/// The report for people: one fact a line.
#[must_use]
pub fn table(report: &Report) -> String {
    let mut out = String::new();
    let told = &report.told;
    line(&mut out, "game", &format!("{} at {}, {}", told.game, told.url, told.transport));
    let players = format!("{} rooms of {} players, {} bots", told.rooms, told.players, told.bots);
    let (joined, decoding) = (report.joined, report.decoding);
    let early = if report.expected < told.bots { " at the beginning" } else { "" };
    let seated = format!("{joined} in{early}");
    line(&mut out, "load", &format!("{players}, {seated}, {decoding} decode what they get"));
    line(&mut out, "measured", &measured(report));
    line(&mut out, "pattern", &told.pattern);
    out.push('\n');
    let head = ["count", "p50", "p90", "p99", "p99.9", "max"];
    let _ = writeln!(out, "{:<18}{}", "milliseconds", cells(head.map(str::to_owned)));
    spread(&mut out, "input to state", &report.latency_ms);
    for (of, number) in report.by_link.iter().zip(1..) {
        spread(&mut out, &format!("  over link {number}"), &of.latency_ms);
    }
    spread(&mut out, "tick jitter", &report.jitter_ms);
    spread(&mut out, "connecting", &report.connect_ms);
    if report.cuts > 0 {
        spread(&mut out, "back after a cut", &report.resume_ms);
    }
    spread(&mut out, "generator's lag", &report.generator.lag_ms);
    out.push('\n');
    let traffic = &report.traffic;
    let way =
        |messages: f64, bytes: f64| format!("{messages:.0} messages/s, {} a second", size(bytes));
    line(&mut out, "to bots", &way(traffic.in_messages_per_s, traffic.in_bytes_per_s));
    line(&mut out, "from bots", &way(traffic.out_messages_per_s, traffic.out_bytes_per_s));
    let states = format!("{} came, {} ticks without one", report.states, report.states_skipped);
    line(&mut out, "states", &states);
    let (checked, wrong) = (report.states_checked, report.wrong);
    line(&mut out, "states checked", &format!("{checked} compared, {wrong} wrong"));
    let held = format!("{}, which said nothing new and are not measured", report.inputs_held);
    line(&mut out, "inputs held", &held);
    line(&mut out, "unanswered", &report.unanswered.to_string());
    if report.visits > told.bots as u64 {
        let (visits, missed) = (report.visits, report.missed);
        line(&mut out, "visits", &format!("{visits}, {missed} did not get in"));
    }
    if report.cuts > 0 {
        line(&mut out, "links cut", &format!("{} by the load test", report.cuts));
    }
    for (of, number) in report.by_link.iter().zip(1..) {
        let text = format!("{} bots have {}: {}", of.bots, of.link, of.means);
        line(&mut out, &format!("link {number}"), &text);
    }
    line(&mut out, "drops", &counts(report.drops, &report.drops_by_code));
    let refused = report.refusals_by_code.values().sum();
    line(&mut out, "refusals", &counts(refused, &report.refusals_by_code));
    let came_back = format!("{}, {} to another seat", report.resumes, report.seats_lost);
    line(&mut out, "resumes", &came_back);
    let own = &report.generator;
    let generator = format!(
        "{} threads, {:.0} % of a core, {}",
        own.threads,
        own.cpu_percent,
        size(own.rss_bytes as f64)
    );
    line(&mut out, "generator", &generator);
    line(&mut out, "server", &server(&report.server));
    for note in &report.notes {
        line(&mut out, "note", note);
    }
    if let Some(why) = &report.invalid_because {
        line(&mut out, "INVALID", why);
    }
    out
}

fn measured(report: &Report) -> String {
    let ticks = |ms: f64| format!(" at {:.0} ticks a second", 1_000.0 / ms);
    let ticks = report.tick_ms.map(ticks).unwrap_or_default();
    format!("{:.1} s{ticks}, seed {}", report.measured_s, report.told.seed)
}

fn line(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "{name:<18}{text}");
}

fn cells<const N: usize>(cells: [String; N]) -> String {
    cells.iter().map(|cell| format!("{cell:>10}")).collect()
}

fn spread(out: &mut String, name: &str, spread: &Spread) {
    if spread.count == 0 {
        return line(out, name, "nothing was measured");
    }
    let ms = |ms: f64| format!("{ms:.2}");
    let Spread { count, p50, p90, p99, p999, max, .. } = *spread;
    let values = [count.to_string(), ms(p50), ms(p90), ms(p99), ms(p999), ms(max)];
    let _ = writeln!(out, "{name:<18}{}", cells(values));
}

fn counts(all: u64, by_code: &std::collections::BTreeMap<String, u64>) -> String {
    let each: Vec<String> = by_code.iter().map(|(code, n)| format!("{code} {n}")).collect();
    if each.is_empty() { all.to_string() } else { format!("{all} ({})", each.join(", ")) }
}

fn size(bytes: f64) -> String {
    match bytes {
        b if b >= 1e6 => format!("{:.1} MB", b / 1e6),
        b if b >= 1e3 => format!("{:.1} kB", b / 1e3),
        b => format!("{b:.0} B"),
    }
}

fn server(server: &Server) -> String {
    let mut parts = Vec::new();
    parts.extend(server.cpu_percent.map(|percent| format!("{percent:.0} % of a core")));
    parts.extend(server.rss_bytes.map(|bytes| size(bytes as f64)));
    parts.extend(server.ticks.map(|ticks| format!("{ticks:.0} ticks")));
    parts.extend(server.tick_mean_ms.map(|ms| format!("{ms:.3} ms each")));
    parts.extend(server.tick_p99_ms.map(|ms| format!("p99 up to {ms:.1} ms")));
    let counts = [
        ("overruns", server.overruns),
        ("slips", server.slips),
        ("skips", server.skips),
        ("late inputs", server.inputs_late),
    ];
    parts.extend(counts.iter().filter_map(|(name, n)| Some(format!("{:.0} {name}", (*n)?))));
    if parts.is_empty() { "nothing is known of it".into() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_stands_in_the_table() {
        let mut report = Report { drops: 3, ..Report::default() };
        report.drops_by_code.insert("going_down".into(), 3);
        report.latency_ms = Spread { count: 7, p99: 12.345, ..Spread::default() };
        report.invalid_because = Some("why".into());
        report.notes.push("a note".into());
        let (link, means) = ("50%:wifi".into(), "3 ms".into());
        report.by_link.push(crate::report::OfLink { link, means, bots: 4, ..Default::default() });
        report.cuts = 9;
        let text = table(&report);
        for part in [
            "4 bots have 50%:wifi: 3 ms",
            "9 by the load test",
            "3 (going_down 3)",
            "12.35",
            "INVALID           why",
            "a note",
            "nothing is known",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(text.lines().all(|line| line.len() < 120), "{text}");
    }
}
