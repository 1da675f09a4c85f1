//! Sockets that nobody waits for: which of them have something to read is asked when their room is about to
//! tick, for all of a thread's at once. What comes in between wakes nobody.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
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
    /// What is known of sockets, by their tokens.
    known: Vec<Known>,
    /// Tokens of sockets that have gone.
    free: Vec<usize>,
    looked: Option<Instant>,
}

/// What is known of a socket.
#[derive(Clone, Copy)]
struct Known {
    /// There may be something to read.
    readable: bool,
    /// Its end is to be read, after what came before it. That is told once, and maybe together with these.
    ended: bool,
}

/// Of a socket of which nothing was told yet.
const UNKNOWN: Known = Known { readable: true, ended: false };

impl Gather {
    /// Without sockets.
    ///
    /// # Errors
    /// When the system has no more of what it takes.
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self(Mutex::new(Inner {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            known: vec![],
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
                let ended = event.is_read_closed() || event.is_error();
                if let Some(known) = inner.known.get_mut(event.token().0) {
                    known.ended |= ended;
                    known.readable |= ended || event.is_readable();
                }
            }
            if count < EVENTS {
                return;
            }
        }
    }
}

/// A socket among them, until this is dropped.
pub(crate) struct Gathered {
    /// Before its place: with it the system forgets of what it told.
    socket: TcpStream,
    slot: Slot,
}

/// A socket's place among them.
struct Slot {
    gather: Arc<Gather>,
    token: usize,
}

impl Gathered {
    /// Takes a socket in, of which it is not known whether it has something to read.
    ///
    /// # Errors
    /// The socket, when the system does not take it.
    pub(crate) fn new(
        gather: &Arc<Gather>,
        socket: std::net::TcpStream,
    ) -> Result<Self, std::net::TcpStream> {
        let mut socket = TcpStream::from_std(socket);
        let mut inner = gather.inner();
        let token = inner.free.last().copied().unwrap_or(inner.known.len());
        let registry = inner.poll.registry();
        if registry.register(&mut socket, Token(token), Interest::READABLE).is_err() {
            return Err(socket.into());
        }
        match inner.free.pop() {
            Some(_) => inner.known[token] = UNKNOWN,
            None => inner.known.push(UNKNOWN),
        }
        drop(inner);
        Ok(Self { socket, slot: Slot { gather: gather.clone(), token } })
    }

    /// The socket.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether there may be something to read.
    pub(crate) fn is_readable(&self) -> bool {
        self.slot.gather.inner().known[self.slot.token].readable
    }

    /// All there was has been read.
    pub(crate) fn was_read(&self) {
        let known = &mut self.slot.gather.inner().known[self.slot.token];
        known.readable = known.ended;
    }

    /// The socket, no longer among the others.
    ///
    /// # Errors
    /// When the system does not let it go.
    pub(crate) fn into_socket(mut self) -> io::Result<std::net::TcpStream> {
        self.slot.gather.inner().poll.registry().deregister(&mut self.socket)?;
        Ok(self.socket.into())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.gather.inner().free.push(self.token);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    fn pair() -> (std::net::TcpStream, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        server.set_nonblocking(true).unwrap();
        (server, client)
    }

    /// Looks until it is readable; each look is later than the one before by more than is waited for.
    fn becomes_readable(gather: &Gather, socket: &Gathered) {
        let start = Instant::now();
        for looks in 1.. {
            gather.look(start + looks * LOOK_EVERY);
            if socket.is_readable() {
                return;
            }
        }
    }

    #[test]
    fn a_look_tells_of_what_came_since_and_one_just_after_does_not_ask() {
        let gather = Gather::new().unwrap();
        let (server, mut client) = pair();
        let socket = Gathered::new(&gather, server).unwrap();
        assert!(socket.is_readable(), "nobody knows");
        socket.was_read();
        let start = Instant::now();
        gather.look(start);
        assert!(!socket.is_readable());
        client.write_all(b"a").unwrap();
        gather.look(start + LOOK_EVERY / 2);
        assert!(!socket.is_readable(), "it was just done");
        becomes_readable(&gather, &socket);
        let mut stream = socket.socket();
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 1);
        socket.was_read();
        // The end is told once, together with what came just before it.
        client.write_all(b"bc").unwrap();
        drop(client);
        becomes_readable(&gather, &socket);
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 2);
        while !gather.inner().known[0].ended {
            gather.look(Instant::now() + LOOK_EVERY);
        }
        socket.was_read();
        assert!(socket.is_readable(), "what is left is the end");
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn places_are_used_again_and_a_socket_that_left_is_as_it_was() {
        let gather = Gather::new().unwrap();
        let mut left = Vec::new();
        for _ in 0..3 {
            let many: Vec<_> = (0..20).map(|_| pair()).collect();
            let (servers, clients): (Vec<_>, Vec<_>) = many.into_iter().unzip();
            let gathered = servers.into_iter().map(|server| Gathered::new(&gather, server));
            let mut gathered: Vec<_> = gathered.map(Result::unwrap).collect();
            left.push((gathered.pop().unwrap().into_socket().unwrap(), clients));
        }
        assert_eq!(gather.inner().known.len(), 20);
        for (mut server, mut clients) in left {
            server.set_nonblocking(false).unwrap();
            clients.pop().unwrap().write_all(b"b").unwrap();
            assert_eq!(server.read(&mut [0; 8]).unwrap(), 1);
        }
    }
}
