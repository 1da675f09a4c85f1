//! Rules about the text of a file.

/// A longer Rust file must say why it is.
const MAX_LINES: usize = 600;

/// How it says so, in its module documentation.
const LONG_BECAUSE: &str = "//! Long because";

/// What names somebody's machine. In two parts, so that this file does not break its own rules.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("../sha", "red/"),
    concat!("../.lib", "rary"),
];

/// What names the place that somebody gets packages from.
const REGISTRY_HOSTS: [&str; 4] = [
    concat!("registry.", "npmjs.org"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("\"resol", "ved\":"),
];

/// What must not be left behind in Rust code.
const LEFTOVERS: [&str; 4] = [
    concat!("to", "do!"),
    concat!("unimpl", "emented!"),
    concat!("#[ign", "ore"),
    concat!("db", "g!"),
];

/// Everything that is wrong with one file.
pub(super) fn faults(file: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let is_rust = file.ends_with(".rs");
    // Cargo's own file; everything else is written by us.
    if file != "Cargo.lock" {
        each_line(file, text, is_rust, &mut faults);
    }
    if is_rust {
        whole_rust_file(file, text, &mut faults);
    }
    faults
}

fn each_line(file: &str, text: &str, is_rust: bool, faults: &mut Vec<String>) {
    for (index, line) in text.lines().enumerate() {
        let mut fault = |what: String| faults.push(format!("{file}:{}: {what}", index + 1));
        if line.ends_with([' ', '\t']) {
            fault("the line ends with a space".to_owned());
        }
        if let Some(path) = found(line, &MACHINE_PATHS) {
            fault(format!("names a path of one machine: {path}"));
        }
        if let Some(host) = found(line, &REGISTRY_HOSTS) {
            fault(format!("names a package registry: {host}"));
        }
        if let Some(leftover) = found(line, &LEFTOVERS).filter(|_| is_rust) {
            fault(format!("must not stay: {leftover}"));
        }
    }
}

fn whole_rust_file(file: &str, text: &str, faults: &mut Vec<String>) {
    let begins_with = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    if !begins_with.starts_with("//!") {
        faults.push(format!("{file}: begins without `//!` and what the file is for"));
    }
    let count = text.lines().count();
    if count > MAX_LINES && !text.lines().any(|line| line.trim().starts_with(LONG_BECAUSE)) {
        faults.push(format!(
            "{file}: {count} lines, {MAX_LINES} is the limit: split it, or say why not in a line \
             `{LONG_BECAUSE} ..`"
        ));
    }
}

fn found<'a>(line: &str, needles: &[&'a str]) -> Option<&'a str> {
    needles.iter().copied().find(|needle| line.contains(needle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, text: &str, expected: &[&str]) {
        let faults = faults(file, text);
        assert_eq!(faults.len(), expected.len(), "{faults:?}");
        for (fault, part) in faults.iter().zip(expected) {
            assert!(fault.contains(part), "{fault} should contain {part}");
        }
    }

    #[test]
    fn a_proper_file_has_no_faults() {
        check("a.rs", "//! A file.\nfn f() {}\n", &[]);
        check("a.md", "Text.\n", &[]);
    }

    #[test]
    fn lines_are_named_by_number() {
        check("a.rs", "//! A file.\nfn f() {} \n", &["a.rs:2: the line ends"]);
        check("a.md", &format!("see {}x\n", MACHINE_PATHS[0]), &["a.md:1: names a path"]);
        check("a.json", &format!("{} 1\n", REGISTRY_HOSTS[3]), &["names a package registry"]);
    }

    #[test]
    fn leftovers_matter_in_rust_only() {
        let text = format!("//! A file.\n{}()\n", LEFTOVERS[0]);
        check("a.rs", &text, &["a.rs:2: must not stay"]);
        check("a.md", &text, &[]);
    }

    #[test]
    fn a_rust_file_says_what_it_is_for() {
        check("a.rs", "fn f() {}\n", &["without `//!`"]);
        check("a.rs", "", &["without `//!`"]);
    }

    #[test]
    fn a_long_file_says_why() {
        let lines = "// line\n".repeat(MAX_LINES);
        check("a.rs", &format!("//! A file.\n{lines}"), &["601 lines"]);
        check("a.rs", &format!("//! A file.\n//!\n{LONG_BECAUSE} of tables.\n{lines}"), &[]);
    }
}
