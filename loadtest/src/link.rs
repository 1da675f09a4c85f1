//! What stands between a bot and the server besides the machine's own network: delay, jitter, stalls
//! and a limited rate, for each frame in each direction. Pure: times are arguments, in microseconds.
//!
//! WebSocket and a QUIC stream never lose a frame; what a network loses shows as a wait until it was
//! sent again, in which nothing behind it gets through either. So loss is told as stalls.

use std::str::FromStr;
use std::time::Duration;

use crate::time::{duration, share, words};

mod air;
mod line;

pub(crate) use air::{Air, Came};

/// The longest delay or stall that makes sense: beyond it a session takes its connection for dead.
const LONGEST: Duration = Duration::from_secs(5);
/// The slowest rate, in bytes a second: below it not even the handshake ends.
const RATE_MIN: f64 = 256.0;
/// Most kinds of links in one run.
pub const LINKS_MAX: usize = 8;

/// The network between some bots and the server. The default is none.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Link {
    /// What reports call it.
    pub name: String,
    /// Which part of the bots has it: above 0, at most 1. None: those for whom no other link says a
    /// share.
    pub share: Option<f64>,
    /// How long each frame takes, in each direction.
    pub delay: Duration,
    /// By how much that differs, at random, up or down. Frames never overtake each other.
    pub jitter: Duration,
    /// How long nothing gets through when something was lost, in each direction by itself.
    pub stall: Duration,
    /// How often that happens on average.
    pub stall_every: Duration,
    /// Bytes a second in each direction; none: as many as the machine takes.
    pub rate: Option<f64>,
}

/// Why a link cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{text:?} is no link: {problem}; write it like wifi, delay=40ms,jitter=10ms, or \
     30%:mobile,stall=200ms@5s,rate=50kB"
)]
pub struct LinkError {
    text: String,
    problem: String,
}

/// The links that have a name, from good to bad: delay, jitter, stall, stalls every, bytes a second.
/// Orders of magnitude, not measurements of anybody's network.
const PROFILES: [(&str, u64, u64, u64, u64, Option<f64>); 4] = [
    ("lan", 300, 150, 0, 0, None),
    ("wifi", 3_000, 2_500, 60_000, 15_000_000, Some(2e6)),
    ("mobile", 35_000, 15_000, 150_000, 10_000_000, Some(500e3)),
    ("bad", 120_000, 60_000, 400_000, 5_000_000, Some(64e3)),
];

impl Link {
    /// The named link, if there is one: `lan`, `wifi`, `mobile` or `bad`.
    #[must_use]
    pub fn profile(name: &str) -> Option<Self> {
        let (_, delay, jitter, stall, every, rate) = PROFILES.iter().find(|p| p.0 == name)?;
        Some(Self {
            name: name.into(),
            share: None,
            delay: Duration::from_micros(*delay),
            jitter: Duration::from_micros(*jitter),
            stall: Duration::from_micros(*stall),
            stall_every: Duration::from_micros(*every),
            rate: *rate,
        })
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.delay.is_zero() && self.jitter.is_zero() && self.stall.is_zero() && self.rate.is_none()
    }

    /// What it does, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        if !self.delay.is_zero() || !self.jitter.is_zero() {
            parts.push(format!("{} ± {} each way", words(self.delay), words(self.jitter)));
        }
        if !self.stall.is_zero() {
            let (stall, every) = (words(self.stall), words(self.stall_every));
            parts.push(format!("stalls of {stall} every {every}"));
        }
        parts.extend(self.rate.map(|rate| format!("{:.0} kB/s", rate / 1e3)));
        if parts.is_empty() { "nothing added".into() } else { parts.join(", ") }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "delay" => self.delay = bounded(key, value)?,
            "jitter" => self.jitter = bounded(key, value)?,
            "stall" => {
                let (stall, every) = value
                    .split_once('@')
                    .ok_or_else(|| format!("stall={value} must say how often, like 200ms@5s"))?;
                self.stall = bounded(key, stall)?;
                self.stall_every = duration(every)?;
                if self.stall_every <= self.stall {
                    return Err(format!(
                        "stall={value}: stalls must be shorter than the time between"
                    ));
                }
            }
            "rate" => self.rate = Some(rate(value)?),
            _ => return Err(format!("{key:?} is none of delay, jitter, stall, rate")),
        }
        Ok(())
    }

    fn read(text: &str) -> Result<Self, String> {
        let (of, rest) = match text.split_once(':') {
            Some((of, rest)) => (Some(share(of.trim())?), rest.trim()),
            None => (None, text.trim()),
        };
        let mut link = Self { name: rest.into(), share: of, ..Self::default() };
        for (at, part) in rest.split(',').map(str::trim).enumerate() {
            match part.split_once('=') {
                Some((key, value)) => link.set(key.trim(), value.trim())?,
                None if at == 0 && part == "none" => {}
                None if at == 0 => {
                    let profile = Self::profile(part);
                    let profile = profile.ok_or_else(|| {
                        format!("{part:?} is none of lan, wifi, mobile, bad, none")
                    })?;
                    link = Self { name: link.name, share: link.share, ..profile };
                }
                None => return Err(format!("{part:?} has no =")),
            }
        }
        if link.jitter > link.delay {
            return Err(format!(
                "jitter {} is more than the delay {}: a frame cannot come before it left",
                words(link.jitter),
                words(link.delay)
            ));
        }
        Ok(link)
    }
}

