//! The block codec: what changed in a group, close to its entropy.

pub mod block;
pub mod coding;
pub mod model;
pub mod plan;
pub mod range;
pub mod view;
