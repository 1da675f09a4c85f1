//! When the ticks of light rooms ran, noted by their games: a bench may look at the clock. How late each was
//! is said against the rhythm that the room had in the first window that was looked at, which is to be a quiet
//! one: the tick that was nearest to its time is taken for punctual.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A tick that ran: of which room, which one, when.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    room: u16,
    tick: u64,
    at: Instant,
}

#[derive(Default)]
struct Stamps {
    since: Vec<Stamp>,
    /// When tick 0 of a room would have been, in seconds since `zero`.
    rhythm: Option<BTreeMap<u16, f64>>,
    zero: Option<Instant>,
}

static STAMPS: Mutex<Stamps> = Mutex::new(Stamps { since: Vec::new(), rhythm: None, zero: None });

/// Ticks a second of the rooms that are looked at.
pub(crate) const HZ: u16 = 20;

/// A tick of a room ran now.
pub(crate) fn note(room: u16, tick: u64) {
    let stamp = Stamp { room, tick, at: Instant::now() };
    STAMPS.lock().unwrap_or_else(PoisonError::into_inner).since.push(stamp);
}

/// How late ticks were, in milliseconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Lateness {
    pub(crate) count: usize,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) most: f64,
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, p50, p99, p999, most } = self;
        write!(f, "{count} {p50:.4} {p99:.4} {p999:.4} {most:.4}")
    }
}

/// What was noted since the last call. The first call begins; the window until the second gives the rhythm.
pub(crate) fn take() -> Lateness {
    let mut stamps = STAMPS.lock().unwrap_or_else(PoisonError::into_inner);
    let since = std::mem::take(&mut stamps.since);
    let Some(zero) = stamps.zero else {
        stamps.zero = Some(Instant::now());
        return lateness(Vec::new());
    };
    let begins: Vec<(u16, f64)> =
        since.iter().map(|stamp| (stamp.room, begin(stamp, zero))).collect();
    let rhythm = stamps.rhythm.get_or_insert_with(|| rhythm(&begins));
    let late = |(room, begin): &(u16, f64)| Some((begin - rhythm.get(room)?) * 1e3);
    lateness(begins.iter().filter_map(late).collect())
}

/// When the room's tick 0 would have been, if this one was punctual, in seconds.
fn begin(stamp: &Stamp, zero: Instant) -> f64 {
    stamp.at.saturating_duration_since(zero).as_secs_f64() - stamp.tick as f64 / f64::from(HZ)
}

fn rhythm(begins: &[(u16, f64)]) -> BTreeMap<u16, f64> {
    let mut rhythm = BTreeMap::new();
    for (room, begin) in begins {
        let first = rhythm.entry(*room).or_insert(f64::INFINITY);
        *first = f64::min(*first, *begin);
    }
    rhythm
}

fn lateness(mut late_ms: Vec<f64>) -> Lateness {
    late_ms.sort_by(f64::total_cmp);
    let last = late_ms.len().saturating_sub(1) as f64;
    let at = |percent: f64| {
        let at = (last * percent / 100.0).round() as usize;
        late_ms.get(at).copied().unwrap_or(f64::NAN)
    };
    let [p50, p99, p999, most] = [50.0, 99.0, 99.9, 100.0].map(at);
    Lateness { count: late_ms.len(), p50, p99, p999, most }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn ticks_are_late_against_the_rhythm_of_their_room() {
        let zero = Instant::now();
        let stamp = |room: u16, tick: u64, late_ms: u64| {
            let due = Duration::from_millis(tick * 1_000 / u64::from(HZ) + 7 * u64::from(room));
            Stamp { room, tick, at: zero + due + Duration::from_millis(late_ms) }
        };
        let begins = |stamps: &[Stamp]| -> Vec<(u16, f64)> {
            stamps.iter().map(|stamp| (stamp.room, begin(stamp, zero))).collect()
        };
        let quiet = begins(&[stamp(1, 0, 1), stamp(1, 1, 0), stamp(2, 5, 0), stamp(2, 6, 2)]);
        let rhythm = rhythm(&quiet);
        let late = |(room, begin): &(u16, f64)| (begin - rhythm[room]) * 1e3;
        let later = begins(&[stamp(1, 9, 0), stamp(2, 9, 30)]);
        let lateness = lateness(later.iter().map(late).collect());
        assert!((lateness.most - 30.0).abs() < 1e-6 && lateness.p50 > 29.0, "{lateness}");
        assert_eq!(lateness.count, 2);
    }
}
