//! What a tick costs by how many clients share a view: its block is made once, for however many it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use referee_protocol::frame::Ack;
use referee_protocol::{LinkId, SessionId, Tick};
use referee_room::entry::{Create, Join};
use referee_room::room::Link;
use referee_room::{Entry, Output, Room, Template};

use crate::games::Play;

/// Clients that look on: so many, in turn.
const CLIENTS: [u64; 4] = [1, 10, 100, 1000];
/// Ticks that are measured, and before them so many that are not.
const TICKS: u64 = 200;
const WARM_TICKS: u64 = 20;

/// Figures of a tick.
pub(crate) struct Shared {
    /// Blocks made for the most clients, as a mean over the ticks.
    pub(crate) blocks: f64,
    /// Beside each number of clients what a tick took with the frames of all, but for the game's system.
    pub(crate) took: Vec<(u64, Duration)>,
}

/// Plays a trace before audiences that all acknowledge in the tick.
pub(crate) fn measure(play: &Play, tables: Option<&'static [u8]>, rounds: u32) -> Shared {
    let mut shared = Shared { blocks: 0.0, took: Vec::new() };
    for clients in CLIENTS {
        let played = (0..rounds).map(|_| Audience::new(play, tables, clients).play());
        let (blocks, took) = played.reduce(|a, b| (b.0, a.1.min(b.1))).unwrap_or_default();
        shared.blocks = blocks;
        shared.took.push((clients, took));
    }
    shared
}

struct Audience {
    play: Play,
    room: Room,
    clients: u64,
}

impl Audience {
    fn new(play: &Play, tables: Option<&'static [u8]>, clients: u64) -> Self {
        let of = play.clone();
        let template = Template::new("trace", move |game| (of.game)(&of, game, tables))
            .expect("a trace's game is right");
        let create = Create { seed: [7; 32], ..Create::default() };
        let mut room = Room::create(&template, &create).expect("it refuses nobody");
        for number in 1..=clients {
            let session = SessionId(number);
            room.link(LinkId(number), Link::Open { session, resume: None });
            room.handle(Entry::Join(Join {
                session,
                name: format!("Spectator {number}"),
                attributes: BTreeMap::new(),
                generation: number,
                watch: true,
            }));
        }
        Self { play: play.clone(), room, clients }
    }

    /// The blocks made in a tick, and the time it took, both as means.
    fn play(mut self) -> (f64, Duration) {
        let (mut blocks, mut took) = (0, Duration::ZERO);
        let mut received = 0;
        for tick in 1..=WARM_TICKS + TICKS {
            let start = Instant::now();
            self.room.tick(Tick(tick));
            let frames = self.frames();
            let spent = start.elapsed();
            let system = Duration::from_nanos(self.play.spent_ns.load(Ordering::Relaxed));
            assert!(frames.len() as u64 == self.clients || frames.is_empty(), "all are in step");
            let mut parts: Vec<_> =
                frames.iter().flatten().map(|part| Arc::as_ptr(part).addr()).collect();
            parts.sort_unstable();
            parts.dedup();
            if tick > WARM_TICKS {
                blocks += parts.len();
                took += spent.saturating_sub(system);
            }
            received += u64::from(!frames.is_empty());
            let ack = Ack { frames: received, event: 0 };
            (1..=self.clients).for_each(|link| self.room.link(LinkId(link), Link::Ack(ack)));
        }
        (blocks as f64 / TICKS as f64, took / TICKS as u32)
    }

    /// The shared parts of each client's frame.
    fn frames(&mut self) -> Vec<referee_room::output::Parts> {
        let mut frames = Vec::new();
        while let Some(output) = self.room.poll_output() {
            if let Output::Send { frame, .. } = output {
                frames.push(frame.parts);
            }
        }
        frames
    }
}
