//! Runs against a server in this process.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod capacity;
mod homer;
mod https;
mod patterns;
mod replay;
mod runs;
mod site;
