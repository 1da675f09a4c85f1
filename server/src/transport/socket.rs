//! A client's connection: any stream of bytes with any framing. A room writes into it at once; what
//! the network does not take waits here, bounded, and leaves before anything newer.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io::{ErrorKind, IoSlice};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use referee_protocol::Refusal;
use smallvec::SmallVec;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::stream::{Moving, Stream, Wish};
use super::{SendError, Sent, Wire, framed, websocket};
use crate::metrics::Transport;

mod read;
#[cfg(test)]
mod tests;

use read::Took;
pub(crate) use read::serve;

/// How long a connection that was closed waits for the client to take the reason and close as
/// well, in milliseconds.
pub(crate) const LINGER_MS: u64 = 1_500;

/// How long after a probe the stream is asked whether its other end lives, in milliseconds. Again
/// and again, until it says so or the client is given up.
const LOOK_MS: u64 = 250;

/// What stands before a message.
pub(crate) type Head = SmallVec<[u8; 10]>;

/// How reading ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// The client closed the connection, or it broke.
    Gone,
    /// The client broke a rule.
    Fault(Refusal),
}

/// The read half: holds what has been read of a message, so it moves with the stream.
pub(crate) enum Reader {
    /// WebSocket.
    WebSocket(Box<websocket::Reader>),
    /// Each message behind its length.
    Framed(framed::Reader),
}

impl Reader {
    /// For a WebSocket after its handshake, of which `read` was read already.
    pub(crate) fn websocket(read: Vec<u8>) -> Self {
        Self::WebSocket(Box::new(websocket::Reader::new(read)))
    }

    /// For a stream on which each message stands behind its length.
    pub(crate) fn framed() -> Self {
        Self::Framed(framed::Reader::default())
    }

    /// How the other half is written.
    pub(crate) fn framing(&self) -> Framing {
        match self {
            Self::WebSocket(_) => Framing::WebSocket,
            Self::Framed(_) => Framing::Framed,
        }
    }

    /// The next message. The stream is read at most once, so that no client keeps a thread to
    /// itself. An empty message is a sign of life. None: wait for the stream.
    fn next(&mut self, stream: &mut Stream) -> Result<Option<Bytes>, End> {
        match self {
            Self::WebSocket(reader) => reader.next(stream),
            Self::Framed(reader) => reader.next(stream),
        }
    }

    /// What the framing itself answers.
    fn replies(&mut self) -> Vec<u8> {
        match self {
            Self::WebSocket(reader) => reader.replies(),
            Self::Framed(_) => vec![],
        }
    }

