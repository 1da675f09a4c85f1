//! The bytes of one batch: what all rooms appended in a moment, with a head that says whose it is.
//!
//! | part | bytes |
//! |---|---|
//! | version | 1 |
//! | length of the head | 4 |
//! | hash of the head | 8 |
//! | head | one record for each chunk and for each room that was forgotten |
//! | body | the chunks' bytes, one behind the other |
//!
//! A record is its kind (1 byte), the room's name (length, bytes), the life; and of a chunk `after`,
//! `upto - after`, the length (all as varints) and the hash of its bytes (8 bytes). So a start reads
//! heads only, and a chunk that was damaged on disk concerns its room alone.

use std::ops::Range;

use referee_protocol::bits::{read_varint, write_varint};
use referee_protocol::hash::hash;

use crate::key::RoomKey;
use crate::store::Chunk;

const VERSION: u8 = 1;
/// Version, length of the head, hash of the head.
const FRONT_BYTES: usize = 1 + 4 + 8;

const WRONG_CHECKSUM: &str = "the checksum of its journal is wrong";

const CHUNK: u8 = 0;
const WHOLE: u8 = 1;
const FORGET: u8 = 2;

/// One record of a batch's head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Record {
    /// A chunk of a room.
    Chunk(RoomKey, Spot),
    /// What this room's lives up to this one wrote before does not count any more.
    Forget(RoomKey, u64),
}

/// A chunk as the head tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Spot {
    pub(super) life: u64,
    pub(super) after: u64,
    pub(super) upto: u64,
    pub(super) whole: bool,
    /// Where in the body its bytes begin.
    at: usize,
    pub(super) len: usize,
    hash: u64,
}

impl Spot {
    /// Where in the batch its bytes are. Its head was read whole, so the body is as long as it says.
    pub(super) fn range(&self, body_at: usize) -> Range<usize> {
        let from = body_at + self.at;
        from..from + self.len
    }

    /// The chunk, of the bytes that are there.
    ///
    /// # Errors
    /// When they are not those that were written.
    pub(super) fn chunk(&self, bytes: Vec<u8>) -> Result<Chunk, String> {
        let Self { life, after, upto, whole, hash: hashed, .. } = *self;
        if hash(&bytes) != hashed {
            return Err(WRONG_CHECKSUM.to_owned());
        }
        Ok(Chunk { life, after, upto, whole, bytes })
    }
}

/// The bytes of the chunks of this head.
pub(super) fn body_bytes(records: &[Record]) -> usize {
    let len = |record: &Record| match record {
        Record::Chunk(_, spot) => spot.len,
        Record::Forget(..) => 0,
    };
    records.iter().map(len).sum()
}

/// A batch that is being made.
#[derive(Default)]
pub(super) struct Builder {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Builder {
    /// For so many chunks of so many bytes in all.
    pub(super) fn for_chunks(count: usize, bytes: usize) -> Self {
        const HEAD_BYTES: usize = 64; // about what a chunk takes there
        Self { head: Vec::with_capacity(count * HEAD_BYTES), body: Vec::with_capacity(bytes) }
    }

    /// Adds a chunk, and says where it will be.
    pub(super) fn chunk(&mut self, key: &RoomKey, chunk: &Chunk) -> Spot {
        let spot = Spot {
            life: chunk.life,
            after: chunk.after,
            upto: chunk.upto,
            whole: chunk.whole,
            at: self.body.len(),
            len: chunk.bytes.len(),
            hash: hash(&chunk.bytes),
        };
        self.name(if chunk.whole { WHOLE } else { CHUNK }, key);
        for number in [spot.life, spot.after, spot.upto - spot.after, spot.len as u64] {
            write_varint(&mut self.head, number);
        }
        self.head.extend_from_slice(&spot.hash.to_le_bytes());
        self.body.extend_from_slice(&chunk.bytes);
        spot
    }

    /// Adds that what a room's lives up to this one wrote does not count any more.
    pub(super) fn forget(&mut self, key: &RoomKey, life: u64) {
        self.name(FORGET, key);
        write_varint(&mut self.head, life);
    }

    fn name(&mut self, kind: u8, key: &RoomKey) {
        let (game, match_id) = (key.game.as_str(), key.match_id.as_str());
        self.head.push(kind);
        write_varint(&mut self.head, (game.len() + 1 + match_id.len()) as u64);
        for part in [game, "/", match_id] {
            self.head.extend_from_slice(part.as_bytes());
        }
    }

