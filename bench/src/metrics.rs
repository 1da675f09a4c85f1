//! What a server says of itself at `/metrics`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use crate::Result;

/// A number that the server counts.
pub(crate) fn counted(port: u16, name: &str) -> Result<f64> {
    number(&text(port)?, name)
}

fn number(text: &str, name: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let line = line.ok_or_else(|| format!("the server does not count {name}"))?;
    Ok(line.trim().parse()?)
}

fn text(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let head =
        format!("GET /metrics HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// How often something took not longer than so many seconds, bound by bound; the last has no bound.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Histogram(Vec<(f64, f64)>);

impl Histogram {
    pub(crate) fn read(port: u16, name: &str) -> Result<Self> {
        Self::parse(&text(port)?, name)
    }

    fn parse(text: &str, name: &str) -> Result<Self> {
        let head = format!("{name}_bucket{{le=\"");
        let bucket = |line: &str| {
            let (bound, count) = line.strip_prefix(&head)?.split_once("\"} ")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, count.trim().parse().ok()?))
        };
        let buckets: Vec<_> = text.lines().filter_map(bucket).collect();
        match buckets.is_empty() {
            true => Err(format!("the server has no histogram {name}").into()),
            false => Ok(Self(buckets)),
        }
    }

    /// What came since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let old = |at: usize| before.0.get(at).map_or(0.0, |(_, count)| *count);
        let buckets = self.0.iter().enumerate();
        Self(buckets.map(|(at, (bound, count))| (*bound, count - old(at))).collect())
    }

    pub(crate) fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// So many of 100 took no longer than this, in seconds: between two bounds it is where it would be if all
    /// were spread evenly. NaN of nothing; beyond the last bound it is that bound.
    pub(crate) fn quantile(&self, percent: f64) -> f64 {
        let rank = self.count() * percent / 100.0;
        if self.count() == 0.0 {
            return f64::NAN;
        }
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= rank && *count > below {
                let part = (rank - below) / (count - below);
                return if bound.is_finite() { low + (bound - low) * part } else { low };
            }
            (low, below) = (if bound.is_finite() { *bound } else { low }, *count);
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a_bucket{le=\"0.001\"} 50\na_bucket{le=\"0.002\"} 90\n\
                        a_bucket{le=\"+Inf\"} 100\nb_total 7\n";

    #[test]
    fn numbers_and_histograms_are_read() {
        assert_eq!(number(TEXT, "b_total").unwrap(), 7.0);
        assert!(number(TEXT, "b").is_err());
        let all = Histogram::parse(TEXT, "a").unwrap();
        assert_eq!(all.count(), 100.0);
        assert!((all.quantile(25.0) - 0.0005).abs() < 1e-9);
        assert!((all.quantile(70.0) - 0.0015).abs() < 1e-9);
        assert_eq!(all.quantile(99.0), 0.002);
        assert!(Histogram::parse(TEXT, "b").is_err());
    }

    #[test]
    fn a_window_is_what_came_since() {
        let all = Histogram::parse(TEXT, "a").unwrap();
        assert_eq!(all.since(&Histogram::default()), all);
        let none = all.since(&all);
        assert!(none.count() == 0.0 && none.quantile(50.0).is_nan());
    }
}
