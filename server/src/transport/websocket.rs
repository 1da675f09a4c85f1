//! WebSocket: the library reads, we write. Its pongs and closes leave through the same writer as
//! the frames of a room, so that no two of them interleave.

use std::io::{self, ErrorKind, Read, Write};

use bytes::Bytes;
use referee_protocol::limits::CLIENT_MESSAGE_MAX_BYTES;
use referee_protocol::message::{self, ServerControl};
use referee_protocol::{Code, Refusal};
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::close_reason;
use super::socket::{End, Head};
use super::stream::Stream;

/// What a connection reads at once, in bytes, and the size of its read buffer.
const READ_BUFFER_BYTES: usize = 256;

/// A whole binary message.
pub(crate) const BINARY: u8 = 0x80 | 2;
const CLOSE: u8 = 0x80 | 8;
/// A ping.
pub(crate) const PING: u8 = 0x80 | 9;

/// The read half: holds what has been read of a message, so it moves with the socket.
pub(crate) struct Reader {
    context: WebSocketContext,
    /// Pongs and closes the library wants written.
    replies: Vec<u8>,
}

/// What the library reads from and writes to: one read of the socket, and a buffer.
struct Pipe<'a> {
    stream: &'a mut Stream,
    replies: &'a mut Vec<u8>,
    may_read: bool,
}

impl Read for Pipe<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !std::mem::take(&mut self.may_read) {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.stream.try_read(into)
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.replies.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Reader {
    /// For a socket after its handshake, of which `read` was read already.
    pub(crate) fn new(read: Vec<u8>) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(CLIENT_MESSAGE_MAX_BYTES))
            .max_frame_size(Some(CLIENT_MESSAGE_MAX_BYTES));
        let context = WebSocketContext::from_partially_read(read, Role::Server, Some(config));
        Self { context, replies: vec![] }
    }

    /// The next message, from what was read before or from the socket, which is read at most once,
    /// so that no client keeps a thread to itself. An empty message stands for a ping or a pong.
    /// None: wait for the socket.
    pub(crate) fn next(&mut self, stream: &mut Stream) -> Result<Option<Bytes>, End> {
        let mut pipe = Pipe { stream, replies: &mut self.replies, may_read: true };
        match self.context.read(&mut pipe) {
            Ok(Message::Binary(bytes)) => Ok(Some(bytes)),
            Ok(Message::Ping(_) | Message::Pong(_)) => Ok(Some(Bytes::new())),
            Ok(Message::Close(_)) => {
                // Once more, so that the library answers the close.
                let mut pipe = Pipe { stream, replies: &mut self.replies, may_read: false };
                let _ = self.context.read(&mut pipe);
                Err(End::Gone)
            }
            Ok(Message::Text(_) | Message::Frame(_)) => Err(End::Fault(Refusal::new(
                Code::BadMessage,
                "a text message came; every message of this protocol is binary",
            ))),
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(end(&error)),
        }
    }

    /// What is to be written now, taken.
    pub(crate) fn replies(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.replies)
    }
}

fn end(error: &Error) -> End {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            End::Fault(Refusal::new(
                Code::TooLarge,
                format!("a message has {size} bytes or more; at most {max_size} are allowed"),
            ))
        }
        Error::Io(_)
        | Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Gone,
        error => End::Fault(Refusal::new(
            Code::BadMessage,
            format!("the bytes that came are no WebSocket message: {error}"),
        )),
    }
}

/// The head of a message of `len` bytes from a server.
pub(crate) fn header(opcode: u8, len: usize) -> Head {
    let mut out = Head::new();
    out.push(opcode);
    match len {
        0..=125 => out.push(len as u8),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out
}

/// The last bytes of a connection: the refusal as a message, so that the client has all of it, and
/// a close with its code.
pub(crate) fn farewell(refusal: &Refusal) -> Vec<u8> {
    let told = message::encode(&ServerControl::Refused(refusal.clone()));
    let reason = close_reason(refusal);
    let mut out = header(BINARY, told.len()).to_vec();
    out.extend_from_slice(&told);
    out.extend_from_slice(&header(CLOSE, 2 + reason.len()));
    out.extend_from_slice(&refusal.code.close_code().to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
    out
}
