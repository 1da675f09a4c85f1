//! Entries: the only way anything from outside reaches a room's simulation. Same seed and entries,
//! same hashes.

use std::collections::BTreeMap;
use std::sync::Arc;

use referee_protocol::bits::{BitError, read_varint, write_varint};
use referee_protocol::frame::Payload;
use referee_protocol::{Incarnation, Seat, SessionId, Tick};

/// How a room begins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Create {
    /// The first visitor's parameters as JSON; empty for none.
    pub params: Vec<u8>,
    /// The root of all of the room's randomness. Secret.
    pub seed: [u8; 32],
    /// The build that runs it, for the record.
    pub build: String,
    /// What an earlier match under the same id left in its storage: see [`crate::room::Room::storage`].
    pub storage: Vec<u8>,
    /// The wall clock, in milliseconds since 1970; 0 in a game that has no alarms.
    pub unix_ms: u64,
    /// What tells of the game's types: [`crate::Template::type_bytes`]. Empty where it is not known;
    /// then the entries that follow are taken to be of the present types.
    pub types: Arc<[u8]>,
}

/// The number of a [`Create`] with a storage and the time.
const CREATE_WITH_MORE: u8 = 13;
/// The number of a [`Create`] with these and the types.
const CREATE_WITH_TYPES: u8 = 14;

/// A client that wants in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Join {
    /// Its session.
    pub session: SessionId,
    /// The player's name.
    pub name: String,
    /// What its token says of the player.
    pub attributes: BTreeMap<String, String>,
    /// The generation its seat will have, should it get one: never used before.
    pub generation: u64,
    /// It only wants to watch.
    pub watch: bool,
}

/// A request over HTTP into the room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestEntry {
    /// Its number, which comes back with the reply.
    pub id: u64,
    /// `GET`, `POST`, ..
    pub method: String,
    /// What follows `/call` in the path: empty, or beginning with `/`.
    pub path: String,
    /// The body: JSON, or empty.
    pub body: Vec<u8>,
}

/// Which of the alarms that are due in a tick are lost, because the game panics with them: no system
/// hears of them, and they do not come due again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Lost {
    /// None.
    #[default]
    None,
    /// All of them.
    All,
    /// The so many'th, counted from 1. Those before it come due, those after it in the next tick.
    One(u16),
}

impl Lost {
    fn number(self) -> u64 {
        match self {
            Self::None => 0,
            Self::All => 1,
            Self::One(nth) => u64::from(nth) + 1,
        }
    }

    fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::None,
            1 => Self::All,
            more => Self::One(u16::try_from(more - 1).ok()?),
        })
    }
}

/// One thing that happened outside. The numbers of the variants are part of the file format:
/// 9 (answer) and 10 (admin) are reserved. A room that begins with what an earlier match left, or
/// that is told the time, has the number 13, one that tells of its game's types 14.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// The room begins.
    Create(Create),
    /// A client wants in.
    Join(Join),
    /// A session's connection is gone. Of no effect when another session has its seat by now.
    Drop {
        /// The session.
        session: SessionId,
    },
    /// A client comes back to its seat.
    Resume {
        /// Its new session.
        session: SessionId,
        /// The seat its token names.
        seat: Seat,
        /// The generation its token names.
        generation: u64,
    },
    /// A player gives up its seat.
    Leave {
        /// Its session.
        session: SessionId,
    },
    /// A sample of a sampled input.
    Input {
        /// Whose.
        seat: Seat,
        /// The sample's number on its link.
        sample: u64,
        /// The tick it is meant for; 0 for the next.
        tick: Tick,
        /// The sample.
        payload: Payload,
    },
    /// An action.
    Action {
        /// Whose.
        seat: Seat,
        /// Its number for that seat.
        number: u64,
        /// The action.
        payload: Payload,
    },
    /// The wall clock: alarms that are due by then come due.
    Alarm {
        /// Milliseconds since 1970.
        unix_ms: u64,
        /// What of it broke the tick that it came in.
        lost: Lost,
    },
    /// A request into the room.
    Request(RequestEntry),
    /// The room is about to be saved for good, or for a while.
    Seal,
    /// A life of the room begins: what clients are told from here on may be something else than what
    /// they were told after the tick before. Of no effect on the simulation.
    Begin {
        /// The life's number: no two lives of any room of a store have the same.
        incarnation: Incarnation,
    },
}

