//! What the host costs, beside a floor that does nothing but the system calls.

fn main() {}
