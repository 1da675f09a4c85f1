//! What both ends of a Referee connection agree on: ids, limits, messages, the schema, and the
//! codecs that turn a game's values into bits and a group's changes into blocks.
//!
//! This crate does no I/O, reads no clock and knows no ECS. Everything it decodes comes from
//! someone else, so every decoder returns a typed error and never panics.

pub mod alias;
pub mod bits;
pub mod block;
pub mod code;
pub mod codec;
pub mod frame;
pub mod hash;
pub mod ids;
pub mod ladder;
pub mod limits;
pub mod message;
pub mod replica;
pub mod rotation;
pub mod schema;
pub mod value;
pub mod words;

pub use block::BlockKind;
pub use code::{Code, Refusal};
pub use ids::{GameName, Group, Incarnation, LinkId, MatchId, Seat, SessionId, Tick, WireId};
pub use replica::Replica;
pub use schema::{FieldType, Kind, Member, Schema, TypeDef, VariantDef};
pub use value::Value;
