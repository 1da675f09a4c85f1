//! What a run found. [`Report`] is also the object that `--json` writes: its fields are the keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How times were spread, in milliseconds; all 0 where nothing was measured.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Spread {
    /// How many were measured.
    pub count: u64,
    /// Half were no longer.
    pub p50: f64,
    /// Nine of ten were no longer.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
}

/// How many times were of about one length.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Bucket {
    /// The longest that is counted here, in milliseconds; the shortest is above that of the bucket
    /// before.
    pub upto_ms: f64,
    /// How many.
    pub count: u64,
}

/// What bots saw in one stretch of the run. Times that nothing was measured of are null.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Interval {
    /// When it began, in seconds from when measuring began: below 0 while bots came.
    pub at_s: f64,
    /// How long it was, in seconds.
    pub length_s: f64,
    /// Inputs and actions that were scheduled in it and told of by a state, sooner or later.
    pub count: u64,
    /// Half of their latencies were no longer, in milliseconds, kept to 3 %.
    pub p50_ms: Option<f64>,
    /// Nine of ten.
    pub p90_ms: Option<f64>,
    /// 99 of 100.
    pub p99_ms: Option<f64>,
    /// The longest.
    pub max_ms: Option<f64>,
    /// The most by which the generator was late with its own work, in milliseconds.
    pub lag_max_ms: f64,
    /// States a second.
    pub states_per_s: f64,
    /// Bytes a second from the server.
    pub in_bytes_per_s: f64,
    /// Bytes a second to the server.
    pub out_bytes_per_s: f64,
    /// Connections lost that the load test did not cut.
    pub drops: u64,
    /// Times a bot came back to its seat.
    pub resumes: u64,
}

/// What a look at the server showed. What it did not say is null; rates are since the look before.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// When, in seconds from when measuring began.
    pub at_s: f64,
    /// Bots that were connected and in their rooms.
    pub players: u64,
    /// Rooms that were loaded.
    pub rooms: Option<f64>,
    /// CPU time of its process, in percent of one core.
    pub cpu_percent: Option<f64>,
    /// Memory of its process, in bytes.
    pub rss_bytes: Option<u64>,
    /// Ticks a second of rooms to which somebody was connected.
    pub ticks_per_s: Option<f64>,
    /// Mean time of such a tick, in milliseconds.
    pub tick_mean_ms: Option<f64>,
    /// 99 of 100 were no longer; the bound of a bucket, in milliseconds.
    pub tick_p99_ms: Option<f64>,
    /// Bytes of messages a second to clients.
    pub out_bytes_per_s: Option<f64>,
    /// CPU time of the generator's process, in percent of one core.
    pub generator_cpu_percent: Option<f64>,
}

/// Something that the load test did at one moment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Mark {
    /// When, in seconds from when measuring began.
    pub at_s: f64,
    /// What, in a word or two.
    pub what: String,
}

/// What bots with one kind of link saw.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfLink {
    /// As it was given.
    pub link: String,
    /// What it does, in words.
    pub means: String,
    /// How many bots had it.
    pub bots: usize,
    /// As the report's `latency_ms`, of these bots.
    pub latency_ms: Spread,
}

/// What a run was told, as far as it explains the numbers.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// The server.
    pub url: String,
    /// The game.
    pub game: String,
    /// `ws`, `quic` or `mix`.
    pub transport: String,
    /// Rooms.
    pub rooms: usize,
    /// Players in each.
    pub players: usize,
    /// Bots in all.
    pub bots: usize,
    /// `all`, `sample` or `none`.
    pub check: String,
    /// How long was to be measured, in seconds.
    pub duration_s: f64,
    /// Over how long the joins were spread, in seconds.
    pub ramp_s: f64,
    /// How players came and went, in words.
    pub pattern: String,
    /// Inputs and actions of each bot a second; null: as often as the room ticks, twice a second in a
    /// turn-based one.
    pub hz: Option<f64>,
    /// The rooms' params, as JSON; null: none.
    pub params: Option<String>,
    /// The seed.
    pub seed: u64,
}

/// What went both ways while it was measured, seen from the bots. Bytes are those of frames, without
/// what the transport adds.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Bytes a second from the server.
    pub in_bytes_per_s: f64,
    /// Messages a second from the server.
    pub in_messages_per_s: f64,
    /// Bytes a second to the server.
    pub out_bytes_per_s: f64,
    /// Messages a second to the server.
    pub out_messages_per_s: f64,
}

/// How the generator itself did.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Generator {
    /// How late it did its own work, against its schedule. At each percentile a time of the server is
    /// believed only where this one is within the limit.
    pub lag_ms: Spread,
    /// The lag, at its p99, over which the run is invalid, in milliseconds.
    pub lag_limit_ms: f64,
    /// Its threads.
    pub threads: usize,
    /// CPU time of its threads over the time measured, in percent of one core.
    pub cpu_percent: f64,
    /// Memory of its process at the end, in bytes.
    pub rss_bytes: u64,
}

