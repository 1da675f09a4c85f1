//! Frames on a plain stream of bytes: each follows its length, a varint. A length of 0 stands for no
//! frame: it says only that the sender is alive.

use std::io::ErrorKind;

use bytes::{Buf, Bytes, BytesMut};
use referee_protocol::bits::read_varint;
use referee_protocol::limits::CLIENT_MESSAGE_MAX_BYTES;
use referee_protocol::message::{self, ServerControl};
use referee_protocol::{Code, Refusal};

use super::socket::{End, Head};
use super::stream::Stream;

/// What is read at once, in bytes.
const READ_BYTES: usize = 4 * 1024;

/// Bytes that the length of the longest message takes: three times seven bits.
const LENGTH_MAX_BYTES: usize = 3;

const _: () = assert!(CLIENT_MESSAGE_MAX_BYTES < 1 << (7 * LENGTH_MAX_BYTES));

/// The read half: holds what has been read of a message.
#[derive(Default)]
pub(crate) struct Reader {
    read: BytesMut,
}

impl Reader {
    /// The next message, from what was read before or from the stream, which is read at most once.
    /// None: wait for the stream.
    pub(crate) fn next(&mut self, stream: &mut Stream) -> Result<Option<Bytes>, End> {
        if let Some(frame) = self.take()? {
            return Ok(Some(frame));
        }
        let mut bytes = [0; READ_BYTES];
        match stream.try_read(&mut bytes) {
            Ok(0) => Err(End::Gone),
            Ok(n) => {
                self.read.extend_from_slice(&bytes[..n]);
                self.take()
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(_) => Err(End::Gone),
        }
    }

    /// A message that was read as a whole.
    fn take(&mut self) -> Result<Option<Bytes>, End> {
        let Some((head, len)) = length(&self.read)? else { return Ok(None) };
        if self.read.len() < head + len {
            return Ok(None);
        }
        let mut frame = match self.read.len() == head + len {
            // Nothing is kept for a client that says nothing.
            true => std::mem::take(&mut self.read),
            false => self.read.split_to(head + len),
        };
        frame.advance(head);
        Ok(Some(frame.freeze()))
    }
}

/// How many bytes the length at the beginning has, and what it is. None: some are missing.
fn length(read: &[u8]) -> Result<Option<(usize, usize)>, End> {
    let head = read.iter().take(LENGTH_MAX_BYTES).position(|byte| byte & 0x80 == 0);
    let Some(last) = head else {
        if read.len() < LENGTH_MAX_BYTES {
            return Ok(None);
        }
        return Err(too_large("more"));
    };
    let number = read_varint(&mut &read[..=last]).map_err(|error| {
        let text = format!("the length of a message could not be read: {error}");
        End::Fault(Refusal::new(Code::BadMessage, text))
    })?;
    if number > CLIENT_MESSAGE_MAX_BYTES as u64 {
        return Err(too_large(&number.to_string()));
    }
    Ok(Some((last + 1, number as usize)))
}

fn too_large(len: &str) -> End {
    let max = CLIENT_MESSAGE_MAX_BYTES;
    let text = format!("a message has {len} bytes; at most {max} are allowed");
    End::Fault(Refusal::new(Code::TooLarge, text))
}

/// What stands before a message of `len` bytes.
pub(crate) fn header(mut len: usize) -> Head {
    let mut out = Head::new();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out
}

/// The last bytes of a connection: the refusal as a message.
pub(crate) fn farewell(refusal: &Refusal) -> Vec<u8> {
    let told = message::encode(&ServerControl::Refused(refusal.clone()));
    let mut out = header(told.len()).to_vec();
    out.extend_from_slice(&told);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<Bytes>, End> {
        let mut reader = Reader { read: BytesMut::from(bytes) };
        let mut frames = vec![];
        while let Some(frame) = reader.take()? {
            frames.push(frame);
        }
        Ok(frames)
    }

    fn code(bytes: &[u8]) -> Code {
        match read(bytes) {
            Err(End::Fault(refusal)) => refusal.code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_message_follows_its_length() {
        assert_eq!(read(&[2, 7, 8, 0, 1, 9]).unwrap(), [&[7, 8][..], &[], &[9]]);
        let long = [header(300), vec![1; 300].into()].concat();
        assert_eq!(long[..2], [0xac, 2]);
        assert_eq!(read(&long).unwrap()[0].len(), 300);
    }

    #[test]
    fn a_length_is_the_protocols_varint() {
        for len in [0, 1, 127, 128, 16_383, 16_384, 1 << 21, 4 << 20] {
            let mut varint = vec![];
            referee_protocol::bits::write_varint(&mut varint, len as u64);
            assert_eq!(header(len).as_slice(), varint);
        }
    }

    #[test]
    fn what_is_not_whole_waits() {
        let whole = [header(200), vec![1; 200].into()].concat();
        for len in 0..whole.len() {
            assert_eq!(read(&whole[..len]).unwrap().len(), 0, "{len}");
        }
        assert_eq!(read(&whole).unwrap().len(), 1);
    }

    #[test]
    fn a_length_is_checked_before_anything_is_kept_for_it() {
        assert_eq!(code(&header(CLIENT_MESSAGE_MAX_BYTES + 1)), Code::TooLarge);
        assert_eq!(code(&[0xff; 3]), Code::TooLarge);
        assert_eq!(code(&[0x80, 0]), Code::BadMessage, "not the shortest form");
        assert_eq!(read(&header(CLIENT_MESSAGE_MAX_BYTES)).unwrap().len(), 0);
    }
}
