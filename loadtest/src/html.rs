//! Reports as one HTML page each, that needs nothing from elsewhere: pictures are SVG in the page, and it
//! has a light and a dark look. What stands in it, the pages say: [`run`], [`capacity`], [`compare`].

use std::fmt::Write;

mod capacity;
mod chart;
mod compare;
pub(crate) mod number;
mod run;

pub use capacity::page as capacity_page;
pub use compare::page as comparison_page;
pub use run::page as run_page;

use chart::Chart;
use number::escape;

/// The look of all pages.
const STYLE: &str = include_str!("html/style.css");

/// A fact that stands large at the top.
struct Fact {
    name: &'static str,
    value: String,
    /// What it means, in a few words.
    about: String,
    mood: Mood,
}

/// How a fact is to be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mood {
    Plain,
    Good,
    Bad,
}

impl Mood {
    fn class(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => " good",
            Self::Bad => " bad",
        }
    }
}

/// A page in the making.
struct Page {
    title: String,
    body: String,
}

impl Page {
    fn new(title: &str, lead: &str) -> Self {
        let title = escape(title);
        let body =
            format!("<header><h1>{title}</h1><p class=\"lead\">{}</p></header>\n", escape(lead));
        Self { title, body }
    }

    /// A line that nobody can miss.
    fn banner(&mut self, mood: Mood, text: &str) {
        let _ = writeln!(self.body, "<p class=\"banner{}\">{}</p>", mood.class(), escape(text));
    }

    fn facts(&mut self, facts: &[Fact]) {
        // Rows of equal length, where that is possible.
        let across = match facts.len() {
            n @ 0..=5 => n.max(1),
            6 => 3,
            _ => 4,
        };
        let _ = writeln!(self.body, "<div class=\"facts\" style=\"--across:{across}\">");
        for Fact { name, value, about, mood } in facts {
            let (value, about, class) = (escape(value), escape(about), mood.class());
            let _ = writeln!(
                self.body,
                "<div class=\"fact{class}\"><span class=\"name\">{name}</span>\
                 <span class=\"value\">{value}</span><span class=\"about\">{about}</span></div>"
            );
        }
        self.body.push_str("</div>\n");
    }

    /// Those of the charts that have something to show.
    fn charts(&mut self, charts: &[Chart]) {
        self.body.push_str("<div class=\"charts\">\n");
        charts
            .iter()
            .filter(|chart| chart.has_points())
            .for_each(|chart| chart.draw(&mut self.body));
        self.body.push_str("</div>\n");
    }

    fn heading(&mut self, text: &str) {
        let _ = writeln!(self.body, "<h2>{}</h2>", escape(text));
    }

    /// A table; each row's first cell is its name, the others are numbers.
    fn table<const N: usize>(&mut self, head: [&str; N], rows: &[[String; N]]) {
        let cells = |tag: &str, cells: &[&str]| {
            cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect::<String>()
        };
        let _ = writeln!(
            self.body,
            "<div class=\"scroll\"><table><thead><tr>{}</tr></thead><tbody>",
            cells("th", &head)
        );
        for row in rows {
            let row: Vec<&str> = row.iter().map(String::as_str).collect();
            let cell = |cell: &&str| format!("<td{}>{}</td>", tone(cell), escape(cell));
            let rest: String = row[1..].iter().map(cell).collect();
            let _ = writeln!(self.body, "<tr><th>{}</th>{rest}</tr>", escape(row[0]));
        }
        self.body.push_str("</tbody></table></div>\n");
    }

    /// Names and what there is to say of them.
    fn list(&mut self, pairs: &[(&str, String)]) {
        self.body.push_str("<dl>\n");
        for (name, text) in pairs {
            let _ = writeln!(self.body, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(text));
        }
        self.body.push_str("</dl>\n");
    }

    fn notes(&mut self, notes: &[String]) {
        if notes.is_empty() {
            return;
        }
        self.heading("Notes");
        self.body.push_str("<ul>\n");
        for note in notes {
            let _ = writeln!(self.body, "<li>{}</li>", escape(note));
        }
        self.body.push_str("</ul>\n");
    }

    fn finish(self) -> String {
        let Self { title, body } = self;
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n{body}\
             <footer>Made by referee-loadtest {version}. Latency counts from the instant at which an \
             input was to be sent, however late the sender was, to the first state that tells of \
             it.</footer>\n</main></body></html>\n"
        )
    }
}

/// How a verdict in a table is shown.
fn tone(cell: &str) -> &'static str {
    match cell {
        "better" | "held" => " class=\"good\"",
        "worse" | "did not hold" => " class=\"bad\"",
        _ => "",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    /// Checks what every page must be: whole, closed, and without anything from elsewhere.
    #[track_caller]
    pub(crate) fn is_a_page(page: &str) {
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"), "{page}");
        for bad in ["http:", "https:", "src=", "<script", "@import", "url(", "NaN", "inf "] {
            let at =
                page.find(bad).map(|at| &page[at.saturating_sub(80)..(at + 80).min(page.len())]);
            assert_eq!(at, None, "{bad}");
        }
        let mut open = Vec::new();
        let mut seen = BTreeSet::new();
        for part in page.split('<').skip(1) {
            let tag = part.split('>').next().unwrap_or_default();
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
            seen.insert(name.to_owned());
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "{tag}");
            } else if !tag.ends_with('/') && !["!doctype", "meta"].contains(&name) {
                open.push(name);
            }
        }
        assert_eq!(open, [""; 0]);
        assert!(seen.contains("svg") && seen.contains("main"), "{seen:?}");
    }
}
