//! One alarm clock for all bots of a thread: one timer of the system, however many there are.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{sleep_until, timeout};

/// The longest the wheel sleeps, so that whoever turns it can look at other things.
const TURN: Duration = Duration::from_millis(20);
/// No time at all.
const NEVER: u64 = u64::MAX;

#[derive(Default)]
struct Alarm {
    /// When the bot wants to be woken.
    due: Cell<u64>,
    /// When the wheel looks at it next: not later than that.
    queued: Cell<u64>,
    bell: Notify,
}

/// Alarms of the bots of one thread, in microseconds since `start`.
pub(crate) struct Wheel {
    start: Instant,
    alarms: Vec<Alarm>,
    queue: RefCell<BinaryHeap<Reverse<(u64, u32)>>>,
    sleeping_until: Cell<u64>,
    sooner: Notify,
}

impl Wheel {
    pub(crate) fn new(start: Instant, bots: usize) -> Self {
        let alarm =
            || Alarm { due: Cell::new(NEVER), queued: Cell::new(NEVER), ..Alarm::default() };
        Self {
            start,
            alarms: (0..bots).map(|_| alarm()).collect(),
            queue: RefCell::new(BinaryHeap::with_capacity(bots)),
            sleeping_until: Cell::new(NEVER),
            sooner: Notify::new(),
        }
    }

    /// The time.
    pub(crate) fn now(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    /// Sets a bot's only alarm.
    pub(crate) fn set(&self, bot: usize, at: u64) {
        let alarm = &self.alarms[bot];
        alarm.due.set(at);
        if at < alarm.queued.get() {
            alarm.queued.set(at);
            self.queue.borrow_mut().push(Reverse((at, bot as u32)));
            if at < self.sleeping_until.get() {
                self.sooner.notify_one();
            }
        }
    }

    /// Waits until a bot's alarm, or somebody, rings.
    pub(crate) async fn rung(&self, bot: usize) {
        self.alarms[bot].bell.notified().await;
    }

    /// Rings everybody.
    pub(crate) fn ring_all(&self) {
        self.alarms.iter().for_each(|alarm| alarm.bell.notify_one());
    }

    /// Waits for the next alarm, not for long, and rings all that are due. Says how late it is.
    pub(crate) async fn turn(&self) -> u64 {
        let next = self.queue.borrow().peek().map_or(NEVER, |Reverse((at, _))| *at);
        let until = next.min(self.now() + TURN.as_micros() as u64);
        self.sleeping_until.set(until);
        let at = self.start + Duration::from_micros(until);
        let longest = TURN + TURN;
        tokio::select! {
            () = sleep_until(at.into()) => {}
            _ = timeout(longest, self.sooner.notified()) => {}
        }
        let now = self.now();
        self.ring_due(now);
        now.saturating_sub(until)
    }

    fn ring_due(&self, now: u64) {
        let mut queue = self.queue.borrow_mut();
        while let Some(Reverse((at, bot))) = queue.peek().copied()
            && at <= now
        {
            queue.pop();
            let alarm = &self.alarms[bot as usize];
            if at != alarm.queued.get() {
                continue; // set to an earlier time since, and looked at then
            }
            let due = alarm.due.get();
            if due <= now {
                alarm.due.set(NEVER);
                alarm.queued.set(NEVER);
                alarm.bell.notify_one();
            } else {
                alarm.queued.set(due);
                if due != NEVER {
                    queue.push(Reverse((due, bot)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rings(wheel: &Wheel, bot: usize) -> bool {
        let mut rung = Box::pin(wheel.rung(bot));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        rung.as_mut().poll(&mut cx).is_ready()
    }

    #[test]
    fn only_the_last_time_set_counts() {
        let wheel = Wheel::new(Instant::now(), 2);
        wheel.set(0, 100);
        wheel.set(0, 300);
        wheel.set(1, 200);
        wheel.ring_due(250);
        assert_eq!((rings(&wheel, 0), rings(&wheel, 1)), (false, true));
        wheel.set(0, 260);
        wheel.ring_due(270);
        assert!(rings(&wheel, 0));
        wheel.ring_due(1_000);
        assert!(!rings(&wheel, 0), "once");
        assert!(wheel.queue.borrow().is_empty());
    }
}