fn bounded(key: &str, value: &str) -> Result<Duration, String> {
    let time = duration(value)?;
    match time <= LONGEST {
        true => Ok(time),
        false => Err(format!("{key}={value} is above {}", words(LONGEST))),
    }
}

/// Reads `64kB`, `1.5MB`, `900B`: a second.
fn rate(text: &str) -> Result<f64, String> {
    let wrong = || format!("rate={text} is no rate; write it like 64kB, a second");
    let at = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let scale = match unit {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        _ => return Err(wrong()),
    };
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let rate = number * scale;
    match rate.is_finite() && rate >= RATE_MIN {
        true => Ok(rate),
        false => Err(format!("rate={text} is below {RATE_MIN} bytes a second")),
    }
}

impl FromStr for Link {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        Self::read(text).map_err(|problem| LinkError { text: text.into(), problem })
    }
}

/// Checks the links of a run together: their number and their shares.
///
/// # Errors
/// What is wrong, as a sentence.
pub(crate) fn check(links: &[Link]) -> Result<(), String> {
    if links.len() > LINKS_MAX {
        return Err(format!("{} links are given; {LINKS_MAX} are allowed", links.len()));
    }
    let all: f64 = links.iter().filter_map(|link| link.share).sum();
    if all > 1.0 + 1e-9 {
        return Err(format!("the links' shares are {:.0} % in all; at most 100 %", all * 100.0));
    }
    let rest = links.iter().filter(|link| link.share.is_none()).count();
    if rest > 1 {
        return Err(format!(
            "{rest} links have no share; say which part of the bots has each, like 30%:mobile"
        ));
    }
    Ok(())
}

/// The link of a bot, by its place in the list; none where all links' shares leave it out. Each run of
/// bots has its shares, so that every room is mixed as the whole is.
pub(crate) fn of_bot(links: &[Link], bot: usize) -> Option<usize> {
    // Points of a golden-ratio sequence: each stretch of it is spread evenly over 0 to 1.
    let point = (bot as f64 * 0.618_033_988_749_895).fract();
    let mut upto = 0.0;
    for (at, link) in links.iter().enumerate() {
        if let Some(share) = link.share {
            upto += share;
            if point < upto {
                return Some(at);
            }
        }
    }
    links.iter().position(|link| link.share.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read() {
        let link: Link = "30%:mobile,delay=80ms".parse().unwrap();
        assert_eq!((link.share, link.delay), (Some(0.3), Duration::from_millis(80)));
        assert_eq!(link.jitter, Link::profile("mobile").unwrap().jitter);
        let link: Link = "delay=40ms,jitter=10ms,stall=200ms@5s,rate=64kB".parse().unwrap();
        assert_eq!((link.share, link.rate), (None, Some(64e3)));
        assert!("none".parse::<Link>().unwrap().is_none());
        let said = "40 ms ± 10 ms each way, stalls of 200 ms every 5 s, 64 kB/s";
        assert_eq!(link.describe(), said);
    }

    #[test]
    fn what_is_wrong_with_a_link_is_named() {
        for (text, part) in [
            ("modem", "lan, wifi, mobile, bad"),
            ("delay=9s", "above 5 s"),
            ("delay=5ms,jitter=6ms", "before it left"),
            ("stall=200ms", "how often"),
            ("stall=2s@1s", "shorter than the time between"),
            ("rate=1B", "below 256"),
            ("rate=5", "64kB"),
            ("0%:wifi", "above 0"),
            ("wifi,delay", "has no ="),
        ] {
            let error = text.parse::<Link>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(text), "{error}");
        }
        let shares = |text: &str| -> Vec<Link> {
            text.split(' ').map(|link| link.parse().unwrap()).collect()
        };
        assert!(check(&shares("60%:wifi 50%:bad")).unwrap_err().contains("110 %"));
        assert!(check(&shares("wifi bad")).unwrap_err().contains("2 links have no share"));
        assert_eq!(check(&shares("60%:wifi bad")), Ok(()));
    }

    #[test]
    fn each_link_gets_its_share_of_the_bots() {
        let links: Vec<Link> =
            ["50%:wifi", "20%:bad"].iter().map(|text| text.parse().unwrap()).collect();
        for from in [0, 40, 997] {
            let of = |link| (from..from + 100).filter(|bot| of_bot(&links, *bot) == link).count();
            assert!(of(Some(0)).abs_diff(50) <= 2, "{}", of(Some(0)));
            assert!(of(Some(1)).abs_diff(20) <= 2 && of(None).abs_diff(30) <= 2);
        }
        let only = [Link::profile("lan").unwrap()];
        assert!((0..50).all(|bot| of_bot(&only, bot) == Some(0)));
    }

    #[test]
    fn profiles_are_links_that_could_be_given() {
        for (name, ..) in PROFILES {
            let link: Link = name.parse().unwrap();
            assert!(!link.is_none() && link.delay <= LONGEST && link.jitter <= link.delay);
        }
    }
}
