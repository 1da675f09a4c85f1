//! Frames: what travels as one WebSocket message, or length-prefixed on a stream. The first byte says
//! the lane. `PROTOCOL.md` draws every byte.

use smallvec::SmallVec;

use crate::bits::{BitError, BitReader, BitWriter, read_varint, varint, write_varint};
use crate::block::{Head, Heads};
use crate::codec::BlockError;
use crate::ids::Tick;
use crate::schema::{FieldType, TypeDef};
use crate::words::{self, WordsError};

/// What kind of frame it is: its first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Lane {
    /// MessagePack messages, both ways: [`crate::message`].
    Control = 0,
    /// Server to client: the state of a tick.
    State = 1,
    /// Server to client: one-shot events of a tick.
    Events = 2,
    /// Client to server: a sample of a sampled input, and an acknowledgement.
    Input = 3,
    /// Client to server: an action.
    Action = 4,
    /// Client to server: an acknowledgement.
    Ack = 5,
    /// Server to client: the schema as MessagePack.
    Schema = 6,
}

impl Lane {
    /// The lane with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [
            Self::Control,
            Self::State,
            Self::Events,
            Self::Input,
            Self::Action,
            Self::Ack,
            Self::Schema,
        ]
        .get(usize::from(number))
        .copied()
    }
}

/// Why a frame cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// The frame is empty.
    #[error("the frame is empty")]
    Empty,
    /// No lane has this number, or it does not lead in this direction.
    #[error("lane {0} is not open in this direction")]
    Lane(u8),
    /// The bytes are cut short or malformed.
    #[error(transparent)]
    Bits(#[from] BitError),
    /// A value does not follow its type.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// No type of the schema has this number.
    #[error("there is no {0} number {1}")]
    UnknownType(&'static str, u64),
    /// Bytes are left over at the end.
    #[error("{0} bytes are left over")]
    Trailing(usize),
    /// A control message is not MessagePack, or not one of ours.
    #[error("the control message cannot be read: {0}")]
    Control(String),
    /// A block names a group, an entity or a component that cannot be.
    #[error("the block is inconsistent: {0}")]
    Block(&'static str),
}

impl From<BlockError> for FrameError {
    fn from(BlockError(problem): BlockError) -> Self {
        Self::Block(problem)
    }
}

/// The lane of a frame that begins with this byte. That of a state frame has its flags beside the lane.
#[must_use]
pub fn lane(first: u8) -> Option<Lane> {
    match first & LANE {
        LOSSY => Some(Lane::State),
        number if number == Lane::State as u8 => Some(Lane::State),
        _ => Lane::from_number(first),
    }
}

/// Splits a frame into its lane and its body. That of a state frame begins with the frame's first byte.
///
/// # Errors
/// When the frame is empty or its lane has no such number.
pub fn split(frame: &[u8]) -> Result<(Lane, &[u8]), FrameError> {
    let (&first, body) = frame.split_first().ok_or(FrameError::Empty)?;
    let lane = lane(first).ok_or(FrameError::Lane(first))?;
    Ok((lane, if lane == Lane::State { frame } else { body }))
}

/// Where a client's input samples fell that have arrived since the last note.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InputAck {
    /// The low byte of the number of the newest of them.
    pub sample: u8,
    /// How many ticks before it was needed that one arrived; but where some were too late, by how many
    /// ticks the latest of them was, negative.
    pub margin: i8,
}

/// The part of a state frame that is this client's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Prelude {
    /// The client forgets what it knew: this frame holds everything.
    pub full: bool,
    /// The tick the frame shows, given that the last state frame on this link showed `after`; in a
    /// full frame `after` is 0.
    pub tick: Tick,
    /// The low 16 bits of the number of the last action applied, when it changed.
    pub action: Option<u16>,
    /// Where the client's input fell, when a new sample has arrived.
    pub input: Option<InputAck>,
}

/// The bits of a frame's first byte that say its lane.
pub(crate) const LANE: u8 = 7;
/// These bits in a state frame that may get lost: [`crate::ladder`].
pub(crate) const LOSSY: u8 = 7;
/// The tick follows: it is not the next one.
const TICK: u8 = 1 << 3;
const ACTION: u8 = 1 << 4;
const INPUT: u8 = 1 << 5;
/// Two bits: which of [`Heads`].
const HEADS: u32 = 6;
/// In the byte that says how many groups are joined: the client forgets what it knew.
const FULL: u8 = 1;

/// All of a state frame that is this client's own: the prelude, and which blocks follow.
pub type FrameHead = SmallVec<[u8; 32]>;

