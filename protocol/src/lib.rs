//! referee-protocol
