//! The table and the flat object.

use serde_json::{Map, Value, json};

/// One figure.
pub(crate) struct Row {
    /// Its key in the object; none: it is shown only.
    pub(crate) key: Option<&'static str>,
    pub(crate) what: String,
    pub(crate) value: f64,
    /// What is good, and what is aimed at, where anything is.
    pub(crate) good: Option<(f64, f64)>,
    /// What is counted, and beside what.
    pub(crate) note: String,
}

/// All of them, in order.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// The rows as text.
    pub(crate) fn table(&self) -> String {
        let mut out = format!("{:<52} {:>9} {:>7} {:>7}\n", "", "measured", "good", "aim");
        for row in &self.rows {
            let limit = |limit: Option<f64>| limit.map_or(String::new(), |limit| limit.to_string());
            let (good, aim) = (row.good.map(|(good, _)| good), row.good.map(|(_, aim)| aim));
            let mark = match row.good {
                Some((good, _)) if row.value > good => "  MISSED",
                Some((_, aim)) if row.value > aim => "  above the aim",
                _ => "",
            };
            let value = if row.value < 10.0 {
                format!("{:.2}", row.value)
            } else {
                format!("{:.1}", row.value)
            };
            out += &format!(
                "{:<52} {value:>9} {:>7} {:>7}{mark}\n",
                row.what,
                limit(good),
                limit(aim)
            );
            if !row.note.is_empty() {
                out += &format!("    {}\n", row.note);
            }
        }
        out
    }

    /// The figures by their keys.
    pub(crate) fn json(&self) -> Value {
        let keyed = self.rows.iter().filter_map(|row| {
            let value = (row.value * 1000.0).round() / 1000.0;
            Some((row.key?.to_owned(), json!(value)))
        });
        Value::Object(keyed.collect::<Map<_, _>>())
    }

    /// What is worse than good.
    pub(crate) fn missed(&self) -> Vec<String> {
        let line = |row: &Row| {
            let (most, _) = row.good?;
            let missed = format!("{}: {:.1}, at most {most} is good", row.what, row.value);
            (row.value > most).then_some(missed)
        };
        self.rows.iter().filter_map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: Option<&'static str>, value: f64) -> Row {
        Row { key, what: "a figure".into(), value, good: Some((2.0, 1.0)), note: String::new() }
    }

    #[test]
    fn what_is_not_good_is_named_and_what_has_no_key_is_shown_only() {
        let mut report = Report::default();
        [row(Some("best"), 0.5), row(Some("good"), 1.5), row(None, 2.5)]
            .into_iter()
            .for_each(|row| report.push(row));
        assert_eq!(report.json(), json!({ "best": 0.5, "good": 1.5 }));
        let table = report.table();
        let marks: Vec<bool> = table.lines().skip(1).map(|line| line.ends_with("aim")).collect();
        assert_eq!(marks, [false, true, false]);
        assert!(table.lines().last().is_some_and(|line| line.ends_with("MISSED")));
        assert_eq!(report.missed().len(), 1);
    }
}
