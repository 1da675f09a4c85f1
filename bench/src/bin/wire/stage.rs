//! A room in memory with one spectator, which decodes what the room sends it and compares it with
//! the truth in every tick.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use referee_protocol::frame::{Ack, Lane, split};
use referee_protocol::ladder::{Applied, LossyKind, LossyPrelude};
use referee_protocol::replica::Taken;
use referee_protocol::{BlockKind, LinkId, Replica, Schema, SessionId, Tick, WireId};
use referee_room::entry::{Create, Join};
use referee_room::output::Frame;
use referee_room::room::Link;
use referee_room::{Entry, Output, Room, Template};

use crate::games::{Play, Words};

const LINK: LinkId = LinkId(1);
const SESSION: SessionId = SessionId(1);

/// A match that is played from a trace.
pub(crate) struct Stage {
    play: Play,
    template: Arc<Template>,
    room: Room,
    replica: Replica,
    tick: u64,
    received: u64,
    /// On a link that loses: how many sends old the acknowledgements are.
    back: Option<u64>,
    /// Which slot's entity the client knows by which name.
    slots: BTreeMap<WireId, usize>,
}

/// What a tick came to.
pub(crate) struct Ticked {
    pub(crate) tick: u64,
    /// The state frame; nothing where nothing has changed.
    pub(crate) frame: Vec<u8>,
    /// Its blocks' bytes without the heads of frame and blocks.
    pub(crate) body: Vec<u8>,
    /// Whether all that it tells is told by differences.
    pub(crate) delta: bool,
    /// The room's tick, sends included, but for the system that plays the trace.
    pub(crate) took: Duration,
}

impl Stage {
    /// A room of the trace's game, empty, whose client acknowledges at once.
    pub(crate) fn new(play: &Play, tables: Option<&'static [u8]>) -> Self {
        Self::with_link(play, tables, None)
    }

    /// The same over a link like that of datagrams, where each send is a rung and acknowledgements are
    /// so many sends old.
    pub(crate) fn far(play: &Play, tables: Option<&'static [u8]>, back: u32) -> Self {
        Self::with_link(play, tables, Some(back.into()))
    }

    fn with_link(play: &Play, tables: Option<&'static [u8]>, back: Option<u64>) -> Self {
        let of = play.clone();
        let template = Template::new("trace", move |game| (of.game)(&of, game, tables))
            .expect("a trace's game is right");
        let create = Create { seed: [7; 32], ..Create::default() };
        let mut room = Room::create(&template, &create).expect("it refuses nobody");
        room.set_ladder_step(NonZeroU64::MIN);
        room.link(LINK, Link::Open { session: SESSION, resume: None });
        if back.is_some() {
            room.link(LINK, Link::Lossy);
        }
        room.handle(Entry::Join(Join {
            session: SESSION,
            name: "A spectator".into(),
            attributes: BTreeMap::new(),
            generation: 1,
            watch: true,
        }));
        let replica = Replica::new(play.hz);
        let (play, slots) = (play.clone(), BTreeMap::new());
        Self { play, template, room, replica, tick: 0, received: 0, back, slots }
    }

    /// What clients know of the game.
    pub(crate) fn schema(&self) -> &Schema {
        self.template.schema()
    }

    /// Begins to count, for tables.
    pub(crate) fn learn(&mut self) {
        self.room.learn();
    }

    /// What was counted.
    pub(crate) fn learnt(&self) -> &[[u32; 2]] {
        self.room.learnt()
    }

    /// What the client knows.
    pub(crate) fn replica(&self) -> &Replica {
        &self.replica
    }

    /// How many entities there are.
    pub(crate) fn entities(&self) -> usize {
        self.slots.len()
    }

