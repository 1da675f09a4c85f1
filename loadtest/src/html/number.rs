//! Numbers and text as a page shows them.

/// Text that is safe inside elements and quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A number with three digits that count, and commas between thousands.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "?".into();
    }
    let size = value.abs();
    let digits = match size {
        s if s >= 99.95 || s == 0.0 => 0,
        s if s >= 9.995 => 1,
        s if s >= 0.0995 => 2,
        _ => 3,
    };
    let text = format!("{size:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    if value < 0.0 && text.bytes().any(|c| c.is_ascii_digit() && c != b'0') {
        out.push('-');
    }
    for (at, c) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    let rest = rest.trim_end_matches('0');
    out.push_str(if rest == "." { "" } else { rest });
    out
}

/// Milliseconds, from a second on as seconds.
pub(crate) fn ms(value: f64) -> String {
    match value {
        ms if ms >= 1_000.0 => format!("{} s", number(ms / 1_000.0)),
        ms => format!("{} ms", number(ms)),
    }
}

/// Bytes.
pub(crate) fn bytes(value: f64) -> String {
    match value {
        b if b >= 1e9 => format!("{} GB", number(b / 1e9)),
        b if b >= 1e6 => format!("{} MB", number(b / 1e6)),
        b if b >= 1e3 => format!("{} kB", number(b / 1e3)),
        b => format!("{} B", number(b)),
    }
}

/// One, or more of them: `1 room`, `3 rooms`.
pub(crate) fn count(n: usize, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {what}{s}", number(n as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_count() {
        let shown = [
            (0.0, "0"),
            (1_234_567.8, "1,234,568"),
            (123.0, "123"),
            (12.34, "12.3"),
            (1.5, "1.5"),
            (0.0123, "0.012"),
            (-1_500.0, "-1,500"),
            (-0.000_1, "0"),
            (f64::INFINITY, "?"),
        ];
        for (value, text) in shown {
            assert_eq!(number(value), text, "{value}");
        }
        assert_eq!((ms(41.23), ms(2_500.0)), ("41.2 ms".into(), "2.5 s".into()));
        assert_eq!((bytes(1.5e6), bytes(12.0)), ("1.5 MB".into(), "12 B".into()));
        assert_eq!(
            (count(1, "room"), count(2_000, "room")),
            ("1 room".into(), "2,000 rooms".into())
        );
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    }
}
