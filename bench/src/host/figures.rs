//! What was measured: a table for people, one flat JSON object for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::tally::median;

/// What a round came to, or why nothing can be told from it.
pub(crate) type Round = Result<f64, String>;

/// All figures, by their names; and what explains them.
#[derive(Default)]
pub(crate) struct Figures(Vec<Figure>, BTreeMap<String, f64>);

struct Figure {
    key: String,
    /// Of the rounds that tell something.
    values: Vec<f64>,
    /// Why others do not.
    invalid: Vec<String>,
}

/// What is asked of a figure.
struct Bar {
    what: &'static str,
    key: &'static str,
    good: f64,
    aim: f64,
    /// Less is better.
    less: bool,
}

const fn most(what: &'static str, key: &'static str, good: f64, aim: f64) -> Bar {
    Bar { what, key, good, aim, less: true }
}

const fn least(what: &'static str, key: &'static str, good: f64, aim: f64) -> Bar {
    Bar { what, key, good, aim, less: false }
}

const BARS: &[Bar] = &[
    most("CPU per message, 1 x 200, x floor", "cpu_ratio_1x200", 1.5, 1.15),
    most("CPU per message, 1 x 500, x floor", "cpu_ratio_1x500", 1.5, 1.15),
    most("CPU per message, 250 x 4, x floor", "cpu_ratio_250x4", 1.5, 1.2),
    most("CPU per message, 500 x 4, x floor", "cpu_ratio_500x4", 1.5, 1.2),
    most("the same over QUIC, 1 x 200, x floor", "cpu_ratio_quic_1x200", 2.5, 1.5),
    most("system calls per message, x floor", "syscalls_ratio", 1.15, 1.05),
    most("p99.9 tick lateness above a timer's, ms", "tick_lateness_p999_ms", 3.0, 1.0),
    least("4-player arenas on one core", "rooms_per_core", 450.0, 600.0),
    least("two threads without sockets, x processes", "two_thread_scaling", 0.9, 0.97),
    least("moves/s, 200 rooms, logged", "moves_per_s_logged", 20_000.0, 30_000.0),
    least("moves/s, 200 rooms, gated", "moves_per_s_gated", 10_000.0, 20_000.0),
    least("cold rooms/s, join to first state", "cold_rooms_per_s", 2_500.0, 5_000.0),
    most("memory of a 4-player arena, KiB", "rss_kib_per_room", 96.0, 56.0),
    most("CPU of 1,000 idle rooms, % of a core", "idle_cpu_pct_per_1000", 0.1, 0.0),
    most("rise of light rooms' p99 lateness, ms", "isolation_p99_ms", 5.0, 5.0),
];

/// The difference of two noisy figures may come out below nothing.
const DIFFERENCES: [&str; 4] = [
    "tick_lateness_p999_ms",
    "idle_cpu_pct_per_1000",
    "idle_unparked_cpu_pct_per_1000",
    "isolation_p99_ms",
];

impl Bar {
    /// Of a bar, given the middle and the ends of what was measured.
    fn verdict(&self, (low, middle, high): (f64, f64, f64), bar: f64) -> &'static str {
        if high - low > (middle - bar).abs() {
            return "undecided";
        }
        match (middle <= bar) == self.less || middle == bar {
            true => "met",
            false => "missed",
        }
    }
}

impl Figure {
    fn spread(&self) -> (f64, f64, f64) {
        let low = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (low, median(&self.values), high)
    }
}

impl Figure {
    /// Why it tells nothing: the first reason stands for the others.
    fn why(&self) -> String {
        let first = self.invalid.first().map_or("not measured", String::as_str);
        match self.invalid.len() {
            0 | 1 => format!("INVALID: {first}"),
            all => format!("INVALID in all {all} rounds, the first since {first}"),
        }
    }
}

impl Figures {
    /// The rounds of a figure. The median of those that tell something is what it is.
    pub(crate) fn put(&mut self, key: impl Into<String>, rounds: impl IntoIterator<Item = Round>) {
        let (mut values, mut invalid) = (Vec::new(), Vec::new());
        for round in rounds {
            match round {
                Ok(value) => values.push(value),
                Err(why) => invalid.push(why),
            }
        }
        self.0.push(Figure { key: key.into(), values, invalid });
    }

    /// Something beside the figures, that may be 0, or not known: then it is null.
    pub(crate) fn note(&mut self, key: impl Into<String>, value: f64) {
        self.1.insert(key.into(), value);
    }

    fn find(&self, key: &str) -> Option<&Figure> {
        self.0.iter().find(|figure| figure.key == key)
    }

    /// The figure, where there is one that tells something.
    pub(crate) fn get(&self, key: &str) -> Option<f64> {
        self.find(key).map(|figure| median(&figure.values)).filter(|value| !value.is_nan())
    }

