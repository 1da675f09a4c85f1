//! Frames on the one stream of a QUIC connection.
//!
//! All connections of a tokio runtime share one UDP socket for each family of addresses, as long
//! as any of them lives: thousands of bots take one port, one receive buffer and one task that
//! reads it, and runtimes do not wait for each other. Connections are told apart by their ids.

use super::dial::Place;
use super::framed::Framed;
use super::tls::{self, Trust};
use super::{RawError, Received};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, ConnectError, Connection, ConnectionError, Endpoint, EndpointConfig, IdleTimeout,
    RecvStream, SendStream, TokioRuntime, TransportConfig, TransportErrorCode, VarInt,
};
use referee_protocol::limits::{CLIENT_MESSAGE_MAX_BYTES, LINK_SILENCE_MAX_MS};
use socket2::SockRef;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::io::Join;
use tokio::net::lookup_host;
use tokio::runtime::{Handle, Id};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

/// The application protocol: this one, in its first version.
const ALPN: &[u8] = b"referee/1";
/// What the server may send that was not read yet, in bytes: several frames of a game; a full
/// state that is larger takes a few round trips.
const RECEIVE_WINDOW_BYTES: u32 = 256 * 1024;
/// What may be sent and not acknowledged, in bytes: more than any client's message.
const SEND_WINDOW_BYTES: u64 = 64 * 1024;
/// What the system should keep for a socket shared by many, in bytes; it gives what it allows.
const UDP_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// The round trip that is presumed of a server that has not answered yet.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// How long the server may take to say with which code it closes, once its stream has ended.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Most addresses of a name that are tried, and how much later than the one before each is.
const ADDRESSES_MAX: usize = 4;
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(200);

const _: () = assert!(SEND_WINDOW_BYTES > 2 * CLIENT_MESSAGE_MAX_BYTES as u64);

/// A QUIC connection and its stream.
pub(crate) struct Quic {
    framed: Framed<Join<RecvStream, SendStream>>,
    connection: Connection,
    /// What the connection is closed with when it goes.
    goodbye: (u16, String),
    /// The server's stream has ended; until when its close is waited for.
    ended: Option<Instant>,
    /// Others may share it while this connection lives.
    _endpoint: Arc<Endpoint>,
}

impl Quic {
    pub(crate) async fn open(place: &Place, trust: &Trust) -> Result<Self, RawError> {
        let config = client_config(trust)?;
        let found = lookup_host((&place.host[..], place.port)).await;
        let mut addresses: Vec<_> =
            found.map_err(|error| place.unreachable(&error.to_string()))?.collect();
        // A server that was told nothing else listens at IPv4 alone. UDP does not say that nobody
        // listens, so the next address does not wait for the one before to fail.
        addresses.sort_by_key(SocketAddr::is_ipv6);
        let mut attempts = JoinSet::new();
        for (at, address) in addresses.into_iter().take(ADDRESSES_MAX).enumerate() {
            let (place, config) = (place.clone(), config.clone());
            attempts.spawn(async move {
                sleep(NEXT_ADDRESS_AFTER * at as u32).await;
                Self::open_at(&place, address, config).await
            });
        }
        let mut problem = place.unreachable("the name leads to no address");
        while let Some(attempt) = attempts.join_next().await {
            match attempt {
                Ok(Ok(open)) => return Ok(open),
                Ok(Err(error)) => problem = error,
                Err(error) => problem = place.unreachable(&error.to_string()),
            }
        }
        Err(problem)
    }

    async fn open_at(
        place: &Place,
        address: SocketAddr,
        config: ClientConfig,
    ) -> Result<Self, RawError> {
        let endpoint = endpoint(address.is_ipv6())?;
        let connecting = match endpoint.connect_with(config, address, &place.host) {
            Ok(connecting) => connecting,
            Err(ConnectError::InvalidServerName(name)) => {
                return Err(RawError::Request(format!("{name:?} is no name of a host")));
            }
            Err(error) => return Err(place.unreachable(&error.to_string())),
        };
        let connection = match connecting.await {
            Ok(connection) => connection,
            Err(ConnectionError::TimedOut) => {
                return Err(place.unreachable("no answer came over UDP"));
            }
            Err(ConnectionError::TransportError(error)) => {
                return Err(RawError::Tls(tls::explain(&error.reason)));
            }
            Err(ConnectionError::ConnectionClosed(close))
                if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
            {
                return Err(RawError::Full);
            }
            Err(error) => return Err(RawError::Quic(error)),
        };
        let (send, receive) = connection.open_bi().await.map_err(RawError::Quic)?;
        Ok(Self {
            framed: Framed::new(tokio::io::join(receive, send)),
            connection,
            goodbye: (0, String::new()),
            ended: None,
            _endpoint: endpoint,
        })
    }

