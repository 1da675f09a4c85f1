//! What was measured: a table for people, one flat JSON object for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// All figures, by their names.
#[derive(Default)]
pub(super) struct Report {
    figures: Vec<(String, f64)>,
}

/// What is asked of a figure.
struct Bar {
    what: &'static str,
    figure: &'static str,
    good: f64,
    aim: f64,
    /// Less is better.
    less: bool,
}

const BARS: &[Bar] = &[
    Bar {
        what: "gated moves, 1 client, x floor",
        figure: "gated_ratio_1",
        good: 0.7,
        aim: 0.9,
        less: false,
    },
    Bar {
        what: "gated moves, 100 rooms, x floor",
        figure: "gated_ratio_100",
        good: 0.5,
        aim: 0.8,
        less: false,
    },
    Bar {
        what: "crash to playing, p50, ms",
        figure: "crash_to_playing_ms_p50",
        good: 1_000.0,
        aim: 600.0,
        less: true,
    },
    Bar {
        what: "crash to playing, p99, ms",
        figure: "crash_to_playing_ms_p99",
        good: 3_000.0,
        aim: 1_500.0,
        less: true,
    },
    Bar { what: "wake, p99, ms", figure: "wake_ms_p99", good: 5.0, aim: 2.0, less: true },
    Bar {
        what: "parked room, bytes",
        figure: "parked_room_bytes",
        good: 2_048.0,
        aim: 1_024.0,
        less: true,
    },
    Bar {
        what: "journal's share of processor time, %",
        figure: "journal_cpu_pct",
        good: 5.0,
        aim: 2.0,
        less: true,
    },
];

impl Bar {
    fn verdict(&self, value: f64) -> &'static str {
        let reaches = |bar: f64| if self.less { value <= bar } else { value >= bar };
        match (reaches(self.aim), reaches(self.good)) {
            (true, _) => "ok, the aim",
            (false, true) => "ok",
            (false, false) => "missed",
        }
    }
}

impl Report {
    pub(super) fn put(&mut self, name: impl Into<String>, value: f64) {
        self.figures.push((name.into(), value));
    }

    fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// One flat object.
    pub(super) fn json(&self) -> Value {
        let figures = self.figures.iter().map(|(name, value)| (name.clone(), json!(value)));
        Value::Object(figures.collect::<Map<_, _>>())
    }

    /// What a person reads: every figure, then what is asked of them.
    pub(super) fn table(&self) -> String {
        let mut out = String::new();
        for (name, value) in &self.figures {
            let _ = writeln!(out, "{name:<36} {value:>12.2}");
        }
        let _ = writeln!(out, "\n{:<40} {:>10} {:>8} {:>8}", "", "measured", "good", "aim");
        for bar in BARS {
            if let Some(value) = self.figure(bar.figure) {
                let (good, aim, verdict) = (bar.good, bar.aim, bar.verdict(value));
                let _ =
                    writeln!(out, "{:<40} {value:>10.2} {good:>8} {aim:>8}  {verdict}", bar.what);
            }
        }
        out
    }

    /// Figures that cannot be.
    pub(super) fn insane(&self) -> Vec<String> {
        // The difference of two noisy times may come out below nothing, and sockets may find their memory
        // where it was free before.
        let differences = ["journal_cpu_pct", "parked_socket_bytes"];
        let may_be = |name: &str, value: f64| value > 0.0 || differences.contains(&name);
        let wrong =
            self.figures.iter().filter(|(name, value)| !value.is_finite() || !may_be(name, *value));
        wrong.map(|(name, value)| format!("{name} is {value}, which cannot be")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_judged_and_those_that_cannot_be_are_named() {
        let mut report = Report::default();
        report.put("gated_ratio_1", 0.75);
        report.put("crash_to_playing_ms_p99", 3_001.0);
        let table = report.table();
        assert!(table.contains("0.75      0.7      0.9  ok\n"), "{table}");
        assert!(table.contains("missed"), "{table}");
        assert_eq!(report.json()["gated_ratio_1"], json!(0.75));
        assert!(report.insane().is_empty());
        report.put("restore_ms_per_match_minute", f64::NAN);
        assert_eq!(report.insane().len(), 1);
    }
}
