//! What the server says of itself while it is loaded: `/metrics` over HTTP, and /proc where it runs on
//! this machine.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use referee_client_tokio::http_get;
use tokio::time::timeout;

use crate::machine;
use crate::report::Server;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often one that does not answer is asked again.
const AGAIN: Duration = Duration::from_millis(100);
/// Most bytes of an answer.
const ANSWER_MAX_BYTES: u64 = 4 << 20;

/// Numbers by their names and labels, as Prometheus writes them.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Numbers(BTreeMap<String, f64>);

impl Numbers {
    /// Reads the text form: `name{labels} value` a line.
    pub(crate) fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let numbers = lines.filter_map(|line| {
            let (name, value) = line.trim().rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(numbers.collect())
    }

    /// A number as it is.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// How much a number grew since `before`.
    pub(crate) fn growth(&self, before: &Self, name: &str) -> Option<f64> {
        Some(self.0.get(name)? - before.0.get(name).copied().unwrap_or(0.0))
    }

    /// Connections in rooms, over all transports.
    fn connections(&self) -> f64 {
        let of = self.0.iter().filter(|(name, _)| name.starts_with("referee_connections{"));
        of.map(|(_, count)| count).sum()
    }

    /// Whether the server began at another time than the one from before, or a count of it went back.
    pub(crate) fn is_of_another_life(&self, before: &Self) -> bool {
        let began = "referee_start_time_seconds";
        let counts = self.0.keys().filter(|name| {
            let name = name.split('{').next().unwrap_or(name);
            name.ends_with("_total") || name.ends_with("_count")
        });
        let mut growths = counts.filter_map(|name| self.growth(before, name));
        self.value(began) != before.value(began) || growths.any(|growth| growth < 0.0)
    }

    /// The bound of the histogram's bucket below which a part of what came since `before` lies.
    pub(crate) fn quantile(&self, before: &Self, name: &str, quantile: f64) -> Option<f64> {
        let prefix = format!("{name}_bucket{{le=\"");
        let bound = |key: &str| key.strip_prefix(&prefix)?.strip_suffix("\"}")?.parse::<f64>().ok();
        let mut buckets: Vec<(f64, f64)> = self
            .0
            .keys()
            .filter_map(|key| Some((bound(key)?, self.growth(before, key)?)))
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all = buckets.last().filter(|(_, count)| *count > 0.0)?.1;
        buckets.iter().find(|(_, count)| *count >= all * quantile).map(|(bound, _)| *bound)
    }
}

/// A look at the server from outside.
#[derive(Debug)]
pub(crate) struct Watch {
    url: String,
    pid: Option<u32>,
    began: Instant,
    cpu_ns: Option<u64>,
    rss_bytes: Option<u64>,
    numbers: Result<Numbers, String>,
}

impl Watch {
    /// Begins to look.
    pub(crate) fn begin(url: &str, pid: Option<u32>) -> Self {
        let pid = pid.or_else(|| process_of(url));
        Self {
            url: url.to_owned(),
            pid,
            began: Instant::now(),
            cpu_ns: pid.and_then(machine::process_cpu_ns),
            rss_bytes: pid.and_then(machine::rss_bytes),
            numbers: fetch(url),
        }
    }

    /// Looks at the memory.
    pub(crate) fn sample(&mut self) {
        self.rss_bytes = self.rss_bytes.max(self.pid.and_then(machine::rss_bytes));
    }

