//! What a run is told: the server, the game, how many bots, for how long.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use referee_client::bot::Bot;

use crate::link::Link;
use crate::pattern::Pattern;
use crate::score::Recording;

/// Makes the bot of a seed; the same seed makes the same bot.
pub type MakeBot = Arc<dyn Fn(u64) -> Box<dyn Bot> + Send + Sync>;

/// Generator lag, at its p99, over which a run is invalid unless the plan says otherwise.
pub const LAG_LIMIT: Duration = Duration::from_millis(5);

/// What the bots connect over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Transport {
    /// WebSocket.
    #[default]
    Ws,
    /// QUIC.
    Quic,
    /// One half of the bots each.
    Mix,
}

impl Transport {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Quic => "quic",
            Self::Mix => "mix",
        }
    }
}

/// Which bots decode what they are sent, and have the server's hash of their view to compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Check {
    /// All of them.
    All,
    /// One in fifty, at least one.
    #[default]
    Sample,
    /// None of them. Bots that cannot play blind decode all the same, and compare nothing.
    None,
}

/// Bots of which one is checked with [`Check::Sample`].
const CHECK_ONE_IN: usize = 50;

impl Check {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Sample => "sample",
            Self::None => "none",
        }
    }

    /// Whether the bot with this number is checked.
    #[must_use]
    pub fn includes(self, number: usize) -> bool {
        match self {
            Self::All => true,
            Self::Sample => number.is_multiple_of(CHECK_ONE_IN),
            Self::None => false,
        }
    }
}

/// How a run shows its progress, on stderr.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Progress {
    /// Not at all.
    #[default]
    Silent,
    /// A bar that stays on its line.
    Bar,
    /// A line every few seconds.
    Lines,
}

/// Ends a run early, from wherever; the report tells of what was measured till then.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends the run.
    pub fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the run is to end.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a run is told. [`Plan::new`] fills in what just works; change the fields you care about.
#[derive(Clone)]
pub struct Plan {
    /// The server: `http://host:port`.
    pub url: String,
    /// The game's name on the server.
    pub game: String,
    /// Makes the bots.
    pub bot: MakeBot,
    /// How many rooms.
    pub rooms: usize,
    /// How many players in each.
    pub players: usize,
    /// What rooms are called: this, and their number. Others than those of runs before by default.
    pub room_prefix: String,
    /// Parameters for the rooms, as JSON.
    pub params: Option<String>,
    /// How long to measure, once all bots are in.
    pub duration: Duration,
    /// The time over which the joins are spread; none: 200 a second.
    pub ramp: Option<Duration>,
    /// How players come and go while it is measured.
    pub pattern: Pattern,
    /// What stands between the bots and the server; empty: nothing.
    pub links: Vec<Link>,
    /// A recorded match whose seats the bots play, over and over; none: the bots' own.
    pub replay: Option<Arc<Recording>>,
    /// How long bots may take to get in, counted from the end of the ramp.
    pub join_within: Duration,
    /// Where bots are refused: how long to go on waiting while no other one gets in.
    pub standstill: Duration,
    /// How long is waited once all are in, until it is measured.
    pub warm_up: Duration,
    /// What to connect over.
    pub transport: Transport,
    /// Who decodes and compares.
    pub check: Check,
    /// Seeds the bots and their schedules.
    pub seed: u64,
    /// How often each bot plays, a second; none: as often as the room ticks, twice a second in a
    /// turn-based one.
    pub hz: Option<f64>,
    /// Threads that drive the bots; 0: half of the cores.
    pub threads: usize,
    /// Generator lag, at its p99, over which the run is invalid.
    pub lag_limit: Duration,
    /// The server's process, to read its CPU time and memory; none: found by its port where it
    /// listens on this machine.
    pub server_pid: Option<u32>,
    /// How to show progress.
    pub progress: Progress,
    /// Ends the run early.
    pub stop: Stop,
}

