//! `--assert`: what must hold of a report, as `p99=50ms,drops=0,resumes>=30`.

use std::str::FromStr;

use crate::report::Report;

/// One thing that must hold: a number of the report is at most this, or at least.
#[derive(Clone, PartialEq, Debug)]
pub struct Assertion {
    what: What,
    bound: Bound,
    at_least: bool,
}

/// A number of the report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    P50,
    P90,
    P99,
    P999,
    Max,
    Jitter,
    Connect,
    Lag,
    Drops,
    Wrong,
    Resumes,
    SeatsLost,
    Unanswered,
    /// Bots that got no seat.
    Missing,
}

const NAMES: [(&str, What); 14] = [
    ("p50", What::P50),
    ("p90", What::P90),
    ("p99", What::P99),
    ("p999", What::P999),
    ("max", What::Max),
    ("jitter", What::Jitter),
    ("connect", What::Connect),
    ("lag", What::Lag),
    ("drops", What::Drops),
    ("wrong", What::Wrong),
    ("resumes", What::Resumes),
    ("seats_lost", What::SeatsLost),
    ("unanswered", What::Unanswered),
    ("missing", What::Missing),
];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Bound {
    Count(u64),
    Ms(f64),
    Ticks(f64),
}

/// Why something that must hold cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} {problem}; write it like p99=50ms, p99=2ticks, drops=0 or resumes>=30")]
pub struct AssertionError {
    text: String,
    problem: String,
}

/// What became of a report's assertions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// What holds, with the number that was found.
    pub held: Vec<String>,
    /// What does not hold, a line each.
    pub failed: Vec<String>,
    /// What an invalid run cannot tell, a line each.
    pub unproved: Vec<String>,
}

impl FromStr for Assertion {
    type Err = AssertionError;

    fn from_str(text: &str) -> Result<Self, AssertionError> {
        let error = |problem: String| AssertionError { text: text.to_owned(), problem };
        let Some((name, bound)) = text.trim().split_once('=') else {
            return Err(error("has no =".into()));
        };
        let (name, at_least) = match name.strip_suffix('>') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let Some((_, what)) = NAMES.iter().find(|(known, _)| *known == name.trim()) else {
            let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
            return Err(error(format!("names none of {}", names.join(", "))));
        };
        let bound = bound.trim();
        let parsed =
            if what.is_time() { time(bound) } else { bound.parse().ok().map(Bound::Count) };
        let needs = if what.is_time() { "a time in us, ms, s or ticks" } else { "a whole number" };
        let bound = parsed.ok_or_else(|| error(format!("needs {needs} behind the =")))?;
        Ok(Self { what: *what, bound, at_least })
    }
}

fn time(text: &str) -> Option<Bound> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(at);
    let number: f64 = number.trim().parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0)?;
    match unit {
        "us" => Some(Bound::Ms(number / 1_000.0)),
        "ms" => Some(Bound::Ms(number)),
        "s" => Some(Bound::Ms(number * 1_000.0)),
        "tick" | "ticks" => Some(Bound::Ticks(number)),
        _ => None,
    }
}

impl What {
    fn is_time(self) -> bool {
        use What::{Connect, Jitter, Lag, Max, P50, P90, P99, P999};
        matches!(self, P50 | P90 | P99 | P999 | Max | Jitter | Connect | Lag)
    }

    fn needs_a_valid_run(self) -> bool {
        self.is_time() || matches!(self, Self::Drops | Self::Unanswered)
    }

    /// The generator's own lag at the percentile that is asked for, where that is beyond what makes a
    /// run valid: a few stalls of its own look like a slow server there.
    fn own_lag(self, report: &Report) -> Option<f64> {
        match self {
            Self::P999 => Some(report.generator.lag_ms.p999),
            Self::Max => Some(report.generator.lag_ms.max),
            _ => None,
        }
    }

    /// Why the run cannot tell, if it cannot.
    fn unproved(self, report: &Report) -> Option<String> {
        if self.needs_a_valid_run() && !report.valid {
            return Some("the run is invalid".into());
        }
        let limit = report.generator.lag_limit_ms;
        let lag = self.own_lag(report).filter(|lag| *lag > limit)?;
        let name = self.name();
        Some(format!("the generator's own lag was {lag:.1} ms at {name}, the limit is {limit} ms"))
    }

