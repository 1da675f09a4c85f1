//! TLS over TCP. Records are made and read where the stream is used: no task stands between a room
//! and the socket. What TLS has encrypted and the network has not taken is kept here, bounded.

use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Write};

use rustls::ServerConnection;
use tokio::net::TcpStream;

use crate::transport::tcp::Tcp;

/// Bytes of records that may wait here for the network, about; more is not taken.
const KEPT_MAX_BYTES: usize = 64 * 1024;

/// A socket and what TLS knows of it, after the handshake.
pub(crate) struct TlsStream {
    socket: Tcp,
    session: ServerConnection,
}

/// What TLS reads records from and writes them to.
struct Raw<'a>(&'a Tcp);

impl Read for Raw<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TlsStream {
    /// After the handshake.
    pub(crate) fn new(socket: TcpStream, mut session: ServerConnection) -> Self {
        session.set_buffer_limit(Some(KEPT_MAX_BYTES));
        Self { socket: Tcp::watched(socket), session }
    }

    pub(super) fn into_parts(self) -> (Tcp, ServerConnection) {
        (self.socket, self.session)
    }

    pub(super) fn socket(&self) -> &Tcp {
        &self.socket
    }

    pub(super) fn socket_mut(&mut self) -> &mut Tcp {
        &mut self.socket
    }

    /// Whether bytes are here that were read and decrypted, but not asked for.
    pub(super) fn has_read(&mut self) -> bool {
        // At the end, or when it broke, reading says so at once.
        !matches!(self.session.reader().fill_buf(), Err(error) if is_early(&error))
    }

    pub(super) fn has_kept(&self) -> bool {
        self.session.wants_write()
    }

    /// Reads the socket at most once.
    pub(super) fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.session.reader().read(into) {
            Err(error) if is_early(&error) => {}
            read => return read,
        }
        // An end without a word is an end as well: frames say themselves where they end.
        if self.session.read_tls(&mut Raw(&self.socket))? == 0 {
            return Ok(0);
        }
        let processed = self.session.process_new_packets();
        // Answers of TLS itself, and what is wrong with the other end.
        if self.has_kept() {
            let _ = self.try_flush();
        }
        processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        self.session.reader().read(into)
    }

    pub(super) fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // What was taken earlier leaves first; while it does not, nothing is added.
        while self.has_kept() {
            self.try_flush()?;
        }
        let taken = self.session.writer().write_vectored(slices)?;
        while self.has_kept() {
            match self.try_flush() {
                Ok(_) => {}
                Err(error) if is_early(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    pub(super) fn try_flush(&mut self) -> io::Result<usize> {
        if !self.has_kept() {
            return Ok(0);
        }
        match self.session.write_tls(&mut Raw(&self.socket))? {
            0 => Err(ErrorKind::WriteZero.into()),
            n => Ok(n),
        }
    }

    pub(super) fn finish(&mut self) {
        self.session.send_close_notify();
        let _ = self.try_flush();
        self.socket.finish();
    }
}

fn is_early(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}