impl Plan {
    /// One room with two players for ten seconds on a server on this machine.
    pub fn new<B: Bot + 'static>(
        game: &str,
        bot: impl Fn(u64) -> B + Send + Sync + 'static,
    ) -> Self {
        Self::with(game, Arc::new(move |seed| Box::new(bot(seed))))
    }

    /// The same, for bots in boxes.
    #[must_use]
    pub fn with(game: &str, bot: MakeBot) -> Self {
        Self {
            url: "http://127.0.0.1:7777".into(),
            game: game.into(),
            bot,
            rooms: 1,
            players: 2,
            room_prefix: fresh_prefix(),
            params: None,
            duration: Duration::from_secs(10),
            ramp: None,
            pattern: Pattern::default(),
            links: Vec::new(),
            replay: None,
            join_within: Duration::from_secs(60),
            // Twice what a full server tells them to wait.
            standstill: Duration::from_secs(10),
            warm_up: Duration::ZERO,
            transport: Transport::default(),
            check: Check::default(),
            seed: 1,
            hz: None,
            threads: 0,
            lag_limit: LAG_LIMIT,
            server_pid: None,
            progress: Progress::default(),
            stop: Stop::default(),
        }
    }

    /// How many bots there are.
    #[must_use]
    pub fn bots(&self) -> usize {
        self.rooms * self.players
    }

    /// The time over which joins are spread.
    #[must_use]
    pub fn ramp(&self) -> Duration {
        self.ramp.unwrap_or_else(|| Duration::from_millis(self.bots() as u64 * 5))
    }

    /// The longest that a run may take until the bots leave.
    pub(crate) fn longest(&self) -> Duration {
        let before = self.ramp().saturating_add(self.join_within).saturating_add(self.warm_up);
        before.saturating_add(self.duration)
    }

    /// The name of a room, of its so many'th life. Bots that follow each other are in different rooms,
    /// so that all rooms fill at the same pace.
    pub(crate) fn match_of(&self, room: usize, life: usize) -> String {
        match life {
            0 => format!("{}-{room}", self.room_prefix),
            _ => format!("{}-{room}-{life}", self.room_prefix),
        }
    }

    /// Whether a bot goes over QUIC.
    pub(crate) fn over_quic(&self, bot: usize) -> bool {
        match self.transport {
            Transport::Ws => false,
            Transport::Quic => true,
            // Both kinds in each room.
            Transport::Mix => (bot % self.rooms + bot / self.rooms).is_multiple_of(2),
        }
    }

    pub(crate) fn worker_threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if self.threads == 0 { cores / 2 } else { self.threads };
        threads.clamp(1, self.bots().max(1))
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, game, rooms, players, duration, transport, .. } = self;
        write!(f, "{game} at {url}: {rooms} rooms of {players}, {duration:?}, {transport:?}")
    }
}

/// A name that no run before had.
fn fresh_prefix() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = since.map_or(0, |since| since.as_nanos() as u64);
    format!("load-{:x}", now ^ u64::from(std::process::id()) << 48)
}

#[cfg(test)]
mod tests {
    use super::*;
    use referee_client::Session;
    use referee_client::bot::Say;

    struct Idle;

    impl Bot for Idle {
        fn play(&mut self, _: &Session) -> Option<Say> {
            None
        }
    }

    fn plan(rooms: usize, players: usize) -> Plan {
        Plan { rooms, players, ..Plan::new("g", |_| Idle) }
    }

    #[test]
    fn a_mix_has_both_transports_in_each_room() {
        for rooms in [1, 2, 3] {
            let plan = Plan { transport: Transport::Mix, ..plan(rooms, 2) };
            let quic = (0..plan.bots()).filter(|bot| plan.over_quic(*bot)).count();
            assert_eq!(quic, rooms);
            let of_room = |room| (0..plan.bots()).filter(move |bot| bot % rooms == room);
            for room in 0..rooms {
                assert_eq!(of_room(room).filter(|bot| plan.over_quic(*bot)).count(), 1);
            }
        }
    }

    #[test]
    fn a_sample_has_at_least_one() {
        assert!(Check::Sample.includes(0) && !Check::Sample.includes(1));
        assert_eq!((0..200).filter(|bot| Check::Sample.includes(*bot)).count(), 4);
    }
}
