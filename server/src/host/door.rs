//! A socket between its handshake and its room: waits for Hello where the socket was accepted, then
//! moves the socket to its room's thread. A socket that never says Hello costs a small buffer for a
//! short time, and their number is bounded.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use referee_protocol::limits::HELLO_WITHIN_MS;
use referee_protocol::{Code, Refusal};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::create_response;

use super::thread::{Command, Visitor};
use super::{Hosts, going_down};
use crate::directory::BUSY_RETRY_MS;
use crate::http::{ConnectionSlot, Upgrade};
use crate::key::RoomKey;
use crate::session;
use crate::transport::websocket::{End, Reader, refuse};

/// Answers the handshake and has the socket looked after.
pub(super) fn upgrade(hosts: &Hosts, upgrade: Upgrade) -> Response {
    let Upgrade { key, socket, parts, from, slot } = upgrade;
    let response = match create_response(&Request::from_parts(parts, ())) {
        Ok(response) => response,
        Err(error) => return bad_handshake(&error.to_string()),
    };
    let hosts = hosts.clone();
    // A socket that is refused counts until it is closed, and the server's end waits for it.
    let counted = (slot.clone(), hosts.at_door.upgrade());
    tokio::spawn(async move {
        if let Err((stream, refusal)) = hosts.hear(socket, key, from, slot).await {
            hosts.house.metrics.ended(refusal.code);
            tracing::debug!(%refusal, "a client was refused");
            refuse(stream, refusal).await;
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

impl Hosts {
    /// Waits for the socket and its Hello, and brings both to the room. Hands the socket back when
    /// it is to be refused; a socket that goes by itself is no refusal.
    async fn hear(
        &self,
        socket: OnUpgrade,
        key: Result<RoomKey, Refusal>,
        from: IpAddr,
        slot: ConnectionSlot,
    ) -> Result<(), (TcpStream, Refusal)> {
        let deadline = Instant::now() + Duration::from_millis(HELLO_WITHIN_MS);
        let within = timeout(Duration::from_millis(HELLO_WITHIN_MS), socket);
        let Ok(Ok(upgraded)) = within.await else { return Ok(()) };
        let Some((mut stream, mut reader)) = raw(upgraded) else { return Ok(()) };
        let key = match key {
            Ok(key) => key,
            Err(refusal) => return Err((stream, refusal)),
        };
        if let Some(refusal) = self.house.unknown_game(&key) {
            return Err((stream, refusal));
        }
        let Ok(permit) = self.hellos.try_acquire() else {
            return Err((stream, self.too_many_hellos()));
        };
        self.house.metrics.hellos_waiting.up();
        let mut stop = self.stop.clone();
        let heard = tokio::select! {
            heard = reader.wait(&mut stream) => heard,
            () = tokio::time::sleep_until(deadline.into()) => Err(End::Fault(late())),
            _ = stop.wait_for(|stop| *stop) => Err(End::Fault(going_down())),
        };
        self.house.metrics.hellos_waiting.down();
        drop(permit);
        let hello = match heard {
            Ok(hello) => hello,
            Err(End::Gone) => return Ok(()),
            Err(End::Fault(refusal)) => return Err((stream, refusal)),
        };
        let entered = session::hello(&hello, &key, &self.house.tokens)
            .and_then(|wish| Ok((wish, self.enter(&key, from)?)));
        let (wish, (thread, ticket)) = match entered {
            Ok(entered) => entered,
            Err(refusal) => return Err((stream, refusal)),
        };
        // Taking a socket from its runtime fails only when it is broken.
        let Ok(stream) = stream.into_std() else { return Ok(()) };
        let visitor = Box::new(Visitor { wish, stream, reader, slot });
        let visit = Command::Visit { key, visitor, ticket };
        let Err(unsent) = self.threads[thread].send(visit).await else { return Ok(()) };
        match unsent.0 {
            Command::Visit { visitor, .. } => match TcpStream::from_std(visitor.stream) {
                Ok(stream) => Err((stream, going_down())),
                Err(_) => Ok(()),
            },
            Command::Ask { .. } | Command::Stop => Ok(()),
        }
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

/// The bare socket, and a reader that has what was read of it already.
fn raw(upgraded: Upgraded) -> Option<(TcpStream, Reader)> {
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let stream = parts.io.into_inner();
            // Frames are written whole; to wait for more of them would only delay.
            let _ = stream.set_nodelay(true);
            Some((stream, Reader::new(parts.read_buf.to_vec())))
        }
        Err(_) => {
            tracing::error!("an upgraded socket is not bare TCP; it cannot move to a room");
            None
        }
    }
}
