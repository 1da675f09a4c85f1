//! How a TCP socket of a room is set up, so that little lies in the kernel: what is in there is old
//! by the time it leaves, and can be taken back no more.

use std::cell::Cell;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::task::{Context, Poll};

use referee_protocol::limits::LINK_SILENCE_MAX_MS;
use smallvec::SmallVec;
use socket2::SockRef;
use tokio::io::Interest;

use super::gather::{Gather, Gathered};
use super::stream::Wish;

/// Bytes that the kernel keeps of what was sent and not acknowledged, and with it the most that is
/// in flight: 128 KiB over a path of 100 ms are more than a megabyte a second for each client. (Linux
/// allots twice this, for its own book-keeping.)
pub(crate) const SEND_BUFFER_BYTES: usize = 128 * 1024;

/// Bytes in the kernel that have not left yet before it takes no more: a few ordinary frames. What
/// comes then waits in the server, where a newer state takes its place before it is made.
pub(crate) const UNSENT_MAX_BYTES: u32 = 16 * 1024;

/// How long the kernel tries to get bytes to a peer that acknowledges nothing, in milliseconds.
/// Rooms let go of such a client earlier; this frees what lies in the kernel after that.
pub(crate) const USER_TIMEOUT_MS: u64 = 2 * LINK_SILENCE_MAX_MS;

/// Sets a socket up for a room. A system that does not know one of the options serves all the same.
pub(crate) fn prepare(socket: &TcpStream) {
    if let Err(error) = set(&SockRef::from(socket)) {
        tracing::debug!(%error, "a socket could not be set up for its room");
    }
}

fn set(socket: &SockRef<'_>) -> io::Result<()> {
    // Frames are written whole; to wait for more of them would only delay.
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        socket.set_tcp_notsent_lowat(UNSENT_MAX_BYTES)?;
        socket.set_tcp_user_timeout(Some(std::time::Duration::from_millis(USER_TIMEOUT_MS)))?;
    }
    Ok(())
}

/// A TCP socket of a connection.
pub(crate) enum Tcp {
    /// The runtime tells when it can be read or written.
    Watched(Watched),
    /// Its room reads it before its ticks.
    Gathered(Gathered),
    /// It could not go from one to the other, and is closed.
    Lost,
}

/// See [`Tcp::Watched`].
pub(crate) struct Watched {
    socket: tokio::net::TcpStream,
    /// The runtime has had no time to find that it can be written.
    fresh: Cell<bool>,
}

impl Watched {
    fn new(socket: tokio::net::TcpStream) -> Self {
        Self { socket, fresh: Cell::new(true) }
    }

    fn try_write(&self, write: impl Fn(&SockRef<'_>) -> io::Result<usize>) -> io::Result<usize> {
        let socket = SockRef::from(&self.socket);
        match self.socket.try_io(Interest::WRITABLE, || write(&socket)) {
            Err(error) if self.fresh.get() && error.kind() == ErrorKind::WouldBlock => {
                write(&socket)
            }
            written => written,
        }
    }
}

impl Tcp {
    /// Of a socket that the runtime knows.
    pub(crate) fn watched(socket: tokio::net::TcpStream) -> Self {
        Self::Watched(Watched::new(socket))
    }

    /// From now on its room reads it. Nobody is woken by it any more. False where the system does not tell as it
    /// has to for that.
    pub(crate) fn gather(&mut self, gather: &Arc<Gather>) -> bool {
        if !EDGES {
            return false;
        }
        let watched = match std::mem::replace(self, Self::Lost) {
            Self::Watched(watched) => watched.socket,
            other => {
                *self = other;
                return true;
            }
        };
        let gathered = watched.into_std().map(|socket| Gathered::new(gather, socket));
        match gathered {
            Ok(Ok(socket)) => *self = Self::Gathered(socket),
            // The system has no more of what that takes.
            Ok(Err(socket)) => {
                let watched = tokio::net::TcpStream::from_std(socket);
                *self = watched.map_or(Self::Lost, Self::watched);
                return matches!(self, Self::Lost);
            }
            Err(_) => {}
        }
        true
    }

