//! How rooms lie in their database: its tables, and the bytes of one stored room and of one chunk.

use redb::TableDefinition;
use referee_protocol::hash::Hasher;

use super::chain::Base;
use super::{Chunk, StoredRoom};

/// The format of the whole file; a build refuses a file with a higher one. 1 had no journal beside it, 2 no
/// alarms, 3 did not say what is gone and how much is used.
pub(super) const FORMAT: u32 = 4;

/// What is known of the store as a whole.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// [`FORMAT`], as four bytes, little-endian.
pub(super) const META_FORMAT: &str = "format";
/// The key of the resume tokens, 32 bytes.
pub(super) const META_TOKEN_KEY: &str = "token_key";
/// The first number that was never reserved, as eight bytes, little-endian.
pub(super) const META_NUMBERS: &str = "numbers";
/// What the store and its journal know each other by, 16 bytes.
pub(super) const META_STORE: &str = "store";
/// The bytes of all values of rooms, of what is beside them and of their past, as eight bytes,
/// little-endian.
pub(super) const META_USED: &str = "used_bytes";

/// `game/match` -> the room's bytes.
pub(super) const ROOMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rooms");
/// A day on which a room was saved or settled and its name: what has expired is found without reading
/// rooms. Entries of earlier days may be left; a later one counts.
pub(super) const DAYS: TableDefinition<'_, (u32, &str), ()> = TableDefinition::new("days");
/// When a room is to be woken, in milliseconds since 1970, and its name: what is due is found without
/// reading rooms.
pub(super) const ALARMS: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("alarms");
/// A room's name, the batch of the journal in which a chunk was and its place there -> the chunk:
/// what follows on the room's snapshot and came before all that the journal has.
pub(super) const TAILS: TableDefinition<'_, (&str, u64, u32), &[u8]> =
    TableDefinition::new("tails");
/// A room's name and the last tick of a chunk -> the chunk, kept for replays.
pub(super) const HISTORY: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("history");
/// A room that was removed, and the last life that anything of it was of: of what the journal has of it,
/// lives up to this one do not count. Here until the journal says so itself, on disk.
pub(super) const GONE: TableDefinition<'_, &str, u64> = TableDefinition::new("gone");

/// The first byte of a room's bytes; 1 had no tick, 2 no alarm.
const ROOM_VERSION: u8 = 3;
/// Of all versions: version, created, incarnation, saved; then the tick, from the second on; then the
/// alarm; then hash.
const SAVED_AT: usize = 1 + 8 + 8;
const TICK_AT: usize = SAVED_AT + 8;
const ALARM_AT: usize = TICK_AT + 8;
/// Stands for a room that has no alarm.
const NO_ALARM: u64 = u64::MAX;
/// The first byte of a chunk's bytes.
const CHUNK_VERSION: u8 = 1;
/// Version, saved, life, after, upto, whole.
const CHUNK_HEAD_BYTES: usize = 1 + 8 * 4 + 1;
const HASH_BYTES: usize = 8;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

const SHORT: &str = "it is cut short";
const CHECKSUM: &str = "its checksum is wrong";

/// The day since 1970 that a time lies in.
pub(super) fn day(unix_ms: u64) -> u32 {
    u32::try_from(unix_ms / DAY_MS).unwrap_or(u32::MAX)
}

/// A room's bytes: a head of fixed length, then the snapshot. The hash covers all but itself.
pub(super) fn encode(room: &StoredRoom) -> Vec<u8> {
    let snapshot = room.snapshot.as_deref().expect("what is saved has a snapshot");
    let mut bytes = Vec::with_capacity(ALARM_AT + 8 + HASH_BYTES + snapshot.len());
    bytes.push(ROOM_VERSION);
    let StoredRoom { created_unix_ms, incarnation, saved_unix_ms, tick, .. } = *room;
    let alarm = room.alarm_unix_ms.unwrap_or(NO_ALARM);
    for number in [created_unix_ms, incarnation, saved_unix_ms, tick, alarm] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    seal(bytes, snapshot)
}

