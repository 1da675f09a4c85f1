//! WebSocket: the library reads, we write. Its pongs and closes leave through the same writer as
//! the frames of a room, so that no two of them interleave.

use std::cell::RefCell;
use std::future::pending;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use referee_protocol::limits::CLIENT_MESSAGE_MAX_BYTES;
use referee_protocol::message::{self, ServerControl};
use referee_protocol::{Code, Refusal};
use smallvec::SmallVec;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest, Ready};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Peer, SendError, Sent, Wire, tcp};

#[cfg(test)]
mod tests;

/// What a connection reads at once, in bytes, and the size of its read buffer.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// How long a connection that was closed waits for the client to take the reason and close as
/// well, in milliseconds.
pub(crate) const LINGER_MS: u64 = 1_500;

/// Longest reason in a close frame, in bytes: a control frame holds 125, two of them the code.
const CLOSE_REASON_MAX_BYTES: usize = 123;

const BINARY: u8 = 0x80 | 2;
const CLOSE: u8 = 0x80 | 8;
const PING: u8 = 0x80 | 9;

/// The read half: holds what has been read of a message, so it moves with the socket.
pub(crate) struct Reader {
    context: WebSocketContext,
    /// Pongs and closes the library wants written.
    replies: Vec<u8>,
}

/// How reading ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// The client closed the connection, or it broke.
    Gone,
    /// The client broke a rule.
    Fault(Refusal),
}