/// What the server said of itself, over the time measured; what it did not say is null.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Server {
    /// Its process, where it runs on this machine.
    pub pid: Option<u32>,
    /// CPU time in percent of one core, from /proc.
    pub cpu_percent: Option<f64>,
    /// The most memory seen, in bytes, from /proc.
    pub rss_bytes: Option<u64>,
    /// Ticks that ran while somebody was connected, from /metrics. All of these numbers are the whole
    /// server's: a note says when others than the bots were connected.
    pub ticks: Option<f64>,
    /// Mean time of a tick, in milliseconds.
    pub tick_mean_ms: Option<f64>,
    /// 99 of 100 ticks were no longer; the bound of a bucket, in milliseconds.
    pub tick_p99_ms: Option<f64>,
    /// Ticks that took longer than their period.
    pub overruns: Option<f64>,
    /// Times a room gave up catching up.
    pub slips: Option<f64>,
    /// Ticks of rooms that sent states in some ticks only, because the server had too much to do.
    pub ticks_paced: Option<f64>,
    /// States that were not made because their client was behind.
    pub skips: Option<f64>,
    /// Inputs that came after their tick.
    pub inputs_late: Option<f64>,
}

/// What a run found.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// What kind of report it is: `run`.
    pub kind: String,
    /// Whether the times can be believed: the generator was not the bottleneck.
    pub valid: bool,
    /// Why not, where they cannot.
    pub invalid_because: Option<String>,
    /// What the run was told.
    pub told: Told,
    /// Bots that were to be there when measuring began.
    pub expected: usize,
    /// Those of them that had a seat then.
    pub joined: usize,
    /// Bots that came later or in place of others and did not get in within five seconds.
    pub missed: u64,
    /// Visits of bots to rooms, over the whole run: as many as bots where nobody goes.
    pub visits: u64,
    /// Bots that were in then and only watch, since no seat was free. They play nothing.
    pub watching: usize,
    /// Bots that decoded what they were sent.
    pub decoding: usize,
    /// How long was measured, in seconds.
    pub measured_s: f64,
    /// The room's tick, in milliseconds; null in a turn-based game.
    pub tick_ms: Option<f64>,
    /// From the dial to the first state, over all joins of the run.
    pub connect_ms: Spread,
    /// From the scheduled instant of an input or action to the arrival of the first state that tells of
    /// it. Counts from the schedule, however late generator or connection were.
    pub latency_ms: Spread,
    /// Inputs and actions that no state told of before the end. They stand in `latency_ms` with their
    /// age at the end.
    pub unanswered: u64,
    /// Inputs of bots that decode which were what they had been: a session sends no frame for them, so
    /// that none of them stands in `latency_ms`.
    pub inputs_held: u64,
    /// How many latencies were how long.
    pub latency_buckets: Vec<Bucket>,
    /// The latencies of bots by their links, where links were given.
    pub by_link: Vec<OfLink>,
    /// How far the time between two states was from the ticks between them; realtime games only.
    pub jitter_ms: Spread,
    /// States that came.
    pub states: u64,
    /// Ticks of which no state came, since there was nothing to tell or the client was behind.
    pub states_skipped: u64,
    /// What went both ways.
    pub traffic: Traffic,
    /// Links that the load test cut. They are no drops.
    pub cuts: u64,
    /// From such a cut to the first state after it.
    pub resume_ms: Spread,
    /// Connections lost after the bot was in, over the whole run.
    pub drops: u64,
    /// The same, by the code's name; `lost` where there was none.
    pub drops_by_code: BTreeMap<String, u64>,
    /// Attempts to get in that failed, by the code's name; they are made again where that may help.
    pub refusals_by_code: BTreeMap<String, u64>,
    /// Times a bot came back to the seat it held.
    pub resumes: u64,
    /// Times a bot came back and its seat was gone.
    pub seats_lost: u64,
    /// States whose hash was compared with the server's.
    pub states_checked: u64,
    /// States that were not what the server says they are, or could not be read.
    pub wrong: u64,
    /// The generator.
    pub generator: Generator,
    /// The server.
    pub server: Server,
    /// What bots saw over time.
    pub intervals: Vec<Interval>,
    /// What the load test did at single moments.
    pub marks: Vec<Mark>,
    /// What the server showed over time.
    pub samples: Vec<Sample>,
    /// What a reader should know beside the numbers.
    pub notes: Vec<String>,
}

impl Report {
    /// Bots without a seat: of those that were to be there when measuring began, and those that came
    /// later and had their time.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.expected.saturating_sub(self.joined) as u64 + self.missed
    }

    /// States that came to bots a second.
    #[must_use]
    pub fn states_per_s(&self) -> f64 {
        self.states as f64 / self.measured_s.max(1e-9)
    }
}
