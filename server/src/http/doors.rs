//! Who may come in: under which name the server may be called, from which pages, and whose word on
//! a client's address is believed. A page of somebody else must not play in its visitor's name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use referee_protocol::{Code, Refusal};

use crate::config::Config;

/// The rules, made once from the settings.
#[derive(Clone, Debug)]
pub(super) struct Doors {
    hosts: Vec<String>,
    origins: Vec<String>,
    trust_proxy: Option<IpAddr>,
    /// Pages of this server come over https.
    secure: bool,
}

impl Doors {
    pub(super) fn new(config: &Config) -> Self {
        let lower = |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self {
            hosts: lower(&config.hosts),
            origins: lower(&config.origins),
            trust_proxy: config.trust_proxy.map(|address| address.to_canonical()),
            secure: config.is_secure(),
        }
    }

    /// Whether the server may be called by this name: an IP literal, localhost, or a name it was
    /// told. Otherwise a foreign name could point at this machine and read what is here.
    pub(super) fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(host) = host(uri, headers) else {
            return Err(Refusal::new(Code::Host, "the request names no Host; send one"));
        };
        let name = host.host().trim_end_matches('.').to_ascii_lowercase();
        let literal = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        let local = name == "localhost" || name.ends_with(".localhost");
        if literal || local || self.hosts.contains(&name) {
            return Ok(());
        }
        let message = format!(
            "this server is not called {name:?}; start it with --host {name} if it should be"
        );
        Err(Refusal::new(Code::Host, message))
    }

    /// Whether the page that sends this may: one of this server, or of an origin it was told.
    /// Programs send no Origin and may.
    pub(super) fn check_origin(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return check_site(headers) };
        if origins.next().is_some() {
            return Err(Refusal::new(Code::Origin, "the request has two Origins; send one"));
        }
        let text = String::from_utf8_lossy(origin.as_bytes()).to_ascii_lowercase();
        // What came over http may have been changed on its way.
        let safe = !self.secure || text.starts_with("https://");
        let own = safe && host(uri, headers).is_some_and(|host| same_place(&text, &host));
        if own || self.origins.contains(&text) {
            return Ok(());
        }
        let message = format!(
            "pages of {text:?} may not connect here; start the server with --origin {text} if they \
             should"
        );
        Err(Refusal::new(Code::Origin, message))
    }

    /// The origin to name in an answer, when it is a foreign one that may read it.
    pub(super) fn listed_origin<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let text = origin.to_str().ok()?.to_ascii_lowercase();
        self.origins.contains(&text).then_some(origin)
    }

    /// The client's address: the one next to the trusted proxy, when the connection is the proxy's.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if self.trust_proxy != Some(peer) {
            return peer;
        }
        // A proxy appends: what stands before the last entry is only what the client claims.
        let last = headers.get_all("x-forwarded-for").iter().next_back();
        let last = last.and_then(|value| value.to_str().ok()?.rsplit(',').next());
        last.and_then(|text| parse_address(text.trim())).map_or(peer, |ip| ip.to_canonical())
    }

    /// Whether connections of this address stand for many people.
    pub(super) fn is_proxy(&self, peer: IpAddr) -> bool {
        self.trust_proxy == Some(peer.to_canonical())
    }
}

/// Whom the request is for, by its target or its one Host header.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    if let Some(authority) = uri.authority() {
        return Some(authority.clone());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return None };
    // User names have no place in a Host.
    let host = host.to_str().ok().filter(|host| !host.contains('@'))?;
    host.parse().ok()
}

/// A request that changes something can come from a foreign page without an Origin, as a picture
/// or a frame for example; browsers say so. Following a link, which shows in the address bar, is
/// the visitor's own act. Another port or name of the same site is somebody else, too.
fn check_site(headers: &HeaderMap) -> Result<(), Refusal> {
    let says = |name: &str, value: &str| headers.get(name).is_some_and(|found| found == value);
    let is_foreign = says("sec-fetch-site", "cross-site") || says("sec-fetch-site", "same-site");
    let is_visit = says("sec-fetch-mode", "navigate") && says("sec-fetch-dest", "document");
    if is_foreign && !is_visit {
        return Err(Refusal::new(
            Code::Origin,
            "pages of other sites may not send this; start the server with --origin if they should",
        ));
    }
    Ok(())
}

