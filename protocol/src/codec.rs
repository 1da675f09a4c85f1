//! The block codec: what changed in a group, close to its entropy, made once for everyone who has the
//! same baseline.
//!
//! Both ends keep a [`View`] of the group. A block leads from what a view was at one send to what it
//! is at another; what it was at a third says how things moved. Each number is expected somewhere
//! (`plan`: where it was, as far on as it came before, where its velocity brings it), and only what
//! is not as expected costs more than a fraction of a bit (`coding`, `model`, `range`).
//!
//! Everything follows from the schema. All is integer arithmetic, but for rotations, whose floats are
//! the same bits everywhere.

mod absolute;
mod block;
mod coding;
mod ladder;
mod model;
mod plan;
mod range;
mod tables;
mod view;

pub use block::{Baselines, BlockError, Codec};
pub use ladder::Rungs;
pub use tables::{Training, fit};
pub use view::{Send, View, component_bytes};

#[cfg(test)]
mod tests;
