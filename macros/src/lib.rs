//! referee-macros