impl Prelude {
    /// Encodes a frame's first byte and its prelude, and what it tells of the client's groups: all of
    /// them, in order. `after` is the tick of the last state frame on this link.
    ///
    /// # Panics
    /// When the tick lies before `after` in a frame that is not full.
    #[must_use]
    pub fn encode(&self, after: Tick, heads: &[Head]) -> FrameHead {
        let mut out = FrameHead::new();
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let after = if self.full { 0 } else { after.0 };
        let advance = self.tick.0.checked_sub(after).expect("ticks grow on a link");
        let told = Heads::of(heads, self.full);
        let (number, joined) = match told {
            Heads::None => (0, None),
            Heads::Deltas => (1, None),
            Heads::Marked => (2, None),
            Heads::Listed(joined) => (3, Some(joined << 1 | flag(self.full, FULL))),
        };
        out.push(
            Lane::State as u8 | flag(advance != 1, TICK) | self.acts_flags() | number << HEADS,
        );
        out.extend(joined);
        if advance != 1 {
            varint(advance, |byte| out.push(byte));
        }
        self.write_acts(&mut out);
        told.write(heads, &mut out);
        out
    }

    /// The flags that say what is told of the client's acts.
    pub(crate) fn acts_flags(&self) -> u8 {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        flag(self.action.is_some(), ACTION) | flag(self.input.is_some(), INPUT)
    }

    /// Appends what is told of the client's acts.
    pub(crate) fn write_acts(&self, out: &mut FrameHead) {
        out.extend(self.action.into_iter().flat_map(u16::to_le_bytes));
        let input = self.input.into_iter();
        out.extend(input.flat_map(|input| [input.sample, input.margin as u8]));
    }

    /// Reads a prelude off the front of a state frame.
    ///
    /// # Errors
    /// When the bytes end, or the tick overflows.
    pub fn decode(body: &mut &[u8], after: Tick) -> Result<Self, FrameError> {
        Self::read(body, after).map(|(prelude, _)| prelude)
    }

    /// The same, with how the frame says which blocks follow.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn read(body: &mut &[u8], after: Tick) -> Result<(Self, Heads), FrameError> {
        let flags = byte(body)?;
        if flags & LANE != Lane::State as u8 {
            return Err(FrameError::Lane(flags & LANE));
        }
        let (heads, full) = match flags >> HEADS {
            0 => (Heads::None, false),
            1 => (Heads::Deltas, false),
            2 => (Heads::Marked, false),
            _ => {
                let joined = byte(body)?;
                (Heads::Listed(joined >> 1), joined & FULL != 0)
            }
        };
        let from = if full { 0 } else { after.0 };
        let advance = if flags & TICK != 0 { read_varint(body)? } else { 1 };
        let tick = from.checked_add(advance).ok_or(BitError::Number)?;
        let (action, input) = read_acts(flags, body)?;
        Ok((Self { full, tick: Tick(tick), action, input }, heads))
    }
}

/// Reads what is told of the client's acts, given the frame's first byte.
pub(crate) fn read_acts(
    flags: u8,
    body: &mut &[u8],
) -> Result<(Option<u16>, Option<InputAck>), FrameError> {
    let action = match flags & ACTION {
        0 => None,
        _ => Some(u16::from_le_bytes([byte(body)?, byte(body)?])),
    };
    let input = match flags & INPUT {
        0 => None,
        _ => Some(InputAck { sample: byte(body)?, margin: byte(body)? as i8 }),
    };
    Ok((action, input))
}

pub(crate) fn byte(body: &mut &[u8]) -> Result<u8, BitError> {
    let (&first, rest) = body.split_first().ok_or(BitError::End)?;
    *body = rest;
    Ok(first)
}

/// What a client has received on this link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ack {
    /// State frames received and applied on this link.
    pub frames: u64,
    /// The number of the last event received in this session's numbering.
    pub event: u64,
}

impl Ack {
    /// The acknowledgement as a frame of its own.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![Lane::Ack as u8];
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_varint(out, self.frames);
        write_varint(out, self.event);
    }

    fn read(body: &mut &[u8]) -> Result<Self, FrameError> {
        Ok(Self { frames: read_varint(body)?, event: read_varint(body)? })
    }

    /// Reads the body of an acknowledgement.
    ///
    /// # Errors
    /// When it is cut short or too long.
    pub fn decode(mut body: &[u8]) -> Result<Self, FrameError> {
        let ack = Self::read(&mut body)?;
        end(body)?;
        Ok(ack)
    }
}

