//! How a TCP socket of a room is set up, so that little lies in the kernel: what is in there is old
//! by the time it leaves, and can be taken back no more.

use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::TcpStream;

use referee_protocol::limits::LINK_SILENCE_MAX_MS;
use smallvec::SmallVec;
use socket2::SockRef;
use tokio::io::Interest;

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

/// Reads what is there. `WouldBlock` when nothing is, 0 at the end.
///
/// A read that does not fill `into` has taken all there was, so the runtime is told at once that it has
/// to wait: nobody asks the kernel a second time to hear that there is no more. What comes meanwhile
/// wakes the task as it always does, since the runtime watches for edges.
pub(crate) fn try_read(socket: &tokio::net::TcpStream, into: &mut [u8]) -> io::Result<usize> {
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
const GATHERED_MAX_BYTES: usize = 2 * 1024;

/// Writes the beginning of `slices`, as much as is taken now. `WouldBlock` when nothing is.
pub(crate) fn try_write(
    socket: &tokio::net::TcpStream,
    slices: &[IoSlice<'_>],
) -> io::Result<usize> {
    let len: usize = slices.iter().map(|slice| slice.len()).sum();
    if len > GATHERED_MAX_BYTES {
        return socket.try_write_vectored(slices);
    }
    let mut gathered: SmallVec<[u8; GATHERED_MAX_BYTES]> = SmallVec::new();
    slices.iter().for_each(|slice| gathered.extend_from_slice(slice));
    socket.try_io(Interest::WRITABLE, || SockRef::from(socket).send(&gathered))
}

/// Whether the system tells of what comes after the socket was found empty by a short read, which is so
/// with epoll and kqueue. (tokio reads like this as well: `PollEvented::poll_read`.)
const EDGES: bool = cfg!(unix);