    /// The next tick, until the trace ends. The client has decoded it, and sees the truth.
    pub(crate) fn tick(&mut self) -> Option<Ticked> {
        let (took, frame) = self.run()?;
        let blocks = frame.iter().flat_map(|frame| &frame.parts).flat_map(|part| part.iter());
        let blocks = blocks.copied().collect();
        let frame = frame.map_or(Vec::new(), |frame| frame.to_vec());
        let mut delta = true;
        if !frame.is_empty() {
            let (lane, body) = split(&frame).expect("the room sends good frames");
            assert_eq!(lane, Lane::State, "a trace's game has nothing to say but its state");
            let schema = self.template.schema();
            if self.back.is_some() {
                let taken = self.replica.take(schema, body).expect("the room sends good state");
                assert!(matches!(taken, Taken::Applied(_)), "nothing is lost here: {taken:?}");
                delta = leads_from_a_rung(body);
            } else {
                self.replica.apply(schema, body).expect("the room sends good state");
                let told = self.replica.heads().iter();
                delta = told.clone().all(|head| head.known && head.kind != BlockKind::Absolute);
            }
        }
        // Nothing is sent while there is no word of the first frame.
        if self.back.is_none() || !frame.is_empty() {
            let truth = (self.play.truth)(&self.play, self.tick);
            self.compare(&truth);
        } else {
            self.slots.clear();
        }
        Some(Ticked { tick: self.tick, frame, body: blocks, delta, took })
    }

    /// The next tick, until the trace ends: the room's own work and its frame, which the client gets
    /// and does not look at.
    pub(crate) fn run(&mut self) -> Option<(Duration, Option<Frame>)> {
        if self.tick == self.play.ticks {
            return None;
        }
        self.tick += 1;
        let start = Instant::now();
        self.room.tick(Tick(self.tick));
        let mut state = None;
        while let Some(output) = self.room.poll_output() {
            if let Output::Send { frame, .. } = output {
                state = Some(frame);
            }
        }
        let took = start.elapsed();
        self.received += u64::from(state.is_some());
        let said = match self.back {
            None => Some(Link::Ack(Ack { frames: self.received, event: 0 })),
            Some(back) => (self.tick + 1).checked_sub(back).map(|tick| {
                Link::Applied(Applied { tick: Tick(tick), before: u32::MAX, event: 0 })
            }),
        };
        said.into_iter().for_each(|said| self.room.link(LINK, said));
        let system = Duration::from_nanos(self.play.spent_ns.load(Ordering::Relaxed));
        Some((took.saturating_sub(system), state))
    }

    /// Compares what the client knows with the truth, entity by entity.
    fn compare(&mut self, truth: &[Words]) {
        let tick = self.tick;
        let seen = |id: WireId| {
            let words = self.replica.components(id).into_values().flatten().copied();
            words.collect::<Vec<u32>>()
        };
        let mut free: Vec<bool> = truth.iter().map(Option::is_some).collect();
        self.slots.retain(|id, slot| {
            self.replica.handle(*id).is_some() || {
                assert!(truth[*slot].is_none(), "tick {tick}: slot {slot} is gone too early");
                false
            }
        });
        for (id, slot) in &self.slots {
            assert_eq!(Some(seen(*id)), truth[*slot], "tick {tick}, slot {slot}");
            free[*slot] = false;
        }
        for (id, _) in self.replica.entities() {
            if self.slots.contains_key(&id) {
                continue;
            }
            let words = Some(seen(id));
            let slot = (0..truth.len()).find(|slot| free[*slot] && truth[*slot] == words);
            let slot = slot.unwrap_or_else(|| panic!("tick {tick}: {words:?} is nobody"));
            free[slot] = false;
            self.slots.insert(id, slot);
        }
        assert!(!free.contains(&true), "tick {tick}: somebody is not seen");
    }
}

/// Whether all that a frame of a link that loses tells is told by differences.
fn leads_from_a_rung(mut frame: &[u8]) -> bool {
    let mut heads = Vec::new();
    LossyPrelude::read(&mut frame, Tick(0), &mut heads).expect("it was read before");
    heads.iter().all(|head| head.kind == LossyKind::Rung)
}
