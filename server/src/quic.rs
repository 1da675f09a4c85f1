//! QUIC: one endpoint on one UDP port. Its packets are read and written on the edge thread; the
//! streams of its connections are used on the threads of their rooms.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use referee_protocol::Code;
use referee_protocol::limits::LINK_SILENCE_MAX_MS;
use ring::{hkdf, hmac as ring_hmac};
use sha2::Sha256;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::bucket::{Allowance, Bucket};
use crate::config::Config;
use crate::host::Hosts;
use crate::http::Slots;

/// Bytes of a connection that the library keeps because the client has not acknowledged them. Few,
/// so that a state that is sent stands behind little; enough for 1 MiB/s at a round trip of 120 ms.
/// More waits in the server, where a slow client is noticed.
const SEND_WINDOW_BYTES: u64 = 128 * 1024;
/// Bytes a client may send ahead of what is read: two of the longest messages.
const RECEIVE_WINDOW_BYTES: u32 = 32 * 1024;
/// Handshakes that may be begun and not yet looked at; each holds little but its first packet.
const INCOMING_MAX: usize = 1024;
/// First packets kept for one of them, and for all, in bytes.
const INCOMING_BUFFER_BYTES: (u64, u64) = (8 * 1024, 4 * 1024 * 1024);
/// Least time between two packets that tell strangers' old connections that they are over. After a
/// crash each client needs one. They are smaller than what they answer, so they amplify nothing.
const RESET_EVERY: Duration = Duration::from_micros(100);
/// Buffers asked of the system for the one socket of all clients, in bytes; it may give less.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// How long closed connections may take to be over for good.
const DRAIN: Duration = Duration::from_secs(1);

/// Keys that must be the same after a restart, so that the new process can tell the clients of the
/// old one that it knows nothing of their connections.
#[derive(Clone, Copy)]
pub(crate) struct Keys {
    connection_ids: u64,
    resets: [u8; 32],
    tokens: [u8; 32],
}

impl Keys {
    /// From the key of the store, each for its purpose.
    pub(crate) fn new(store_key: [u8; 32]) -> Self {
        let derive = |purpose: &[u8]| -> [u8; 32] {
            let keyed = Hmac::<Sha256>::new_from_slice(&store_key);
            let mut mac = keyed.expect("HMAC takes keys of any length");
            mac.update(purpose);
            mac.finalize().into_bytes().into()
        };
        let ids = derive(b"referee quic connection ids 1");
        let first = ids.first_chunk().expect("a MAC has 32 bytes");
        Self {
            connection_ids: u64::from_le_bytes(*first),
            resets: derive(b"referee quic resets 1"),
            tokens: derive(b"referee quic address tokens 1"),
        }
    }
}

/// QUIC, before the edge runs.
pub(crate) struct Quic {
    socket: UdpSocket,
    server: ServerConfig,
    keys: Keys,
}

impl Quic {
    /// On this socket.
    pub(crate) fn new(socket: UdpSocket, tls: Arc<rustls::ServerConfig>, keys: Keys) -> Self {
        let tls = QuicServerConfig::try_from(tls).expect("ring has what QUIC begins with");
        let tokens = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&keys.tokens);
        let mut server = ServerConfig::new(Arc::new(tls), Arc::new(tokens));
        server
            .transport_config(Arc::new(transport()))
            .max_incoming(INCOMING_MAX)
            .incoming_buffer_size(INCOMING_BUFFER_BYTES.0)
            .incoming_buffer_size_total(INCOMING_BUFFER_BYTES.1);
        Self { socket, server, keys }
    }

    /// Accepts until `stop` turns true, then waits until every connection is over, or the server's
    /// time for its end is.
    pub(crate) async fn serve(
        self,
        config: &Config,
        hosts: Hosts,
        slots: Arc<Slots>,
        mut stop: watch::Receiver<bool>,
    ) -> io::Result<()> {
        self.socket.set_nonblocking(true)?;
        let endpoint_config = endpoint_config(self.keys);
        let (server, socket) = (Some(self.server), self.socket);
        let endpoint = Endpoint::new(endpoint_config, server, socket, Arc::new(TokioRuntime))?;
        // How many handshakes are begun without asking the client to show that it is where it says.
        let allowed = Allowance {
            per_second: config.quic_handshakes_per_second,
            burst: config.quic_handshakes_burst,
        };
        let mut gate = Bucket::full(allowed, Instant::now());
        loop {
            let incoming = tokio::select! {
                incoming = endpoint.accept() => incoming,
                _ = stop.wait_for(|stop| *stop) => None,
            };
            let Some(incoming) = incoming else { break };
            if !incoming.remote_address_validated() && !gate.take(allowed, Instant::now()) {
                // It is one that may be asked to come again, since it has not been asked before.
                let _ = incoming.retry();
                hosts.metrics().quic_retries.up();
                continue;
            }
            admit(incoming, &hosts, &slots);
        }
        endpoint.set_server_config(None);
        // What comes after must be done within the same time.
        let within = Duration::from_millis(config.stop_within_ms).saturating_sub(2 * DRAIN);
        let _ = timeout(within, endpoint.wait_idle()).await;
        endpoint.close(VarInt::from_u32(0), b"");
        let _ = timeout(DRAIN, endpoint.wait_idle()).await;
        Ok(())
    }
}

/// Lets a handshake go on. Whoever finds no place is refused by the transport itself, for
/// which nothing is kept.
fn admit(incoming: Incoming, hosts: &Hosts, slots: &Arc<Slots>) {
    let address = incoming.remote_address().ip().to_canonical();
    let Ok(slot) = slots.take(address, false) else { return incoming.refuse() };
    match hosts.hello_permit() {
        Some(permit) => hosts.welcome_quic(incoming, slot, permit),
        None => {
            hosts.metrics().ended(Code::Busy);
            incoming.refuse();
        }
    }
}

fn endpoint_config(keys: Keys) -> EndpointConfig {
    let reset_key = ring_hmac::Key::new(ring_hmac::HMAC_SHA256, &keys.resets);
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    config.min_reset_interval(RESET_EVERY);
    config.cid_generator(move || {
        Box::new(HashedConnectionIdGenerator::from_key(keys.connection_ids))
    });
    config
}

/// One stream, opened by the client; no datagrams.
fn transport() -> TransportConfig {
    let mut config = TransportConfig::default();
    let idle = VarInt::from_u32(LINK_SILENCE_MAX_MS as u32);
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .send_window(SEND_WINDOW_BYTES)
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES))
        .stream_receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES))
        .max_idle_timeout(Some(idle.into()))
        // A room probes its quiet clients itself: see `Wire::probe`.
        .keep_alive_interval(None)
        .datagram_receive_buffer_size(None);
    config
}

/// Asks the system for buffers that hold what comes while the edge does something else.
pub(crate) fn widen(socket: &socket2::Socket) {
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_belong_to_a_store_and_a_purpose() {
        let keys = Keys::new([1; 32]);
        let again = Keys::new([1; 32]);
        let other = Keys::new([2; 32]);
        assert_eq!((keys.connection_ids, keys.resets), (again.connection_ids, again.resets));
        assert_ne!(keys.connection_ids, other.connection_ids);
        assert_ne!(keys.resets, keys.tokens);
    }
}
