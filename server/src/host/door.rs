//! A socket between its handshake and its room: waits for Hello where the socket was accepted, then
//! moves the socket to its room's thread. A socket that never says Hello costs a small buffer for a
//! short time, and their number is bounded.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use quinn::Incoming;
use referee_protocol::limits::HELLO_WITHIN_MS;
use referee_protocol::{Code, Refusal};
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep_until, timeout_at};
use tokio_tungstenite::tungstenite::handshake::server::create_response;

use super::thread::{Command, Visitor};
use super::{Hosts, going_down};
use crate::directory::{BUSY_RETRY_MS, Ticket};
use crate::http::{ConnectionSlot, Upgrade};
use crate::key::RoomKey;
use crate::session::{self, Wish};
use crate::transport::socket::{End, Framing, Reader, refuse};
use crate::transport::stream::{QuicStream, Stream, TlsStream, close};

/// How long a QUIC handshake that is under way when its client is to be refused may still take: its
/// last flight is on its way, as far as the client knows it is over.
const HANDSHAKE_ENDS_WITHIN: Duration = Duration::from_millis(500);

/// What a WebSocket over TLS is made of.
type TlsSocket = tokio_rustls::server::TlsStream<TcpStream>;

/// Answers the handshake and has the socket looked after.
pub(super) fn upgrade(hosts: &Hosts, upgrade: Upgrade) -> Response {
    let Upgrade { key, socket, parts, from, slot } = upgrade;
    let response = match create_response(&Request::from_parts(parts, ())) {
        Ok(response) => response,
        Err(error) => return bad_handshake(&error.to_string()),
    };
    let (hosts, counted) = (hosts.clone(), hosts.at_door.upgrade());
    let deadline = hello_deadline();
    tokio::spawn(async move {
        let upgraded = timeout_at(deadline.into(), socket).await;
        if let Ok(Ok(upgraded)) = upgraded
            && let Some((stream, reader)) = raw(upgraded)
        {
            let stranger = Stranger { stream, reader, key: Some(key), from, slot, deadline };
            hosts.look_after(stranger, None).await;
        }
        drop(counted);
    });
    response.map(|()| Body::empty())
}

fn bad_handshake(error: &str) -> Response {
    let text = format!("this is no WebSocket handshake: {error}");
    let refusal = Refusal::new(Code::BadMessage, text);
    let body = serde_json::json!({ "code": refusal.code.name(), "message": refusal.message });
    let json = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::BAD_REQUEST, json, body.to_string()).into_response()
}

/// A connection that was opened and has not said Hello.
struct Stranger {
    stream: Stream,
    reader: Reader,
    /// The room it wants, where a URL said it, or why it may not have it.
    key: Option<Result<RoomKey, Refusal>>,
    from: IpAddr,
    slot: ConnectionSlot,
    /// When it must have said Hello.
    deadline: Instant,
}

/// A connection that is to be told why it is refused.
type Refused = (Stream, Framing, Refusal);

impl Hosts {
    /// A program of this process that comes to the door.
    pub(crate) fn welcome_memory(&self, stream: DuplexStream, slot: ConnectionSlot) {
        let stranger = Stranger {
            stream: Stream::memory(stream),
            reader: Reader::framed(),
            key: None,
            from: IpAddr::V4(Ipv4Addr::LOCALHOST),
            slot,
            deadline: hello_deadline(),
        };
        let (hosts, counted) = (self.clone(), self.at_door.upgrade());
        tokio::spawn(async move {
            hosts.look_after(stranger, None).await;
            drop(counted);
        });
    }

    /// A QUIC client that comes to the door: its handshake, its stream, its Hello. Whoever has done
    /// all that in time is on the way to its room; the permit is one of those that bound how many
    /// are waited for.
    pub(crate) fn welcome_quic(
        &self,
        incoming: Incoming,
        slot: ConnectionSlot,
        permit: OwnedSemaphorePermit,
    ) {
        let from = incoming.remote_address().ip().to_canonical();
        let deadline = hello_deadline();
        let (hosts, counted) = (self.clone(), self.at_door.upgrade());
        tokio::spawn(async move {
            hosts.house.metrics.hellos_waiting.up();
            let opened = hosts.open_stream(incoming, deadline).await;
            hosts.house.metrics.hellos_waiting.down();
            if let Some(stream) = opened {
                let reader = Reader::framed();
                let stranger = Stranger { stream, reader, key: None, from, slot, deadline };
                hosts.look_after(stranger, Some(permit)).await;
            }
            drop(counted);
        });
    }

    /// The one stream that a client opens, once its handshake is done. None when the client goes,
    /// takes too long, or does not speak our language.
    async fn open_stream(&self, incoming: Incoming, deadline: Instant) -> Option<Stream> {
        let mut stop = self.stop.clone();
        let mut over = pin!(async {
            tokio::select! {
                () = sleep_until(deadline.into()) => late(),
                _ = stop.wait_for(|stop| *stop) => going_down(),
            }
        });
        let mut connecting = incoming.accept().ok()?;
        let connection = tokio::select! {
            connection = &mut connecting => connection.ok()?,
            refusal = over.as_mut() => {
                // A client's handshake ends before ours, and nothing can be told before that.
                let until = deadline.min(Instant::now() + HANDSHAKE_ENDS_WITHIN);
                let connection = timeout_at(until.into(), connecting).await.ok()?.ok()?;
                self.house.metrics.ended(refusal.code);
                close(&connection, &refusal);
                return None;
            }
        };
        tokio::select! {
            opened = connection.accept_bi() => {
                let (send, receive) = opened.ok()?;
                Some(Stream::Quic(Box::new(QuicStream::new(connection.clone(), send, receive))))
            }
            refusal = over => {
                self.house.metrics.ended(refusal.code);
                close(&connection, &refusal);
                None
            }
        }
    }