/// Reads a room's bytes; its tick apart, because old ones do not say it.
///
/// # Errors
/// What is wrong with them.
pub(super) fn decode(bytes: &[u8]) -> Result<(StoredRoom, Option<u64>), String> {
    let head_len = room_head_len(bytes)?;
    let (head, snapshot) = unseal(bytes, head_len)?;
    let field = |at| number(head, at).ok_or(SHORT);
    let tick = if head_len > TICK_AT { Some(field(TICK_AT)?) } else { None };
    let room = StoredRoom {
        created_unix_ms: field(1)?,
        incarnation: field(9)?,
        saved_unix_ms: field(SAVED_AT)?,
        tick: tick.unwrap_or(0),
        alarm_unix_ms: alarm_of(bytes),
        snapshot: Some(snapshot.to_vec()),
        ..StoredRoom::default()
    };
    Ok((room, tick))
}

fn room_head_len(bytes: &[u8]) -> Result<usize, String> {
    match bytes.first() {
        Some(1) => Ok(TICK_AT),
        Some(2) => Ok(ALARM_AT),
        Some(&ROOM_VERSION) => Ok(ALARM_AT + 8),
        Some(&newer) if newer > ROOM_VERSION => Err(format!(
            "its format is {newer} and this version knows formats up to {ROOM_VERSION}; \
             update this server"
        )),
        _ => Err("it does not begin as a stored room".to_owned()),
    }
}

/// What a room's bytes say about their snapshot, without looking at all of them.
pub(super) fn base_of(bytes: &[u8]) -> Option<Base> {
    let tick = room_head_len(bytes).ok()? > TICK_AT;
    let tick = if tick { Some(number(bytes, TICK_AT)?) } else { None };
    Some(Base { life: number(bytes, 9)?, tick })
}

/// When a room is to be woken, by its bytes.
pub(super) fn alarm_of(bytes: &[u8]) -> Option<u64> {
    let has = room_head_len(bytes).ok()? > ALARM_AT;
    has.then(|| number(bytes, ALARM_AT)).flatten().filter(|alarm| *alarm != NO_ALARM)
}

/// The day on which a room's bytes were saved; none when they are no room's.
pub(super) fn day_of(bytes: &[u8]) -> Option<u32> {
    room_head_len(bytes).ok()?;
    number(bytes, SAVED_AT).map(day)
}

/// A chunk's bytes, and when it was saved.
pub(super) fn encode_chunk(chunk: &Chunk, saved_unix_ms: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CHUNK_HEAD_BYTES + HASH_BYTES + chunk.bytes.len());
    bytes.push(CHUNK_VERSION);
    for number in [saved_unix_ms, chunk.life, chunk.after, chunk.upto] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.push(u8::from(chunk.whole));
    seal(bytes, &chunk.bytes)
}

/// Reads a chunk's bytes.
///
/// # Errors
/// What is wrong with them.
pub(super) fn decode_chunk(bytes: &[u8]) -> Result<Chunk, String> {
    match bytes.first() {
        Some(&CHUNK_VERSION) => {}
        Some(&newer) if newer > CHUNK_VERSION => {
            return Err(format!(
                "its journal has format {newer} and this version knows formats up to \
                 {CHUNK_VERSION}; update this server"
            ));
        }
        _ => return Err("its journal does not begin as one".to_owned()),
    }
    let (head, rest) = unseal(bytes, CHUNK_HEAD_BYTES)?;
    let field = |at| number(head, at).ok_or(SHORT);
    Ok(Chunk {
        life: field(9)?,
        after: field(17)?,
        upto: field(25)?,
        whole: head[CHUNK_HEAD_BYTES - 1] == 1,
        bytes: rest.to_vec(),
    })
}

/// Life and last tick of a chunk's bytes, without looking at all of them.
pub(super) fn reach_of(bytes: &[u8]) -> Option<(u64, u64)> {
    (bytes.first() == Some(&CHUNK_VERSION)).then_some(())?;
    Some((number(bytes, 9)?, number(bytes, 25)?))
}

/// When a chunk's bytes were saved.
pub(super) fn chunk_saved(bytes: &[u8]) -> Option<u64> {
    (bytes.first() == Some(&CHUNK_VERSION)).then(|| number(bytes, 1)).flatten()
}

/// A head, a hash of everything but itself, the rest.
fn seal(mut head: Vec<u8>, rest: &[u8]) -> Vec<u8> {
    let hash = hash(&head, rest);
    head.extend_from_slice(&hash.to_le_bytes());
    head.extend_from_slice(rest);
    head
}

