//! The replica alone, for `cargo xtask bench wire` to see how long a frame takes it in wasm: without
//! a session around it and without values that are made for a page.

use referee_protocol::frame::split;
use referee_protocol::{Replica, Schema};
use wasm_bindgen::prelude::*;

/// What one client knows.
#[wasm_bindgen]
pub struct Decoder {
    schema: Schema,
    replica: Replica,
}

#[wasm_bindgen]
impl Decoder {
    /// A decoder that knows nothing yet, of a room that runs at so many ticks a second.
    ///
    /// # Errors
    /// When the bytes are no schema.
    #[wasm_bindgen(constructor)]
    pub fn new(schema: &[u8], hz: u16) -> Result<Self, JsError> {
        Ok(Self { schema: Schema::decode(schema)?, replica: Replica::new(hz) })
    }

    /// Applies a state frame.
    ///
    /// # Errors
    /// When it is none, or does not fit what is known.
    pub fn apply(&mut self, frame: &[u8]) -> Result<(), JsError> {
        let (_, body) = split(frame)?;
        self.replica.apply(&self.schema, body)?;
        Ok(())
    }

    /// The hash over everything known.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.replica.hash()
    }
}
