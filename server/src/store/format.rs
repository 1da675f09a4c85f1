//! How rooms lie in the database: its tables, and the bytes of one stored room.

use redb::TableDefinition;
use referee_protocol::hash::Hasher;

use super::StoredRoom;

/// The format of the whole file; a build refuses a file with a higher one.
pub(super) const FORMAT: u32 = 1;

/// What is known of the store as a whole.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// [`FORMAT`], as four bytes, little-endian.
pub(super) const META_FORMAT: &str = "format";
/// The key of the resume tokens, 32 bytes.
pub(super) const META_TOKEN_KEY: &str = "token_key";
/// The first number that was never reserved, as eight bytes, little-endian.
pub(super) const META_NUMBERS: &str = "numbers";

/// `game/match` -> the room's bytes.
pub(super) const ROOMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rooms");
/// The day of a room's last save and its name: what has expired is found without reading rooms.
pub(super) const DAYS: TableDefinition<'_, (u32, &str), ()> = TableDefinition::new("days");

/// The first byte of a room's bytes.
const ROOM_VERSION: u8 = 1;
/// Version, created, incarnation, saved, hash.
const HEAD_BYTES: usize = 1 + 8 + 8 + 8 + 8;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The day since 1970 that a time lies in.
pub(super) fn day(unix_ms: u64) -> u32 {
    u32::try_from(unix_ms / DAY_MS).unwrap_or(u32::MAX)
}

/// A room's bytes: a head of fixed length, then the snapshot. The hash covers all but itself.
pub(super) fn encode(room: &StoredRoom) -> Vec<u8> {
    let snapshot = room.snapshot.as_deref().expect("what is saved has a snapshot");
    let mut bytes = Vec::with_capacity(HEAD_BYTES + snapshot.len());
    bytes.push(ROOM_VERSION);
    for number in [room.created_unix_ms, room.incarnation, room.saved_unix_ms] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let hash = hash(&bytes, snapshot);
    bytes.extend_from_slice(&hash.to_le_bytes());
    bytes.extend_from_slice(snapshot);
    bytes
}

/// Reads a room's bytes.
///
/// # Errors
/// What is wrong with them.
pub(super) fn decode(bytes: &[u8]) -> Result<StoredRoom, String> {
    match bytes.first() {
        Some(&ROOM_VERSION) => {}
        Some(&newer) if newer > ROOM_VERSION => {
            return Err(format!(
                "its format is {newer} and this version knows formats up to {ROOM_VERSION}; \
                 update this server"
            ));
        }
        _ => return Err("it does not begin as a stored room".to_owned()),
    }
    let (head, snapshot) =
        bytes.split_at_checked(HEAD_BYTES).ok_or_else(|| "it is cut short".to_owned())?;
    if number(head, 25) != Some(hash(&head[..25], snapshot)) {
        return Err("its checksum is wrong".to_owned());
    }
    let field = |at| number(head, at).ok_or_else(|| "it is cut short".to_owned());
    Ok(StoredRoom {
        created_unix_ms: field(1)?,
        incarnation: field(9)?,
        saved_unix_ms: field(17)?,
        snapshot: Some(snapshot.to_vec()),
        ..StoredRoom::default()
    })
}

/// The day under which a room's bytes are listed in [`DAYS`]; none when they are no room's.
pub(super) fn day_of(bytes: &[u8]) -> Option<u32> {
    (bytes.first() == Some(&ROOM_VERSION)).then(|| number(bytes, 17).map(day)).flatten()
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*eight))
}

fn hash(head: &[u8], snapshot: &[u8]) -> u64 {
    let mut hasher = Hasher::default();
    hasher.write(head);
    hasher.write(snapshot);
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
            snapshot: Some(vec![4, 5]),
            ..StoredRoom::default()
        }
    }

    #[test]
    fn a_room_round_trips() {
        let bytes = encode(&room());
        assert_eq!(decode(&bytes), Ok(room()));
        assert_eq!(day_of(&bytes), Some(3));
        assert_eq!(bytes.len(), HEAD_BYTES + 2);
    }

    #[test]
    fn every_damage_is_noticed() {
        let good = encode(&room());
        for len in 0..good.len() {
            assert!(decode(&good[..len]).is_err(), "cut to {len}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert!(decode(&bad).is_err(), "flipped at {at}");
        }
        let mut newer = good;
        newer[0] = 2;
        assert!(decode(&newer).is_err_and(|why| why.contains("update")));
    }
}