pub(crate) fn end(body: &[u8]) -> Result<(), FrameError> {
    if body.is_empty() { Ok(()) } else { Err(FrameError::Trailing(body.len())) }
}

/// A type's number and a value's bits: how inputs, actions and events travel and are journaled.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Payload {
    /// The type's place in its list of the schema.
    pub kind: u16,
    /// The value in full, as bits.
    pub bits: Bits,
}

/// The bits of a value. Those of most inputs and actions take no memory of their own.
pub type Bits = SmallVec<[u8; 24]>;

impl Payload {
    /// Encodes a value's words.
    ///
    /// # Panics
    /// When the words do not follow the type.
    #[must_use]
    pub fn from_words(kind: u16, ty: &FieldType, value: &[u32]) -> Self {
        let mut bits = Vec::new();
        let mut out = BitWriter::new(&mut bits);
        words::write(ty, value, &mut out);
        out.finish();
        Self { kind, bits: bits.into() }
    }

    /// Decodes the value's words: they follow the type and lie within its ranges.
    ///
    /// # Errors
    /// When no type has this number, or the bits are no value of it.
    pub fn to_words(&self, what: &'static str, types: &[TypeDef]) -> Result<Vec<u32>, FrameError> {
        let mut out = Vec::new();
        self.read_words(what, types, &mut out)?;
        Ok(out)
    }

    /// As [`Payload::to_words`], into memory that is there: what was in it is gone.
    ///
    /// # Errors
    /// As [`Payload::to_words`].
    pub fn read_words(
        &self,
        what: &'static str,
        types: &[TypeDef],
        out: &mut Vec<u32>,
    ) -> Result<(), FrameError> {
        out.clear();
        let def = types
            .get(usize::from(self.kind))
            .ok_or(FrameError::UnknownType(what, u64::from(self.kind)))?;
        let mut from = BitReader::new(&self.bits);
        words::read(&def.ty, &mut from, out)?;
        end(&self.bits[from.finish()?..])
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_varint(out, u64::from(self.kind));
        out.extend_from_slice(&self.bits);
    }

    fn read(body: &mut &[u8], what: &'static str) -> Result<Self, FrameError> {
        let number = read_varint(body)?;
        let kind = u16::try_from(number).map_err(|_| FrameError::UnknownType(what, number))?;
        Ok(Self { kind, bits: Bits::from_slice(std::mem::take(body)) })
    }
}

/// An action on its way to the room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActionFrame {
    /// Its number: 1, 2, 3 .. for each seat.
    pub number: u64,
    /// The action.
    pub payload: Payload,
}

impl ActionFrame {
    /// The frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![Lane::Action as u8];
        write_varint(&mut out, self.number);
        self.payload.write(&mut out);
        out
    }

    /// Reads the body; the payload's bits are not looked at yet.
    ///
    /// # Errors
    /// When it is cut short.
    pub fn decode(mut body: &[u8]) -> Result<Self, FrameError> {
        let number = read_varint(&mut body)?;
        Ok(Self { number, payload: Payload::read(&mut body, "action")? })
    }
}

/// A sample of a sampled input on its way to the room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InputFrame {
    /// What the client has received so far.
    pub ack: Ack,
    /// The sample's number on this link: 1, 2, 3 ..
    pub sample: u64,
    /// The tick it is meant for; 0 for the next one.
    pub tick: Tick,
    /// The sample.
    pub payload: Payload,
}

impl InputFrame {
    /// The frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![Lane::Input as u8];
        self.ack.write(&mut out);
        write_varint(&mut out, self.sample);
        write_varint(&mut out, self.tick.0);
        self.payload.write(&mut out);
        out
    }

    /// Reads the body; the payload's bits are not looked at yet.
    ///
    /// # Errors
    /// When it is cut short.
    pub fn decode(mut body: &[u8]) -> Result<Self, FrameError> {
        let ack = Ack::read(&mut body)?;
        let sample = read_varint(&mut body)?;
        let tick = Tick(read_varint(&mut body)?);
        Ok(Self { ack, sample, tick, payload: Payload::read(&mut body, "input")? })
    }
}

/// The events of one tick for one session, numbered without gaps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventsFrame {
    /// The number of the first one.
    pub first: u64,
    /// The tick in which they happened.
    pub tick: Tick,
    /// The events.
    pub events: Vec<Payload>,
}