    /// From now on the runtime tells.
    pub(crate) fn watch(&mut self) {
        *self = match std::mem::replace(self, Self::Lost) {
            Self::Gathered(socket) => {
                let socket = socket.into_socket().and_then(tokio::net::TcpStream::from_std);
                socket.map_or(Self::Lost, Self::watched)
            }
            other => other,
        };
    }

    /// Apart from its runtime.
    pub(crate) fn into_std(self) -> io::Result<TcpStream> {
        match self {
            Self::Watched(watched) => watched.socket.into_std(),
            Self::Gathered(socket) => socket.into_socket(),
            Self::Lost => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// Whether its room reads it, and may find something: also that it is lost.
    pub(crate) fn is_due(&self) -> bool {
        match self {
            Self::Watched(_) => false,
            Self::Gathered(socket) => socket.is_readable(),
            Self::Lost => true,
        }
    }

    /// Whether reading, or writing, may work now. Else the task is woken when it may; where the room reads it,
    /// never. An error is found by whoever reads or writes next.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>, wish: Wish) -> Poll<()> {
        let Self::Watched(Watched { socket, fresh }) = self else {
            return if matches!(self, Self::Lost) { Poll::Ready(()) } else { Poll::Pending };
        };
        let read = wish.read && socket.poll_read_ready(cx).is_ready();
        let write = wish.write && socket.poll_write_ready(cx).is_ready();
        fresh.set(fresh.get() && !write);
        if read || write { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Reads what is there. `WouldBlock` when nothing is, 0 at the end.
    ///
    /// A read that does not fill `into` has taken all there was, so it is noted at once that there is no more:
    /// nobody asks the kernel a second time to hear that. What comes meanwhile is told as it always is, since
    /// edges are watched for.
    pub(crate) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        let socket = match self {
            Self::Watched(watched) => return try_read(&watched.socket, into),
            Self::Gathered(socket) => socket,
            Self::Lost => return Err(ErrorKind::NotConnected.into()),
        };
        if !socket.is_readable() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut stream = socket.socket();
        let read = stream.read(into);
        let is_all = match &read {
            Ok(read) => *read > 0 && *read < into.len(),
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        if is_all {
            socket.was_read();
        }
        read
    }

    /// Writes the beginning of `slices`, as much as is taken now. `WouldBlock` when nothing is.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut gathered: SmallVec<[u8; TOGETHER_MAX_BYTES]> = SmallVec::new();
        let together = len <= TOGETHER_MAX_BYTES;
        if together {
            slices.iter().for_each(|slice| gathered.extend_from_slice(slice));
        }
        let write = |socket: &SockRef<'_>| match together {
            true => socket.send(&gathered),
            false => socket.send_vectored(slices),
        };
        match self {
            Self::Watched(watched) => watched.try_write(write),
            Self::Gathered(socket) => write(&SockRef::from(socket.socket())),
            Self::Lost => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// Says that nothing more will be written.
    pub(crate) fn finish(&self) {
        let _ = match self {
            Self::Watched(watched) => SockRef::from(&watched.socket).shutdown(Shutdown::Write),
            Self::Gathered(socket) => socket.socket().shutdown(Shutdown::Write),
            Self::Lost => Ok(()),
        };
    }
}

fn try_read(socket: &tokio::net::TcpStream, into: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    let asked = socket.try_io(Interest::READABLE, || {
        read = (&*SockRef::from(socket)).read(into)?;
        if EDGES && read > 0 && read < into.len() {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(())
    });
    if read > 0 { Ok(read) } else { asked.map(|()| 0) }
}

/// Frames up to so many bytes are put together before they are sent: to copy them costs less than what the
/// kernel does for a list of slices.
const TOGETHER_MAX_BYTES: usize = 2 * 1024;

/// Whether the system tells of what comes after the socket was found empty by a short read, which is so
/// with epoll and kqueue. (tokio reads like this as well: `PollEvented::poll_read`.)
const EDGES: bool = cfg!(unix);