    /// Waits for the next message on a connection that has no room yet.
    pub(crate) async fn wait(&mut self, stream: &mut Stream) -> Result<Bytes, End> {
        loop {
            let next = self.next(stream)?;
            let replies = self.replies();
            if !replies.is_empty() && stream.write_all(&replies).await.is_err() {
                return Err(End::Gone);
            }
            match next {
                Some(bytes) if bytes.is_empty() => {}
                Some(bytes) => return Ok(bytes),
                None => {
                    stream.ready(Wish::READ).await;
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

/// How messages stand in a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Framing {
    /// As WebSocket says.
    WebSocket,
    /// Behind their lengths.
    Framed,
}

impl Framing {
    fn header(self, len: usize) -> Head {
        match self {
            Self::WebSocket => websocket::header(websocket::BINARY, len),
            Self::Framed => framed::header(len),
        }
    }

    /// A message to which a client's stack gives a sign of life: WebSocket answers a ping, QUIC
    /// acknowledges whatever comes.
    fn probe(self) -> Head {
        match self {
            Self::WebSocket => websocket::header(websocket::PING, 0),
            Self::Framed => framed::header(0),
        }
    }

    /// The last bytes of a connection.
    pub(crate) fn farewell(self, refusal: &Refusal) -> Vec<u8> {
        match self {
            Self::WebSocket => websocket::farewell(refusal),
            Self::Framed => framed::farewell(refusal),
        }
    }
}

/// Refuses a connection that has no room: tells it why and waits a little, so that the client reads
/// it before the stream goes.
pub(crate) async fn refuse(mut stream: Stream, framing: Framing, refusal: Refusal) {
    let parting = async {
        if stream.write_all(&framing.farewell(&refusal)).await.is_ok() {
            stream.finish();
            stream.read_to_end().await;
        }
    };
    // Whoever does not read by then does not get to know.
    let _ = timeout(Duration::from_millis(LINGER_MS), parting).await;
    stream.end(Some(&refusal));
}

/// A connection in a room.
pub(crate) struct Socket {
    stream: RefCell<Stream>,
    reader: RefCell<Reader>,
    framing: Framing,
    out: RefCell<Out>,
    /// Its room reads it before its ticks, and not the task that looks after it: see [`read`].
    gathered: Cell<bool>,
    /// What the room found as it read, where that is for the task.
    found: RefCell<Option<Result<Took, End>>>,
    /// No more is taken of the client for now.
    paused: Cell<bool>,
    /// When the client's next ping is awaited.
    ping_due: Cell<Option<Instant>>,
    /// Something changed that the reading task waits for.
    wake: Notify,
    limit: usize,
    /// The client was probed, and the stream stood at this mark then.
    probed: Cell<Option<u64>>,
    /// Whoever reads it is to stop: it moves to another thread.
    called_back: Cell<bool>,
}

/// A connection between two threads.
pub(crate) struct Traveller {
    stream: Moving,
    reader: Reader,
    out: Out,
    limit: usize,
    probed: Option<u64>,
    ping_due: Option<Instant>,
}

impl Traveller {
    /// On the thread of the caller. Fails only when the socket is broken.
    pub(crate) fn land(self) -> std::io::Result<Rc<Socket>> {
        let Self { stream, reader, out, limit, probed, ping_due } = self;
        let socket = Socket::with(stream.land()?, reader, limit);
        socket.out.replace(out);
        socket.probed.set(probed);
        socket.ping_due.set(ping_due);
        Ok(Rc::new(socket))
    }
}

/// Bytes whose leaving counts as progress where more wait. Fewer do not: a client that lets single bytes
/// trickle out, and says that it got everything, would hold its place for ever. In the time that a client
/// may stall a modem takes more.
const PROGRESS_MIN_BYTES: usize = 16 * 1024;

#[derive(Default)]
struct Out {
    /// What the network has not taken yet.
    waiting: BytesMut,
    /// While bytes wait: since when they have not all left, nor [`PROGRESS_MIN_BYTES`] of them.
    stalled: Option<Instant>,
    /// What has left since then, in bytes.
    progress: usize,
    /// Why, when the last bytes are sent or waiting.
    closing: Option<Refusal>,
    broken: bool,
}

impl Out {
    /// So many bytes have left.
    fn left(&mut self, bytes: usize) {
        self.progress += bytes;
        if self.progress >= PROGRESS_MIN_BYTES {
            self.begin();
        }
    }

    /// What waits now has waited since now.
    fn begin(&mut self) {
        (self.stalled, self.progress) = (Some(Instant::now()), 0);
    }
}

impl Socket {
    /// At most `limit` bytes wait in it.
    pub(crate) fn new(stream: Stream, reader: Reader, limit: usize) -> Rc<Self> {
        let socket = Self::with(stream, reader, limit);
        // The first ping follows the first answer.
        socket.ping_due.set(Some(Instant::now()));
        Rc::new(socket)
    }

    fn with(stream: Stream, reader: Reader, limit: usize) -> Self {
        Self {
            stream: RefCell::new(stream),
            framing: reader.framing(),
            reader: RefCell::new(reader),
            out: RefCell::default(),
            gathered: Cell::new(false),
            found: RefCell::new(None),
            paused: Cell::new(false),
            ping_due: Cell::new(None),
            wake: Notify::new(),
            limit,
            probed: Cell::new(None),
            called_back: Cell::new(false),
        }
    }

    /// Asks whoever reads it to stop, so that it may move to another thread.
    pub(crate) fn call_back(&self) {
        self.called_back.set(true);
        self.wake.notify_one();
    }

    /// It stays after all. Who had stopped reading it is to go on.
    pub(crate) fn stay(&self) {
        self.called_back.set(false);
    }

    /// Leaves its runtime, once nobody else holds it. None when it is broken.
    pub(crate) fn depart(self: Rc<Self>) -> Option<Traveller> {
        let Self { stream, reader, out, limit, probed, ping_due, .. } =
            Rc::try_unwrap(self).ok()?;
        let (stream, out) = (stream.into_inner().depart().ok()?, out.into_inner());
        let (reader, probed, ping_due) = (reader.into_inner(), probed.get(), ping_due.get());
        Some(Traveller { stream, reader, out, limit, probed, ping_due })
    }

    fn write(&self, slices: &[IoSlice<'_>], limit: usize) -> Result<Sent, SendError> {
        let mut out = self.out.borrow_mut();
        if out.broken || out.closing.is_some() {
            return Err(SendError::Gone);
        }
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut taken = 0;
        if out.waiting.is_empty() {
            let mut stream = self.stream.borrow_mut();
            match stream.try_write(slices) {
                Ok(n) if n == len && !stream.has_kept() => return Ok(Sent::Out),
                Ok(n) => taken = n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => {
                    out.broken = true;
                    self.wake.notify_one();
                    return Err(SendError::Gone);
                }
            }
            // What TLS kept has left when more is taken.
            if taken > 0 || out.stalled.is_none() {
                out.begin();
            }
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
        let waited = self.has_waiting();
        let mut out = self.out.borrow_mut();
        let mut stream = self.stream.borrow_mut();
        while !(out.waiting.is_empty() && !stream.has_kept() || out.broken) {
            let kept = stream.has_kept();
            let taken = match kept {
                true => stream.try_flush(),
                false => stream.try_write(&[IoSlice::new(&out.waiting)]),
            };
            match taken {
                Ok(n) => {
                    out.waiting.advance(if kept { 0 } else { n });
                    // What the stream keeps counts when that leaves.
                    out.left(if stream.has_kept() && !kept { 0 } else { n });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => out.broken = true,
            }
        }
        (out.stalled, out.progress) = (None, 0);
        // The buffer of a client that once fell behind is not kept.
        out.waiting = BytesMut::new();
        waited && !out.broken
    }

    fn has_waiting(&self) -> bool {
        !self.out.borrow().waiting.is_empty() || self.stream.borrow().has_kept()
    }

    fn is_over(&self) -> bool {
        let out = self.out.borrow();
        out.closing.is_some() || out.broken
    }

    async fn ready(&self, read: bool) {
        let wish = Wish { read, write: self.has_waiting() };
        if !wish.read && !wish.write {
            return pending().await;
        }
        poll_fn(|cx| self.stream.borrow_mut().poll_ready(cx, wish)).await;
    }

    /// Lets the last bytes leave and the client close, for a while.
    async fn linger(&self) {
        let parting = async {
            while self.has_waiting() {
                self.ready(false).await;
                self.flush();
            }
            self.stream.borrow_mut().finish();
            self.read_to_end().await;
        };
        let _ = timeout(Duration::from_millis(LINGER_MS), parting).await;
        self.stream.borrow_mut().end(self.out.borrow().closing.as_ref());
    }

    async fn read_to_end(&self) {
        let mut rest = [0; 512];
        loop {
            let read = self.stream.borrow_mut().try_read(&mut rest);
            match read {
                Ok(0) => return,
                Ok(_) => tokio::task::yield_now().await,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.ready(true).await,
                Err(_) => return,
            }
        }
    }

    /// Ends when the stream may have heard of a probed client.
    async fn look(&self) -> u64 {
        match self.probed.get() {
            Some(mark) => {
                sleep(Duration::from_millis(LOOK_MS)).await;
                mark
            }
            None => pending().await,
        }
    }

    /// Whether the stream has heard of the client since it was probed.
    fn has_heard(&self, mark: u64) -> bool {
        let heard = self.stream.borrow().lives_since(mark);
        if heard {
            self.probed.set(None);
        }
        heard
    }
}

impl Wire for Rc<Socket> {
    fn try_send(&self, parts: &[IoSlice<'_>]) -> Result<Sent, SendError> {
        let len = parts.iter().map(|part| part.len()).sum();
        let header = self.framing.header(len);
        let mut slices: SmallVec<[IoSlice<'_>; 8]> = SmallVec::with_capacity(parts.len() + 1);
        slices.push(IoSlice::new(&header));
        slices.extend_from_slice(parts);
        self.write(&slices, self.limit)
    }

    fn probe(&self) {
        if self.framing == Framing::Framed {
            self.probed.set(Some(self.stream.borrow().mark()));
            self.wake.notify_one();
        }
        // One that does not fit, or does not leave, is missed as any other sign of life.
        let _ = self.write(&[IoSlice::new(&self.framing.probe())], self.limit);
    }

    fn pinged(&self, now: Instant) {
        self.await_ping(now);
    }

    fn close(&self, refusal: &Refusal) {
        // Beyond the bound: these bytes are few, and the last.
        let _ = self.write(&[IoSlice::new(&self.framing.farewell(refusal))], usize::MAX);
        self.out.borrow_mut().closing.get_or_insert_with(|| refusal.clone());
        self.wake.notify_one();
    }

    fn transport(&self) -> Transport {
        self.stream.borrow().transport()
    }

    fn stalled_since(&self) -> Option<Instant> {
        self.out.borrow().stalled
    }

    fn socket(&self) -> Option<Rc<Socket>> {
        Some(self.clone())
    }
}
