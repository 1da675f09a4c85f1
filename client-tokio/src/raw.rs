//! A WebSocket that sends and receives frames and knows nothing of sessions: under [`crate::Client`],
//! and for tests that must be able to misbehave.

use futures_util::{SinkExt, StreamExt};
use referee_protocol::Code;
use referee_protocol::limits::SERVER_MESSAGE_MAX_BYTES;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{Error, UrlError};
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// The library's own default of 128 KiB for each connection is far more than frames need.
const READ_BUFFER_BYTES: usize = 8 * 1024;

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
    /// The connection cannot be made, or broke.
    #[error(transparent)]
    Socket(#[from] Error),
}

impl RawError {
    /// The code of a refusal that came as an answer to the handshake: `{"code": "host", ..}`.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        let Self::Http { body, .. } = self else { return None };
        let spaceless: String = body.split_whitespace().collect();
        let named = |code: &Code| spaceless.contains(&format!("\"code\":\"{}\"", code.name()));
        Code::ALL.iter().copied().find(named)
    }
}

/// What came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// A frame.
    Frame(Vec<u8>),
    /// The server closed the connection, or it ended without a word (then there is no code).
    Closed {
        /// The WebSocket close code.
        code: Option<u16>,
        /// The reason that came with it.
        reason: String,
    },
}

/// A WebSocket connection.
#[derive(Debug)]
pub struct RawSocket {
    stream: WebSocketStream<TcpStream>,
}

impl RawSocket {
    /// Connects to a `ws://` URL. Each header given replaces the one of its name; `Host` is that of
    /// the URL and there is no `Origin` unless given.
    ///
    /// # Errors
    /// When the server is not there, or does not upgrade.
    pub async fn connect(url: &str, headers: &[(&str, &str)]) -> Result<Self, RawError> {
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            let bad = |what: &str| RawError::Request(format!("{what} of header {name}: {value}"));
            let key = HeaderName::try_from(*name).map_err(|_| bad("the name"))?;
            let value = HeaderValue::try_from(*value).map_err(|_| bad("the value"))?;
            request.headers_mut().insert(key, value);
        }
        let host = request.uri().host().ok_or(Error::Url(UrlError::NoHostName))?;
        // An IPv6 address stands in brackets in a URL, and without them elsewhere.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let address = (host, request.uri().port_u16().unwrap_or(80));
        let stream = TcpStream::connect(address).await.map_err(Error::Io)?;
        stream.set_nodelay(true).map_err(Error::Io)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(SERVER_MESSAGE_MAX_BYTES))
            .max_frame_size(Some(SERVER_MESSAGE_MAX_BYTES));
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((stream, _)) => Ok(Self { stream }),
            Err(Error::Http(answer)) => {
                let body = answer.body().as_deref().map(String::from_utf8_lossy);
                let body = body.unwrap_or_default().trim().to_owned();
                Err(RawError::Http { status: answer.status().as_u16(), body })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// When the connection is closed or broken.
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), RawError> {
        Ok(self.stream.send(Message::binary(frame.to_vec())).await?)
    }

    /// Sends text, which no frame is.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_text(&mut self, text: &str) -> Result<(), RawError> {
        Ok(self.stream.send(Message::text(text)).await?)
    }

    /// The next frame, or the end. Text counts as a frame; pings are answered.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is no WebSocket traffic.
    pub async fn receive(&mut self) -> Result<Received, RawError> {
        let over = |code, reason: &str| Received::Closed { code, reason: reason.into() };
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Binary(frame))) => return Ok(Received::Frame(frame.into())),
                Some(Ok(Message::Text(text))) => return Ok(Received::Frame(text.as_str().into())),
                Some(Ok(Message::Close(frame))) => {
                    let closed = frame.map(|f| over(Some(f.code.into()), f.reason.as_str()));
                    return Ok(closed.unwrap_or_else(|| over(None, "")));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                None | Some(Err(Error::ConnectionClosed)) => return Ok(over(None, "")),
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }

    /// Sends a close frame.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn close(&mut self, code: u16, reason: &str) -> Result<(), RawError> {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        Ok(self.stream.close(Some(frame)).await?)
    }

    /// The TCP connection itself, for tests that go below WebSocket.
    #[must_use]
    pub fn tcp(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
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
}