impl EventsFrame {
    /// The frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![Lane::Events as u8];
        write_varint(&mut out, self.first);
        write_varint(&mut out, self.tick.0);
        for event in &self.events {
            write_varint(&mut out, u64::from(event.kind));
            write_varint(&mut out, event.bits.len() as u64);
            out.extend_from_slice(&event.bits);
        }
        out
    }

    /// Reads the body.
    ///
    /// # Errors
    /// When it is cut short.
    pub fn decode(mut body: &[u8]) -> Result<Self, FrameError> {
        let first = read_varint(&mut body)?;
        let tick = Tick(read_varint(&mut body)?);
        let mut events = Vec::new();
        while !body.is_empty() {
            let number = read_varint(&mut body)?;
            let kind =
                u16::try_from(number).map_err(|_| FrameError::UnknownType("event", number))?;
            let len = usize::try_from(read_varint(&mut body)?).map_err(|_| BitError::End)?;
            let (bits, rest) = body.split_at_checked(len).ok_or(BitError::End)?;
            events.push(Payload { kind, bits: Bits::from_slice(bits) });
            body = rest;
        }
        Ok(Self { first, tick, events })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::BlockKind;
    use crate::ids::Group;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes() {
        let prelude = Prelude {
            full: false,
            tick: Tick(300),
            action: Some(0x0102),
            input: Some(InputAck { sample: 9, margin: -1 }),
        };
        assert_eq!(prelude.encode(Tick(299), &[]).as_slice(), [0x31, 2, 1, 9, 255]);
        assert_eq!(prelude.encode(Tick(290), &[]).as_slice(), [0x39, 10, 2, 1, 9, 255]);
        let head = Head { group: Group::Team(1), known: true, kind: BlockKind::Delta };
        let plain = Prelude { tick: Tick(1), ..Prelude::default() };
        assert_eq!(plain.encode(Tick(0), &[head]).as_slice(), [0x41]);
        let heads = [Head { group: Group::Everyone, kind: BlockKind::Nothing, ..head }, head];
        assert_eq!(plain.encode(Tick(0), &heads).as_slice(), [0x81, 2]);
        let heads = [Head { known: false, kind: BlockKind::Absolute, ..head }];
        let full = Prelude { full: true, tick: Tick(300), ..Prelude::default() };
        assert_eq!(full.encode(Tick(299), &heads).as_slice(), [0xc9, 3, 0xac, 2, 6, 2]);
        assert_eq!(Ack { frames: 5, event: 300 }.encode(), [5, 5, 0xac, 2]);
        let payload = Payload { kind: 1, bits: vec![0xaa].into() };
        let action = ActionFrame { number: 7, payload: payload.clone() };
        assert_eq!(action.encode(), [4, 7, 1, 0xaa]);
        let input =
            InputFrame { ack: Ack { frames: 1, event: 2 }, sample: 3, tick: Tick(4), payload };
        assert_eq!(input.encode(), [3, 1, 2, 3, 4, 1, 0xaa]);
        let event = Payload { kind: 0, bits: vec![1, 2].into() };
        let events = EventsFrame { first: 3, tick: Tick(8), events: vec![event] };
        assert_eq!(events.encode(), [2, 3, 8, 0, 2, 1, 2]);
    }

    proptest! {
        #[test]
        fn frames_round_trip(a: u64, b: u64, c: u64, d: u64, kind: u16, bits: Vec<u8>) {
            let payload = Payload { kind, bits: bits.into() };
            let action = ActionFrame { number: a, payload: payload.clone() };
            prop_assert_eq!(ActionFrame::decode(&action.encode()[1..]), Ok(action));
            let ack = Ack { frames: b, event: c };
            prop_assert_eq!(Ack::decode(&ack.encode()[1..]), Ok(ack));
            let input = InputFrame { ack, sample: a, tick: Tick(d), payload: payload.clone() };
            prop_assert_eq!(InputFrame::decode(&input.encode()[1..]), Ok(input));
            let events =
                EventsFrame { first: a, tick: Tick(b), events: vec![payload.clone(), payload] };
            prop_assert_eq!(EventsFrame::decode(&events.encode()[1..]), Ok(events));
            let prelude = Prelude { full: a % 2 == 0, tick: Tick(b), action: Some(kind), input: None };
            let after = Tick(b / 2);
            let bytes = prelude.encode(after, &[]);
            prop_assert_eq!(Prelude::decode(&mut &bytes[..], after), Ok(prelude));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, after: u64) {
            let _ = split(&bytes);
            let _ = Prelude::decode(&mut &bytes[..], Tick(after));
            let _ = Ack::decode(&bytes);
            let _ = ActionFrame::decode(&bytes);
            let _ = InputFrame::decode(&bytes);
            let _ = EventsFrame::decode(&bytes);
        }
    }
}
