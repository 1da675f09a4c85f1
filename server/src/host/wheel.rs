//! A timer wheel: things that are due at some time, each looked at about then and not before. Pure:
//! instants are handed in.

use std::time::Instant;

/// How exact it is, in milliseconds: nothing comes early, and nothing later than this after it was
/// due, provided the wheel is asked as often.
pub(crate) const STEP_MS: u64 = 250;

/// How many steps a turn has. What is due later than a turn from now comes then, early: whoever
/// gets it looks again and puts it back.
const STEPS: u64 = 64;

/// Things and when they are due.
pub(crate) struct Wheel<T> {
    origin: Instant,
    /// The next step to be looked at.
    next: u64,
    slots: Vec<Vec<T>>,
}

impl<T> Wheel<T> {
    pub(crate) fn new(now: Instant) -> Self {
        Self { origin: now, next: 1, slots: (0..STEPS).map(|_| Vec::new()).collect() }
    }

    /// Puts a thing in. It comes out by [`Wheel::due`] once time has reached `at`.
    pub(crate) fn put(&mut self, thing: T, at: Instant) {
        let since = at.saturating_duration_since(self.origin).as_millis() as u64;
        let step = since.div_ceil(STEP_MS).clamp(self.next, self.next + STEPS - 1);
        self.slots[(step % STEPS) as usize].push(thing);
    }

    /// Takes out what is due.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<T> {
        let reached = now.saturating_duration_since(self.origin).as_millis() as u64 / STEP_MS;
        let mut due = Vec::new();
        // A turn looks at everything, however long nobody asked.
        for step in self.next..(reached + 1).min(self.next + STEPS) {
            due.append(&mut self.slots[(step % STEPS) as usize]);
        }
        self.next = self.next.max(reached + 1);
        due
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const STEP: Duration = Duration::from_millis(STEP_MS);

    #[test]
    fn nothing_comes_early_and_all_comes_within_a_step() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        for at in 0..5_000 {
            wheel.put(at, start + at * MS);
        }
        let mut seen = 0;
        // A thread that is busy asks when it can.
        for now in (0..6_000).step_by(37) {
            for at in wheel.due(start + now * MS) {
                assert!(at <= now && now <= at + STEP_MS as u32 + 37, "{at} comes at {now}");
                seen += 1;
            }
        }
        assert_eq!(seen, 5_000);
    }

    #[test]
    fn what_is_put_back_comes_again_but_not_at_once() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        wheel.put("past", start);
        let mut came = 0;
        for now in (0..=2_500).step_by(STEP_MS as usize) {
            let now = start + now * MS;
            for thing in wheel.due(now) {
                came += 1;
                wheel.put(thing, now);
            }
        }
        assert_eq!(came, 10, "once in a step");
    }

    #[test]
    fn what_is_far_away_comes_after_a_turn_and_a_long_sleep_loses_nothing() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        wheel.put("far", start + 3_600_000 * MS);
        let turn = STEPS as u32 * STEP;
        assert!(wheel.due(start + turn - STEP).is_empty());
        assert_eq!(wheel.due(start + turn), ["far"]);
        (0..1_000).for_each(|_| wheel.put("soon", start + turn + 50 * MS));
        wheel.put("later", start + 2 * turn);
        let mut all = wheel.due(start + 100 * turn);
        all.dedup();
        assert_eq!(all, ["soon", "later"]);
        assert!(wheel.due(start + 200 * turn).is_empty());
        wheel.put("new", start + 200 * turn + MS);
        assert_eq!(wheel.due(start + 200 * turn + STEP), ["new"]);
    }
}
