//! Every setting of the server and every limit that is not part of the protocol, with its unit and
//! its default.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

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
    /// The folder that keeps the rooms.
    pub data: PathBuf,
    /// The store.
    pub store: StoreConfig,
    /// Threads that run rooms; 0 for one per core.
    pub host_threads: usize,

    /// Most rooms loaded at once.
    pub rooms_max: usize,
    /// New rooms one address may make per second, over some seconds.
    pub new_rooms_per_second: u32,
    /// New rooms one address may make at once.
    pub new_rooms_burst: u32,
    /// How long a room without sessions stays loaded, in milliseconds.
    pub room_grace_ms: u64,
    /// How often a loaded room that changed is saved, in milliseconds, at most.
    pub save_every_ms: u64,

    /// Most connections at once.
    pub connections_max: usize,
    /// Most connections of one address at once.
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
            data: PathBuf::from("data"),
            store: StoreConfig::default(),
            host_threads: 0,
            rooms_max: 10_000,
            new_rooms_per_second: 5,
            new_rooms_burst: 50,
            room_grace_ms: 10_000,
            save_every_ms: 5_000,
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

    /// Checks the settings against each other.
    ///
    /// # Errors
    /// Names the setting, its value and what it must be.
    pub fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}
