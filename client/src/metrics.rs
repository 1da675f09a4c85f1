//! What a session measures of its connection and its room.

/// Weight of a new round trip in the smoothed one.
const TRIP_WEIGHT: f64 = 1.0 / 8.0;
/// Weight of a new margin in the smoothed one.
const MARGIN_WEIGHT: f64 = 1.0 / 16.0;

/// What a session has measured. Times are in milliseconds, margins in ticks. The counts run over
/// all connections of the session.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Metrics {
    /// The smoothed time to the server and back.
    pub round_trip_ms: Option<f64>,
    /// The shortest time to the server and back.
    pub round_trip_min_ms: Option<f64>,
    /// How many states came.
    pub states: u64,
    /// How far the arrivals of states are strewn behind the earliest: what nearly all keep within.
    /// 0 in a turn-based room.
    pub jitter_ms: f64,
    /// How far the shown moment lies behind the newest state's arrival. 0 in a turn-based room.
    pub delay_ms: f64,
    /// How many ticks before it was needed the last sample of an input came in of which the room
    /// has told: 0 in good time, more: too early, negative: too late.
    pub input_margin: Option<i8>,
    /// The same, smoothed.
    pub input_margin_smooth: Option<f64>,
    /// How many samples were sent.
    pub inputs: u64,
    /// How many of those that the room told of came after their tick had run.
    pub inputs_late: u64,
    /// How many of those that the room told of came more than a tick too early, and waited.
    pub inputs_early: u64,
    /// How far ahead of the states' arrival inputs are stamped.
    pub input_lead_ms: f64,
}

impl Metrics {
    pub(crate) fn round_trip(&mut self, trip_ms: f64) {
        let smooth = |was: f64| was + (trip_ms - was) * TRIP_WEIGHT;
        self.round_trip_ms = Some(self.round_trip_ms.map_or(trip_ms, smooth));
        let least = self.round_trip_min_ms.map_or(trip_ms, |was| was.min(trip_ms));
        self.round_trip_min_ms = Some(least);
    }

    pub(crate) fn margin(&mut self, ticks: i8) {
        let new = f64::from(ticks);
        let smooth = |was: f64| was + (new - was) * MARGIN_WEIGHT;
        self.input_margin = Some(ticks);
        self.input_margin_smooth = Some(self.input_margin_smooth.map_or(new, smooth));
        self.inputs_late += u64::from(ticks < 0);
        self.inputs_early += u64::from(ticks > 0);
    }
}
