//! The whole server over real sockets: what it refuses, what it survives, what it keeps.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod door;
mod games;
mod load;
mod metrics;
mod relay;
mod rooms;
mod seats;
mod site;
