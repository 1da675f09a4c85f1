//! Streams of bytes: what a connection is made of below its frames. All of them are read and
//! written without waiting and without a task of their own, so that a room's thread sends straight
//! into them; a stream moves from the thread that accepted it to the thread of its room.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};

use referee_protocol::Refusal;
use tokio::io::DuplexStream;
use tokio::net::TcpStream;

use super::gather::Gather;
use super::tcp::{self, Tcp};
use crate::metrics::Transport;

mod memory;
mod quic;
mod side;
mod tls;

pub(crate) use memory::MemoryStream;
pub(crate) use quic::{QuicStream, close};
pub(crate) use tls::TlsStream;

/// A stream of bytes on the runtime of the thread that uses it.
pub(crate) enum Stream {
    /// TCP.
    Tcp(Tcp),
    /// TLS over TCP.
    Tls(Box<TlsStream>),
    /// The one stream of a QUIC connection.
    Quic(Box<QuicStream>),
    /// Within this process.
    Memory(Box<MemoryStream>),
}

/// A stream between two runtimes.
pub(crate) enum Moving {
    /// Sockets belong to a runtime.
    Tcp(std::net::TcpStream),
    /// As above, with what TLS knows.
    Tls(std::net::TcpStream, Box<rustls::ServerConnection>),
    /// Belongs to no runtime.
    Free(Stream),
}

impl Moving {
    /// On the runtime of the caller, whose room it is for. Fails only when the socket is broken.
    pub(crate) fn land(self) -> io::Result<Stream> {
        if let Self::Tcp(socket) | Self::Tls(socket, _) = &self {
            tcp::prepare(socket);
        }
        Ok(match self {
            Self::Tcp(socket) => Stream::tcp(TcpStream::from_std(socket)?),
            Self::Tls(socket, session) => {
                Stream::Tls(Box::new(TlsStream::new(TcpStream::from_std(socket)?, *session)))
            }
            Self::Free(stream) => stream,
        })
    }
}

impl Stream {
    /// TCP.
    pub(crate) fn tcp(socket: TcpStream) -> Self {
        Self::Tcp(Tcp::watched(socket))
    }

    /// Within this process.
    pub(crate) fn memory(stream: DuplexStream) -> Self {
        Self::Memory(Box::new(MemoryStream::new(stream)))
    }

    /// Takes the stream from its runtime. Fails only when the socket is broken.
    pub(crate) fn depart(self) -> io::Result<Moving> {
        Ok(match self {
            Self::Tcp(socket) => Moving::Tcp(socket.into_std()?),
            Self::Tls(stream) => {
                let (socket, session) = stream.into_parts();
                Moving::Tls(socket.into_std()?, Box::new(session))
            }
            free @ (Self::Quic(_) | Self::Memory(_)) => Moving::Free(free),
        })
    }

    /// What carries it.
    pub(crate) fn transport(&self) -> Transport {
        match self {
            Self::Tcp(_) => Transport::Ws,
            Self::Tls(_) => Transport::Wss,
            Self::Quic(_) => Transport::Quic,
            Self::Memory(_) => Transport::Memory,
        }
    }

