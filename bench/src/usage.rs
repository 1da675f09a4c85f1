//! What the kernel knows of a process: processor time and wake-ups of each of its threads.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use crate::Result;

/// What each thread of a process has used, by its number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage(BTreeMap<u32, Thread>);

#[derive(Clone, Debug, Default)]
struct Thread {
    name: String,
    cpu_ns: u64,
    /// How often it went to sleep by itself, and so was woken.
    sleeps: u64,
}

impl Usage {
    pub(crate) fn read(pid: u32) -> Result<Self> {
        let mut threads = BTreeMap::new();
        let folder = format!("/proc/{pid}/task");
        let tasks = fs::read_dir(&folder).map_err(|error| format!("{folder}: {error}"))?;
        for task in tasks.flatten() {
            let Some(id) = task.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A thread may have ended meanwhile.
            let Ok(times) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
            let (cpu_ns, sleeps) = (first(&times), sleeps(&status));
            threads.insert(id, Thread { name: name(&status).to_owned(), cpu_ns, sleeps });
        }
        Ok(Self(threads))
    }

    /// Only the threads of this name.
    pub(crate) fn of_thread(&self, name: &str) -> Self {
        let named = self.0.iter().filter(|(_, thread)| thread.name == name);
        Self(named.map(|(id, thread)| (*id, thread.clone())).collect())
    }

    /// Processor time since `before`, in microseconds.
    pub(crate) fn cpu_us_since(&self, before: &Self) -> f64 {
        self.since(before, |thread| thread.cpu_ns) as f64 / 1000.0
    }

    pub(crate) fn wakeups_since(&self, before: &Self) -> u64 {
        self.since(before, |thread| thread.sleeps)
    }

    fn since(&self, before: &Self, figure: impl Fn(&Thread) -> u64) -> u64 {
        let old = |id| before.0.get(id).map_or(0, &figure);
        self.0.iter().map(|(id, thread)| figure(thread).saturating_sub(old(id))).sum()
    }
}

/// Processor time of the calling thread so far, in microseconds.
pub(crate) fn own_thread_us() -> Result<f64> {
    Ok(first(&fs::read_to_string("/proc/thread-self/schedstat")?) as f64 / 1000.0)
}

/// The memory that a process has, in KiB.
pub(crate) fn resident_kib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.ok_or_else(|| format!("the kernel does not say what memory {pid} has"))?;
    Ok(kib.trim().trim_end_matches(" kB").parse()?)
}

/// What the whole machine had done at an instant, and what of it was ours.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    busy_us: f64,
    ours: Vec<Usage>,
    at: Instant,
}

/// Where other programs have more than this share of the machine, the most that a host can do is not seen.
pub(crate) const OTHERS_MAX: f64 = 0.15;

impl Machine {
    /// `pid` is that of the host; the bench itself is ours as well.
    pub(crate) fn look(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let ticks = busy_ticks(&stat).ok_or("/proc/stat does not say how busy the machine is")?;
        let busy_us = ticks * 1e6 / rustix::param::clock_ticks_per_second() as f64;
        let ours = vec![Usage::read(pid)?, Usage::read(std::process::id())?];
        Ok(Self { busy_us, ours, at: Instant::now() })
    }

    /// The share of all cores that others had since `before`, from 0 to 1.
    pub(crate) fn others_since(&self, before: &Self) -> f64 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let ours = self.ours.iter().zip(&before.ours);
        let ours_us: f64 = ours.map(|(now, then)| now.cpu_us_since(then)).sum();
        let all_us = (self.at - before.at).as_secs_f64() * 1e6 * cores;
        ((self.busy_us - before.busy_us - ours_us) / all_us).clamp(0.0, 1.0)
    }
}

/// All but what was idle or waited for a disk: the fourth and the fifth number.
fn busy_ticks(stat: &str) -> Option<f64> {
    let numbers = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
    let numbers: Vec<f64> = numbers.map(|word| word.parse().ok()).collect::<Option<_>>()?;
    Some(numbers.iter().sum::<f64>() - numbers.get(3)? - numbers.get(4)?)
}

/// The first number: the time on a processor, in nanoseconds.
fn first(schedstat: &str) -> u64 {
    schedstat.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn name(status: &str) -> &str {
    status.lines().find_map(|line| line.strip_prefix("Name:")).unwrap_or_default().trim()
}

fn sleeps(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_read() {
        assert_eq!(first("568499988 22593400 201\n"), 568_499_988);
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t42\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!((name(status), sleeps(status)), ("x", 42));
    }

    #[test]
    fn a_thread_that_is_new_counts_from_nothing() {
        let thread = |cpu_ns, sleeps| Thread { name: String::new(), cpu_ns, sleeps };
        let before = Usage(BTreeMap::from([(1, thread(5_000, 2)), (2, thread(7_000, 1))]));
        let after = Usage(BTreeMap::from([(1, thread(9_000, 5)), (3, thread(1_000, 4))]));
        assert_eq!(after.cpu_us_since(&before), 5.0);
        assert_eq!(after.wakeups_since(&before), 7);
    }

    #[test]
    fn what_the_machine_did_is_read() {
        let stat = "cpu  10 2 3 100 7 1 1 4 50 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_ticks(stat), Some(21.0));
        assert_eq!(busy_ticks("intr 1"), None);
        let look = || Machine::look(std::process::id()).unwrap();
        let before = look();
        assert!((0.0..=1.0).contains(&look().others_since(&before)));
    }

    #[test]
    fn our_own_process_has_used_something() {
        let work: u64 = (0..2_000_000_u64).map(std::hint::black_box).sum();
        assert!(
            work > 0
                && Usage::read(std::process::id()).unwrap().cpu_us_since(&Usage::default()) > 0.0
        );
    }
}