/// What the library reads from and writes to: one read of the socket, and a buffer.
struct Pipe<'a> {
    stream: &'a TcpStream,
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
    pub(crate) fn next(&mut self, stream: &TcpStream) -> Result<Option<Bytes>, End> {
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

    /// Waits for the next message on a socket that has no room yet.
    pub(crate) async fn wait(&mut self, stream: &mut TcpStream) -> Result<Bytes, End> {
        loop {
            let next = self.next(stream)?;
            let replies = std::mem::take(&mut self.replies);
            if !replies.is_empty() && stream.write_all(&replies).await.is_err() {
                return Err(End::Gone);
            }
            match next {
                Some(bytes) if bytes.is_empty() => {}
                Some(bytes) => return Ok(bytes),
                None => {
                    stream.readable().await.map_err(|_| End::Gone)?;
                    tokio::task::yield_now().await;
                }
            }
        }
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
fn header(opcode: u8, len: usize) -> SmallVec<[u8; 10]> {
    let mut out = SmallVec::new();
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
    let mut reason = refusal.message.as_str();
    while reason.len() > CLOSE_REASON_MAX_BYTES {
        let mut chars = reason.chars();
        chars.next_back();
        reason = chars.as_str();
    }
    let mut out = header(BINARY, told.len()).to_vec();
    out.extend_from_slice(&told);
    out.extend_from_slice(&header(CLOSE, 2 + reason.len()));
    out.extend_from_slice(&refusal.code.close_code().to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
    out
}

/// Refuses a socket that has no room: tells it why and waits a little, so that the client reads it
/// before the socket goes.
pub(crate) async fn refuse(mut stream: TcpStream, refusal: Refusal) {
    let parting = async {
        stream.write_all(&farewell(&refusal)).await?;
        stream.shutdown().await?;
        let mut rest = [0; 512];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // Whoever does not read by then does not get to know.
    let _ = timeout(Duration::from_millis(LINGER_MS), parting).await;
}

/// A socket in a room.
pub(crate) struct Socket {
    stream: TcpStream,
    out: RefCell<Out>,
    /// Something changed that the reading task waits for.
    wake: Notify,
    limit: usize,
}

#[derive(Default)]
struct Out {
    /// What the network has not taken yet.
    waiting: BytesMut,
    /// When it last took something, while bytes wait.
    moved: Option<Instant>,
    /// The last bytes are sent or waiting.
    closing: bool,
    broken: bool,
}

impl Socket {
    /// At most `limit` bytes wait in it.
    pub(crate) fn new(stream: TcpStream, limit: usize) -> Rc<Self> {
        // A socket that is broken is found so when it is read.
        if let Err(error) = tcp::prepare(&stream) {
            tracing::debug!(%error, "a socket could not be set up");
        }
        Rc::new(Self { stream, out: RefCell::default(), wake: Notify::new(), limit })
    }

    fn write(&self, slices: &[IoSlice<'_>], limit: usize) -> Result<Sent, SendError> {
        let mut out = self.out.borrow_mut();
        if out.broken || out.closing {
            return Err(SendError::Gone);
        }
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut taken = 0;
        if out.waiting.is_empty() {
            match self.stream.try_write_vectored(slices) {
                Ok(n) if n == len => return Ok(Sent::Out),
                Ok(n) => taken = n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => {
                    out.broken = true;
                    self.wake.notify_one();
                    return Err(SendError::Gone);
                }
            }
            out.moved = Some(Instant::now());
        }
        let waiting = out.waiting.len() + len - taken;
        let is_full = waiting > limit;
        // A message that was begun is kept all the same: what follows it must find its place.
        if is_full && taken == 0 {
            return Err(SendError::Full { waiting, limit });
        }
        for slice in slices {
            let skip = taken.min(slice.len());
            taken -= skip;
            out.waiting.extend_from_slice(&slice[skip..]);
        }
        self.wake.notify_one();
        if is_full { Err(SendError::Full { waiting, limit }) } else { Ok(Sent::Held) }
    }

    /// Gives the network what waits, as far as it takes it. Says whether that was the last of it.
    fn flush(&self) -> bool {
        let mut out = self.out.borrow_mut();
        let waited = !out.waiting.is_empty();
        while !out.waiting.is_empty() && !out.broken {
            match self.stream.try_write(&out.waiting) {
                Ok(n) => {
                    out.waiting.advance(n);
                    out.moved = Some(Instant::now());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => out.broken = true,
            }
        }
        out.moved = None;
        // The buffer of a client that once fell behind is not kept.
        out.waiting = BytesMut::new();
        waited && !out.broken
    }

    fn has_waiting(&self) -> bool {
        !self.out.borrow().waiting.is_empty()
    }

    fn is_over(&self) -> bool {
        let out = self.out.borrow();
        out.closing || out.broken
    }

    async fn ready(&self, read: bool) -> Ready {
        let interest = match (read, self.has_waiting()) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (true, false) => Interest::READABLE,
            (false, true) => Interest::WRITABLE,
            (false, false) => return pending().await,
        };
        self.stream.ready(interest).await.unwrap_or(Ready::READABLE)
    }

    /// Lets the last bytes leave and the client close, for a while.
    async fn linger(&self) {
        let parting = async {
            while self.has_waiting() {
                self.ready(false).await;
                self.flush();
            }
            let _ = SockRef::from(&self.stream).shutdown(Shutdown::Write);
            let mut rest = [0; 512];
            loop {
                match self.stream.try_read(&mut rest) {
                    Ok(0) => return,
                    Ok(_) => tokio::task::yield_now().await,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        self.ready(true).await;
                    }
                    Err(_) => return,
                }
            }
        };
        let _ = timeout(Duration::from_millis(LINGER_MS), parting).await;
    }
}

impl Wire for Rc<Socket> {
    fn try_send(&self, parts: &[IoSlice<'_>]) -> Result<Sent, SendError> {
        let len = parts.iter().map(|part| part.len()).sum();
        let header = header(BINARY, len);
        let mut slices: SmallVec<[IoSlice<'_>; 8]> = SmallVec::with_capacity(parts.len() + 1);
        slices.push(IoSlice::new(&header));
        slices.extend_from_slice(parts);
        self.write(&slices, self.limit)
    }

    fn probe(&self) {
        // One that does not fit, or does not leave, is missed as any other sign of life.
        let _ = self.write(&[IoSlice::new(&header(PING, 0))], self.limit);
    }

    fn close(&self, refusal: &Refusal) {
        // Beyond the bound: these bytes are few, and the last.
        let _ = self.write(&[IoSlice::new(&farewell(refusal))], usize::MAX);
        self.out.borrow_mut().closing = true;
        self.wake.notify_one();
    }

    fn stalled_since(&self) -> Option<Instant> {
        self.out.borrow().moved
    }
}

/// Reads a socket for its room until it is closed from either end.
pub(crate) async fn serve(socket: Rc<Socket>, mut reader: Reader, peer: impl Peer) {
    let mut paused = false;
    while !socket.is_over() {
        if !paused {
            let took = take(&socket, &mut reader, &peer);
            if !reader.replies.is_empty() {
                let _ = socket.write(&[IoSlice::new(&reader.replies)], socket.limit);
                reader.replies.clear();
            }
            match took {
                // Fragments are no messages, and a socket may always have more of them.
                Ok(Took::All) => tokio::task::yield_now().await,
                Ok(Took::Enough) => paused = true,
                Ok(Took::Share) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Err(End::Gone) => {
                    peer.gone();
                    break;
                }
                Err(End::Fault(refusal)) => {
                    peer.fault(&refusal);
                    break;
                }
            }
        }
        if socket.is_over() {
            break;
        }
        tokio::select! {
            _ = socket.ready(!paused) => {
                if socket.flush() {
                    peer.written();
                }
            }
            () = socket.wake.notified() => {}
            () = peer.ready(), if paused => paused = false,
        }
    }
    if socket.out.borrow().broken {
        peer.gone();
        return;
    }
    socket.linger().await;
}

/// Messages one client may hand over before others get their turn.
const SHARE: usize = 32;

enum Took {
    /// All there was.
    All,
    /// All the room takes for now.
    Enough,
    /// All the client's share; there may be more.
    Share,
}

fn take(socket: &Socket, reader: &mut Reader, peer: &impl Peer) -> Result<Took, End> {
    for _ in 0..SHARE {
        let Some(message) = reader.next(&socket.stream)? else { return Ok(Took::All) };
        if !peer.message(&message) {
            return Ok(Took::Enough);
        }
        if socket.is_over() {
            return Ok(Took::All);
        }
    }
    Ok(Took::Share)
}