    /// Reads what is there. `WouldBlock` when nothing is, 0 at the end.
    pub(crate) fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_read(into),
            Self::Tls(stream) => stream.try_read(into),
            Self::Quic(stream) => stream.try_read(into),
            Self::Memory(stream) => stream.try_read(into),
        }
    }

    /// Writes the beginning of `slices`, as much as is taken now. `WouldBlock` when nothing is.
    pub(crate) fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write(slices),
            Self::Tls(stream) => stream.try_write(slices),
            Self::Quic(stream) => stream.try_write(slices),
            Self::Memory(stream) => stream.try_write(slices),
        }
    }

    /// Whether bytes that were taken are still here, not with the network.
    pub(crate) fn has_kept(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.has_kept(),
            Self::Tcp(_) | Self::Quic(_) | Self::Memory(_) => false,
        }
    }

    /// Gives the network of the kept bytes what it takes now; 0 when there are none.
    pub(crate) fn try_flush(&mut self) -> io::Result<usize> {
        match self {
            Self::Tls(stream) => stream.try_flush(),
            Self::Tcp(_) | Self::Quic(_) | Self::Memory(_) => Ok(0),
        }
    }

    /// Whether reading, or writing, may work now. Else the task is woken when it may.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>, wish: Wish) -> Poll<()> {
        match self {
            Self::Tcp(socket) => socket.poll_ready(cx, wish),
            Self::Tls(stream) => match wish.read && stream.has_read() {
                true => Poll::Ready(()),
                false => stream.socket().poll_ready(cx, wish),
            },
            Self::Quic(stream) => stream.poll_ready(cx, wish),
            Self::Memory(stream) => stream.poll_ready(cx, wish),
        }
    }

    /// Waits until reading, or writing, may work.
    pub(crate) async fn ready(&mut self, wish: Wish) {
        poll_fn(|cx| self.poll_ready(cx, wish)).await;
    }

    /// Writes all of it, however long that takes.
    pub(crate) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() || self.has_kept() {
            let taken = match bytes {
                [] => self.try_flush().map(|_| 0),
                bytes => self.try_write(&[IoSlice::new(bytes)]),
            };
            match taken {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.ready(Wish::WRITE).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads and forgets until the other end is done.
    pub(crate) async fn read_to_end(&mut self) {
        let mut rest = [0; 512];
        loop {
            match self.try_read(&mut rest) {
                Ok(0) => return,
                Ok(_) => tokio::task::yield_now().await,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.ready(Wish::READ).await;
                }
                Err(_) => return,
            }
        }
    }

    /// Says that nothing more will be written. All that was written still leaves.
    pub(crate) fn finish(&mut self) {
        match self {
            Self::Tcp(socket) => socket.finish(),
            Self::Tls(stream) => stream.finish(),
            Self::Quic(stream) => stream.finish(),
            Self::Memory(stream) => stream.finish(),
        }
    }

    /// Ends the connection, with the code of the refusal where the transport has codes of its own.
    pub(crate) fn end(&mut self, refusal: Option<&Refusal>) {
        if let Self::Quic(stream) = self {
            stream.end(refusal);
        }
    }

    /// From now on its room reads it before its ticks, and nobody is woken by it. Gives whether it is one that
    /// can be read so.
    pub(crate) fn gather(&mut self, gather: &Arc<Gather>) -> bool {
        match self {
            Self::Tcp(socket) => socket.gather(gather),
            Self::Tls(stream) => stream.socket_mut().gather(gather),
            Self::Quic(_) | Self::Memory(_) => false,
        }
    }

    /// From now on the runtime tells when it can be read.
    pub(crate) fn watch(&mut self) {
        match self {
            Self::Tcp(socket) => socket.watch(),
            Self::Tls(stream) => stream.socket_mut().watch(),
            Self::Quic(_) | Self::Memory(_) => {}
        }
    }

    /// Whether its room reads it, and may find something.
    pub(crate) fn is_due(&mut self) -> bool {
        match self {
            Self::Tcp(socket) => socket.is_due(),
            Self::Tls(stream) => stream.socket().is_due() || stream.has_read(),
            Self::Quic(_) | Self::Memory(_) => false,
        }
    }

    /// A mark for [`Stream::lives_since`].
    pub(crate) fn mark(&self) -> u64 {
        match self {
            Self::Quic(stream) => stream.received(),
            Self::Tcp(_) | Self::Tls(_) | Self::Memory(_) => 0,
        }
    }

    /// Whether the other end, or its network stack, gave a sign of life since the mark was made,
    /// as far as the stream itself can say. TCP says nothing of it.
    pub(crate) fn lives_since(&self, mark: u64) -> bool {
        match self {
            Self::Quic(stream) => stream.received() != mark,
            // It lives as long as this process does, or it is at its end.
            Self::Memory(_) => true,
            Self::Tcp(_) | Self::Tls(_) => false,
        }
    }
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wish {
    /// That there is something to read.
    pub(crate) read: bool,
    /// That something can be written.
    pub(crate) write: bool,
}

impl Wish {
    /// To read.
    pub(crate) const READ: Self = Self { read: true, write: false };
    /// To write.
    pub(crate) const WRITE: Self = Self { read: false, write: true };
}
