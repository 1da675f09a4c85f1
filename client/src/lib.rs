//! referee-client
