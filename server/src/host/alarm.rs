//! Gives a room its turn when its time has come. A room looks every time anew when that is, and most often is
//! called before: with each message of a client, and as what it wrote is on disk. So the timer stands where
//! it is when it would have to ring later, and rings for nothing now and then; to move it costs more.

use std::pin::Pin;
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

/// See the module's documentation.
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// One that is not set.
    pub(super) fn new() -> Self {
        Self(None)
    }

    /// Ends at this instant, or before it. Whoever waits looks again what is due.
    pub(super) async fn rings_by(&mut self, until: Instant) {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(until.into())));
        if sleep.is_elapsed() || sleep.deadline() > until.into() {
            sleep.as_mut().reset(until.into());
        }
        sleep.as_mut().await;
    }
}
