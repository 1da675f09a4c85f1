//! Two reports side by side: what is better, what is worse, by how much, and whether that is fair to say.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use crate::capacity::Capacity;
use crate::html::number::number;
use crate::report::Report;

mod facts;

use facts::{Fact, Wish};

/// How far apart two values are that are called the same, as a share: single runs differ by that much by
/// chance.
const SAME: f64 = 0.05;
/// Most bytes of a report.
const FILE_MAX_BYTES: u64 = 256 << 20;

/// Why reports cannot be compared.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CompareError {
    /// A file cannot be read.
    #[error("{file}: {why}")]
    File {
        /// The file.
        file: String,
        /// Why not.
        why: String,
    },
    /// A file is no report.
    #[error("{file} is no report of this program: {why}; make one with --json FILE")]
    Form {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// One is of a run, the other of a capacity.
    #[error("{a} is the report of a {of_a}, {b} of a {of_b}: compare two of a kind")]
    Kinds {
        /// The first file.
        a: String,
        /// What it is.
        of_a: &'static str,
        /// The second file.
        b: String,
        /// What it is.
        of_b: &'static str,
    },
}

/// Which of two values is the better one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Judgement {
    /// The second.
    Better,
    /// The first.
    Worse,
    /// Too near to each other.
    Same,
}

impl Judgement {
    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "the same",
        }
    }
}

/// One thing that both reports tell.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Difference {
    /// What it is.
    pub name: String,
    /// Its unit; empty: a count.
    pub unit: &'static str,
    /// In the first.
    pub a: f64,
    /// In the second.
    pub b: f64,
    /// The second as a multiple of the first; null where the first is 0.
    pub ratio: Option<f64>,
    /// Which is better.
    pub judgement: Judgement,
    /// The difference in words, as `12 % lower`.
    pub words: String,
}

/// Two reports side by side.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Comparison {
    /// What kind of report it is: `comparison`.
    pub kind: &'static str,
    /// What the first is called: its file.
    pub a: String,
    /// What the second is called.
    pub b: String,
    /// What it comes to, as a sentence.
    pub verdict: String,
    /// Why the comparison is not fair, a sentence each.
    pub unfair: Vec<String>,
    /// What both tell.
    pub differences: Vec<Difference>,
    /// The reports themselves, for plots.
    #[serde(skip)]
    pub(crate) sides: Sides,
}

/// Two reports of a kind.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Sides {
    Runs(Box<[Report; 2]>),
    Capacities(Box<[Capacity; 2]>),
}

/// A report as a file has it.
enum Side {
    Run(Box<Report>),
    Capacity(Box<Capacity>),
}

