//! What the server shows over time, looked at by a thread of its own, so that nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::machine;
use crate::report::Sample;
use crate::server::{self, Numbers};
use crate::shared::Shared;

/// How often the server is looked at, in a short run.
const SHORTEST: Duration = Duration::from_secs(1);
/// Most looks of a run.
const SAMPLES_MAX: u32 = 1_200;

/// A thread that looks at the server until it is ended.
pub(crate) struct Sampler {
    stop: Sender<()>,
    thread: Option<JoinHandle<Vec<(Duration, Sample)>>>,
}

/// One look.
struct Look {
    at: Instant,
    cpu_ns: Option<u64>,
    own_ns: Option<u64>,
    numbers: Option<Numbers>,
}

impl Sampler {
    /// Begins to look. Where the system gives no thread there is nothing to show.
    pub(crate) fn start(
        (url, pid): (&str, Option<u32>),
        shared: &Arc<Shared>,
        start: Instant,
        longest: Duration,
    ) -> Self {
        let (stop, stopped) = channel();
        let every = SHORTEST.max(longest / SAMPLES_MAX);
        let (url, shared) = (url.to_owned(), Arc::clone(shared));
        let looking = move || look_on(&url, pid, &shared, start, every, &stopped);
        let named = Builder::new().name("referee-load-samples".into());
        Self { stop, thread: named.spawn(looking).ok() }
    }

    /// Ends it. Gives the samples, with their time since the run began.
    pub(crate) fn end(mut self) -> Vec<(Duration, Sample)> {
        // It may have ended by itself: then nobody hears it.
        let _ = self.stop.send(());
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

fn look_on(
    url: &str,
    pid: Option<u32>,
    shared: &Shared,
    start: Instant,
    every: Duration,
    stopped: &Receiver<()>,
) -> Vec<(Duration, Sample)> {
    let pid = pid.or_else(|| server::process_of(url));
    let look = || Look {
        at: Instant::now(),
        cpu_ns: pid.and_then(machine::process_cpu_ns),
        own_ns: machine::process_cpu_ns(std::process::id()),
        numbers: server::fetch(url).ok(),
    };
    let mut before = look();
    let (mut samples, mut due) = (Vec::new(), Instant::now());
    loop {
        due += every;
        match stopped.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return samples,
        }
        if samples.len() >= SAMPLES_MAX as usize * 2 {
            continue; // a run that takes far longer than it should
        }
        let now = look();
        let mut sample = Sample {
            players: shared.open.load(Ordering::Relaxed),
            rss_bytes: pid.and_then(machine::rss_bytes),
            ..between(&before, &now)
        };
        sample.rooms = now.numbers.as_ref().and_then(|numbers| numbers.value("referee_rooms"));
        samples.push((now.at - start, sample));
        before = now;
    }
}

/// What happened between two looks.
fn between(before: &Look, now: &Look) -> Sample {
    let seconds = (now.at - before.at).as_secs_f64().max(1e-6);
    let percent = |now: Option<u64>, before: Option<u64>| {
        let used = now?.checked_sub(before?)?;
        Some(used as f64 / 1e7 / seconds)
    };
    let mut sample = Sample {
        cpu_percent: percent(now.cpu_ns, before.cpu_ns),
        generator_cpu_percent: percent(now.own_ns, before.own_ns),
        ..Sample::default()
    };
    if let (Some(new), Some(old)) = (&now.numbers, &before.numbers)
        && !new.is_of_another_life(old)
    {
        let growth = |name: &str| new.growth(old, name);
        let ticks = growth("referee_tick_seconds_count");
        let some = ticks.filter(|ticks| *ticks > 0.0);
        let spent = growth("referee_tick_seconds_sum");
        sample.ticks_per_s = ticks.map(|ticks| ticks / seconds);
        sample.tick_mean_ms = spent.zip(some).map(|(sum, ticks)| sum * 1_000.0 / ticks);
        let p99 = new.quantile(old, "referee_tick_seconds", 0.99);
        sample.tick_p99_ms = p99.filter(|seconds| seconds.is_finite()).map(|s| s * 1_000.0);
        sample.out_bytes_per_s = growth("referee_bytes_out_total").map(|bytes| bytes / seconds);
    }
    sample
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at: Instant, cpu_ms: u64, ticks: u32) -> Look {
        let text = format!(
            "referee_rooms 3\nreferee_tick_seconds_sum {}\nreferee_tick_seconds_count {ticks}\n\
             referee_tick_seconds_bucket{{le=\"0.001\"}} {ticks}\n\
             referee_tick_seconds_bucket{{le=\"+Inf\"}} {ticks}\nreferee_bytes_out_total {}\n",
            f64::from(ticks) * 0.000_5,
            ticks * 100,
        );
        let cpu_ns = Some(cpu_ms * 1_000_000);
        Look { at, cpu_ns, own_ns: cpu_ns, numbers: Some(Numbers::read(&text)) }
    }

    #[test]
    fn rates_are_those_between_two_looks() {
        let start = Instant::now();
        let later = start + Duration::from_secs(2);
        let sample = between(&look(start, 1_000, 100), &look(later, 2_000, 160));
        assert_eq!(sample.cpu_percent.map(f64::round), Some(50.0));
        assert_eq!((sample.ticks_per_s, sample.out_bytes_per_s), (Some(30.0), Some(3_000.0)));
        assert_eq!(sample.tick_p99_ms, Some(1.0));
        assert!((sample.tick_mean_ms.unwrap() - 0.5).abs() < 1e-9);
        let restarted = between(&look(start, 1_000, 100), &look(later, 10, 5));
        assert_eq!((restarted.cpu_percent, restarted.ticks_per_s), (None, None));
    }
}
