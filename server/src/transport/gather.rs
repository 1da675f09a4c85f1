//! Sockets that nobody waits for: which of them have something to read is asked when their room is about to
//! tick, for all of a thread's at once. What comes in between wakes nobody.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

/// How long what was found by a look is taken for all there is: rooms that tick one after the other look once.
const LOOK_EVERY: Duration = Duration::from_micros(250);

/// Sockets that one look tells of at once; it goes on while there are more.
const EVENTS: usize = 512;

/// The sockets of one thread.
pub(crate) struct Gather(Mutex<Inner>);

struct Inner {
    poll: Poll,
    events: Events,
    /// Whether a socket may have something to read, by its token.
    readable: Vec<bool>,
    /// Tokens of sockets that have gone.
    free: Vec<usize>,
    looked: Option<Instant>,
}

impl Gather {
    /// Without sockets.
    ///
    /// # Errors
    /// When the system has no more of what it takes.
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self(Mutex::new(Inner {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            readable: vec![],
            free: vec![],
            looked: None,
        }))))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the system which sockets have something to read, unless that was just done.
    pub(crate) fn look(&self, now: Instant) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        if inner.looked.is_some_and(|at| now.saturating_duration_since(at) < LOOK_EVERY) {
            return;
        }
        inner.looked = Some(now);
        loop {
            // It is interrupted, or else a socket stays unread for a tick.
            if inner.poll.poll(&mut inner.events, Some(Duration::ZERO)).is_err() {
                return;
            }
            let mut count = 0;
            for event in &inner.events {
                count += 1;
                let is_news = event.is_readable() || event.is_read_closed() || event.is_error();
                if let (true, Some(readable)) = (is_news, inner.readable.get_mut(event.token().0)) {
                    *readable = true;
                }
            }
            if count < EVENTS {
                return;
            }
        }
    }
}

/// A socket among them.
pub(crate) struct Gathered {
    /// Before the socket: it is taken out while that is still open.
    slot: Slot,
    socket: TcpStream,
}

/// A socket's place among them.
struct Slot {
    gather: Arc<Gather>,
    token: usize,
    fd: RawFd,
}

impl Gathered {
    /// Takes a socket in, of which it is not known whether it has something to read.
    ///
    /// # Errors
    /// When the system does not take it.
    pub(crate) fn new(gather: &Arc<Gather>, socket: TcpStream) -> io::Result<Self> {
        let fd = socket.as_raw_fd();
        let mut inner = gather.inner();
        let registry = inner.poll.registry();
        let token = inner.free.last().copied().unwrap_or(inner.readable.len());
        registry.register(&mut SourceFd(&fd), Token(token), Interest::READABLE)?;
        match inner.free.pop() {
            Some(_) => inner.readable[token] = true,
            None => inner.readable.push(true),
        }
        drop(inner);
        Ok(Self { slot: Slot { gather: gather.clone(), token, fd }, socket })
    }

    /// The socket.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether there may be something to read.
    pub(crate) fn is_readable(&self) -> bool {
        self.slot.gather.inner().readable[self.slot.token]
    }

    /// All there was has been read.
    pub(crate) fn was_read(&self) {
        self.slot.gather.inner().readable[self.slot.token] = false;
    }

    /// The socket, no longer among the others.
    pub(crate) fn into_socket(self) -> TcpStream {
        let Self { slot, socket } = self;
        drop(slot);
        socket
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut inner = self.gather.inner();
        // It can fail only where it was not in there.
        let _ = inner.poll.registry().deregister(&mut SourceFd(&self.fd));
        inner.free.push(self.token);
    }
}
