//! The accept loop: how many connections there may be, how long a request's head may take, and an
//! orderly end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use referee_protocol::Code;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::doors::Doors;
use crate::address::network;
use crate::metrics::Metrics;

/// Bytes a request's head may have, and the buffer of a connection that waits for one.
const HEAD_MAX_BYTES: usize = 16 * 1024;
/// Header fields a request may have.
const HEADERS_MAX: usize = 64;
/// How long a connection may serve requests; a client that wants more connects again.
const CONNECTION_MAX: Duration = Duration::from_secs(300);
/// How long the last request of a connection may take.
const LAST_REQUEST: Duration = Duration::from_secs(10);
/// First and longest pause after the system could not accept.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// One of the connections the server may hold; goes back when the last clone is dropped. Whoever
/// takes over a socket keeps it as long as the socket.
#[derive(Clone)]
pub struct ConnectionSlot {
    _held: Arc<Held>,
}

struct Held {
    slots: Arc<Slots>,
    address: IpAddr,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(count) = taken.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why there is no slot for one more connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum NoSlot {
    #[error("this server holds {0} connections, as many as it may; try again later")]
    All(usize),
    #[error(
        "{0} connections of your address are open, as many as may be; close one, or start the server with \
         a higher --connections-per-address"
    )]
    Address(usize),
}

impl NoSlot {
    /// Told to a client before anything of it is read.
    fn answer(self) -> String {
        let body = format!("{{\"code\":\"busy\",\"message\":\"{self}\"}}\n");
        format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 5\r\n\
             cache-control: no-store\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// Counts connections.
pub struct Slots {
    taken: Mutex<Taken>,
    max: usize,
    max_per_address: usize,
    metrics: Arc<Metrics>,
}

impl Slots {
    /// At most `max`, of one address at most `max_per_address`. Those that find none are counted.
    #[must_use]
    pub fn new(max: usize, max_per_address: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { taken: Mutex::default(), max, max_per_address, metrics })
    }

    /// A slot for a connection of this address, if there is one. A proxy has all of them.
    pub(crate) fn take(
        self: &Arc<Self>,
        address: IpAddr,
        proxy: bool,
    ) -> Result<ConnectionSlot, NoSlot> {
        let address = network(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = taken.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= self.max_per_address && !proxy {
            self.metrics.ended(Code::Busy);
            return Err(NoSlot::Address(self.max_per_address));
        }
        if taken.all >= self.max {
            self.metrics.ended(Code::Busy);
            return Err(NoSlot::All(self.max));
        }
        taken.all += 1;
        *taken.by_address.entry(address).or_default() += 1;
        Ok(ConnectionSlot { _held: Arc::new(Held { slots: Arc::clone(self), address }) })
    }
}

/// Who is at the other end of the connection a request came on.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) slot: ConnectionSlot,
}

/// What connections are accepted with.
pub(super) struct Accepting<'a> {
    pub(super) slots: Arc<Slots>,
    pub(super) doors: &'a Doors,
    pub(super) router: Router,
    /// Time for the head of a request, and for the handshake of TLS before it.
    pub(super) head_within: Duration,
    /// For https and wss.
    pub(super) tls: Option<TlsAcceptor>,
}

/// Accepts until `stop` turns true, then lets every request that is at work end.
pub(super) async fn accept(
    listener: TcpListener,
    with: Accepting<'_>,
    mut stop: watch::Receiver<bool>,
) {
    let Accepting { slots, doors, router, head_within, tls } = with;
    // Each connection holds a sender: when all are gone, all have ended.
    let (open, mut all_ended) = mpsc::channel::<Infallible>(1);
    let mut pause = PAUSE.0;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (socket, address) = match accepted {
            Ok((socket, peer)) => (socket, peer.ip().to_canonical()),
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::warn!("cannot accept connections, trying again: {error}");
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
                continue;
            }
        };
        pause = PAUSE.0;
        let slot = match slots.take(address, doors.is_proxy(address)) {
            Ok(slot) => slot,
            Err(why) => {
                // Best effort: the socket's own buffer has room for so little. Within TLS it would
                // take a handshake to say it.
                if tls.is_none() {
                    let _ = socket.try_write(why.answer().as_bytes());
                }
                continue;
            }
        };
        let peer = Peer { address, slot };
        // Frames are small and wanted now.
        let _ = socket.set_nodelay(true);
        let connection =
            Connection { peer, router: router.clone(), head_within, stop: stop.clone() };
        let (open, tls) = (open.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => connection.serve(socket).await,
                Some(tls) => {
                    // Whoever cannot finish the handshake understands no answer either.
                    if let Ok(Ok(socket)) = timeout(head_within, tls.accept(socket)).await {
                        connection.serve(socket).await;
                    }
                }
            }
            drop(open);
        });
    }
    drop(listener);
    drop(open);
    let _ = timeout(LAST_REQUEST, all_ended.recv()).await;
}

/// Errors that the client caused, after which the next connection may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

struct Connection {
    peer: Peer,
    router: Router,
    head_within: Duration,
    stop: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(mut self, socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (router, peer) = (self.router, self.peer);
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            router.clone().oneshot(request.map(axum::body::Body::new) as Request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_within)
            .max_buf_size(HEAD_MAX_BYTES)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades();
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = self.stop.wait_for(|stop| *stop) => {}
            () = sleep(CONNECTION_MAX) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = timeout(LAST_REQUEST, connection).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_counted_and_come_back() {
        let [one, two] = ["1.1.1.1", "2.2.2.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let slots = Slots::new(3, 2, Arc::default());
        let first = slots.take(one, false).unwrap();
        let _second = slots.take(one, false).unwrap();
        assert_eq!(slots.take(one, false).err(), Some(NoSlot::Address(2)));
        let proxy = slots.take(one, true).unwrap();
        assert_eq!(slots.take(two, false).err(), Some(NoSlot::All(3)));
        let clone = first.clone();
        drop(first);
        assert!(slots.take(two, false).is_err(), "a clone holds it");
        assert_eq!(slots.metrics.ends(Code::Busy), 3, "whoever is refused is counted");
        drop((clone, proxy));
        assert!(slots.take(two, false).is_ok());
        assert_eq!(slots.taken.lock().unwrap().by_address.len(), 1);
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let slots = Slots::new(9, 2, Arc::default());
        let of = |last: u16| format!("2001:db8::{last:x}").parse::<IpAddr>().unwrap();
        let taken: Vec<_> = (1..=3).map(|last| slots.take(of(last), false)).collect();
        assert_eq!(taken.iter().flatten().count(), 2);
        drop(taken);
        assert!(slots.taken.lock().unwrap().by_address.is_empty());
    }

    #[test]
    fn the_answer_of_a_full_server_is_whole() {
        let text = NoSlot::Address(4_000).answer();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