    /// The batch's bytes.
    pub(super) fn finish(self) -> Vec<u8> {
        let len = u32::try_from(self.head.len()).expect("the queue's bound is far below 4 GiB");
        let mut bytes = Vec::with_capacity(FRONT_BYTES + self.head.len() + self.body.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&hash(&self.head).to_le_bytes());
        bytes.extend_from_slice(&self.head);
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Reads a batch's head.
///
/// # Errors
/// What is wrong with it.
pub(super) fn records(bytes: &[u8]) -> Result<Vec<Record>, String> {
    let (head, hashed, body) = split(bytes)?;
    if hash(head) != hashed {
        return Err("the checksum of a batch's head is wrong".to_owned());
    }
    let (mut rest, mut records, mut at) = (head, Vec::new(), 0);
    while !rest.is_empty() {
        let record = record(&mut rest, at).ok_or("a batch's head cannot be read")?;
        if let Record::Chunk(_, spot) = &record {
            at += spot.len;
        }
        records.push(record);
    }
    if at == body.len() { Ok(records) } else { Err("a batch is cut short".to_owned()) }
}

/// The bytes of a chunk in this batch.
///
/// # Errors
/// What is wrong with them.
pub(super) fn chunk(bytes: &[u8], spot: &Spot) -> Result<Chunk, String> {
    let (_, _, body) = split(bytes)?;
    let there = body.get(spot.range(0)).ok_or(WRONG_CHECKSUM)?;
    spot.chunk(there.to_vec())
}

/// Head, its hash, body.
fn split(bytes: &[u8]) -> Result<(&[u8], u64, &[u8]), String> {
    let short = "a batch is cut short";
    let (front, rest) = bytes.split_first_chunk::<FRONT_BYTES>().ok_or(short)?;
    if front[0] != VERSION {
        let version = front[0];
        return Err(format!("a batch has format {version}, and this version knows {VERSION}"));
    }
    let (len, hashed) = (front[1..5].first_chunk(), front[5..].first_chunk());
    let (Some(len), Some(hashed)) = (len, hashed) else { return Err(short.to_owned()) };
    let len = u32::from_le_bytes(*len) as usize;
    let (head, body) = rest.split_at_checked(len).ok_or(short)?;
    Ok((head, u64::from_le_bytes(*hashed), body))
}

fn record(rest: &mut &[u8], at: usize) -> Option<Record> {
    let kind = *rest.split_off_first()?;
    let name_len = usize::try_from(read_varint(rest).ok()?).ok()?;
    let name = std::str::from_utf8(rest.split_off(..name_len)?).ok()?;
    let key = RoomKey::parse(name)?;
    let life = read_varint(rest).ok()?;
    match kind {
        FORGET => Some(Record::Forget(key, life)),
        CHUNK | WHOLE => {
            let after = read_varint(rest).ok()?;
            let upto = after.checked_add(read_varint(rest).ok()?)?;
            let len = usize::try_from(read_varint(rest).ok()?).ok()?;
            let hash = u64::from_le_bytes(*rest.split_off(..8)?.first_chunk()?);
            at.checked_add(len)?;
            let whole = kind == WHOLE;
            Some(Record::Chunk(key, Spot { life, after, upto, whole, at, len, hash }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> RoomKey {
        RoomKey::parse(name).unwrap()
    }

    fn parts() -> (Vec<u8>, [Chunk; 2]) {
        let one = Chunk { life: 300, after: 4, upto: 9, whole: true, bytes: vec![1, 2, 3] };
        let two = Chunk { life: 7, after: 1 << 40, upto: 1 << 40, whole: false, bytes: vec![4] };
        let mut builder = Builder::default();
        builder.chunk(&key("chess/a"), &one);
        builder.forget(&key("chess/b"), 12);
        builder.chunk(&key("go/a"), &two);
        (builder.finish(), [one, two])
    }

    #[test]
    fn a_batch_round_trips() {
        let (bytes, [one, two]) = parts();
        let records = records(&bytes).unwrap();
        let [Record::Chunk(a, first), Record::Forget(b, 12), Record::Chunk(c, second)] =
            &records[..]
        else {
            panic!("{records:?}")
        };
        assert_eq!([a, b, c], [&key("chess/a"), &key("chess/b"), &key("go/a")]);
        assert_eq!(chunk(&bytes, first), Ok(one));
        assert_eq!(chunk(&bytes, second), Ok(two));
    }

    #[test]
    fn every_damage_is_noticed_and_that_of_a_chunk_by_its_room_alone() {
        let (good, _) = parts();
        let spots = |bytes: &[u8]| {
            let spot = |record| match record {
                Record::Chunk(_, spot) => Some(spot),
                Record::Forget(..) => None,
            };
            records(bytes).map(|all| all.into_iter().filter_map(spot).collect::<Vec<_>>())
        };
        for len in 0..good.len() {
            assert!(records(&good[..len]).is_err(), "cut to {len}");
        }
        let body = good.len() - 4;
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            let read = spots(&bad);
            assert_eq!(read.is_err(), at < body, "flipped at {at}");
            let Ok(spots) = read else { continue };
            let broken = |spot: &Spot| chunk(&bad, spot).is_err();
            let of_first = at < body + 3;
            assert_eq!(spots.iter().map(broken).collect::<Vec<_>>(), [of_first, !of_first]);
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let mut framed = vec![VERSION];
            framed.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            framed.extend_from_slice(&hash(&bytes).to_le_bytes());
            framed.extend_from_slice(&bytes);
            let _ = records(&framed);
            let _ = records(&bytes);
        }
    }
}
