//! What a trace costs on the wire, at several distances of the reference, and what coding it takes.

use std::time::Duration;

use referee_protocol::codec::{Send, Training};

use crate::games::Play;
use crate::reference::Reference;
use crate::stage::Stage;

/// Figures of a trace played once, means over its ticks.
#[derive(Default)]
pub(crate) struct Traffic {
    /// A state frame of the room, whole.
    pub(crate) frame_bytes: f64,
    /// A state frame's blocks without heads.
    pub(crate) body_bytes: f64,
    /// A frame for a client whose acknowledgements are so many sends old.
    pub(crate) back_bytes: f64,
    pub(crate) entities: f64,
    pub(crate) tables_bytes: usize,
    /// The room's frames, from the first.
    pub(crate) frames: Vec<Vec<u8>>,
    /// The hash of what the client knows at the end.
    pub(crate) hash: u64,
    pub(crate) schema: Vec<u8>,
}

/// What is noted of a trace's ticks.
struct Sum {
    count: f64,
    total: f64,
}

impl Sum {
    const NOTHING: Self = Self { count: 0.0, total: 0.0 };

    fn add(&mut self, value: f64) {
        self.count += 1.0;
        self.total += value;
    }

    fn mean(&self) -> f64 {
        self.total / self.count
    }
}

/// Plays a trace.
pub(crate) fn measure(play: &Play, tables: Option<&'static [u8]>, back: Send) -> Traffic {
    let mut stage = Stage::new(play, tables);
    let mut traffic = Traffic { tables_bytes: tables.map_or(0, <[u8]>::len), ..Traffic::default() };
    let (mut frame, mut body, mut entities) = (Sum::NOTHING, Sum::NOTHING, Sum::NOTHING);
    while let Some(ticked) = stage.tick() {
        if ticked.delta {
            frame.add(ticked.frame.len() as f64);
            body.add(ticked.body.len() as f64);
            entities.add(stage.entities() as f64);
        }
        traffic.frames.push(ticked.frame);
    }
    (traffic.frame_bytes, traffic.body_bytes) = (frame.mean(), body.mean());
    traffic.entities = entities.mean();
    traffic.back_bytes = far(play, tables, back);
    (traffic.hash, traffic.schema) = (stage.replica().hash(), stage.schema().encode());
    traffic
}

/// The bytes of a state frame for a client whose acknowledgements are so many sends old.
fn far(play: &Play, tables: Option<&'static [u8]>, back: Send) -> f64 {
    let mut stage = Stage::far(play, tables, back);
    let mut frame = Sum::NOTHING;
    while let Some(ticked) = stage.tick() {
        // Before that the baselines lie behind the beginning.
        if ticked.tick > 4 * u64::from(back) {
            assert!(ticked.delta, "tick {}: it is told without a baseline", ticked.tick);
            frame.add(ticked.frame.len() as f64);
        }
    }
    frame.mean()
}

/// Tables made from a trace: from the room's own blocks, and from those for these references.
pub(crate) fn train(play: &Play, back: &[Send]) -> &'static [u8] {
    let mut stage = Stage::new(play, None);
    stage.learn();
    let mut references: Vec<Reference> =
        back.iter().map(|back| Reference::new(stage.schema(), play.hz, *back)).collect();
    references.iter_mut().for_each(Reference::learn);
    while let Some(ticked) = stage.tick() {
        references.iter_mut().for_each(|reference| {
            reference.tick(ticked.tick, stage.replica());
        });
    }
    let mut training = Training::default();
    training.add(stage.learnt());
    references.iter().for_each(|reference| training.add(reference.learnt()));
    // A game's tables live as long as the program.
    training.tables(stage.schema()).leak()
}

/// How long things took, the shortest of several rounds for each tick, as means over the ticks.
pub(crate) struct Times {
    /// The room's tick and its frame, but for the system that plays the trace and the ticks in which
    /// the room rebuilds itself.
    pub(crate) room: Duration,
    /// Coding the block alone.
    pub(crate) encode: Duration,
    /// Decoding it.
    pub(crate) decode: Duration,
}

/// Ticks between two rebuilds of a realtime room.
pub(crate) const REBUILD_TICKS: u64 = 60;

/// Plays a trace so many times, and looks at the clock.
pub(crate) fn time(play: &Play, tables: Option<&'static [u8]>, rounds: u32) -> Times {
    let mut shortest: Vec<[Duration; 3]> = Vec::new();
    for _ in 0..rounds {
        let mut stage = Stage::new(play, tables);
        let mut last = Reference::new(stage.schema(), play.hz, 1);
        let mut at = 0;
        while let Some(ticked) = stage.tick() {
            let coded = last.tick(ticked.tick, stage.replica());
            if !ticked.delta || ticked.tick % REBUILD_TICKS == 0 {
                continue;
            }
            let took = [ticked.took, coded.encode, coded.decode];
            match shortest.get_mut(at) {
                None => shortest.push(took),
                Some(known) => (0..3).for_each(|n| known[n] = known[n].min(took[n])),
            }
            at += 1;
        }
    }
    let mean = |n: usize| {
        let total: Duration = shortest.iter().map(|took| took[n]).sum();
        total / shortest.len().max(1) as u32
    };
    Times { room: mean(0), encode: mean(1), decode: mean(2) }
}
