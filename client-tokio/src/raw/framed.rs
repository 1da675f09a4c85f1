//! Frames over a byte stream: each is preceded by its length, a varint. A stream that ends may have
//! said why in its last frame.

use super::{RawError, Received};
use referee_protocol::bits::{BitError, read_varint, write_varint};
use referee_protocol::frame::{Lane, split};
use referee_protocol::limits::SERVER_MESSAGE_MAX_BYTES;
use referee_protocol::message::{self, ServerControl};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Read at once; most frames of a game are far smaller.
const BUFFER_BYTES: usize = 4 * 1024;
/// Reserved for a frame before its bytes are here; what comes makes room for more.
const RESERVED_BYTES: usize = 16 * 1024;
/// The longest varint.
const LENGTH_MAX_BYTES: usize = 10;

/// Why bytes are no frames.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FramingError {
    /// The length is none that any encoder writes.
    #[error("the length of a frame cannot be read: {0}")]
    Length(#[from] BitError),
    /// The frame would be too large.
    #[error("a frame of {length} bytes is announced; {max} are allowed")]
    TooLarge {
        /// Its length in bytes.
        length: u64,
        /// The most there may be, in bytes.
        max: usize,
    },
    /// The stream ended within a frame.
    #[error("the stream ended within a frame")]
    CutShort,
}

/// Takes frames out of a byte stream, whatever pieces it comes in.
#[derive(Debug)]
pub(crate) struct FrameReader {
    max: usize,
    head: [u8; LENGTH_MAX_BYTES],
    head_len: usize,
    /// The length and the beginning of a frame whose length is read.
    body: Option<(usize, Vec<u8>)>,
}

impl FrameReader {
    /// Frames of up to `max` bytes.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, head: [0; LENGTH_MAX_BYTES], head_len: 0, body: None }
    }

    /// Takes bytes from the front of `input` until a frame is whole or there are no more.
    pub(crate) fn read(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, FramingError> {
        if self.body.is_none() && !self.read_length(input)? {
            return Ok(None);
        }
        let Some((length, body)) = &mut self.body else { return Ok(None) };
        let taken = (*length - body.len()).min(input.len());
        let (now, later) = input.split_at(taken);
        let wanted = body.len() + taken;
        if wanted > body.capacity() {
            // Twice as much as is here, but never more than was announced.
            body.reserve_exact((2 * wanted).min(*length) - body.len());
        }
        body.extend_from_slice(now);
        *input = later;
        let whole = body.len() == *length;
        Ok(self.body.take_if(|_| whole).map(|(_, body)| body))
    }

    /// Whether the length is read.
    fn read_length(&mut self, input: &mut &[u8]) -> Result<bool, FramingError> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            self.head[self.head_len] = byte;
            self.head_len += 1;
            if byte < 0x80 || self.head_len == LENGTH_MAX_BYTES {
                let head_len = std::mem::take(&mut self.head_len);
                let length = read_varint(&mut &self.head[..head_len])?;
                let max = self.max;
                let fits = usize::try_from(length).ok().filter(|length| *length <= max);
                let length = fits.ok_or(FramingError::TooLarge { length, max })?;
                self.body = Some((length, Vec::with_capacity(length.min(RESERVED_BYTES))));
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the last frame is whole.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.head_len == 0 && self.body.is_none()
    }
}

/// What the frames of a connection travel on.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> ByteStream for S {}

/// A byte stream with frames on it.
pub(crate) struct Framed<S> {
    pub(crate) stream: S,
    reader: FrameReader,
    buffer: Box<[u8]>,
    /// What of the buffer is read from the stream and not yet taken.
    unread: std::ops::Range<usize>,
    out: Vec<u8>,
    /// The last frame, if it is a control message.
    last_words: Vec<u8>,
}

