//! What the server counts about itself: plain atomic numbers, cheap enough to be always on.

use std::sync::atomic::{AtomicU64, Ordering};

use referee_protocol::Code;

/// One number.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn up(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// One less, for a number that stands for what there is at the moment.
    pub fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Rooms loaded at the moment.
    pub rooms: Count,
    /// Rooms made anew.
    pub rooms_made: Count,
    /// Rooms loaded from the store.
    pub rooms_loaded: Count,
    /// Rooms that ended because their game failed.
    pub rooms_failed: Count,
    /// Sockets whose Hello is still awaited.
    pub hellos_waiting: Count,
    /// QUIC clients that were asked to show that their address is their own.
    pub quic_retries: Count,
    /// Connections in rooms at the moment.
    pub connections: Count,
    /// Messages from clients.
    pub messages_in: Count,
    /// Bytes of messages from clients.
    pub bytes_in: Count,
    /// Messages to clients.
    pub messages_out: Count,
    /// Bytes of messages to clients.
    pub bytes_out: Count,
    /// Messages that the network did not take at once.
    pub messages_held: Count,
    /// Inputs and actions of clients that hold no seat.
    pub unseated: Count,
    /// Requests into rooms.
    pub requests: Count,
    /// Ticks run.
    pub ticks: Count,
    /// Ticks of realtime rooms that were left out because the room fell behind.
    pub slips: Count,
    /// Connections refused or ended, by the number of the code.
    ends: Ends,
}

/// Codes have numbers below this.
const CODES: usize = 64;

#[derive(Debug)]
struct Ends([Count; CODES]);

impl Default for Ends {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Count::default()))
    }
}

impl Metrics {
    /// Counts a connection that was refused or ended.
    pub fn ended(&self, code: Code) {
        if let Some(count) = self.ends.0.get(code as usize) {
            count.up();
        }
    }

    /// How many connections were refused or ended with this code.
    #[must_use]
    pub fn ends(&self, code: Code) -> u64 {
        self.ends.0.get(code as usize).map_or(0, Count::get)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_counted() {
        let metrics = Metrics::default();
        for code in Code::ALL {
            metrics.ended(*code);
            assert_eq!(metrics.ends(*code), 1, "{code:?}");
        }
    }
}