    /// A place among those whose Hello is waited for, if there is one.
    pub(crate) fn hello_permit(&self) -> Option<OwnedSemaphorePermit> {
        self.hellos.clone().try_acquire_owned().ok()
    }

    /// Hears a stranger, and tells it when it is refused. A connection that is refused counts until
    /// it is closed, and the server's end waits for it.
    async fn look_after(&self, stranger: Stranger, permit: Option<OwnedSemaphorePermit>) {
        let counted = stranger.slot.clone();
        if let Err((stream, framing, refusal)) = self.hear(stranger, permit).await {
            self.house.metrics.ended(refusal.code);
            tracing::debug!(%refusal, "a client was refused");
            refuse(stream, framing, refusal).await;
        }
        drop(counted);
    }

    /// Waits for the Hello of a stranger, and brings both to the room. Hands the stream back when
    /// it is to be refused; one that goes by itself is no refusal.
    async fn hear(
        &self,
        stranger: Stranger,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Refused> {
        let Stranger { mut stream, mut reader, key, from, slot, deadline } = stranger;
        let framing = reader.framing();
        let known = match key {
            None => None,
            Some(Ok(key)) => match self.house.unknown_game(&key) {
                Some(refusal) => return Err((stream, framing, refusal)),
                None => Some(key),
            },
            Some(Err(refusal)) => return Err((stream, framing, refusal)),
        };
        let Some(permit) = permit.or_else(|| self.hello_permit()) else {
            return Err((stream, framing, self.too_many_hellos()));
        };
        let heard = self.first_message(&mut stream, &mut reader, deadline).await;
        drop(permit);
        let hello = match heard {
            Ok(hello) => hello,
            Err(End::Gone) => return Ok(()),
            Err(End::Fault(refusal)) => return Err((stream, framing, refusal)),
        };
        let (key, wish, thread, ticket) = match self.understand(&hello, known, from) {
            Ok(understood) => understood,
            Err(refusal) => return Err((stream, framing, refusal)),
        };
        // Taking a socket from its runtime fails only when it is broken.
        let Ok(stream) = stream.depart() else { return Ok(()) };
        let visitor = Box::new(Visitor { wish, stream, reader, slot });
        let visit = Command::Visit { key, visitor, ticket };
        let Err(unsent) = self.ways.to(thread).send(visit).await else { return Ok(()) };
        match unsent.0 {
            Command::Visit { visitor, .. } => match visitor.stream.land() {
                Ok(stream) => Err((stream, framing, going_down())),
                Err(_) => Ok(()),
            },
            // It was a visit that was sent.
            _ => Ok(()),
        }
    }

    async fn first_message(
        &self,
        stream: &mut Stream,
        reader: &mut Reader,
        deadline: Instant,
    ) -> Result<Bytes, End> {
        self.house.metrics.hellos_waiting.up();
        let mut stop = self.stop.clone();
        let heard = tokio::select! {
            heard = reader.wait(stream) => heard,
            () = sleep_until(deadline.into()) => Err(End::Fault(late())),
            _ = stop.wait_for(|stop| *stop) => Err(End::Fault(going_down())),
        };
        self.house.metrics.hellos_waiting.down();
        heard
    }

    /// What a first message asks for, and the thread that has it.
    fn understand(
        &self,
        message: &[u8],
        known: Option<RoomKey>,
        from: IpAddr,
    ) -> Result<(RoomKey, Wish, usize, Ticket), Refusal> {
        let hello = session::hello(message)?;
        let key = match known {
            Some(key) => key,
            None => session::room(&hello)?,
        };
        let wish = session::wish(&hello, &key, &self.house.tokens)?;
        let (thread, ticket) = self.enter(&key, from)?;
        Ok((key, wish, thread, ticket))
    }

    fn too_many_hellos(&self) -> Refusal {
        let max = self.house.config.hellos_waiting_max;
        let text =
            format!("{max} connections are waited for, as many as may; try again in a while");
        Refusal { retry_after_ms: Some(BUSY_RETRY_MS), ..Refusal::new(Code::Busy, text) }
    }
}

fn late() -> Refusal {
    let text = format!("no Hello came within {HELLO_WITHIN_MS} ms of the handshake");
    Refusal::new(Code::HelloTimeout, text)
}

fn hello_deadline() -> Instant {
    Instant::now() + Duration::from_millis(HELLO_WITHIN_MS)
}

/// The bare stream, and a reader that has what was read of it already.
fn raw(upgraded: Upgraded) -> Option<(Stream, Reader)> {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let reader = Reader::websocket(parts.read_buf.to_vec());
            return Some((Stream::tcp(parts.io.into_inner()), reader));
        }
        Err(upgraded) => upgraded,
    };
    match upgraded.downcast::<TokioIo<TlsSocket>>() {
        Ok(parts) => {
            let reader = Reader::websocket(parts.read_buf.to_vec());
            let (socket, session) = parts.io.into_inner().into_inner();
            Some((Stream::Tls(Box::new(TlsStream::new(socket, session))), reader))
        }
        Err(_) => {
            tracing::error!("an upgraded socket is no TCP; it cannot move to a room");
            None
        }
    }
}
