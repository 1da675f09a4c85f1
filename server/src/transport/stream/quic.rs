//! The one stream of a QUIC connection. Its packets are read and written by the endpoint's task on
//! the edge; the stream's own buffers are filled and emptied from the room's thread.

use std::io::{self, IoSlice};
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use quinn::{Connection, RecvStream, SendStream, VarInt};
use referee_protocol::Refusal;

use super::Wish;
use super::side::Sides;
use crate::transport::close_reason;

/// A stream and the connection that exists for it.
pub(crate) struct QuicStream {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    sides: Sides,
}

impl QuicStream {
    /// The stream that a client opened.
    pub(crate) fn new(connection: Connection, send: SendStream, receive: RecvStream) -> Self {
        Self { connection, send, receive, sides: Sides::new() }
    }

    pub(super) fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let receive = &mut self.receive;
        self.sides.read.attempt(|cx| receive.poll_read(cx, into).map_err(Into::into))
    }

    /// The library takes what fits into the send window, under one lock and without another copy.
    pub(super) fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let send = &mut self.send;
        let mut chunks = [join(slices)];
        self.sides.write.attempt(|cx| {
            // Nothing is lost with a future that is dropped before its end: it has taken nothing.
            let written = pin!(send.write_chunks(&mut chunks)).poll(cx);
            written.map_ok(|written| written.bytes).map_err(Into::into)
        })
    }

    pub(super) fn poll_ready(&self, cx: &Context<'_>, wish: Wish) -> Poll<()> {
        self.sides.poll_ready(cx, wish)
    }

    pub(super) fn finish(&mut self) {
        // Fails only when the stream is over anyway.
        let _ = self.send.finish();
    }

    pub(super) fn end(&self, refusal: Option<&Refusal>) {
        match refusal {
            Some(refusal) => close(&self.connection, refusal),
            None => self.connection.close(VarInt::from_u32(0), b""),
        }
    }

    /// How many packets of the client came in.
    pub(super) fn received(&self) -> u64 {
        self.connection.stats().udp_rx.datagrams
    }
}

/// Closes a connection with the code of a refusal and the beginning of its text.
pub(crate) fn close(connection: &Connection, refusal: &Refusal) {
    let code = VarInt::from_u32(u32::from(refusal.code.close_code()));
    connection.close(code, close_reason(refusal).as_bytes());
}

fn join(slices: &[IoSlice<'_>]) -> Bytes {
    let mut all = BytesMut::with_capacity(slices.iter().map(|slice| slice.len()).sum());
    slices.iter().for_each(|slice| all.extend_from_slice(slice));
    all.freeze()
}