/// Why bytes are no entry.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EntryError {
    /// The variant is not known to this build.
    #[error("entry kind {0} is unknown: the file was written by a newer version; update this one")]
    Newer(u8),
    /// The bytes are cut short or malformed.
    #[error(transparent)]
    Bits(#[from] BitError),
    /// A text is not UTF-8.
    #[error("a text in the entry is not UTF-8")]
    Text,
}

impl Entry {
    /// What each kind of entry is called, by its number.
    pub const KINDS: [&'static str; 13] = [
        "create", "join", "drop", "resume", "leave", "input", "action", "alarm", "request",
        "answer", "admin", "seal", "begin",
    ];

    /// The number of its kind.
    #[must_use]
    pub fn number(&self) -> u8 {
        match self {
            Self::Create(_) => 0,
            Self::Join(_) => 1,
            Self::Drop { .. } => 2,
            Self::Resume { .. } => 3,
            Self::Leave { .. } => 4,
            Self::Input { .. } => 5,
            Self::Action { .. } => 6,
            Self::Alarm { .. } => 7,
            Self::Request(_) => 8,
            Self::Seal => 11,
            Self::Begin { .. } => 12,
        }
    }

    /// Whether somebody acted, or an alarm may have come due: what is left out where a tick with it
    /// panics, and what can make a room worth keeping.
    #[must_use]
    pub fn is_act(&self) -> bool {
        use Entry::{Action, Alarm, Input, Request};
        matches!(self, Input { .. } | Action { .. } | Alarm { .. } | Request(_))
    }

