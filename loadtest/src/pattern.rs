//! When bots come, go and lose their connections: plans that are fixed by the seed before the run
//! begins. Pure: times are microseconds.

use std::str::FromStr;
use std::time::Duration;

use crate::report::Mark;
use crate::time::{duration, share, us, words};

mod itinerary;

pub(crate) use itinerary::{Crowd, Itinerary, LIVES_MAX, Visit, When};

/// How players come and go while it is measured. The default is steady: all come before, and stay.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Pattern {
    /// Who comes only while it is measured.
    pub arrival: Arrival,
    /// Players come and go, and so do rooms.
    pub churn: Option<Churn>,
    /// Links are cut.
    pub storm: Option<Storm>,
}

/// Which bots come when.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum Arrival {
    /// All before it is measured.
    #[default]
    Before,
    /// This part before, from 0 to 1; the others evenly over the time measured.
    Ramp {
        /// The part that comes before.
        from: f64,
    },
    /// A part comes at once.
    Flash {
        /// After so much of the time measured.
        at: Duration,
        /// The part that comes then, above 0, at most 1; the others come before.
        share: f64,
        /// Within this time.
        over: Duration,
    },
}

/// Players come and go, and so do rooms.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Churn {
    /// How long a player stays, on average (exponentially spread).
    pub stay: Duration,
    /// How long its place then stays empty, until somebody new comes.
    pub away: Duration,
    /// How long a room is played in, on average, until its players leave it for a new one.
    pub room: Duration,
}

/// Links are cut, all of them at once or a part, and everybody comes back by themselves.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Storm {
    /// After so much of the time measured.
    pub at: Duration,
    /// Again and again after so long; none: once.
    pub every: Option<Duration>,
    /// Which part of the bots, above 0, at most 1; always the same ones.
    pub share: f64,
}

/// Why a pattern cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{text:?} is no load pattern: {problem}; there are steady, ramp:from=10%, \
     churn:stay=30s,away=1s,room=2m, flash:at=10s,share=90%,over=1s and storm:at=10s,every=30s,share=100%"
)]
pub struct PatternError {
    text: String,
    problem: String,
}

/// Below this nobody stays or is cut again: connections would not even be open.
const SHORTEST: Duration = Duration::from_millis(500);

/// Most cuts that are marked.
const MARKS_MAX: usize = 12;

impl Pattern {
    /// Adds what the text says: each of arrivals, churn and storms once.
    ///
    /// # Errors
    /// Says what is wrong with it, and what there is.
    pub fn add(&mut self, text: &str) -> Result<(), PatternError> {
        self.read(text).map_err(|problem| PatternError { text: text.into(), problem })
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let mut given = Given::read(rest)?;
        match kind.trim() {
            "steady" => {}
            "ramp" => self.arrive(Arrival::Ramp { from: given.share("from", 0.1)? })?,
            "flash" => self.arrive(Arrival::Flash {
                at: given.time("at", Duration::from_secs(10))?,
                share: given.share("share", 0.9)?,
                over: given.time("over", Duration::from_secs(1))?,
            })?,
            "churn" => {
                let churn = Churn {
                    stay: at_least("stay", given.time("stay", Duration::from_secs(30))?)?,
                    away: given.time("away", Duration::from_secs(1))?,
                    room: at_least("room", given.time("room", Duration::from_secs(120))?)?,
                };
                once("churn", self.churn.replace(churn).is_some())?;
            }
            "storm" => {
                let storm = Storm {
                    at: given.time("at", Duration::from_secs(10))?,
                    every: given.optional_time("every")?,
                    share: given.share("share", 1.0)?,
                };
                storm.every.map_or(Ok(storm.at), |every| at_least("every", every))?;
                once("storm", self.storm.replace(storm).is_some())?;
            }
            other => return Err(format!("{other:?} is unknown")),
        }
        given.end()
    }

    fn arrive(&mut self, arrival: Arrival) -> Result<(), String> {
        once("ramp or flash", std::mem::replace(&mut self.arrival, arrival) != Arrival::Before)
    }

