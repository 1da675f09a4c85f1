//! What a client would get whose acknowledgements are some sends old. It is coded from a view that is
//! set to what the room's client shows, with the baselines of such a link, and decoded into a view
//! beside it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use referee_protocol::codec::{Baselines, Codec, Send, View};
use referee_protocol::{Replica, Schema, WireId};

/// Both ends of a link whose baselines lie so many sends back.
pub(crate) struct Reference {
    back: Send,
    known: BTreeSet<WireId>,
    coder: Codec,
    decoder: Codec,
    sent: View,
    received: View,
    pub(crate) body: Vec<u8>,
}

/// What a block took.
pub(crate) struct Coded {
    pub(crate) encode: Duration,
    pub(crate) decode: Duration,
}

impl Reference {
    pub(crate) fn new(schema: &Schema, hz: u16, back: Send) -> Self {
        let view = || View::new(2 * back + 1);
        let codec = || Codec::new(schema, hz);
        let (known, body) = (BTreeSet::new(), Vec::new());
        Self { back, known, coder: codec(), decoder: codec(), sent: view(), received: view(), body }
    }

    pub(crate) fn learn(&mut self) {
        self.coder.learn();
    }

    pub(crate) fn learnt(&self) -> &[[u32; 2]] {
        self.coder.counts()
    }

    /// Codes what the room's client shows now, and decodes it.
    pub(crate) fn tick(&mut self, tick: u64, shown: &Replica) -> Coded {
        self.sent.begin(tick);
        self.show(shown);
        let now = self.sent.now();
        let base = now.saturating_sub(self.back);
        // The rung before says how things moved.
        let older = base.saturating_sub(1);
        let from = Baselines { older, base };
        self.body.clear();
        let start = Instant::now();
        self.coder.encode(&mut self.sent, from, &[], &mut self.body);
        let encode = start.elapsed();
        self.received.begin_at(now, tick);
        let start = Instant::now();
        let mut body = &self.body[..];
        let decoded = self.decoder.decode(&mut self.received, from, &mut body);
        let decode = start.elapsed();
        decoded.expect("what was coded can be read");
        assert!(body.is_empty(), "a block ends with its bytes");
        assert!(
            self.sent.shown().eq(self.received.shown()),
            "tick {tick}: it is not what was sent"
        );
        Coded { encode, decode }
    }

    fn show(&mut self, shown: &Replica) {
        let ids: BTreeSet<WireId> = shown.entities().map(|(id, _)| id).collect();
        self.known.difference(&ids).for_each(|id| self.sent.leave(*id));
        for id in ids.difference(&self.known) {
            self.sent.enter(*id);
        }
        for id in &ids {
            for (component, words) in shown.components(*id) {
                self.sent.set(*id, component, Some(words));
            }
        }
        self.known = ids;
    }
}
