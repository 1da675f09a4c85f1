//! Runs against a server in this process.

mod runs;
mod site;
