//! A WebSocket's bytes by hand, as far as a load needs them: messages in one piece, masked with zeros.
//! A library would cost the load more than all else that it does.

/// What a frame is.
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// It is the last of its message.
const FIN: u8 = 0x80;
/// A client's bytes are masked; a mask of zeros leaves them as they are.
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0; 4];

/// The request that asks for a WebSocket.
pub(crate) fn request(port: u16, path: &str) -> String {
    format!(
        "GET /{path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
}

/// Takes the answer to it from the front. False: not all of it is here.
pub(crate) fn take_answer(bytes: &mut &[u8]) -> Result<bool, String> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(end) = bytes.windows(END.len()).position(|window| window == END) else {
        return Ok(false);
    };
    let (head, rest) = bytes.split_at(end + END.len());
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(format!("no WebSocket: {}", String::from_utf8_lossy(head)));
    }
    *bytes = rest;
    Ok(true)
}

/// Puts a message behind what `out` holds.
pub(crate) fn put(out: &mut Vec<u8>, message: &[u8]) {
    put_frame(out, BINARY, message);
}

/// Puts the answer to a ping.
pub(crate) fn put_pong(out: &mut Vec<u8>, ping: &[u8]) {
    put_frame(out, PONG, ping);
}

fn put_frame(out: &mut Vec<u8>, opcode: u8, body: &[u8]) {
    out.push(FIN | opcode);
    match u16::try_from(body.len()) {
        Ok(len @ 0..=125) => out.push(MASKED | len as u8),
        Ok(len) => {
            out.push(MASKED | 126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        Err(_) => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(body.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend_from_slice(body);
}

/// What a server sent.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Frame<'a> {
    Message(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
}

/// Takes a frame from the front. None: not all of it is here.
pub(crate) fn take<'a>(bytes: &mut &'a [u8]) -> Result<Option<Frame<'a>>, String> {
    let Some((head, len)) = lengths(bytes) else { return Ok(None) };
    if ((bytes.len() - head) as u64) < len {
        return Ok(None);
    }
    let opcode = bytes[0];
    let (body, rest) = bytes[head..].split_at(len as usize);
    *bytes = rest;
    if opcode == FIN | BINARY {
        Ok(Some(Frame::Message(body)))
    } else if opcode == FIN | PING {
        Ok(Some(Frame::Ping(body)))
    } else if opcode == FIN | PONG {
        Ok(Some(Frame::Pong))
    } else if opcode == FIN | CLOSE {
        let reason = body.get(2..).unwrap_or_default();
        Err(format!("the server closed: {}", String::from_utf8_lossy(reason)))
    } else {
        Err(format!("a frame came that no server of ours sends: {opcode:#x}"))
    }
}

/// The lengths of what stands before a body, and of the body.
fn lengths(bytes: &[u8]) -> Option<(usize, u64)> {
    match bytes.get(1)? {
        126 => Some((4, u16::from_be_bytes(*bytes.get(2..4)?.first_chunk()?).into())),
        127 => Some((10, u64::from_be_bytes(*bytes.get(2..10)?.first_chunk()?))),
        len => Some((2, u64::from(*len))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server sends it: without a mask.
    fn sent(opcode: u8, len: usize) -> Vec<u8> {
        let mut out = vec![];
        put_frame(&mut out, opcode, &vec![5; len]);
        let head = out.len() - len - MASK.len();
        out.drain(head..head + MASK.len());
        out[1] &= !MASKED;
        out
    }

    #[test]
    fn frames_are_taken_when_they_are_whole() {
        for len in [0, 125, 126, 65_535, 65_536] {
            let whole = sent(BINARY, len);
            for cut in [0, 1, whole.len() - 1] {
                assert_eq!(take(&mut &whole[..cut]), Ok(None), "{cut} of {len}");
            }
            let two = [whole, sent(PING, 3)].concat();
            let mut rest = &two[..];
            assert_eq!(take(&mut rest), Ok(Some(Frame::Message(&vec![5; len]))));
            assert_eq!(take(&mut rest), Ok(Some(Frame::Ping(&[5; 3]))));
            assert_eq!(take(&mut rest), Ok(None));
        }
    }

    #[test]
    fn an_end_and_what_nobody_sends_are_told() {
        assert!(take(&mut &sent(CLOSE, 9)[..]).unwrap_err().contains("closed"));
        assert!(take(&mut &sent(1, 3)[..]).unwrap_err().contains("0x81"));
    }

    #[test]
    fn an_answer_is_taken_when_it_is_whole() {
        let mut early = &b"HTTP/1.1 101 Switching\r\n\r"[..];
        assert_eq!(take_answer(&mut early), Ok(false));
        let mut whole = &b"HTTP/1.1 101 Switching\r\n\r\nrest"[..];
        assert_eq!((take_answer(&mut whole), whole), (Ok(true), &b"rest"[..]));
        assert!(take_answer(&mut &b"HTTP/1.1 503 Busy\r\n\r\n"[..]).unwrap_err().contains("503"));
    }
}