/// The head and the rest, when the hash is right.
fn unseal(bytes: &[u8], head_len: usize) -> Result<(&[u8], &[u8]), String> {
    let (head, rest) = bytes.split_at_checked(head_len).ok_or(SHORT)?;
    let (hashed, rest) = rest.split_first_chunk::<HASH_BYTES>().ok_or(SHORT)?;
    if u64::from_le_bytes(*hashed) == hash(head, rest) {
        Ok((head, rest))
    } else {
        Err(CHECKSUM.to_owned())
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*eight))
}

fn hash(head: &[u8], rest: &[u8]) -> u64 {
    let mut hasher = Hasher::default();
    hasher.write(head);
    hasher.write(rest);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> StoredRoom {
        StoredRoom {
            created_unix_ms: 1,
            incarnation: 2,
            saved_unix_ms: 3 * DAY_MS,
            tick: 9,
            alarm_unix_ms: Some(77),
            snapshot: Some(vec![4, 5]),
            ..StoredRoom::default()
        }
    }

    fn chunk() -> Chunk {
        Chunk { life: 1, after: 2, upto: 3, whole: true, bytes: vec![4, 5] }
    }

    #[test]
    fn a_room_round_trips() {
        let bytes = encode(&room());
        assert_eq!(decode(&bytes), Ok((room(), Some(9))));
        assert_eq!(day_of(&bytes), Some(3));
        assert_eq!(base_of(&bytes), Some(Base { life: 2, tick: Some(9) }));
        assert_eq!(alarm_of(&bytes), Some(77));
        assert_eq!(bytes.len(), ALARM_AT + 8 + HASH_BYTES + 2);
        let quiet = StoredRoom { alarm_unix_ms: None, ..room() };
        assert_eq!(decode(&encode(&quiet)), Ok((quiet, Some(9))));
    }

    #[test]
    fn a_chunk_round_trips() {
        let bytes = encode_chunk(&chunk(), 7);
        assert_eq!(decode_chunk(&bytes), Ok(chunk()));
        assert_eq!((reach_of(&bytes), chunk_saved(&bytes)), (Some((1, 3)), Some(7)));
    }

    #[test]
    fn every_damage_is_noticed() {
        let goods = [encode(&room()), encode_chunk(&chunk(), 7)];
        let bad = |bytes: &[u8]| [decode(bytes).is_err(), decode_chunk(bytes).is_err()];
        for (of, good) in goods.into_iter().enumerate() {
            for len in 0..good.len() {
                assert!(bad(&good[..len])[of], "cut to {len}");
            }
            for at in 0..good.len() {
                let mut flipped = good.clone();
                flipped[at] ^= 0x40;
                assert!(bad(&flipped)[of], "flipped at {at}");
            }
        }
        let mut newer = encode(&room());
        newer[0] = ROOM_VERSION + 1;
        assert!(decode(&newer).is_err_and(|why| why.contains("update")));
        let mut newer = encode_chunk(&chunk(), 7);
        newer[0] = CHUNK_VERSION + 1;
        assert!(decode_chunk(&newer).is_err_and(|why| why.contains("update")));
    }

    #[test]
    fn what_was_saved_without_a_tick_is_read() {
        let mut bytes = vec![1];
        for number in [1, 2, 3 * DAY_MS] {
            bytes.extend_from_slice(&u64::to_le_bytes(number));
        }
        let bytes = seal(bytes, &[4, 5]);
        let old = StoredRoom { tick: 0, alarm_unix_ms: None, ..room() };
        assert_eq!(decode(&bytes), Ok((old, None)));
        assert_eq!(base_of(&bytes), Some(Base { life: 2, tick: None }));
        assert_eq!(day_of(&bytes), Some(3));
    }

    #[test]
    fn what_was_saved_without_an_alarm_is_read() {
        let mut bytes = vec![2];
        for number in [1, 2, 3 * DAY_MS, 9] {
            bytes.extend_from_slice(&u64::to_le_bytes(number));
        }
        let bytes = seal(bytes, &[4, 5]);
        assert_eq!(decode(&bytes), Ok((StoredRoom { alarm_unix_ms: None, ..room() }, Some(9))));
        assert_eq!(base_of(&bytes), Some(Base { life: 2, tick: Some(9) }));
        assert_eq!((day_of(&bytes), alarm_of(&bytes)), (Some(3), None));
    }
}
