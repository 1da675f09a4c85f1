//! Frames as WebSocket messages.

use super::{ByteStream, RawError, Received};
use futures_util::{SinkExt, StreamExt};
use referee_protocol::limits::SERVER_MESSAGE_MAX_BYTES;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// The library's own default of 128 KiB for each connection is far more than frames need.
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// The request that asks for a WebSocket. Each header given replaces the one of its name.
pub(crate) fn request(url: &str, headers: &[(&str, &str)]) -> Result<Request, RawError> {
    let mut request = url.into_client_request()?;
    for (name, value) in headers {
        let bad = |what: &str| RawError::Request(format!("{what} of header {name}: {value}"));
        let key = HeaderName::try_from(*name).map_err(|_| bad("the name"))?;
        let value = HeaderValue::try_from(*value).map_err(|_| bad("the value"))?;
        request.headers_mut().insert(key, value);
    }
    Ok(request)
}

/// A WebSocket over any stream.
#[derive(Debug)]
pub(crate) struct WebSocket<S> {
    stream: WebSocketStream<S>,
}

impl<S: ByteStream> WebSocket<S> {
    pub(crate) async fn open(request: Request, stream: S) -> Result<Self, RawError> {
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

    pub(crate) async fn send(&mut self, frame: &[u8]) -> Result<(), RawError> {
        Ok(self.stream.send(Message::binary(frame.to_vec())).await?)
    }

    pub(crate) async fn send_text(&mut self, text: &str) -> Result<(), RawError> {
        Ok(self.stream.send(Message::text(text)).await?)
    }

    pub(crate) async fn receive(&mut self) -> Result<Received, RawError> {
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

    pub(crate) async fn close(&mut self, code: u16, reason: &str) -> Result<(), RawError> {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        Ok(self.stream.close(Some(frame)).await?)
    }

    pub(crate) fn below(&mut self) -> &mut S {
        self.stream.get_mut()
    }
}