impl<S: ByteStream> Framed<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            reader: FrameReader::new(SERVER_MESSAGE_MAX_BYTES),
            buffer: vec![0; BUFFER_BYTES].into(),
            unread: 0..0,
            out: Vec::new(),
            last_words: Vec::new(),
        }
    }

    /// Sends a frame. Given up half-way, it leaves a stream that is good for nothing more.
    pub(crate) async fn send(&mut self, frame: &[u8]) -> Result<(), RawError> {
        self.out.clear();
        write_varint(&mut self.out, frame.len() as u64);
        self.out.extend_from_slice(frame);
        self.stream.write_all(&self.out).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next frame; none when the stream has ended. Nothing is lost when it is given up and
    /// called again.
    pub(crate) async fn receive(&mut self) -> Result<Option<Vec<u8>>, RawError> {
        loop {
            let mut input = &self.buffer[self.unread.clone()];
            let frame = self.reader.read(&mut input)?;
            self.unread.start = self.unread.end - input.len();
            if let Some(frame) = frame {
                self.last_words.clear();
                if frame.first() == Some(&(Lane::Control as u8)) {
                    self.last_words.extend_from_slice(&frame);
                }
                return Ok(Some(frame));
            }
            let read = self.stream.read(&mut self.buffer).await?;
            self.unread = 0..read;
            if read == 0 {
                let whole = self.reader.is_between_frames();
                return if whole { Ok(None) } else { Err(FramingError::CutShort.into()) };
            }
        }
    }

    /// The end of a connection that has no close code of its own: as the last frame said it.
    pub(crate) fn end(&self) -> Received {
        let refusal = match split(&self.last_words) {
            Ok((Lane::Control, body)) => message::decode::<ServerControl>(body).ok(),
            _ => None,
        };
        match refusal {
            Some(ServerControl::Refused(refusal)) => {
                Received::Closed { code: Some(refusal.code.close_code()), reason: refusal.message }
            }
            _ => Received::Closed { code: None, reason: String::new() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use referee_protocol::{Code, Refusal};

    #[test]
    fn golden_bytes() {
        let mut frame = vec![5; 300];
        let stream = [&[0, 1, 7, 0xac, 0x02][..], &frame, &[3]].concat();
        let mut reader = FrameReader::new(300);
        let mut input = &stream[..];
        assert_eq!(reader.read(&mut input), Ok(Some(vec![])), "a sign of life");
        assert_eq!(reader.read(&mut input), Ok(Some(vec![7])));
        assert_eq!(reader.read(&mut input), Ok(Some(frame.clone())));
        assert!(reader.is_between_frames());
        assert_eq!(reader.read(&mut input), Ok(None));
        assert!(!reader.is_between_frames());
        frame.push(0);
        let mut input = &[0xad, 0x02, 1][..];
        let error = FrameReader::new(300).read(&mut input).unwrap_err();
        assert_eq!(error.to_string(), "a frame of 301 bytes is announced; 300 are allowed");
        let mut reader = FrameReader::new(300);
        assert!(reader.read(&mut &[0xff; 10][..]).is_err());
        assert_eq!(reader.read(&mut &[1, 7][..]), Ok(Some(vec![7])), "no fault is a panic later");
        let mut longer_than_need_be = &[0x81, 0x00][..];
        assert!(FrameReader::new(300).read(&mut longer_than_need_be).is_err());
    }

    #[tokio::test]
    async fn a_frame_is_sent_behind_its_length() {
        let (near, mut far) = tokio::io::duplex(64);
        Framed::new(near).send(&[9; 3]).await.unwrap();
        let mut bytes = vec![];
        far.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, [3, 9, 9, 9]);
    }

    #[tokio::test]
    async fn a_receive_that_is_given_up_loses_nothing() {
        let (near, mut far) = tokio::io::duplex(1);
        let mut near = Framed::new(near);
        let frame: Vec<u8> = (0..200).collect();
        let bytes = [&[0xc8, 0x01][..], &frame].concat();
        let mut seen = None;
        for byte in bytes {
            assert_eq!(seen, None);
            far.write_all(&[byte]).await.unwrap();
            // Polled with nothing to read, and dropped, after each byte.
            tokio::select! {
                biased;
                frame = near.receive() => seen = frame.unwrap(),
                () = std::future::ready(()) => {}
            }
        }
        assert_eq!(seen, Some(frame));
    }

    #[tokio::test]
    async fn a_stream_that_ends_says_why() {
        let (near, mut far) = tokio::io::duplex(256);
        let mut near = Framed::new(near);
        let refused = ServerControl::Refused(Refusal::new(Code::Full, "no seat"));
        let frame = message::encode(&refused);
        far.write_all(&[frame.len() as u8]).await.unwrap();
        far.write_all(&frame).await.unwrap();
        drop(far);
        assert_eq!(near.receive().await.unwrap(), Some(frame));
        assert_eq!(near.receive().await.unwrap(), None);
        let end = Received::Closed { code: Some(4023), reason: "no seat".into() };
        assert_eq!(near.end(), end);

        let (near, mut far) = tokio::io::duplex(64);
        far.write_all(&[4, 1]).await.unwrap();
        drop(far);
        let cut = Framed::new(near).receive().await.unwrap_err();
        assert_eq!(cut.to_string(), "the stream ended within a frame");
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..8),
            piece in 1usize..500,
        ) {
            let mut bytes = vec![];
            for frame in &frames {
                write_varint(&mut bytes, frame.len() as u64);
                bytes.extend_from_slice(frame);
            }
            let mut reader = FrameReader::new(400);
            let mut read = vec![];
            for mut input in bytes.chunks(piece) {
                while let Some(frame) = reader.read(&mut input).unwrap() {
                    read.push(frame);
                }
            }
            prop_assert!(reader.is_between_frames());
            prop_assert_eq!(read, frames);
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_allocate_no_more_than_the_limit(
            bytes in prop::collection::vec(any::<u8>(), 0..2_000),
            piece in 1usize..300,
            max in 0usize..1_000,
        ) {
            let mut reader = FrameReader::new(max);
            for mut input in bytes.chunks(piece) {
                while let Ok(Some(frame)) = reader.read(&mut input) {
                    prop_assert!(frame.capacity() <= max);
                }
                let held = reader.body.as_ref().map_or(0, |(_, body)| body.capacity());
                prop_assert!(held <= max, "{held} of {max}");
                if !input.is_empty() {
                    break;
                }
            }
        }

        #[test]
        fn a_length_alone_reserves_little(length in 0u64..=SERVER_MESSAGE_MAX_BYTES as u64) {
            let mut reader = FrameReader::new(SERVER_MESSAGE_MAX_BYTES);
            let mut head = vec![];
            write_varint(&mut head, length);
            reader.read(&mut &head[..]).unwrap();
            let held = reader.body.as_ref().map_or(0, |(_, body)| body.capacity());
            prop_assert!(held <= RESERVED_BYTES);
        }
    }
}
