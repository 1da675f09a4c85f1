//! Blocks for links that lose and mix up what is sent. Their baselines are rungs: ticks whose send
//! both ends have, which need not be the last ones. What is not told from rungs is told absolute, as
//! it is at the last send.

use super::block::{Baselines, BlockError, Codec, end};
use super::coding::Spans;
use super::range::{Decoder, Encoder};
use super::view::View;
use crate::ids::WireId;

/// Between which ticks a block leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rungs {
    /// The rung before the baseline: how things moved.
    pub older: u64,
    /// The baseline.
    pub base: u64,
    /// The tick that the block tells of, at which its view was sent last or earlier.
    pub now: u64,
}

impl Rungs {
    /// The sends of a view at the two rungs, where it remembers both.
    #[must_use]
    pub fn of(self, view: &View) -> Option<Baselines> {
        let (older, base) = (view.send_at(self.older)?, view.send_at(self.base)?);
        Some(Baselines { older, base })
    }
}

impl Codec {
    fn spans(&self, rungs: Rungs) -> Spans {
        self.spans_between(rungs.older, rungs.base, rungs.now)
    }

    /// Appends what leads from a rung to the view's last send. `renamed` are entities that have
    /// another id since: old, new, in the order in which it happened.
    ///
    /// # Panics
    /// When the view does not remember the rungs.
    pub fn encode_from(
        &mut self,
        view: &mut View,
        rungs: Rungs,
        renamed: &mut Vec<(WireId, WireId)>,
        out: &mut Vec<u8>,
    ) {
        self.models.begin();
        let from = rungs.of(view).expect("the rungs are remembered");
        let mut coder = Encoder::new(out);
        let coded = self.code_over(&mut coder, view, from, self.spans(rungs), renamed);
        assert_eq!(coded, Ok(()), "our own view can be told");
        coder.finish();
    }

    /// Reads a block that leads from a rung off the front of `bytes`, into a view that has begun a send. Gives what was renamed.
    ///
    /// # Errors
    /// When the view does not remember the rungs, and as [`Codec::decode`].
    pub fn decode_from(
        &mut self,
        view: &mut View,
        rungs: Rungs,
        bytes: &mut &[u8],
    ) -> Result<Vec<(WireId, WireId)>, BlockError> {
        self.models.begin();
        let from = rungs.of(view).ok_or(BlockError("the rungs are forgotten"))?;
        let mut coder = Decoder::new(bytes);
        let mut renamed = Vec::new();
        view.revert(from.base);
        self.code_over(&mut coder, view, from, self.spans(rungs), &mut renamed)?;
        end(&coder, bytes)?;
        Ok(renamed)
    }

    /// Appends all that changed in a view after a tick, up to its last send. `removed` are the
    /// entities that left after it, sorted, and whether each is gone.
    pub fn encode_news(
        &mut self,
        view: &mut View,
        tick: u64,
        removed: &[(WireId, bool)],
        out: &mut Vec<u8>,
    ) {
        self.models.begin();
        let now = view.now();
        let mut coder = Encoder::new(out);
        let mut members = std::mem::take(&mut self.members);
        members.clear();
        members.extend(view.in_order().filter(|at| view.slot(*at).is_new_since(now, tick)));
        let coded = self.changes(&mut coder, view, (now, tick), removed, &members);
        assert_eq!(coded, Ok(()), "our own view can be told");
        self.members = members;
        coder.finish();
    }

    /// Reads what changed after a tick at which the view was told of, or before the last time it was;
    /// into a view that has begun a send.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    pub fn decode_news(&mut self, view: &mut View, bytes: &mut &[u8]) -> Result<(), BlockError> {
        self.models.begin();
        let mut coder = Decoder::new(bytes);
        let now = view.now();
        self.changes(&mut coder, view, (now, 0), &[], &[])?;
        end(&coder, bytes)
    }

    /// Appends everything a view shows at its last send.
    pub fn encode_all(&mut self, view: &mut View, out: &mut Vec<u8>) {
        self.models.begin();
        let now = view.now();
        let mut coder = Encoder::new(out);
        let mut members = std::mem::take(&mut self.members);
        members.clear();
        members.extend(view.in_order().filter(|at| view.slot(*at).is_in(now)));
        let coded = self.everything(&mut coder, view, now, &members);
        assert_eq!(coded, Ok(()), "our own view can be told");
        self.members = members;
        coder.finish();
    }

    /// Reads everything a view shows, into a view that has begun a send. What it was at earlier sends
    /// is remembered: the other end may still tell from them.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    pub fn decode_all(&mut self, view: &mut View, bytes: &mut &[u8]) -> Result<(), BlockError> {
        self.models.begin();
        let mut coder = Decoder::new(bytes);
        view.leave_all();
        let now = view.now();
        self.everything(&mut coder, view, now, &[])?;
        end(&coder, bytes)
    }
}
