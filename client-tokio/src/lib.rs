//! referee-client-tokio
