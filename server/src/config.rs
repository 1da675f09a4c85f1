//! Every setting of the server and every limit that is not part of the protocol, with its unit and
//! its default.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use referee_protocol::limits::{REQUEST_MAX_BYTES, SEAT_GRACE_MS, SERVER_MESSAGE_MAX_BYTES};

use crate::store::StoreConfig;

/// The server's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to listen on.
    pub bind: IpAddr,
    /// The port to listen on; 0 for any free one.
    pub port: u16,
    /// Names under which the server may be reached, beside IP literals and `localhost`.
    pub hosts: Vec<String>,
    /// Origins of pages that may connect, beside the server's own.
    pub origins: Vec<String>,
    /// The proxy whose `X-Forwarded-For` is believed.
    pub trust_proxy: Option<IpAddr>,
    /// The certificate for https, wss and QUIC, its chain behind it: a PEM file.
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key: a PEM file.
    pub tls_key: Option<PathBuf>,
    /// Whether QUIC is spoken, on the UDP port of the same number.
    pub quic: bool,
    /// QUIC handshakes per second, over some seconds, that are begun at once; above that a client
    /// is first asked to show that its address is its own.
    pub quic_handshakes_per_second: u32,
    /// QUIC handshakes at once that are begun so.
    pub quic_handshakes_burst: u32,
    /// The folder that keeps the rooms.
    pub data: PathBuf,
    /// The store.
    pub store: StoreConfig,
    /// Whether rooms write what happens in them into the journal. Without it a crash costs every game what
    /// came since its last snapshot, also one that is `gated`.
    pub journal: bool,
    /// Threads that run rooms; 0 for one per core.
    pub host_threads: usize,
    /// Clients that ask are sent the hash of their view after each state. It costs time, and is for
    /// tests.
    pub test_mode: bool,

    /// Most rooms loaded at once.
    pub rooms_max: usize,
    /// New rooms one address may make per second, over some seconds.
    pub new_rooms_per_second: u32,
    /// New rooms one address may make at once.
    pub new_rooms_burst: u32,
    /// How long a room without sessions stays loaded, in milliseconds.
    pub room_grace_ms: u64,
    /// After so many milliseconds without an entry a turn-based room is put out of memory, its connections
    /// open: it comes back with the next entry. 0: never.
    pub park_after_ms: u64,
    /// How long one turn of a room may take, in milliseconds: several ticks, or one that does not end. After it
    /// the room ends as failed, and its host thread is given up. 0 for as long as it likes.
    pub turn_max_ms: u64,
    /// How often a loaded room that changed is saved, in milliseconds, at most.
    pub save_every_ms: u64,

    /// Most connections at once.
    pub connections_max: usize,
    /// Most connections of one address (in IPv6: of one network) at once.
    pub connections_per_address_max: usize,
    /// Most sockets at once that are open but have not said Hello.
    pub hellos_waiting_max: usize,
    /// Messages a client may send per second, over some seconds.
    pub messages_per_second: u32,
    /// Messages a client may send at once.
    pub messages_burst: u32,
    /// Entries that may wait for a room's next tick, in bytes.
    pub inbox_max_bytes: usize,
    /// Bytes that may wait in the server for one slow client.
    pub send_queue_max_bytes: usize,
    /// Requests over HTTP that may wait for one room.
    pub requests_waiting_max: usize,

    /// Time for the head of an HTTP request, in milliseconds.
    pub head_within_ms: u64,
    /// Time for the body of an HTTP request, in milliseconds.
    pub body_within_ms: u64,
    /// Time for a room's answer to a request, in milliseconds.
    pub answer_within_ms: u64,
    /// Time for saving everything when the server is asked to stop, in milliseconds.
    pub stop_within_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 7777,
            hosts: vec![],
            origins: vec![],
            trust_proxy: None,
            tls_cert: None,
            tls_key: None,
            quic: true,
            quic_handshakes_per_second: 200,
            quic_handshakes_burst: 1_000,
            data: PathBuf::from("data"),
            store: StoreConfig::default(),
            journal: true,
            host_threads: 0,
            test_mode: false,
            rooms_max: 10_000,
            new_rooms_per_second: 5,
            new_rooms_burst: 50,
            // Longer than a dropped seat is held: whoever just closes the tab leaves a free seat behind.
            room_grace_ms: SEAT_GRACE_MS + 5_000,
            park_after_ms: 60_000,
            turn_max_ms: 5_000,
            save_every_ms: 1_000,
            connections_max: 20_000,
            connections_per_address_max: 4_000,
            hellos_waiting_max: 4_096,
            messages_per_second: 240,
            messages_burst: 480,
            inbox_max_bytes: 4 << 20,
            send_queue_max_bytes: 8 << 20,
            requests_waiting_max: 256,
            head_within_ms: 10_000,
            body_within_ms: 10_000,
            answer_within_ms: 5_000,
            stop_within_ms: 20_000,
        }
    }
}

/// Why the settings cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