/// Whether an Origin (`scheme://host[:port]`) is where a Host (`host[:port]`) is. The scheme may
/// be https although we speak http: a proxy does that.
fn same_place(origin: &str, host: &Authority) -> bool {
    let (default_port, rest) = match origin.split_once("://") {
        Some(("http", rest)) => (80, rest),
        Some(("https", rest)) => (443, rest),
        _ => return false,
    };
    let Ok(from) = rest.parse::<Authority>() else { return false };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default_port);
    from.host().eq_ignore_ascii_case(host.host()) && port(&from) == port(host)
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split(']').next()?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    text.split(':').next()?.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors() -> Doors {
        Doors::new(&Config {
            hosts: vec!["Play.Example".to_owned()],
            origins: vec!["https://friend.example".to_owned()],
            trust_proxy: Some("10.0.0.1".parse().unwrap()),
            ..Config::default()
        })
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn hosts() {
        let allowed = [
            "127.0.0.1",
            "127.0.0.1:7777",
            "192.168.1.20:80",
            "[::1]",
            "[::1]:7777",
            "localhost",
            "LOCALHOST:7777",
            "a.localhost:1",
            "play.example",
            "PLAY.example:443",
            "play.example.",
        ];
        let refused = [
            "example",
            "play.example.evil.com",
            "xplay.example",
            "localhost.evil.com",
            "",
            "user@localhost",
            "127.0.0.1.evil.com",
            "127.1.evil",
            "::1",
        ];
        let root = Uri::from_static("/");
        for host in allowed {
            assert_eq!(doors().check_host(&root, &headers(&[("host", host)])), Ok(()), "{host}");
        }
        for host in refused {
            let refusal = doors().check_host(&root, &headers(&[("host", host)])).unwrap_err();
            assert_eq!(refusal.code, Code::Host, "{host}");
        }
        let unnamed = doors().check_host(&root, &headers(&[("host", "a.b")])).unwrap_err();
        assert!(unnamed.message.contains("--host a.b"), "{unnamed}");
        assert!(doors().check_host(&root, &HeaderMap::new()).is_err(), "none");
        let twice = headers(&[("host", "localhost"), ("host", "localhost")]);
        assert!(doors().check_host(&root, &twice).is_err(), "two");
        let absolute = Uri::from_static("http://evil.com/");
        assert!(doors().check_host(&absolute, &headers(&[("host", "localhost")])).is_err());
    }

    #[test]
    fn origins() {
        let table = [
            ("localhost:7777", Some("http://localhost:7777"), true),
            ("localhost:7777", Some("https://localhost:7777"), true),
            ("play.example", Some("https://play.example"), true),
            ("play.example", Some("https://PLAY.example:443"), true),
            ("play.example:443", Some("https://play.example"), true),
            ("[::1]:7777", Some("http://[::1]:7777"), true),
            ("localhost:7777", Some("https://friend.example"), true),
            ("localhost:7777", None, true),
            ("localhost:7777", Some("http://localhost:7778"), false),
            ("localhost:7777", Some("http://localhost"), false),
            ("localhost:7777", Some("http://127.0.0.1:7777"), false),
            ("localhost:7777", Some("http://friend.example"), false),
            ("localhost:7777", Some("https://friend.example.evil.com"), false),
            ("localhost:7777", Some("http://localhost:7777.evil.com"), false),
            ("localhost:7777", Some("null"), false),
            ("localhost:7777", Some("file://"), false),
            ("localhost:7777", Some(""), false),
        ];
        for (host, origin, allowed) in table {
            let mut headers = headers(&[("host", host)]);
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            let outcome = doors().check_origin(&Uri::from_static("/"), &headers);
            assert_eq!(outcome.is_ok(), allowed, "{host} {origin:?}");
        }
        let evil = headers(&[("host", "localhost"), ("origin", "https://evil.com")]);
        let refusal = doors().check_origin(&Uri::from_static("/"), &evil).unwrap_err();
        assert!(refusal.message.contains("--origin https://evil.com"), "{refusal}");
    }

    #[test]
    fn a_foreign_page_without_an_origin_is_one_still() {
        let allowed = |site: &str, mode: &str, dest: &str| {
            let pairs =
                [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
            doors().check_origin(&Uri::from_static("/"), &headers(&pairs)).is_ok()
        };
        for site in ["cross-site", "same-site"] {
            assert!(!allowed(site, "no-cors", "image"), "{site}");
            assert!(!allowed(site, "no-cors", "document"), "{site}");
            assert!(!allowed(site, "navigate", "iframe"), "{site}");
            assert!(!allowed(site, "navigate", "object"), "{site}");
            assert!(allowed(site, "navigate", "document"), "{site}: a link that was followed");
        }
        assert!(allowed("same-origin", "cors", "empty"));
        assert!(allowed("none", "navigate", "document"), "typed by the visitor");
        let bare = headers(&[("sec-fetch-site", "cross-site")]);
        assert!(doors().check_origin(&Uri::from_static("/"), &bare).is_err(), "says too little");
        let program = doors().check_origin(&Uri::from_static("/"), &HeaderMap::new());
        assert_eq!(program, Ok(()), "no browser");
    }

    #[test]
    fn a_secure_servers_own_pages_are_secure() {
        let file = || Some("a.pem".into());
        let config = Config { tls_cert: file(), tls_key: file(), ..Config::default() };
        let allowed = |origin: &str| {
            let headers = headers(&[("host", "localhost"), ("origin", origin)]);
            Doors::new(&config).check_origin(&Uri::from_static("/"), &headers).is_ok()
        };
        assert!(allowed("https://localhost"));
        assert!(!allowed("http://localhost"));
    }

    #[test]
    fn two_origins_are_none() {
        let own = ("origin", "http://localhost:7777");
        let evil = ("origin", "https://evil.com");
        for pair in [[own, evil], [evil, own], [own, own]] {
            let headers = headers(&[("host", "localhost:7777"), pair[0], pair[1]]);
            assert!(doors().check_origin(&Uri::from_static("/"), &headers).is_err(), "{pair:?}");
        }
    }

    #[test]
    fn forwarded_addresses_are_the_proxys_word_only() {
        let client = |peer: &str, forwarded: &[&str]| {
            let pairs: Vec<_> = forwarded.iter().map(|value| ("x-forwarded-for", *value)).collect();
            doors().client(peer.parse().unwrap(), &headers(&pairs)).to_string()
        };
        assert_eq!(client("1.2.3.4", &["9.9.9.9"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["9.9.9.9"]), "9.9.9.9");
        assert_eq!(client("::ffff:10.0.0.1", &["9.9.9.9"]), "9.9.9.9");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 9.9.9.9:1234"]), "9.9.9.9");
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "[2001:db8::1]:80"]), "2001:db8::1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["9.9.9.9, unknown"]), "10.0.0.1");
        assert!(doors().is_proxy("::ffff:10.0.0.1".parse().unwrap()));
    }
}
