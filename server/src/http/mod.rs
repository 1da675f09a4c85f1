//! HTTP: the accept loop, pages, assets, and the ways into rooms.
//!
//! | path | what it is |
//! |---|---|
//! | `/` | the index page |
//! | `/{game}` | leads to a match of that game |
//! | `/{game}/{match}` | the page of a match; asked to upgrade, the way into its room |
//! | `/{game}/{match}/call[/..]` | requests into the room |
//! | `/api/games`, `/api/rooms` | what is hosted, and the public rooms |
//! | `/api/transports` | what clients can choose besides WebSocket |
//! | `/assets/..` | the browser client |
//! | `/metrics` | what the server counts |
//! | `/healthz`, `/readyz` | the process lives; it takes players |

mod accept;
mod answer;
mod call;
mod doors;
mod page;
mod site;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use referee_protocol::{Kind, Refusal};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

pub use accept::{ConnectionSlot, Slots};

use crate::assets::Assets;
use crate::config::Config;
use crate::key::RoomKey;
use crate::store::Store;
use accept::Accepting;
use site::Site;

/// A game as `/api/games` and the index page show it.
#[derive(Clone, Debug, Serialize)]
pub struct GameListing {
    /// The name it is hosted under.
    pub name: String,
    /// Realtime or turn-based.
    pub kind: Kind,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<&'static str>,
    /// One sentence about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'static str>,
    /// Its page; none for the page that is driven by the schema.
    #[serde(skip)]
    pub page: Option<&'static str>,
}

/// A room as `/api/rooms` shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RoomListing {
    /// The game.
    pub game: String,
    /// The match.
    #[serde(rename = "match")]
    pub match_id: String,
    /// Seats taken.
    pub players: u16,
    /// Most seats.
    pub seats: u16,
}

/// A request into a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomRequest {
    /// `GET`, `POST`, ..
    pub method: String,
    /// What follows `/call` in the path: empty, or beginning with `/`.
    pub path: String,
    /// JSON, or empty.
    pub body: Vec<u8>,
}

/// A room's answer to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomReply {
    /// An HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Vec<u8>,
}

/// A client that asks to speak WebSocket.
pub struct Upgrade {
    /// Where it wants to, or why it may not. A refusal is told over the opened socket, because a
    /// page cannot see why a handshake failed.
    pub key: Result<RoomKey, Refusal>,
    /// Gives the socket once the 101 is sent: `Upgraded::downcast::<TokioIo<TcpStream>>` works.
    pub socket: OnUpgrade,
    /// The request's method, path and headers.
    pub parts: Parts,
    /// The client's address.
    pub from: IpAddr,
    /// To be kept as long as the socket.
    pub slot: ConnectionSlot,
}

/// What HTTP needs of the rooms.
pub trait Rooms: Send + Sync + 'static {
    /// The hosted games. Asked once.
    fn games(&self) -> Vec<GameListing>;

    /// All that is counted, as OpenMetrics text.
    fn metrics(&self) -> String;

    /// The rooms that are listed in public.
    fn public_rooms(&self) -> Vec<RoomListing>;

    /// Brings a request into a room, which it brings up; the future ends with the room's answer.
    fn request(
        &self,
        key: RoomKey,
        from: IpAddr,
        request: RoomRequest,
    ) -> impl Future<Output = Result<RoomReply, Refusal>> + Send;

    /// Answers the handshake (101, or what is wrong with it) and takes the socket.
    fn upgrade(&self, upgrade: Upgrade) -> Response;
}

/// What clients can choose besides WebSocket: `/api/transports`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Transports {
    /// QUIC; none when it is off.
    pub quic: Option<QuicListing>,
}

/// Where QUIC is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct QuicListing {
    /// The UDP port.
    pub port: u16,
    /// The SHA-256 of the certificate's DER in hexadecimal digits, when no authority stands for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
}

/// What HTTP is served with.
pub struct Edge<R> {
    /// The settings.
    pub config: Arc<Config>,
    /// The rooms.
    pub rooms: Arc<R>,
    /// The store, whose health is shown.
    pub store: Arc<Store>,
    /// Turns true when the server goes down.
    pub stop: watch::Receiver<bool>,
    /// Counts connections.
    pub slots: Arc<Slots>,
    /// For https and wss.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// What clients can choose.
    pub transports: Transports,
}

/// Serves until `stop` turns true; then takes no more connections and ends when those at work on a
/// request have been answered. Upgraded sockets are not waited for.
pub async fn serve<R: Rooms>(listener: TcpListener, edge: Edge<R>) {
    let Edge { config, rooms, store, stop, slots, tls, transports } = edge;
    let assets = Assets::embedded();
    let mut site = Site::new(Arc::clone(&config), rooms, store, stop.clone(), assets);
    site.transports = transports;
    let site = Arc::new(site);
    let router = site::router(Arc::clone(&site));
    let accepting = Accepting {
        slots,
        doors: &site.doors,
        router,
        head_within: Duration::from_millis(config.head_within_ms),
        tls: tls.map(TlsAcceptor::from),
    };
    accept::accept(listener, accepting, stop).await;
}
