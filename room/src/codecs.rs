//! What the rooms of a game borrow while they make frames: codecs and working memory. Each block begins as
//! the schema and the rate say, so one codec does for all rooms of a thread; and it is by far the largest
//! thing that a small room would have of its own. And memory that the last room has used is in the cache.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use referee_protocol::Schema;
use referee_protocol::codec::Codec;

use crate::replicate::Work;

/// Codecs that are kept while nobody uses them: as many as there are threads, for each rate that is used at
/// the same time. More are made anew.
const KEPT_MAX: usize = 64;

/// The codecs of a game, each with the rate it is for.
#[derive(Default)]
pub(crate) struct Codecs(Mutex<Vec<(u16, Box<Tools>)>>);

/// What a room makes frames with.
pub(crate) struct Tools {
    pub(crate) codec: Codec,
    pub(crate) work: Work,
}

impl Tools {
    pub(crate) fn new(codec: Codec) -> Self {
        Self { codec, work: Work::default() }
    }
}

/// Tools that are given back when this is dropped.
pub(crate) struct Lent<'a> {
    codecs: &'a Codecs,
    hz: u16,
    /// There until the drop.
    tools: Option<Box<Tools>>,
}

impl Codecs {
    fn kept(&self) -> MutexGuard<'_, Vec<(u16, Box<Tools>)>> {
        // Nothing in here panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tools for rooms of this rate, 0 for a turn-based one.
    pub(crate) fn lend(&self, schema: &Schema, hz: u16) -> Lent<'_> {
        let mut kept = self.kept();
        let found = kept.iter().rposition(|(of, _)| *of == hz).map(|at| kept.swap_remove(at).1);
        drop(kept);
        let tools = found.unwrap_or_else(|| Box::new(Tools::new(Codec::new(schema, hz))));
        Lent { codecs: self, hz, tools: Some(tools) }
    }
}

impl Deref for Lent<'_> {
    type Target = Tools;

    fn deref(&self) -> &Tools {
        self.tools.as_ref().expect("it is there until the drop")
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut Tools {
        self.tools.as_mut().expect("it is there until the drop")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // In the middle of a block it is of no use to anybody else.
        let tools = self.tools.take().filter(|_| !std::thread::panicking());
        let mut kept = self.codecs.kept();
        if kept.len() < KEPT_MAX {
            kept.extend(tools.map(|tools| (self.hz, tools)));
        }
    }
}

#[cfg(test)]
mod tests {
    use referee_protocol::Kind;

    use super::*;

    #[test]
    fn a_codec_is_used_again_by_rooms_of_its_rate_and_no_more_are_kept_than_may() {
        let schema = Schema {
            kind: Kind::Realtime,
            components: vec![],
            inputs: vec![],
            actions: vec![],
            events: vec![],
            tables: vec![],
        };
        let codecs = Codecs::default();
        // Where the codec is that was lent for a moment.
        let lend = |hz| std::ptr::from_ref::<Tools>(&codecs.lend(&schema, hz)).addr();
        let (first, other) = (lend(20), lend(30));
        assert_ne!(first, other);
        assert_eq!((lend(20), lend(30)), (first, other));
        let taken = codecs.lend(&schema, 20);
        assert_ne!(lend(20), first, "somebody has it");
        drop(taken);
        let many: Vec<_> = (0..KEPT_MAX + 9).map(|_| codecs.lend(&schema, 20)).collect();
        drop(many);
        assert_eq!(codecs.kept().len(), KEPT_MAX);
    }
}
