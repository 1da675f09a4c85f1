//! referee-room