    /// Whether there is something of the name, also what tells nothing.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Flat: the figures, null where nothing can be told; the ends of those that were taken more than once,
    /// and why there is nothing, or less than there should be.
    pub(crate) fn json(&self) -> Map<String, Value> {
        let mut all: Map<_, _> =
            self.1.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        for figure in &self.0 {
            let (low, middle, high) = figure.spread();
            all.insert(figure.key.clone(), json!(middle));
            if figure.values.len() > 1 {
                all.insert(format!("{}_low", figure.key), json!(low));
                all.insert(format!("{}_high", figure.key), json!(high));
            }
            if !figure.invalid.is_empty() {
                all.insert(format!("{}_invalid", figure.key), json!(figure.invalid.join("; ")));
            }
        }
        all
    }

    /// What a person reads: what is asked of the figures, then all that have no bar.
    pub(crate) fn table(&self) -> String {
        let mut out = String::from(HEAD);
        for bar in BARS {
            let Some(figure) = self.find(bar.key) else { continue };
            if figure.values.is_empty() {
                let _ = writeln!(out, "{:<41} {}", bar.what, figure.why());
                continue;
            }
            let (low, middle, high) = figure.spread();
            let of = |value: f64| format!("{value} {}", bar.verdict((low, middle, high), value));
            let spread = format!("{}-{}", short(low), short(high));
            let rounds = figure.values.len();
            let (good, aim) = (of(bar.good), of(bar.aim));
            let middle = short(middle);
            let _ = writeln!(
                out,
                "{:<41} {middle:>9} {spread:>17} {rounds:>6}  {good:<17} {aim}",
                bar.what
            );
            for why in &figure.invalid {
                let _ = writeln!(out, "    a round was INVALID: {why}");
            }
        }
        out += "\n";
        for figure in self.0.iter().filter(|figure| BARS.iter().all(|bar| bar.key != figure.key)) {
            let (low, middle, high) = figure.spread();
            let (key, middle) = (&figure.key, short(middle));
            let spread = format!("{}-{}", short(low), short(high));
            match figure.values.is_empty() {
                true => writeln!(out, "{key:<41} {}", figure.why()),
                false => writeln!(out, "{key:<41} {middle:>9} {spread:>17}"),
            }
            .unwrap_or_default();
        }
        out
    }

    /// Figures that cannot be.
    pub(crate) fn insane(&self) -> Vec<String> {
        let may_be = |figure: &Figure, value: f64| {
            value.is_finite() && (value > 0.0 || DIFFERENCES.contains(&figure.key.as_str()))
        };
        let mut faults = Vec::new();
        for figure in &self.0 {
            for &value in &figure.values {
                if !may_be(figure, value) {
                    faults.push(format!("{} is {value}, which cannot be", figure.key));
                }
            }
            if figure.values.is_empty() && figure.invalid.is_empty() {
                faults.push(format!("{} was not measured", figure.key));
            }
        }
        faults
    }
}

/// As many digits as say something.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 => format!("{value:.0}"),
        middle if middle >= 20.0 => format!("{value:.1}"),
        middle if middle >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

const HEAD: &str = "                                           measured            spread rounds  good              aim\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_undecided_where_the_spread_exceeds_the_distance_to_it() {
        let mut figures = Figures::default();
        figures.put("cpu_ratio_1x200", [Ok(1.45), Ok(1.2), Ok(1.3)]);
        figures.put("rooms_per_core", [Ok(500.0)]);
        let table = figures.table();
        let line = |what: &str| table.lines().find(|line| line.starts_with(what)).unwrap();
        let of = line("CPU per message, 1 x 200");
        assert!(of.contains("1.30") && of.contains("1.20-1.45") && of.contains("1.5 undecided"));
        assert!(of.ends_with("1.15 undecided"), "{of}");
        let of = line("4-player arenas");
        assert!(of.contains("450 met") && of.ends_with("600 missed"), "{of}");
        let bar = &BARS[0];
        assert_eq!(bar.verdict((1.0, 1.1, 1.12), 1.5), "met");
        assert_eq!(bar.verdict((1.6, 1.7, 1.75), 1.5), "missed");
        assert_eq!(bar.verdict((1.5, 1.5, 1.5), 1.5), "met");
    }

    #[test]
    fn what_tells_nothing_is_never_a_figure() {
        let mut figures = Figures::default();
        figures.put("cold_rooms_per_s", [Err("the load was late".to_owned())]);
        figures.put("moves_per_s_gated", [Ok(7.0), Err("it was late".to_owned())]);
        let table = figures.table();
        assert!(table.contains("INVALID: the load was late"), "{table}");
        assert!(table.contains("a round was INVALID: it was late"), "{table}");
        let json = figures.json();
        assert_eq!(json["cold_rooms_per_s"], Value::Null);
        assert_eq!(json["cold_rooms_per_s_invalid"], json!("the load was late"));
        assert_eq!(json["moves_per_s_gated"], json!(7.0));
        assert_eq!(
            (figures.get("cold_rooms_per_s"), figures.has("cold_rooms_per_s")),
            (None, true)
        );
        assert!(figures.insane().is_empty());
    }

    #[test]
    fn figures_that_cannot_be_are_named() {
        let mut figures = Figures::default();
        figures.put("rss_kib_per_room", [Ok(0.0)]);
        figures.put("isolation_p99_ms", [Ok(-0.5)]);
        figures.put("rooms_per_core", []);
        assert_eq!(figures.insane().len(), 2);
    }
}