    /// What there was to see while so many bots were connected, and what there was not, in sentences.
    pub(crate) fn end(mut self, bots: usize) -> (Server, Vec<String>) {
        self.sample();
        let elapsed_ns = self.began.elapsed().as_nanos() as f64;
        let cpu_ns = self.pid.and_then(machine::process_cpu_ns);
        let used = cpu_ns.zip(self.cpu_ns).and_then(|(now, then)| now.checked_sub(then));
        let mut server = Server {
            pid: self.pid,
            cpu_percent: used.map(|ns| ns as f64 * 100.0 / elapsed_ns),
            rss_bytes: self.rss_bytes,
            ..Server::default()
        };
        let mut notes = Vec::new();
        if self.pid.is_none() {
            notes.push(
                "the server's CPU time and memory are not known: its process was not found, as it is on \
                 another machine, or is another user's; --server-pid names it"
                    .to_owned(),
            );
        } else if self.pid == Some(std::process::id()) {
            notes.push(
                "the server runs in this process: its CPU time and memory are of both".into(),
            );
        }
        match fetch(&self.url).and_then(|after| Ok((self.numbers?, after))) {
            Ok((before, after)) if after.is_of_another_life(&before) => notes.push(
                "the server's own numbers are not known: it was restarted, and counts from 0"
                    .into(),
            ),
            Ok((before, after)) => {
                fill(&mut server, &before, &after);
                notes.extend(others(&before, &after, bots));
            }
            Err(why) => notes.push(format!("the server's own numbers are not known: {why}")),
        }
        (server, notes)
    }
}

fn fill(server: &mut Server, before: &Numbers, after: &Numbers) {
    let growth = |name: &str| after.growth(before, name);
    // Of rooms to which somebody is connected: those of a run before may still wait for their bots.
    let ticks = growth("referee_tick_seconds_count").filter(|count| *count > 0.0);
    server.ticks = ticks;
    let seconds = growth("referee_tick_seconds_sum");
    server.tick_mean_ms = seconds.zip(ticks).map(|(sum, count)| sum * 1_000.0 / count);
    let p99 = after.quantile(before, "referee_tick_seconds", 0.99);
    server.tick_p99_ms = p99.map(|seconds| seconds * 1_000.0);
    server.overruns = growth("referee_overruns_total");
    server.slips = growth("referee_slips_total");
    server.ticks_paced = growth("referee_ticks_paced_total");
    server.skips = growth("referee_skips_total");
    server.inputs_late = growth("referee_inputs_late_total");
}

/// Whose ticks are in the server's numbers as well, where others than the bots were connected all the
/// time.
fn others(before: &Numbers, after: &Numbers, bots: usize) -> Option<String> {
    let connected = before.connections().min(after.connections());
    let others = connected - bots as f64;
    (others >= 1.0).then(|| {
        format!(
            "{others:.0} others were connected to the server: its numbers are of their rooms, too"
        )
    })
}

/// Host and port of an `http://` URL.
pub(crate) fn authority(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    Some((scheme, rest.split('/').next()?)).filter(|(_, authority)| !authority.is_empty())
}

fn address(url: &str) -> Option<std::net::SocketAddr> {
    let (scheme, authority) = authority(url)?;
    let port = if scheme == "https" { 443 } else { 80 };
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let full = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
    full.to_socket_addrs().ok()?.next()
}

/// Waits until something answers at a URL: a server that is being started, for a moment. Says why not.
pub(crate) fn wait_for(url: &str, patience: Duration) -> Result<(), String> {
    let Some(address) = address(url) else { return Ok(()) };
    let start = Instant::now();
    loop {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                if start.elapsed() >= patience {
                    let elsewhere = if address.ip().is_loopback() {
                        String::new()
                    } else {
                        let ip = address.ip();
                        format!(
                            " At this address it answers only where it was started with --bind {ip}"
                        )
                    };
                    return Err(format!(
                        "nothing answers at {address}: {error}; is the server running?{elsewhere}"
                    ));
                }
                std::thread::sleep(AGAIN);
            }
            // Whatever else is wrong, the bots meet it, and tell of it.
            Ok(_) | Err(_) => return Ok(()),
        }
    }
}

/// The process that serves a URL, where that is on this machine.
pub(crate) fn process_of(url: &str) -> Option<u32> {
    address(url).filter(|address| machine::is_here(address.ip())).and_then(machine::listener)
}

/// Reads `/metrics`.
pub(crate) fn fetch(url: &str) -> Result<Numbers, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let answer = runtime
        .block_on(async { timeout(PATIENCE, http_get(url, "/metrics", ANSWER_MAX_BYTES)).await });
    let answer = answer.map_err(|_| format!("/metrics took longer than {PATIENCE:?}"))?;
    let body = answer.map_err(|error| error.to_string())?;
    Ok(Numbers::read(&String::from_utf8_lossy(&body)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn text(ticks: u32, slow: u32) -> Numbers {
        Numbers::read(&format!(
            "# HELP referee_tick_seconds Time.\n\
             referee_tick_seconds_sum {}\nreferee_tick_seconds_count {ticks}\n\
             referee_tick_seconds_bucket{{le=\"0.001\"}} {}\n\
             referee_tick_seconds_bucket{{le=\"0.01\"}} {ticks}\n\
             referee_tick_seconds_bucket{{le=\"+Inf\"}} {ticks}\n\
             referee_slips_total 3\nreferee_connections{{transport=\"ws\"}} 5\n# EOF\n",
            f64::from(ticks) * 0.0005,
            ticks - slow,
        ))
    }

    #[test]
    fn numbers_count_from_the_beginning_of_the_run() {
        let mut server = Server::default();
        fill(&mut server, &text(1_000, 500), &text(2_000, 505));
        assert_eq!((server.ticks, server.slips), (Some(1_000.0), Some(0.0)));
        let (before, after) = (text(1_000, 500), text(2_000, 505));
        assert!(!after.is_of_another_life(&before) && before.is_of_another_life(&after));
        assert!((server.tick_mean_ms.unwrap() - 0.5).abs() < 1e-9);
        assert_eq!(server.tick_p99_ms, Some(1.0), "5 of 1,000 were slower");
        fill(&mut server, &text(1_000, 500), &text(2_000, 520));
        assert_eq!(server.tick_p99_ms, Some(10.0), "20 of 1,000 were slower");
        assert_eq!(server.overruns, None, "not said, so not known");
    }

    #[test]
    fn a_note_says_whose_ticks_are_counted_beside_the_bots() {
        let (before, after) = (text(1_000, 500), text(2_000, 505));
        assert_eq!(others(&before, &after, 5), None);
        let note = others(&before, &after, 3).unwrap();
        assert!(note.starts_with("2 others were connected"), "{note}");
    }

    #[test]
    fn a_server_without_numbers_is_no_fault() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answering = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 1024]).unwrap();
                stream.write_all(b"HTTP/1.0 404 Not Found\r\n\r\n").unwrap();
            }
        });
        let (server, notes) = Watch::begin(&url, None).end(1);
        answering.join().unwrap();
        assert_eq!(server.pid, Some(std::process::id()));
        assert!(notes.iter().any(|note| note.contains("404")), "{notes:?}");
    }
}
