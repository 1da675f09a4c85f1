//! Runs against a server in this process.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod homer;
mod patterns;
mod runs;
mod site;
