//! Bots for the example games.

fn main() {}