    /// Whether everybody comes before, stays, and is let be.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        *self == Self::default()
    }

    /// What happens, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        let mut parts = Vec::new();
        match self.arrival {
            Arrival::Before => {}
            Arrival::Ramp { from } => {
                parts.push(format!("ramp from {} of the players to all", percent(from)));
            }
            Arrival::Flash { at, share, over } => parts.push(format!(
                "flash crowd: {} of the players come at {} within {}",
                percent(share),
                words(at),
                words(over)
            )),
        }
        if let Some(Churn { stay, away, room }) = self.churn {
            let (stay, away, room) = (words(stay), words(away), words(room));
            parts.push(format!("churn: players stay {stay}, away {away}, rooms last {room}"));
        }
        if let Some(Storm { at, every, share }) = self.storm {
            let again =
                every.map_or_else(String::new, |every| format!(", again every {}", words(every)));
            let (part, at) = (percent(share), words(at));
            parts.push(format!("reconnect storm: {part} of the links are cut at {at}{again}"));
        }
        if parts.is_empty() { "steady".into() } else { parts.join("; ") }
    }

    /// The instants at which links are cut, in order, in microseconds of the time measured.
    pub(crate) fn cuts(&self, measured: Duration) -> Vec<u64> {
        let Some(storm) = self.storm else { return Vec::new() };
        let (at, end) = (us(storm.at), us(measured));
        let every = storm.every.map_or(u64::MAX, |every| us(every).max(1));
        std::iter::successors(Some(at), |at| at.checked_add(every))
            .take_while(|at| *at < end)
            .collect()
    }

    /// What happens at single moments, for a reader of the report. Of storms one after the other the
    /// first ones, as many as can be told apart.
    pub(crate) fn marks(&self, measured: Duration) -> Vec<Mark> {
        let flash = match self.arrival {
            Arrival::Flash { at, .. } => {
                Some(Mark { at_s: at.as_secs_f64(), what: "crowd".into() })
            }
            Arrival::Before | Arrival::Ramp { .. } => None,
        };
        let cut = |at: u64| Mark { at_s: at as f64 / 1e6, what: "cut".into() };
        flash.into_iter().chain(self.cuts(measured).into_iter().take(MARKS_MAX).map(cut)).collect()
    }

    /// Checks that what is to happen does so within the time measured.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub(crate) fn check(&self, measured: Duration) -> Result<(), String> {
        let flash = match self.arrival {
            Arrival::Flash { at, .. } => Some(("flash", at)),
            Arrival::Before | Arrival::Ramp { .. } => None,
        };
        let storm = self.storm.map(|storm| ("storm", storm.at));
        for (name, at) in flash.into_iter().chain(storm) {
            if at >= measured {
                return Err(format!(
                    "the {name} is at {}, and only {} are measured: take a longer --duration or an \
                     earlier at=",
                    words(at),
                    words(measured)
                ));
            }
        }
        Ok(())
    }
}

fn once(what: &str, twice: bool) -> Result<(), String> {
    if twice { Err(format!("{what} is given twice")) } else { Ok(()) }
}

fn at_least(key: &str, time: Duration) -> Result<Duration, String> {
    match time >= SHORTEST {
        true => Ok(time),
        false => Err(format!("{key}={} is below {}", words(time), words(SHORTEST))),
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let mut pattern = Self::default();
        text.split('+').try_for_each(|part| pattern.add(part.trim()))?;
        Ok(pattern)
    }
}

/// What is written behind a pattern's name.
struct Given<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Given<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let pair = |part: &'a str| part.split_once('=').ok_or_else(|| format!("{part:?} has no ="));
        Ok(Self(parts.map(pair).collect::<Result<_, _>>()?))
    }

    fn take(&mut self, key: &str) -> Option<&'a str> {
        let at = self.0.iter().position(|(known, _)| known.trim() == key)?;
        Some(self.0.remove(at).1.trim())
    }

    fn optional_time(&mut self, key: &str) -> Result<Option<Duration>, String> {
        self.take(key).map(duration).transpose()
    }

    fn time(&mut self, key: &str, default: Duration) -> Result<Duration, String> {
        Ok(self.optional_time(key)?.unwrap_or(default))
    }

    fn share(&mut self, key: &str, default: f64) -> Result<f64, String> {
        self.take(key).map_or(Ok(default), share)
    }

    fn end(self) -> Result<(), String> {
        match self.0.first() {
            Some((key, _)) => Err(format!("{key:?} says nothing here")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_and_combined() {
        let mut pattern: Pattern = "churn:stay=5s,room=1m+storm:at=3s,every=2s".parse().unwrap();
        pattern.add("flash:at=4s,share=50%").unwrap();
        let churn = pattern.churn.unwrap();
        assert_eq!((churn.stay.as_secs(), churn.away.as_secs(), churn.room.as_secs()), (5, 1, 60));
        let seconds = Duration::from_secs;
        assert_eq!(pattern.cuts(seconds(8)), [3_000_000, 5_000_000, 7_000_000]);
        assert_eq!(pattern.check(seconds(8)), Ok(()));
        assert!(pattern.check(seconds(4)).unwrap_err().contains("--duration"));
        let said = pattern.describe();
        for part in ["flash crowd: 50 %", "players stay 5 s", "cut at 3 s, again every 2 s"] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!("steady".parse::<Pattern>().unwrap(), Pattern::default());
    }

    #[test]
    fn what_is_wrong_with_a_pattern_is_named() {
        for (text, part) in [
            ("wave", "unknown"),
            ("churn:stay=1ms", "below 500 ms"),
            ("storm:at=1s,every=0s", "below 500 ms"),
            ("storm:when=1s", "\"when\" says nothing here"),
            ("flash:share=120%", "at most 100%"),
            ("ramp+flash", "given twice"),
            ("churn:stay", "has no ="),
        ] {
            let error = text.parse::<Pattern>().unwrap_err().to_string();
            assert!(
                error.contains(part) && error.contains("reconnect") | error.contains("storm:"),
                "{error}"
            );
        }
    }
}
