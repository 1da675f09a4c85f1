//! A connection that sends and receives frames and knows nothing of sessions: under
//! [`crate::Client`], and for tests that must be able to misbehave. WebSocket (`ws`, `wss`), QUIC
//! (`quic`) and any byte stream look the same from above.

mod dial;
mod framed;
mod quic;
mod tls;
mod websocket;

use quic::Quic;
use referee_protocol::Code;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::http::Uri;
use websocket::WebSocket;

pub(crate) use dial::Place;
pub(crate) use framed::Framed;
pub(crate) use tls::parse_pin;

pub use framed::{ByteStream, FramingError};
pub use tls::Trust;

/// Why a connection cannot be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum RawError {
    /// The server answered the handshake with something else than an upgrade.
    #[error("the server answered HTTP {status}: {body}")]
    Http {
        /// The status.
        status: u16,
        /// The beginning of the body.
        body: String,
    },
    /// The URL or a header cannot be sent.
    #[error("the request cannot be made: {0}")]
    Request(String),
    /// Nothing answers there; says what may have to be done.
    #[error("{0}")]
    Unreachable(String),
    /// The server is not the one it should be, or does not speak TLS as it should.
    #[error("TLS: {0}")]
    Tls(String),
    /// The QUIC connection cannot be made, or broke.
    #[error("QUIC: {0}")]
    Quic(quinn::ConnectionError),
    /// The server lets no connection in over QUIC, which has no room for a reason.
    #[error(
        "the server lets nobody in now: it has all connections, or all of your address, that it may have"
    )]
    Full,
    /// What came over a byte stream is no frames.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The WebSocket cannot be made, or broke.
    #[error(transparent)]
    Socket(#[from] Error),
}

impl RawError {
    /// The code of a refusal that came as an answer to the handshake: `{"code": "host", ..}`, or QUIC's own
    /// word for a server that is full.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        let body = match self {
            Self::Http { body, .. } => body,
            Self::Full => return Some(Code::Busy),
            _ => return None,
        };
        let spaceless: String = body.split_whitespace().collect();
        let named = |code: &Code| spaceless.contains(&format!("\"code\":\"{}\"", code.name()));
        Code::ALL.iter().copied().find(named)
    }
}

/// What came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// A frame. An empty one is a sign of life.
    Frame(Vec<u8>),
    /// The server closed the connection, or it ended without a word (then there is no code).
    Closed {
        /// The close code: 4000 and the refusal's code. A byte stream has none of its own; there it
        /// is that of the refusal that was the last frame.
        code: Option<u16>,
        /// The reason that came with it.
        reason: String,
    },
}

/// A connection.
pub struct RawSocket {
    on: On,
}

/// What carries the frames.
enum On {
    Ws(Box<WebSocket<TcpStream>>),
    Wss(Box<WebSocket<TlsStream<TcpStream>>>),
    Quic(Box<Quic>),
    Bytes(Box<Framed<Box<dyn ByteStream>>>),
}

impl std::fmt::Debug for RawSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.on {
            On::Ws(_) => "WebSocket",
            On::Wss(_) => "WebSocket over TLS",
            On::Quic(_) => "QUIC",
            On::Bytes(_) => "byte stream",
        };
        f.debug_tuple("RawSocket").field(&name).finish()
    }
}

impl RawSocket {
    /// Connects to a `ws://`, `wss://` or `quic://` URL, where the system's roots say whom to
    /// believe. Each header given replaces the one of its name; `Host` is that of the URL and there
    /// is no `Origin` unless given. QUIC has no headers, and takes only host and port of the URL.
    ///
    /// # Errors
    /// When the server is not there, is not the one it should be, or does not upgrade.
    pub async fn connect(url: &str, headers: &[(&str, &str)]) -> Result<Self, RawError> {
        Self::connect_with(url, headers, &Trust::default()).await
    }