impl Config {
    /// Where to listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.bind, self.port)
    }

    /// Checks the settings, also against each other.
    ///
    /// # Errors
    /// Names the setting, its value and what it must be.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.hosts.iter().try_for_each(|name| check_host(name))?;
        self.origins.iter().try_for_each(|origin| check_origin(origin))?;
        self.check_tls()?;
        self.check_counts()?;
        self.check_times()
    }

    /// Whether TCP speaks https and wss.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.tls_cert.is_some()
    }

    fn check_tls(&self) -> Result<(), ConfigError> {
        let missing = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), None) => ("--tls-cert", cert, "--tls-key"),
            (None, Some(key)) => ("--tls-key", key, "--tls-cert"),
            _ => return Ok(()),
        };
        let (given, file, missing) = missing;
        let file = file.display();
        Err(ConfigError(format!("{given} {file} is given without {missing}; give both, or none")))
    }

    fn check_counts(&self) -> Result<(), ConfigError> {
        let connections = self.connections_max;
        at_least("rooms_max", self.rooms_max, 1, "one room")?;
        at_least("new_rooms_per_second", self.new_rooms_per_second as usize, 1, "one room")?;
        at_least("new_rooms_burst", self.new_rooms_burst as usize, 1, "one room")?;
        at_least("connections_per_address_max", self.connections_per_address_max, 1, "one")?;
        at_least("hellos_waiting_max", self.hellos_waiting_max, 1, "one socket")?;
        let per_second = self.quic_handshakes_per_second as usize;
        at_least("quic_handshakes_per_second", per_second, 1, "one handshake")?;
        at_least("quic_handshakes_burst", self.quic_handshakes_burst as usize, 1, "one")?;
        at_least("requests_waiting_max", self.requests_waiting_max, 1, "one request")?;
        at_least("messages_per_second", self.messages_per_second as usize, 1, "one message")?;
        let of_address = self.connections_per_address_max;
        at_least("connections_max", connections, of_address, "connections_per_address_max")?;
        let (burst, rate) = (self.messages_burst as usize, self.messages_per_second as usize);
        at_least("messages_burst", burst, rate, "messages_per_second")?;
        at_least(
            "inbox_max_bytes",
            self.inbox_max_bytes,
            REQUEST_MAX_BYTES,
            "the largest request",
        )?;
        let (queue, message) = (self.send_queue_max_bytes, SERVER_MESSAGE_MAX_BYTES);
        at_least("send_queue_max_bytes", queue, message, "the largest message")?;
        let days = self.store.stored_rooms_days as usize;
        at_least("stored_rooms_days", days, 1, "one day")?;
        at_least("store.queue_max_bytes", self.store.queue_max_bytes, 1 << 20, "1 MiB")?;
        let journal = self.store.journal_queue_max_bytes;
        at_least("store.journal_queue_max_bytes", journal, 1 << 20, "1 MiB")
    }

    fn check_times(&self) -> Result<(), ConfigError> {
        let times = [
            ("save_every_ms", self.save_every_ms),
            ("head_within_ms", self.head_within_ms),
            ("body_within_ms", self.body_within_ms),
            ("answer_within_ms", self.answer_within_ms),
            ("stop_within_ms", self.stop_within_ms),
            ("store.journal_every_ms", self.store.journal_every_ms),
        ];
        for (name, ms) in times {
            if ms == 0 {
                return Err(ConfigError(format!("{name} is 0; it must be at least 1")));
            }
        }
        let StoreConfig { journal_ring_ms: ring, journal_every_ms: every, .. } = self.store;
        if ring < every {
            return Err(ConfigError(format!(
                "store.journal_ring_ms is {ring}; it must be at least {every} \
                 (store.journal_every_ms)"
            )));
        }
        Ok(())
    }
}

fn at_least(name: &str, value: usize, least: usize, why: &str) -> Result<(), ConfigError> {
    if value >= least {
        return Ok(());
    }
    Err(ConfigError(format!("{name} is {value}; it must be at least {least} ({why})")))
}

/// A name as it stands in a Host header, without the port.
fn check_host(name: &str) -> Result<(), ConfigError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    if !name.is_empty() && name.chars().all(fits) {
        return Ok(());
    }
    Err(ConfigError(format!(
        "--host {name:?} is no name of a host; write it like play.example.com, without scheme, port \
         or path"
    )))
}

/// An origin as browsers write it.
fn check_origin(origin: &str) -> Result<(), ConfigError> {
    let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(fits)) {
        return Ok(());
    }
    Err(ConfigError(format!(
        "--origin {origin:?} is no origin; write it like https://play.example.com, without a path"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(config: &Config, parts: &[&str]) {
        let error = config.check().unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error} should contain {part}");
        }
    }

    #[test]
    fn the_defaults_fit_together() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn names_and_origins_are_written_as_browsers_write_them() {
        let hosts = |name: &str| Config { hosts: vec![name.to_owned()], ..Config::default() };
        let origins = |text: &str| Config { origins: vec![text.to_owned()], ..Config::default() };
        assert_eq!(hosts("play.example.com").check(), Ok(()));
        assert_eq!(origins("https://play.example.com:8443").check(), Ok(()));
        for name in ["", "https://a.b", "a.b:80", "a b", "a.b/c"] {
            refused(&hosts(name), &["--host", name]);
        }
        for text in ["", "a.b", "https://", "https://a.b/", "*"] {
            refused(&origins(text), &["--origin", text]);
        }
    }

    #[test]
    fn a_certificate_and_its_key_come_together() {
        let file = || Some(PathBuf::from("a.pem"));
        let config = Config { tls_cert: file(), ..Config::default() };
        refused(&config, &["--tls-cert a.pem", "without --tls-key"]);
        let config = Config { tls_key: file(), ..Config::default() };
        refused(&config, &["--tls-key a.pem", "without --tls-cert"]);
        let config = Config { tls_cert: file(), tls_key: file(), ..Config::default() };
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn limits_are_checked_against_each_other() {
        let config = Config { connections_max: 10, ..Config::default() };
        refused(&config, &["connections_max is 10", "4000", "connections_per_address_max"]);
        refused(&Config { inbox_max_bytes: 5, ..Config::default() }, &["inbox_max_bytes is 5"]);
        refused(&Config { stop_within_ms: 0, ..Config::default() }, &["stop_within_ms is 0"]);
        let store = StoreConfig { journal_ring_ms: 5, ..StoreConfig::default() };
        refused(&Config { store, ..Config::default() }, &["journal_ring_ms is 5", "at least 20"]);
    }
}