    fn name(self) -> &'static str {
        let known = NAMES.iter().find(|(_, what)| *what == self);
        known.map_or("", |(name, _)| name)
    }

    fn of(self, report: &Report) -> f64 {
        match self {
            Self::P50 => report.latency_ms.p50,
            Self::P90 => report.latency_ms.p90,
            Self::P99 => report.latency_ms.p99,
            Self::P999 => report.latency_ms.p999,
            Self::Max => report.latency_ms.max,
            Self::Jitter => report.jitter_ms.p99,
            Self::Connect => report.connect_ms.p99,
            Self::Lag => report.generator.lag_ms.p99,
            Self::Drops => report.drops as f64,
            Self::Wrong => report.wrong as f64,
            Self::Resumes => report.resumes as f64,
            Self::SeatsLost => report.seats_lost as f64,
            Self::Unanswered => report.unanswered as f64,
            Self::Missing => report.missing() as f64,
        }
    }

    /// What a reader cannot see in the number.
    fn explain(self, report: &Report) -> String {
        match (self, report.watching) {
            (Self::Missing, watching @ 1..) => {
                format!("; {watching} of them are in and only watch: no seat was free")
            }
            _ => String::new(),
        }
    }

    /// Whether anything was measured of it: where nothing was, nothing is proved.
    fn is_measured(self, report: &Report) -> bool {
        use What::{Connect, Jitter, Lag, Max, P50, P90, P99, P999};
        match self {
            P50 | P90 | P99 | P999 | Max => report.latency_ms.count > 0,
            Jitter => report.jitter_ms.count > 0,
            Connect => report.connect_ms.count > 0,
            Lag => report.generator.lag_ms.count > 0,
            // Without a server in test mode no state is compared, and so none can be wrong.
            Self::Wrong => report.states_checked > 0,
            Self::Drops | Self::Resumes | Self::SeatsLost | Self::Unanswered | Self::Missing => {
                true
            }
        }
    }
}

impl Assertion {
    /// What was found, where it holds; else what is wrong.
    fn check(&self, report: &Report) -> Result<String, String> {
        let (name, value) = (self.what.name(), self.what.of(report));
        if !self.what.is_measured(report) {
            return Err(match self.what {
                What::Wrong => format!(
                    "{name}: no state was compared; start the server with --test-mode, and take \
                     --check sample or all"
                ),
                _ => format!("{name}: nothing was measured"),
            });
        }
        let Some(bound) = self.bound.number(report.tick_ms) else {
            return Err(format!("{name}: a turn-based room has no ticks to count in; use ms"));
        };
        let (holds, word) = match self.at_least {
            true => (value >= bound, "least"),
            false => (value <= bound, "most"),
        };
        if holds {
            let unit = if matches!(self.bound, Bound::Count(_)) { "" } else { " ms" };
            let round = |number: f64| (number * 10.0).round() / 10.0;
            let (value, bound) = (round(value), round(bound));
            return Ok(format!("{name} {value}{unit} (at {word} {bound}{unit})"));
        }
        Err(match (self.bound, report.tick_ms) {
            (Bound::Count(_), _) => {
                let more = self.what.explain(report);
                format!("{name}: {value}; at {word} {bound} was asked for{more}")
            }
            (Bound::Ticks(ticks), Some(tick)) => format!(
                "{name}: {value:.3} ms, {:.2} ticks; at {word} {ticks} ticks ({bound:.1} ms) was asked \
                 for",
                value / tick
            ),
            _ => format!("{name}: {value:.3} ms; at {word} {bound} ms was asked for"),
        })
    }
}

impl Bound {
    /// As the report has its numbers: counts, or milliseconds.
    fn number(self, tick_ms: Option<f64>) -> Option<f64> {
        match self {
            Self::Count(count) => Some(count as f64),
            Self::Ms(ms) => Some(ms),
            Self::Ticks(ticks) => Some(ticks * tick_ms?),
        }
    }
}

