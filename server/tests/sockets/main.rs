//! The whole server over real transports: what it refuses, what it survives, what it keeps. The match
//! suite runs over each transport; what one of them has of its own stands in a file of its own.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]
#![allow(clippy::duplicate_mod, reason = "the match suite runs once over each transport")]

mod alarms;
mod bare_quic;
mod door;
mod evolution;
mod games;
mod kills;
#[cfg(target_os = "linux")]
mod memory;
mod metrics;
mod over_memory;
mod over_quic;
mod over_websocket;
mod parks;
mod quic;
mod relay;
mod site;
mod threads;
mod tls;