    /// As [`Self::connect`], and says whom to believe.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_with(
        url: &str,
        headers: &[(&str, &str)],
        trust: &Trust,
    ) -> Result<Self, RawError> {
        let uri: Uri =
            url.parse().map_err(|problem| RawError::Request(format!("{url:?}: {problem}")))?;
        let place = Place::of(&uri)?;
        let on = match uri.scheme_str() {
            Some("quic") => On::Quic(Box::new(Quic::open(&place, trust).await?)),
            Some("wss") => {
                let request = websocket::request(url, headers)?;
                On::Wss(Box::new(WebSocket::open(request, place.tls(trust).await?).await?))
            }
            Some("ws") => {
                let request = websocket::request(url, headers)?;
                On::Ws(Box::new(WebSocket::open(request, place.tcp().await?).await?))
            }
            _ => {
                let text = format!("{url:?} has to begin with ws://, wss:// or quic://");
                return Err(RawError::Request(text));
            }
        };
        Ok(Self { on })
    }

    /// Frames over a byte stream that leads to a server, each behind its length.
    #[must_use]
    pub fn over(stream: impl ByteStream) -> Self {
        Self { on: On::Bytes(Box::new(Framed::new(Box::new(stream)))) }
    }

    /// Sends a frame. Given up half-way, it leaves a connection that can only be dropped.
    ///
    /// # Errors
    /// When the connection is closed or broken.
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), RawError> {
        match &mut self.on {
            On::Ws(socket) => socket.send(frame).await,
            On::Wss(socket) => socket.send(frame).await,
            On::Quic(quic) => quic.send(frame).await,
            On::Bytes(framed) => framed.send(frame).await,
        }
    }

    /// Sends text, which no frame is, over a WebSocket.
    ///
    /// # Errors
    /// As [`Self::send`], and on all that is no WebSocket.
    pub async fn send_text(&mut self, text: &str) -> Result<(), RawError> {
        match &mut self.on {
            On::Ws(socket) => socket.send_text(text).await,
            On::Wss(socket) => socket.send_text(text).await,
            On::Quic(_) | On::Bytes(_) => {
                Err(RawError::Request("only a WebSocket carries text".into()))
            }
        }
    }

    /// The next frame, or the end. Text counts as a frame; pings are answered. Nothing is lost when
    /// it is given up and called again.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is no frames.
    pub async fn receive(&mut self) -> Result<Received, RawError> {
        match &mut self.on {
            On::Ws(socket) => socket.receive().await,
            On::Wss(socket) => socket.receive().await,
            On::Quic(quic) => quic.receive().await,
            On::Bytes(framed) => {
                Ok(framed.receive().await?.map_or_else(|| framed.end(), Received::Frame))
            }
        }
    }

    /// Says that nothing more will be sent: by a close frame, or the end of the stream. The server
    /// may still send; what it ends with comes out of [`Self::receive`].
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn close(&mut self, code: u16, reason: &str) -> Result<(), RawError> {
        match &mut self.on {
            On::Ws(socket) => socket.close(code, reason).await,
            On::Wss(socket) => socket.close(code, reason).await,
            On::Quic(quic) => {
                quic.close(code, reason).await;
                Ok(())
            }
            On::Bytes(framed) => Ok(tokio::io::AsyncWriteExt::shutdown(&mut framed.stream).await?),
        }
    }

    /// The TCP connection under a WebSocket, for tests that go below it.
    #[must_use]
    pub fn tcp(&mut self) -> Option<&mut TcpStream> {
        match &mut self.on {
            On::Ws(socket) => Some(socket.below()),
            On::Wss(socket) => Some(socket.below().get_mut().0),
            On::Quic(_) | On::Bytes(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_handshake_has_a_code() {
        let code = |body: &str| RawError::Http { status: 403, body: body.into() }.code();
        assert_eq!(code("{\"code\": \"origin\", \"message\": \"no\"}"), Some(Code::Origin));
        assert_eq!(code("not found"), None);
    }

    #[tokio::test]
    async fn other_schemes_are_named() {
        let error = RawSocket::connect("http://localhost/a/b", &[]).await.unwrap_err();
        assert!(error.to_string().contains("ws://, wss:// or quic://"), "{error}");
    }
}