    pub(crate) async fn send(&mut self, frame: &[u8]) -> Result<(), RawError> {
        let sent = self.framed.send(frame).await;
        sent.map_err(|error| self.connection.close_reason().map_or(error, RawError::Quic))
    }

    pub(crate) async fn receive(&mut self) -> Result<Received, RawError> {
        if self.ended.is_none() {
            match self.framed.receive().await {
                Ok(Some(frame)) => return Ok(Received::Frame(frame)),
                Ok(None) => {
                    // The answer to an end is an end; then the server closes.
                    self.finish();
                    self.ended = Some(Instant::now() + CLOSE_WITHIN);
                }
                Err(error) => {
                    return self.connection.close_reason().map_or(Err(error), |r| self.closed(r));
                }
            }
        }
        let deadline = self.ended.expect("the stream has ended");
        match timeout_at(deadline, self.connection.closed()).await {
            Ok(reason) => self.closed(reason),
            Err(_) => Ok(self.framed.end()),
        }
    }

    /// How the connection ended, as a WebSocket would tell it.
    fn closed(&self, reason: ConnectionError) -> Result<Received, RawError> {
        match reason {
            ConnectionError::ApplicationClosed(close) if close.error_code.into_inner() > 0 => {
                let code = u16::try_from(close.error_code.into_inner()).ok();
                let reason = String::from_utf8_lossy(&close.reason).into_owned();
                Ok(Received::Closed { code, reason })
            }
            ConnectionError::ApplicationClosed(_) | ConnectionError::LocallyClosed => {
                Ok(self.framed.end())
            }
            error => Err(RawError::Quic(error)),
        }
    }

    /// Ends the stream and waits until all of it has arrived. The connection itself is closed by
    /// the server, or when it is dropped.
    pub(crate) async fn close(&mut self, code: u16, reason: &str) {
        self.goodbye = (code, reason.into());
        self.finish();
        // Stopped by the server or lost: then there is nobody to arrive at.
        let _ = self.framed.stream.writer().stopped().await;
    }

    fn finish(&mut self) {
        // It can have been finished before.
        let _ = self.framed.stream.writer_mut().finish();
    }
}

impl Drop for Quic {
    fn drop(&mut self) {
        let (code, reason) = &self.goodbye;
        self.connection.close(VarInt::from(*code), reason.as_bytes());
    }
}

fn client_config(trust: &Trust) -> Result<ClientConfig, RawError> {
    let tls = tls::client_config(trust, &[ALPN])?;
    let tls = QuicClientConfig::try_from(tls).expect("ring has QUIC's first cipher suite");
    let mut transport = TransportConfig::default();
    // The session pings, and knows better when; a dead connection is given up as it would be.
    let silence = Duration::from_millis(LINK_SILENCE_MAX_MS);
    transport
        // Until the first answer: a handshake whose first packet met no server is begun again after three
        // of these, and not after the second that RFC 9002 (6.2.2) recommends for want of knowledge.
        .initial_rtt(INITIAL_RTT)
        .keep_alive_interval(None)
        .max_idle_timeout(Some(IdleTimeout::try_from(silence).expect("6 s fit")))
        .stream_receive_window(RECEIVE_WINDOW_BYTES.into())
        .receive_window(RECEIVE_WINDOW_BYTES.into())
        .send_window(SEND_WINDOW_BYTES)
        // There is the one stream that the client opens.
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None);
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// One endpoint of a runtime.
struct Shared {
    runtime: Id,
    is_ipv6: bool,
    endpoint: Weak<Endpoint>,
}

static ENDPOINTS: Mutex<Vec<Shared>> = Mutex::new(Vec::new());

/// The endpoint that this runtime's connections share.
fn endpoint(is_ipv6: bool) -> Result<Arc<Endpoint>, RawError> {
    let runtime = Handle::current().id();
    let mut endpoints = ENDPOINTS.lock().unwrap_or_else(PoisonError::into_inner);
    endpoints.retain(|shared| shared.endpoint.strong_count() > 0);
    let known = endpoints.iter().find(|s| s.runtime == runtime && s.is_ipv6 == is_ipv6);
    if let Some(endpoint) = known.and_then(|shared| shared.endpoint.upgrade()) {
        return Ok(endpoint);
    }
    let endpoint = Arc::new(new_endpoint(is_ipv6)?);
    endpoints.push(Shared { runtime, is_ipv6, endpoint: Arc::downgrade(&endpoint) });
    Ok(endpoint)
}

fn new_endpoint(is_ipv6: bool) -> Result<Endpoint, RawError> {
    let any: SocketAddr =
        if is_ipv6 { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any)?;
    let options = SockRef::from(&socket);
    // Less will do: what does not fit is sent again.
    let _ = options.set_recv_buffer_size(UDP_BUFFER_BYTES);
    let _ = options.set_send_buffer_size(UDP_BUFFER_BYTES);
    Ok(Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))?)
}