    /// Appends the entry's bytes: its number, then its fields; numbers as LEB128, bytes and texts
    /// with their length before them.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let more = |create: &Create| !create.storage.is_empty() || create.unix_ms != 0;
        out.push(match self {
            Self::Create(create) if !create.types.is_empty() => CREATE_WITH_TYPES,
            Self::Create(create) if more(create) => CREATE_WITH_MORE,
            _ => self.number(),
        });
        match self {
            Self::Create(create) => {
                put(out, &create.params);
                out.extend_from_slice(&create.seed);
                put(out, create.build.as_bytes());
                if more(create) || !create.types.is_empty() {
                    put(out, &create.storage);
                    write_varint(out, create.unix_ms);
                }
                if !create.types.is_empty() {
                    put(out, &create.types);
                }
            }
            Self::Join(join) => {
                write_varint(out, join.session.0);
                put(out, join.name.as_bytes());
                write_varint(out, join.attributes.len() as u64);
                for (key, value) in &join.attributes {
                    put(out, key.as_bytes());
                    put(out, value.as_bytes());
                }
                write_varint(out, join.generation);
                out.push(u8::from(join.watch));
            }
            Self::Drop { session } | Self::Leave { session } => write_varint(out, session.0),
            Self::Resume { session, seat, generation } => {
                write_varint(out, session.0);
                write_varint(out, u64::from(seat.0));
                write_varint(out, *generation);
            }
            Self::Input { seat, sample, tick, payload } => {
                write_varint(out, u64::from(seat.0));
                write_varint(out, *sample);
                write_varint(out, tick.0);
                put_payload(out, payload);
            }
            Self::Action { seat, number, payload } => {
                write_varint(out, u64::from(seat.0));
                write_varint(out, *number);
                put_payload(out, payload);
            }
            Self::Alarm { unix_ms, lost } => {
                write_varint(out, *unix_ms);
                write_varint(out, lost.number());
            }
            Self::Request(request) => {
                write_varint(out, request.id);
                put(out, request.method.as_bytes());
                put(out, request.path.as_bytes());
                put(out, &request.body);
            }
            Self::Seal => {}
            Self::Begin { incarnation } => write_varint(out, incarnation.0),
        }
    }

    /// Reads one entry off the front of `bytes`.
    ///
    /// # Errors
    /// When the bytes are cut short, malformed, or of a newer version.
    pub fn decode(bytes: &mut &[u8]) -> Result<Self, EntryError> {
        let (&number, rest) = bytes.split_first().ok_or(BitError::End)?;
        *bytes = rest;
        Ok(match number {
            0 => Self::Create(take_create(bytes)?),
            CREATE_WITH_MORE | CREATE_WITH_TYPES => {
                let create = take_create(bytes)?;
                let (storage, unix_ms) = (take(bytes)?.to_vec(), read_varint(bytes)?);
                let types = if number == CREATE_WITH_TYPES { take(bytes)? } else { &[] };
                let types = types.into();
                Self::Create(Create { storage, unix_ms, types, ..create })
            }
            1 => Self::Join(take_join(bytes)?),
            2 => Self::Drop { session: SessionId(read_varint(bytes)?) },
            3 => Self::Resume {
                session: SessionId(read_varint(bytes)?),
                seat: take_seat(bytes)?,
                generation: read_varint(bytes)?,
            },
            4 => Self::Leave { session: SessionId(read_varint(bytes)?) },
            5 => Self::Input {
                seat: take_seat(bytes)?,
                sample: read_varint(bytes)?,
                tick: Tick(read_varint(bytes)?),
                payload: take_payload(bytes)?,
            },
            6 => Self::Action {
                seat: take_seat(bytes)?,
                number: read_varint(bytes)?,
                payload: take_payload(bytes)?,
            },
            7 => Self::Alarm {
                unix_ms: read_varint(bytes)?,
                lost: Lost::from_number(read_varint(bytes)?).ok_or(BitError::Number)?,
            },
            8 => Self::Request(RequestEntry {
                id: read_varint(bytes)?,
                method: take_text(bytes)?,
                path: take_text(bytes)?,
                body: take(bytes)?.to_vec(),
            }),
            11 => Self::Seal,
            12 => Self::Begin { incarnation: Incarnation(read_varint(bytes)?) },
            newer => return Err(EntryError::Newer(newer)),
        })
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_payload(out: &mut Vec<u8>, payload: &Payload) {
    write_varint(out, u64::from(payload.kind));
    put(out, &payload.bits);
}

fn take<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], EntryError> {
    let len = usize::try_from(read_varint(bytes)?).map_err(|_| BitError::End)?;
    let (taken, rest) = bytes.split_at_checked(len).ok_or(BitError::End)?;
    *bytes = rest;
    Ok(taken)
}

fn take_text(bytes: &mut &[u8]) -> Result<String, EntryError> {
    String::from_utf8(take(bytes)?.to_vec()).map_err(|_| EntryError::Text)
}

fn take_seed(bytes: &mut &[u8]) -> Result<[u8; 32], EntryError> {
    let (seed, rest) = bytes.split_first_chunk().ok_or(BitError::End)?;
    *bytes = rest;
    Ok(*seed)
}

fn take_seat(bytes: &mut &[u8]) -> Result<Seat, EntryError> {
    Ok(Seat(u16::try_from(read_varint(bytes)?).map_err(|_| BitError::Number)?))
}

fn take_bool(bytes: &mut &[u8]) -> Result<bool, EntryError> {
    let (&byte, rest) = bytes.split_first().ok_or(BitError::End)?;
    *bytes = rest;
    Ok(byte != 0)
}

fn take_payload(bytes: &mut &[u8]) -> Result<Payload, EntryError> {
    let kind = u16::try_from(read_varint(bytes)?).map_err(|_| BitError::Number)?;
    Ok(Payload { kind, bits: take(bytes)?.into() })
}

