//! referee-server
