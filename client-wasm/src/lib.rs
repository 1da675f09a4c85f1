//! referee-client-wasm
