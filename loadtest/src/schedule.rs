//! When a bot is to play: instants that are fixed before, whatever becomes of the bot meanwhile.
//! Times are microseconds since the run began.

/// Instants at a steady rate. What falls due while generator or connection are late is not skipped:
/// it is handed out with its own instant, so that what is measured from it includes the wait.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Schedule {
    start: u64,
    period: f64,
    next: u64,
}

impl Schedule {
    /// One that begins at `start` and goes on `hz` times a second.
    pub(crate) fn new(start: u64, hz: f64) -> Self {
        Self { start, period: 1e6 / hz, next: 0 }
    }

    /// The next instant.
    pub(crate) fn due(&self) -> u64 {
        // From the start each time: a sum of rounded periods would drift.
        self.start + (self.next as f64 * self.period) as u64
    }

    /// Takes an instant that has come.
    pub(crate) fn take(&mut self, now: u64) -> Option<u64> {
        let due = self.due();
        if due > now {
            return None;
        }
        self.next += 1;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_do_not_drift() {
        let mut schedule = Schedule::new(1_000, 30.0);
        let last = (0..3_000).filter_map(|_| schedule.take(u64::MAX)).last();
        assert_eq!(last, Some(1_000 + 99_966_666));
    }

    #[test]
    fn nothing_is_skipped_by_who_comes_late() {
        let mut schedule = Schedule::new(0, 10.0);
        assert_eq!((schedule.take(0), schedule.take(50_000)), (Some(0), None));
        let late: Vec<u64> = std::iter::from_fn(|| schedule.take(450_000)).collect();
        assert_eq!(late, [100_000, 200_000, 300_000, 400_000]);
        assert_eq!(schedule.due(), 500_000);
    }
}
