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

    /// What is not good.
    pub(crate) fn missed(&self) -> Vec<String> {
        let bad = |row: &&Row| row.good.is_some_and(|(good, _)| row.value > good);
        let missed = self.rows.iter().filter(bad);
        let line = |row: &Row| {
            let good = row.good.map_or(f64::NAN, |(good, _)| good);
            format!("{}: {:.1}, {good} is good", row.what, row.value)
        };
        missed.map(line).collect()
    }
}
