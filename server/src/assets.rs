//! The pages and the browser client inside the binary.
