//! A stream within this process.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::Wish;
use super::side::Sides;

/// One end of a pipe.
pub(crate) struct MemoryStream {
    stream: DuplexStream,
    sides: Sides,
}

impl MemoryStream {
    pub(super) fn new(stream: DuplexStream) -> Self {
        Self { stream, sides: Sides::new() }
    }

    pub(super) fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut into = ReadBuf::new(into);
        self.sides.read.attempt(|cx| Pin::new(&mut self.stream).poll_read(cx, &mut into))?;
        Ok(into.filled().len())
    }

    pub(super) fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let stream = Pin::new(&mut self.stream);
        self.sides.write.attempt(|cx| stream.poll_write_vectored(cx, slices))
    }

    pub(super) fn poll_ready(&self, cx: &Context<'_>, wish: Wish) -> Poll<()> {
        self.sides.poll_ready(cx, wish)
    }

    pub(super) fn finish(&mut self) {
        // A pipe is shut at once.
        let _ = self.sides.write.attempt(|cx| Pin::new(&mut self.stream).poll_shutdown(cx));
    }
}
