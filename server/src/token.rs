//! Resume tokens: what a client shows to come back to its seat. A token names seat and generation
//! and proves by a MAC that this server's store gave it out for this room. It survives a crash,
//! since the key lies in the store, and dies with the seat, since each taking of a seat has a
//! generation of its own.

use hmac::{Hmac, Mac};
use referee_protocol::Seat;
use sha2::Sha256;

use crate::key::RoomKey;

/// Parts the MACs of this purpose, and this version of it, from all others under the same key.
const PURPOSE: &[u8] = b"referee seat token 1";

const SEAT_BYTES: usize = 2;
const GENERATION_BYTES: usize = 8;
const MAC_BYTES: usize = 32;
const BYTES: usize = SEAT_BYTES + GENERATION_BYTES + MAC_BYTES;

const _: () = assert!(BYTES * 2 <= referee_protocol::limits::TOKEN_MAX_BYTES);

/// What a token that holds says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Claim {
    /// The seat.
    pub(crate) seat: Seat,
    /// Which taking of it.
    pub(crate) generation: u64,
}

/// Makes tokens and checks them.
#[derive(Clone)]
pub(crate) struct Tokens {
    keyed: Hmac<Sha256>,
}

impl Tokens {
    /// With the key of the store.
    #[must_use]
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { keyed: Hmac::new_from_slice(&key).expect("HMAC takes keys of any length") }
    }

    /// The token of a seat, as hexadecimal text.
    #[must_use]
    pub(crate) fn issue(&self, room: &RoomKey, claim: Claim) -> String {
        let mut bytes = head(claim).to_vec();
        bytes.extend_from_slice(&self.mac(room, &bytes).finalize().into_bytes());
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What the token claims, if it was issued for this room. Takes the same time wherever a wrong
    /// MAC differs.
    #[must_use]
    pub(crate) fn check(&self, room: &RoomKey, token: &str) -> Option<Claim> {
        let bytes = from_hex(token)?;
        let (head, mac) = bytes.split_at(SEAT_BYTES + GENERATION_BYTES);
        self.mac(room, head).verify_slice(mac).ok()?;
        let (seat, generation) = head.split_at(SEAT_BYTES);
        Some(Claim {
            seat: Seat(u16::from_be_bytes(seat.try_into().ok()?)),
            generation: u64::from_be_bytes(generation.try_into().ok()?),
        })
    }

    fn mac(&self, room: &RoomKey, head: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        mac.update(PURPOSE);
        for id in [room.game.as_str(), room.match_id.as_str()] {
            // An id has at most 64 bytes; its length keeps two ids from running into each other.
            mac.update(&[id.len() as u8]);
            mac.update(id.as_bytes());
        }
        mac.update(head);
        mac
    }
}

fn head(claim: Claim) -> [u8; SEAT_BYTES + GENERATION_BYTES] {
    let mut out = [0; SEAT_BYTES + GENERATION_BYTES];
    out[..SEAT_BYTES].copy_from_slice(&claim.seat.0.to_be_bytes());
    out[SEAT_BYTES..].copy_from_slice(&claim.generation.to_be_bytes());
    out
}

fn from_hex(text: &str) -> Option<[u8; BYTES]> {
    let digits = text.as_bytes();
    if digits.len() != BYTES * 2 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut out = [0; BYTES];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use referee_protocol::{GameName, MatchId};

    fn room(game: &str, match_id: &str) -> RoomKey {
        RoomKey { game: GameName::new(game).unwrap(), match_id: MatchId::new(match_id).unwrap() }
    }

    const CLAIM: Claim = Claim { seat: Seat(3), generation: 77 };

    #[test]
    fn a_token_holds_for_its_room_and_store_only() {
        let tokens = Tokens::new([1; 32]);
        let token = tokens.issue(&room("a", "bc"), CLAIM);
        assert_eq!(tokens.check(&room("a", "bc"), &token), Some(CLAIM));
        assert_eq!(tokens.check(&room("ab", "c"), &token), None);
        assert_eq!(tokens.check(&room("a", "bd"), &token), None);
        assert_eq!(Tokens::new([2; 32]).check(&room("a", "bc"), &token), None);
    }

    #[test]
    fn no_digit_of_a_token_may_change() {
        let tokens = Tokens::new([1; 32]);
        let token = tokens.issue(&room("a", "b"), CLAIM);
        for at in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[at] = if other[at] == b'0' { b'1' } else { b'0' };
            let other = String::from_utf8(other).unwrap();
            assert_eq!(tokens.check(&room("a", "b"), &other), None, "digit {at}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let tokens = Tokens::new([1; 32]);
        for text in ["", "00", "zz", &"g".repeat(84), &"ä".repeat(42), &"0".repeat(86)] {
            assert_eq!(tokens.check(&room("a", "b"), text), None, "{text}");
        }
    }
}