fn take_create(bytes: &mut &[u8]) -> Result<Create, EntryError> {
    Ok(Create {
        params: take(bytes)?.to_vec(),
        seed: take_seed(bytes)?,
        build: take_text(bytes)?,
        ..Create::default()
    })
}

fn take_join(bytes: &mut &[u8]) -> Result<Join, EntryError> {
    let session = SessionId(read_varint(bytes)?);
    let name = take_text(bytes)?;
    let count = read_varint(bytes)?;
    let mut attributes = BTreeMap::new();
    for _ in 0..count {
        attributes.insert(take_text(bytes)?, take_text(bytes)?);
    }
    let generation = read_varint(bytes)?;
    let watch = take_bool(bytes)?;
    Ok(Join { session, name, attributes, generation, watch })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn samples() -> Vec<Entry> {
        let payload = Payload { kind: 3, bits: vec![1, 2, 3].into() };
        vec![
            Entry::Create(create()),
            Entry::Join(Join {
                session: SessionId(300),
                name: "Ann".into(),
                attributes: BTreeMap::from([("k".into(), "v".into())]),
                generation: 9,
                watch: true,
            }),
            Entry::Drop { session: SessionId(1) },
            Entry::Resume { session: SessionId(2), seat: Seat(1), generation: 3 },
            Entry::Leave { session: SessionId(1) },
            Entry::Input { seat: Seat(1), sample: 2, tick: Tick(3), payload: payload.clone() },
            Entry::Action { seat: Seat(1), number: 2, payload },
            Entry::Request(RequestEntry {
                id: 1,
                method: "GET".into(),
                path: String::new(),
                body: vec![],
            }),
            Entry::Seal,
            Entry::Begin { incarnation: Incarnation(70_000) },
            Entry::Create(Create { storage: vec![1, 2], ..create() }),
            Entry::Create(Create { unix_ms: 300, ..create() }),
            Entry::Create(Create { types: [1, 2, 3].into(), ..create() }),
            Entry::Alarm { unix_ms: 300, lost: Lost::All },
            Entry::Alarm { unix_ms: 300, lost: Lost::One(64) },
        ]
    }

    fn create() -> Create {
        let params = b"{}".to_vec();
        Create { params, seed: [7; 32], build: "b".into(), ..Create::default() }
    }

    #[test]
    fn every_entry_round_trips() {
        for entry in samples() {
            let mut bytes = vec![];
            entry.encode(&mut bytes);
            let mut rest = &bytes[..];
            assert_eq!(Entry::decode(&mut rest), Ok(entry));
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn golden_bytes_and_newer_files() {
        let mut bytes = vec![];
        samples()[6].encode(&mut bytes);
        assert_eq!(bytes, [6, 1, 2, 3, 3, 1, 2, 3]);
        bytes.clear();
        samples()[0].encode(&mut bytes);
        assert_eq!(bytes, [&[0, 2, b'{', b'}'][..], &[7; 32], &[1, b'b']].concat());
        bytes.clear();
        let more = Create { storage: vec![5], unix_ms: 300, ..create() };
        Entry::Create(more).encode(&mut bytes);
        let rest = [1, b'b', 1, 5, 0xac, 2];
        assert_eq!(bytes, [&[13, 2, b'{', b'}'][..], &[7; 32], &rest].concat());
        bytes.clear();
        Entry::Alarm { unix_ms: 300, lost: Lost::None }.encode(&mut bytes);
        assert_eq!(bytes, [7, 0xac, 2, 0]);
        bytes.clear();
        let types = Create { types: [8, 9].into(), ..create() };
        Entry::Create(types).encode(&mut bytes);
        let rest = [1, b'b', 0, 0, 2, 8, 9];
        assert_eq!(bytes, [&[14, 2, b'{', b'}'][..], &[7; 32], &rest].concat());
        assert_eq!(Entry::decode(&mut &[15u8][..]), Err(EntryError::Newer(15)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Entry::decode(&mut &bytes[..]);
        }
    }
}
