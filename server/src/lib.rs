//! The server around Referee's rooms: everything with a clock, a socket, a disk or a thread.
//!
//! | module | what it owns |
//! |---|---|
//! | [`key`] | what a room is called |
//! | [`games`] | the games this server hosts |
//! | [`config`], [`cli`] | every setting and limit, and the command line that sets them |
//! | [`store`] | the database; nothing else touches it |
//! | [`http`] | the accept loop, pages, assets, requests into rooms, the doors (Host, Origin) |
//! | [`assets`] | the pages and the browser client inside the binary |
//! | `transport` | connections: TCP, TLS, QUIC and memory; WebSocket and plain framing |
//! | `quic` | the QUIC endpoint: who may come in, which keys live on |
//! | [`tls`] | certificates: from files, or made here and kept |
//! | `session`, `token` | what a client may say, before it reaches a room; resume tokens |
//! | `directory` | who owns a room; how many there may be |
//! | `host` | the threads that read sockets and run rooms |
//! | [`metrics`] | what the server counts about itself |
//! | [`run`], `shutdown` | starting all of this, and ending it |
//! | [`tools`] | looking at a stored match, and playing it again |
//! | `greeting` | what is printed once it can be visited |

mod address;
pub mod assets;
mod bucket;
pub mod cli;
pub mod config;
mod directory;
pub mod games;
mod greeting;
mod host;
pub mod http;
pub mod key;
pub mod metrics;
mod quic;
pub mod run;
mod session;
mod shutdown;
pub mod store;
pub mod tls;
mod token;
pub mod tools;
mod transport;