impl Side {
    fn read(path: &Path) -> Result<Self, CompareError> {
        let file = path.display().to_string();
        let unread = |why: String| CompareError::File { file: file.clone(), why };
        let size = std::fs::metadata(path).map_err(|error| unread(error.to_string()))?.len();
        if size > FILE_MAX_BYTES {
            return Err(unread(format!("it has {size} bytes; at most {FILE_MAX_BYTES} are read")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unread(error.to_string()))?;
        Self::parse(&text).map_err(|why| CompareError::Form { file, why })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let json: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let said = |error: serde_json::Error| error.to_string();
        match json.get("kind").and_then(serde_json::Value::as_str) {
            Some("run") => Ok(Self::Run(serde_json::from_value(json).map_err(said)?)),
            Some("capacity") => Ok(Self::Capacity(serde_json::from_value(json).map_err(said)?)),
            Some(other) => Err(format!("it is a {other:?}")),
            None => Err("it does not say its kind".into()),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Capacity(_) => "capacity",
        }
    }
}

/// Compares the reports in two files; the first is what the second is held against.
///
/// # Errors
/// When one cannot be read, is no report, or they are not of a kind.
pub fn compare(a: &Path, b: &Path) -> Result<Comparison, CompareError> {
    let names = [a, b].map(|path| path.display().to_string());
    match (Side::read(a)?, Side::read(b)?) {
        (Side::Run(one), Side::Run(two)) => Ok(runs(names, *one, *two)),
        (Side::Capacity(one), Side::Capacity(two)) => Ok(capacities(names, *one, *two)),
        (one, two) => {
            let [a, b] = names;
            Err(CompareError::Kinds { a, of_a: one.kind(), b, of_b: two.kind() })
        }
    }
}

pub(crate) fn runs(names: [String; 2], a: Report, b: Report) -> Comparison {
    let unfair = facts::unfair_runs(&a, &b);
    let differences = differences(facts::of_run(&a), facts::of_run(&b));
    finish(names, unfair, differences, Sides::Runs(Box::new([a, b])))
}

pub(crate) fn capacities(names: [String; 2], a: Capacity, b: Capacity) -> Comparison {
    let unfair = facts::unfair_capacities(&a, &b);
    let differences = differences(facts::of_capacity(&a), facts::of_capacity(&b));
    finish(names, unfair, differences, Sides::Capacities(Box::new([a, b])))
}

fn finish(
    [a, b]: [String; 2],
    unfair: Vec<String>,
    differences: Vec<Difference>,
    sides: Sides,
) -> Comparison {
    let count = |judgement| differences.iter().filter(|d| d.judgement == judgement).count();
    let [better, worse, same] = [Judgement::Better, Judgement::Worse, Judgement::Same].map(count);
    let fair =
        if unfair.is_empty() { "" } else { " But they are not alike in what was asked for." };
    let verdict = format!(
        "Of {} things that both tell, {b} is better in {better}, worse in {worse}, and the same within \
         {:.0} % in {same}.{fair}",
        differences.len(),
        SAME * 100.0
    );
    Comparison { kind: "comparison", a, b, verdict, unfair, differences, sides }
}

/// What both sides tell.
fn differences(a: Vec<Fact>, b: Vec<Fact>) -> Vec<Difference> {
    let other = |fact: &Fact| b.iter().find(|of_b| of_b.name == fact.name).map(|of_b| of_b.value);
    a.iter().filter_map(|fact| Some(difference(fact, other(fact)?))).collect()
}

fn difference(fact: &Fact, b: f64) -> Difference {
    let a = fact.value;
    let ratio = (a != 0.0).then(|| b / a);
    let same = match ratio {
        Some(ratio) => (ratio - 1.0).abs() <= SAME,
        None => b == 0.0,
    };
    let judgement = match (same, (b < a) == (fact.wish == Wish::Low)) {
        (true, _) => Judgement::Same,
        (false, true) => Judgement::Better,
        (false, false) => Judgement::Worse,
    };
    let (name, unit, words) = (fact.name.clone(), fact.unit, words(a, b));
    Difference { name, unit, a, b, ratio, judgement, words }
}

/// How the second differs from the first.
fn words(a: f64, b: f64) -> String {
    match (a, b) {
        (a, b) if a == b => "no difference".into(),
        (0.0, b) => format!("{} instead of none", number(b)),
        (_, 0.0) => "none any more".into(),
        (a, b) if b >= a * 2.0 => format!("{} times as much", number(b / a)),
        (a, b) if b > a => format!("{} % higher", number((b / a - 1.0) * 100.0)),
        (a, b) => format!("{} % lower", number((1.0 - b / a) * 100.0)),
    }
}

impl Comparison {
    /// The comparison for people: a line for each thing that both tell.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "A: {}\nB: {}\n\n{}\n", self.a, self.b, self.verdict);
        self.unfair.iter().for_each(|why| {
            let _ = writeln!(out, "UNFAIR: {why}");
        });
        let _ = writeln!(out, "{:<32}{:>14}{:>14}   B", "", "A", "B");
        for difference in &self.differences {
            let Difference { name, unit, a, b, words, judgement, .. } = difference;
            let name = if unit.is_empty() { name.clone() } else { format!("{name}, {unit}") };
            let (a, b, judged) = (number(*a), number(*b), judgement.word());
            let _ = writeln!(out, "{name:<32}{a:>14}{b:>14}   {words}: {judged}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(p99: f64, drops: u64) -> Report {
        let mut report = Report { kind: "run".into(), valid: true, drops, ..Report::default() };
        (report.latency_ms.count, report.latency_ms.p50, report.latency_ms.p99) = (100, 20.0, p99);
        report.told.game = "arena".into();
        report
    }

    fn runs_of(a: Report, b: Report) -> Comparison {
        runs(["a.json".into(), "b.json".into()], a, b)
    }

    #[test]
    fn it_says_what_is_better_and_by_how_much() {
        let found = runs_of(report(50.0, 3), report(40.0, 0));
        let of = |name: &str| found.differences.iter().find(|d| d.name == name).unwrap();
        let p99 = of("latency p99");
        assert_eq!((p99.judgement, p99.words.as_str()), (Judgement::Better, "20 % lower"));
        assert_eq!(of("latency p50").judgement, Judgement::Same);
        assert_eq!(of("drops").words, "none any more");
        let back = runs_of(report(40.0, 0), report(90.0, 3));
        let table = back.table();
        for part in
            ["2.25 times as much: worse", "3 instead of none: worse", "b.json is better in 0"]
        {
            assert!(table.contains(part), "{part} in\n{table}");
        }
    }

    #[test]
    fn what_makes_it_unfair_is_said() {
        let mut other = Report { valid: false, ..report(50.0, 0) };
        (other.told.rooms, other.told.transport) = (5, "quic".into());
        let found = runs_of(report(50.0, 0), other);
        let all = found.unfair.join("\n");
        for part in ["rooms", "transport", "B is invalid"] {
            assert!(all.contains(part), "{part} in {all}");
        }
        assert!(found.verdict.contains("not alike") && found.table().contains("UNFAIR"));
        assert_eq!(runs_of(report(1.0, 0), report(2.0, 0)).unfair, [""; 0]);
    }

    #[test]
    fn more_rooms_are_better() {
        let capacity = |rooms| Capacity { rooms, is_the_servers: true, ..Capacity::default() };
        let names = || ["a".to_owned(), "b".to_owned()];
        let found = capacities(names(), capacity(100), capacity(150));
        let rooms = &found.differences[0];
        assert_eq!((rooms.judgement, rooms.words.as_str()), (Judgement::Better, "50 % higher"));
    }

    #[test]
    fn a_report_is_read_as_it_is_written() {
        let text = serde_json::to_string(&report(50.0, 3)).unwrap();
        let Ok(Side::Run(read)) = Side::parse(&text) else { panic!("it is a run") };
        assert_eq!(*read, report(50.0, 3));
        for bad in ["", "{}", "{\"kind\":\"comparison\"}", "{\"kind\":\"run\",\"drops\":\"x\"}"] {
            assert!(Side::parse(bad).is_err(), "{bad}");
        }
        let error = compare(Path::new("/nowhere.json"), Path::new("/nowhere.json")).unwrap_err();
        assert!(error.to_string().contains("/nowhere.json"));
    }
}
