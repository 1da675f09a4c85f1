//! Pages: HTML documents with what the server adds to them, and the policy that lets them run their
//! own scripts and no others.

use std::fmt::Write as _;

use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::key::RoomKey;

/// A page, made ready once.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// Up to where a match's own line goes, and the rest.
    before: String,
    after: String,
    policy: HeaderValue,
}

impl Page {
    /// Makes a document ready. With the hashed name of the client's module, `import .. from
    /// "referee"` works in it.
    pub(super) fn new(document: &str, entry: Option<&str>) -> Self {
        let at = head_end(document);
        let (before, after) = document.split_at(at);
        let mut before = before.to_owned();
        if let Some(entry) = entry {
            let map = format!("{{\"imports\":{{\"referee\":\"/assets/{entry}\"}}}}");
            let _ = write!(before, "<script type=\"importmap\">{map}</script>");
        }
        let policy = policy(&format!("{before}{after}"));
        Self { before, after: after.to_owned(), policy }
    }

    /// The page as it is.
    pub(super) fn plain(&self) -> Response {
        self.answer(format!("{}{}", self.before, self.after))
    }

    /// The page of a match. Names have no character that HTML or JSON would mind.
    pub(super) fn of_match(&self, key: &RoomKey) -> Response {
        let RoomKey { game, match_id } = key;
        let content = format!("{{\"game\":\"{game}\",\"match\":\"{match_id}\"}}");
        let (before, after) = (&self.before, &self.after);
        self.answer(format!("{before}<meta name=\"referee\" content='{content}'>{after}"))
    }

    fn answer(&self, text: String) -> Response {
        let headers = [
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::CONTENT_SECURITY_POLICY, self.policy.clone()),
        ];
        (headers, Html(text)).into_response()
    }
}

/// Where the inside of a document's head begins; its very beginning when it has no head tag.
fn head_end(document: &str) -> usize {
    ["<head", "<html", "<!doctype"]
        .iter()
        .find_map(|tag| opening(document, tag, 0).map(|(_, end)| end))
        .unwrap_or(0)
}

/// The next opening tag of a kind from `from` on: where it begins and ends.
fn opening(document: &str, tag: &str, from: usize) -> Option<(usize, usize)> {
    let bytes = document.as_bytes();
    let is_there = |at: &usize| {
        bytes
            .get(*at..at + tag.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(tag.as_bytes()))
            && bytes.get(at + tag.len()).is_some_and(|next| b" \t\r\n>/".contains(next))
    };
    let begin = (from..bytes.len()).find(is_there)?;
    let end = begin + document.get(begin..)?.find('>')? + 1;
    Some((begin, end))
}

/// What a page may do: run the scripts that stand in it and the client, connect to servers, show
/// what it draws itself. A script that somebody's text smuggled into a page is none of those.
fn policy(document: &str) -> HeaderValue {
    let mut scripts = String::from("'self' 'wasm-unsafe-eval'");
    let mut handlers = Vec::new();
    let mut from = 0;
    while let Some((tag, begin)) = opening(document, "<script", from) {
        handlers.extend(handlers_in(&document[from..tag]));
        let Some(len) = closing(&document[begin..]) else { break };
        let _ = write!(scripts, " {}", source_of(&document[begin..begin + len]));
        from = begin + len;
    }
    handlers.extend(handlers_in(&document[from..]));
    if !handlers.is_empty() {
        scripts.push_str(" 'unsafe-hashes'");
    }
    for handler in handlers {
        let _ = write!(scripts, " {}", source_of(&handler));
    }
    let policy = format!(
        "default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; \
         connect-src 'self' ws: wss:; img-src 'self' data: blob:; media-src 'self' data: blob:; \
         font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'self'"
    );
    HeaderValue::try_from(policy).expect("hashes and plain text are a header's text")
}

/// How a policy names a script.
fn source_of(script: &str) -> String {
    format!("'sha256-{}'", base64(&Sha256::digest(script.as_bytes())))
}

/// The scripts of the ` onclick=".."` and the like in a stretch of HTML. Text that only looks like
/// one allows what stands in the page anyway.
fn handlers_in(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some((before, after)) = rest.split_once('=') {
        rest = after;
        let name = before.trim_end().rsplit(|c: char| c.is_ascii_whitespace()).next();
        let is_handler = name.is_some_and(|name| {
            let name = name.to_ascii_lowercase();
            name.len() > 2 && name.starts_with("on") && name.bytes().all(|b| b.is_ascii_lowercase())
        });
        let after = after.trim_start();
        let quote = after.chars().next().filter(|quote| is_handler && "\"'".contains(*quote));
        if let Some((script, behind)) = quote.and_then(|quote| after[1..].split_once(quote)) {
            found.push(unescape(script));
            rest = behind;
        }
    }
    found
}

/// An attribute's text, as the browser reads it; of the named characters only those that a script
/// in an attribute needs.
fn unescape(text: &str) -> String {
    let pairs = [("&quot;", "\""), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len()).find(|at| {
        bytes.get(*at..at + 8).is_some_and(|found| found.eq_ignore_ascii_case(b"</script"))
    })
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for at in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= three.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_comes_first_in_the_head() {
        for (document, before) in [
            ("<!doctype html><HTML lang=en><Head id=a><title>x</title>", "<Head id=a>"),
            ("<!doctype html><html><title>x</title>", "<html>"),
            ("<!doctype html>\n<title>x</title><header>", "<!doctype html>"),
            ("<title>x</title><header>", ""),
        ] {
            assert!(document[..head_end(document)].ends_with(before), "{document}");
        }
    }

    #[test]
    fn every_script_in_the_page_is_named_by_its_hash() {
        // echo -n 'alert(1)' | openssl dgst -sha256 -binary | base64
        let page =
            Page::new("<head></head><SCRIPT>alert(1)</SCRIPT><script type=module></script>", None);
        let policy = page.policy.to_str().unwrap();
        assert!(
            policy.contains("'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"),
            "{policy}"
        );
        assert!(
            policy.contains("'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"),
            "{policy}"
        );
        assert!(!policy.contains("script-src 'self' 'unsafe-inline'"));
    }

    #[test]
    fn handlers_in_tags_are_scripts_as_well() {
        let html = r#"<a onclick="go(&quot;x&quot;)" href="/?on=1"><b data-on='x' ONLOAD = 'a=1'>"#;
        assert_eq!(handlers_in(html), ["go(\"x\")", "a=1"]);
        let page = Page::new(html, None);
        assert!(page.policy.to_str().unwrap().contains("'unsafe-hashes' 'sha256-"));
        let without = Page::new("<script>a.onclick=\"x\"</script>", None);
        assert!(!without.policy.to_str().unwrap().contains("unsafe-hashes"));
    }

    #[test]
    fn base64_is_base64() {
        let table =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (text, expected) in table {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }
}