/// Looks at all assertions. Times of an invalid run prove nothing, in neither direction, and neither do
/// drops and answers that did not come: a generator that stalls causes them itself. A time beyond p99
/// proves nothing where the generator's own lag was over its limit at the same percentile. Where bots are
/// missing the server had less to do than it was to have, and fewer of them could be dropped: that fails,
/// unless it is said how many may be.
#[must_use]
pub fn judge(assertions: &[Assertion], report: &Report) -> Verdict {
    let mut verdict = Verdict::default();
    let knows_of_missing = assertions.iter().any(|assertion| assertion.what == What::Missing);
    if !assertions.is_empty() && !knows_of_missing && report.missing() > 0 {
        let missing = report.missing();
        verdict.failed.push(format!(
            "missing: {missing} of {} bots got no seat, so that the rest proves nothing of as many as were \
             asked for; add missing={missing} where that is meant",
            report.expected
        ));
    }
    for assertion in assertions {
        if let Some(why) = assertion.what.unproved(report) {
            verdict.unproved.push(format!("{}: {why}", assertion.what.name()));
        } else {
            match assertion.check(report) {
                Ok(found) => verdict.held.push(found),
                Err(problem) => verdict.failed.push(problem),
            }
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Generator, Spread};

    fn all(text: &str) -> Vec<Assertion> {
        text.split(',').map(|part| part.parse().unwrap()).collect()
    }

    fn report() -> Report {
        let latency_ms = Spread { count: 9, p50: 20.0, p99: 60.0, ..Spread::default() };
        Report {
            valid: true,
            tick_ms: Some(50.0),
            latency_ms,
            drops: 1,
            states_checked: 40,
            ..Report::default()
        }
    }

    #[test]
    fn what_holds_holds() {
        let text = "p50=20ms, p99=2ticks,p99=0.06s,p99=60000us,drops=1,drops>=1,wrong=0,p50>=20ms";
        let verdict = judge(&all(text), &report());
        assert_eq!((verdict.failed.len(), verdict.unproved.len()), (0, 0), "{verdict:?}");
        let held = ["p50 20 ms (at most 20 ms)", "p99 60 ms (at most 100 ms)"];
        assert_eq!(
            (&verdict.held[..2], &*verdict.held[5]),
            (&held.map(String::from)[..], "drops 1 (at least 1)")
        );
    }

    #[test]
    fn what_does_not_hold_has_a_line_each() {
        let verdict = judge(&all("p50=19.9ms,p99=1ticks,drops=0,jitter=1ms,resumes>=2"), &report());
        assert_eq!(
            verdict.failed,
            [
                "p50: 20.000 ms; at most 19.9 ms was asked for",
                "p99: 60.000 ms, 1.20 ticks; at most 1 ticks (50.0 ms) was asked for",
                "drops: 1; at most 0 was asked for",
                "jitter: nothing was measured",
                "resumes: 0; at least 2 was asked for",
            ]
        );
    }

    #[test]
    fn bots_that_only_watch_are_missing_and_the_line_says_so() {
        let report = Report { expected: 12, joined: 8, watching: 3, ..report() };
        let line = "missing: 4; at most 0 was asked for; 3 of them are in and only watch: no seat was \
                    free";
        assert_eq!(judge(&all("missing=0"), &report).failed, [line]);
        assert_eq!(judge(&all("missing=4"), &report).held, ["missing 4 (at most 4)"]);
    }

    #[test]
    fn what_a_run_shows_in_which_bots_are_missing_is_no_proof() {
        let report = Report { expected: 4, drops: 0, ..report() };
        for text in ["drops=0", "p50=20ms", "wrong=0,resumes=0"] {
            let failed = judge(&all(text), &report).failed;
            assert!(failed.len() == 1 && failed[0].contains("add missing=4"), "{failed:?}");
        }
        assert_eq!(judge(&all("drops=0,p50=20ms,missing=4"), &report).failed, [""; 0]);
        assert_eq!(judge(&[], &report).failed, [""; 0], "nothing is asked");
    }

    #[test]
    fn times_and_drops_of_an_invalid_run_prove_nothing_but_wrong_states_do() {
        let report = Report { valid: false, wrong: 2, ..report() };
        let verdict = judge(&all("p99=1ms,drops=0,wrong=0"), &report);
        assert_eq!(verdict.unproved, ["p99: the run is invalid", "drops: the run is invalid"]);
        assert_eq!(verdict.failed, ["wrong: 2; at most 0 was asked for"]);
    }

    #[test]
    fn a_percentile_at_which_the_generator_was_late_itself_proves_nothing() {
        let lag_ms = Spread { p99: 1.0, p999: 4.0, max: 80.0, ..Spread::default() };
        let generator = Generator { lag_ms, lag_limit_ms: 5.0, ..Generator::default() };
        let verdict = judge(&all("p99=1ms,p999=1s,max=1ms"), &Report { generator, ..report() });
        let line = "max: the generator's own lag was 80.0 ms at max, the limit is 5 ms";
        assert_eq!(verdict.unproved, [line]);
        assert_eq!(verdict.failed.len(), 1, "p99 is asserted, and p999: {verdict:?}");
        assert!(verdict.failed[0].starts_with("p99:"), "{verdict:?}");
    }

    #[test]
    fn where_no_state_was_compared_none_is_shown_to_be_right() {
        let report = Report { states_checked: 0, ..report() };
        let verdict = judge(&all("wrong=0"), &report);
        assert!(verdict.failed[0].contains("--test-mode"), "{:?}", verdict.failed);
    }

    #[test]
    fn a_turn_based_room_has_no_ticks() {
        let report = Report { tick_ms: None, ..report() };
        assert!(judge(&all("p99=2ticks"), &report).failed[0].contains("use ms"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, part) in [
            ("p99", "no ="),
            ("p98=5ms", "p99"),
            ("p99=5", "a time in"),
            ("p99=5h", "a time in"),
            ("p99=-5ms", "a time in"),
            ("drops=0ms", "a whole number"),
        ] {
            let error = text.parse::<Assertion>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(text), "{error}");
        }
    }
}
