//! A connection without a network, for tests: what is sent is kept.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Instant;

use referee_protocol::Refusal;

use super::{SendError, Sent, Wire};
use crate::metrics::Transport;

/// Keeps what is sent.
#[derive(Clone, Default)]
pub(crate) struct Memory(Rc<Kept>);

#[derive(Default)]
struct Kept {
    frames: RefCell<Vec<Vec<u8>>>,
    refusal: RefCell<Option<Refusal>>,
    full: Cell<bool>,
    slow: Cell<bool>,
    probes: Cell<u32>,
}

impl Memory {
    /// Takes the frames sent so far.
    pub(crate) fn take(&self) -> Vec<Vec<u8>> {
        self.0.frames.take()
    }

    /// Why it was closed, if it was.
    pub(crate) fn closed(&self) -> Option<Refusal> {
        self.0.refusal.borrow().clone()
    }

    /// How often it was asked for a sign of life.
    pub(crate) fn probes(&self) -> u32 {
        self.0.probes.get()
    }

    /// Whether what is sent from now on waits for the network.
    pub(crate) fn slow(&self, slow: bool) {
        self.0.slow.set(slow);
    }

    /// From now on, it takes no more.
    pub(crate) fn fill(&self) {
        self.0.full.set(true);
    }
}

impl Wire for Memory {
    fn try_send(&self, parts: &[IoSlice<'_>]) -> Result<Sent, SendError> {
        if self.0.full.get() {
            return Err(SendError::Full { waiting: 1, limit: 0 });
        }
        let mut frame = vec![];
        parts.iter().for_each(|part| frame.extend_from_slice(part));
        self.0.frames.borrow_mut().push(frame);
        Ok(if self.0.slow.get() { Sent::Held } else { Sent::Out })
    }

    fn probe(&self) {
        self.0.probes.set(self.0.probes.get() + 1);
    }

    fn close(&self, refusal: &Refusal) {
        *self.0.refusal.borrow_mut() = Some(refusal.clone());
    }

    fn transport(&self) -> Transport {
        Transport::Memory
    }

    fn stalled_since(&self) -> Option<Instant> {
        None
    }
}
