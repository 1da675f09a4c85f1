//! Every example game on one server.
fn main() {}
