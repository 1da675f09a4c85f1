//! What the server counts about itself: plain atomic numbers, cheap enough to be always on.

use referee_protocol::Code;
use referee_room::Entry;

mod count;
pub(crate) mod text;

pub use count::{Count, Durations};

/// How a client is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// A WebSocket.
    Ws,
    /// A WebSocket over TLS.
    Wss,
    /// QUIC.
    Quic,
    /// Within the process.
    Memory,
}

impl Transport {
    pub(crate) const ALL: [Self; 4] = [Self::Ws, Self::Wss, Self::Quic, Self::Memory];

    /// Its name in addresses and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Quic => "quic",
            Self::Memory => "memory",
        }
    }
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    /// When the server began, in seconds since 1970.
    pub started: Count,
    /// Rooms loaded at the moment.
    pub rooms: Count,
    /// Rooms made anew.
    pub rooms_made: Count,
    /// Rooms loaded from the store.
    pub rooms_loaded: Count,
    /// Rooms loaded because an alarm was due.
    pub rooms_woken: Count,
    /// Rooms that are slowed at the moment, because their ticks take more than they may.
    pub rooms_slowed: Count,
    /// Host threads at the moment whose clients get a state in some ticks only, because the threads have too
    /// much to do.
    pub threads_paced: Count,
    /// Rooms out of memory at the moment, their connections open.
    pub rooms_parked: Count,
    /// Times that a room was put out of memory so.
    pub parks: Count,
    /// Times that such a room came back.
    pub wakes: Count,
    /// How long that took, from what it was for to when the room could take it.
    pub wake_seconds: Durations,
    /// Times that a room went to another host thread.
    pub migrations: Count,
    /// Alarms that came due in rooms.
    pub alarms: Count,
    /// Rooms that ended because their game failed.
    pub rooms_failed: Count,
    /// Host threads that were given up because a room's turn did not end.
    pub threads_given_up: Count,
    /// Times that a stored room could not be loaded.
    pub loads_failed: Count,
    /// Stored rooms whose visitors are refused because they cannot be loaded.
    pub rooms_marked: Count,
    /// Sockets whose Hello is still awaited.
    pub hellos_waiting: Count,
    /// QUIC clients that were asked to show that their address is their own.
    pub quic_retries: Count,
    /// Connections in rooms at the moment, by transport.
    connections: [Count; Transport::ALL.len()],
    /// Seats whose client is connected.
    pub players: Count,
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
    /// Those of rooms to which nobody was connected. The next four leave them out.
    pub ticks_unattended: Count,
    /// Ticks of rooms whose clients got states in some ticks only, because their thread had too much to do.
    pub ticks_paced: Count,
    /// Ticks of realtime rooms that were left out because the room fell behind.
    pub slips: Count,
    /// Ticks of realtime rooms that took longer than their period.
    pub overruns: Count,
    /// How long ticks take, their sends included.
    pub tick_seconds: Durations,
    /// How long after they were due ticks of realtime rooms began.
    pub tick_lateness: Durations,
    /// Entries into rooms, by their number.
    pub(crate) entries: [Count; Entry::KINDS.len()],
    /// States that were not made because a client was behind.
    pub skips: Count,
    /// Input samples that came after their tick.
    pub inputs_late: Count,
    /// Connections that broke, or were closed by the client.
    pub gone: Count,
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
    /// Connections in rooms at the moment.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.iter().map(Count::get).sum()
    }

    /// Connections in rooms over one transport.
    pub(crate) fn connections_by(&self, transport: Transport) -> &Count {
        &self.connections[transport as usize]
    }

    /// How many entries of this kind (one of [`Entry::KINDS`]) came into rooms.
    #[must_use]
    pub fn entries(&self, kind: &str) -> u64 {
        let mut kinds = Entry::KINDS.iter().zip(&self.entries);
        kinds.find(|(name, _)| **name == kind).map_or(0, |(_, count)| count.get())
    }

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
