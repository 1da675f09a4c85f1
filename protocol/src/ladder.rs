//! State frames for links that lose, repeat and mix up what is sent, such as datagrams. What such a
//! frame tells does not depend on the frame before: it leads from a rung, a tick that the client has
//! said it has, and each block says what else it needs.
//!
//! | part of the head | form |
//! |---|---|
//! | flags | u8: 1 full, 2 action, 4 input, 8 always; in the upper four bits where the one before the rung is, where there is a rung |
//! | tick | u16: its low bits; in a full frame a varint: all of it |
//! | action, input | as in a frame of an ordered link |
//! | rung | varint: how many ticks ago; where there is one |

use crate::bits::{BitError, read_varint, varint, write_varint};
use crate::frame::{ACTION, FULL, FrameError, INPUT, InputAck, Lane, Prelude, PreludeBytes};
use crate::frame::{byte, end};
use crate::ids::{Group, Tick};
use crate::limits::{LADDER_MS, LADDER_STEP_MAX, LADDER_STEP_MS};

const LOSSY: u8 = 8;
const BACK_SHIFT: u32 = 4;

/// How long a send is remembered as a rung, in ticks of a room with so many a second: 0 where it is
/// turn-based, and a tick is a millisecond.
#[must_use]
pub fn ladder_ticks(hz: u16) -> u64 {
    if hz == 0 { LADDER_MS } else { u64::from(hz) * LADDER_MS / 1000 }
}

/// How many ticks lie between two rungs.
#[must_use]
pub fn ladder_step(hz: u16) -> u64 {
    (u64::from(hz) * LADDER_STEP_MS / 1000).clamp(1, LADDER_STEP_MAX)
}

/// From where a frame's differences lead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rung {
    /// How many ticks ago it was.
    pub age: u64,
    /// How many ticks before that the rung is that says how things moved: 0 to [`LADDER_STEP_MAX`].
    pub back: u8,
}

/// The part of such a frame that is this client's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Head {
    /// What a frame of an ordered link tells as well.
    pub prelude: Prelude,
    /// Where its differences lead from; none: nothing in it is told by differences.
    pub rung: Option<Rung>,
}

impl Head {
    /// Whether the body of a state frame has such a head.
    #[must_use]
    pub fn is_at(body: &[u8]) -> bool {
        body.first().is_some_and(|flags| flags & LOSSY != 0)
    }

    /// Encodes lane and head: at most 8 bytes but for a full frame's tick.
    #[must_use]
    pub fn encode(&self) -> PreludeBytes {
        let Prelude { full, tick, action, input } = self.prelude;
        let mut out = PreludeBytes::EMPTY;
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags =
            flag(full, FULL) | flag(action.is_some(), ACTION) | flag(input.is_some(), INPUT);
        let back = self.rung.map_or(0, |rung| (rung.back + 1) << BACK_SHIFT);
        out.push(Lane::State as u8);
        out.push(flags | LOSSY | back);
        if full {
            varint(tick.0, |byte| out.push(byte));
        } else {
            (tick.0 as u16).to_le_bytes().into_iter().for_each(|byte| out.push(byte));
        }
        for byte in action.into_iter().flat_map(u16::to_le_bytes) {
            out.push(byte);
        }
        for byte in input.into_iter().flat_map(|input| [input.sample, input.margin as u8]) {
            out.push(byte);
        }
        if let Some(rung) = self.rung {
            varint(rung.age, |byte| out.push(byte));
        }
        out
    }

    /// Reads a head off the front of a state frame's body. `known` is the tick of the newest frame
    /// that was applied: this one is not far from it.
    ///
    /// # Errors
    /// When the bytes end, or are no such head.
    pub fn decode(body: &mut &[u8], known: Tick) -> Result<Self, FrameError> {
        let flags = byte(body)?;
        let full = flags & FULL != 0;
        let back = flags >> BACK_SHIFT;
        if flags & LOSSY == 0 || full && back > 0 {
            return Err(FrameError::Block("unknown prelude flags"));
        }
        let tick = match full {
            true => Tick(read_varint(body)?),
            false => nearest(known, u16::from_le_bytes([byte(body)?, byte(body)?]))?,
        };
        let action = match flags & ACTION {
            0 => None,
            _ => Some(u16::from_le_bytes([byte(body)?, byte(body)?])),
        };
        let input = match flags & INPUT {
            0 => None,
            _ => Some(InputAck { sample: byte(body)?, margin: byte(body)? as i8 }),
        };
        let rung = match back.checked_sub(1) {
            None => None,
            Some(back) => Some(Rung { age: read_varint(body)?, back }),
        };
        Ok(Self { prelude: Prelude { full, tick, action, input }, rung })
    }
}

/// The tick nearest to a known one that has these low bits.
fn nearest(known: Tick, low: u16) -> Result<Tick, BitError> {
    let step = low.wrapping_sub(known.0 as u16) as i16;
    known.0.checked_add_signed(step.into()).map(Tick).ok_or(BitError::Number)
}

/// What a block's values are relative to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Basis {
    /// The group as it was at the frame's rung.
    Rung,
    /// What the client has, which is of a tick not older than so many ago: all that changed since, in
    /// whole values.
    Since(u64),
    /// Nothing: everything the group shows.
    Nothing,
}

/// One block of such a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LossyBlock<'a> {
    /// What a group shows.
    Told {
        /// Whose block it is.
        group: Group,
        /// What it is relative to.
        from: Basis,
        /// What the codec wrote.
        body: &'a [u8],
    },
    /// The client no longer belongs to a group. It is told so until it is known to know.
    Farewell(Group),
}

impl<'a> LossyBlock<'a> {
    /// Reads one block off the front of `bytes`.
    ///
    /// # Errors
    /// When it is cut short or names a group that cannot be.
    pub fn read(bytes: &mut &'a [u8]) -> Result<Self, FrameError> {
        let header = read_varint(bytes)?;
        let group = Group::from_number(header >> 2).ok_or(FrameError::Block("no such group"))?;
        let from = match header & 3 {
            0 => Basis::Rung,
            1 => Basis::Since(read_varint(bytes)?),
            2 => Basis::Nothing,
            _ => return Ok(Self::Farewell(group)),
        };
        let length = usize::try_from(read_varint(bytes)?).unwrap_or(usize::MAX);
        let (body, rest) =
            bytes.split_at_checked(length).ok_or(FrameError::Block("a block is cut short"))?;
        *bytes = rest;
        Ok(Self::Told { group, from, body })
    }

    /// Appends the block.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (group, from, body) = match *self {
            Self::Farewell(group) => return write_varint(out, group.number() << 2 | 3),
            Self::Told { group, from, body } => (group, from, body),
        };
        match from {
            Basis::Rung => write_varint(out, group.number() << 2),
            Basis::Since(age) => {
                write_varint(out, group.number() << 2 | 1);
                write_varint(out, age);
            }
            Basis::Nothing => write_varint(out, group.number() << 2 | 2),
        }
        write_varint(out, body.len() as u64);
        out.extend_from_slice(body);
    }
}

/// Which frames a client has applied: what it says on a link that loses. Later ones say it again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// The tick of the newest one.
    pub tick: Tick,
    /// Of the 32 ticks before, those whose frames were applied: the lowest bit is the last one.
    pub before: u32,
    /// The number of the last event received in this session's numbering.
    pub event: u64,
}

impl Applied {
    /// Notes that a frame was applied: frames of older ticks are not.
    pub fn note(&mut self, tick: Tick) {
        let steps = tick.0.saturating_sub(self.tick.0);
        if steps > 0 {
            let first = self.tick.0 == 0;
            let moved = |bits: u32, steps| bits.checked_shl(steps).unwrap_or(0);
            let steps = u32::try_from(steps).unwrap_or(u32::MAX);
            self.before = moved(self.before, steps) | moved(u32::from(!first), steps - 1);
            self.tick = tick;
        }
    }

    /// The ticks, from the newest on.
    pub fn ticks(&self) -> impl Iterator<Item = Tick> {
        let (newest, before) = (self.tick, self.before);
        let earlier = (0..32).filter(move |bit| before >> bit & 1 == 1);
        let earlier = earlier.filter_map(move |bit| newest.0.checked_sub(bit + 1).map(Tick));
        std::iter::once(newest).chain(earlier)
    }

    /// The acknowledgement as a frame of its own.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![Lane::Ack as u8];
        write_varint(&mut out, self.tick.0);
        write_varint(&mut out, self.before.into());
        write_varint(&mut out, self.event);
        out
    }

    /// Reads the body of an acknowledgement on such a link.
    ///
    /// # Errors
    /// When it is cut short or too long.
    pub fn decode(mut body: &[u8]) -> Result<Self, FrameError> {
        let tick = Tick(read_varint(&mut body)?);
        let before = u32::try_from(read_varint(&mut body)?).map_err(|_| BitError::Number)?;
        let event = read_varint(&mut body)?;
        end(body)?;
        Ok(Self { tick, before, event })
    }
}

#[cfg(test)]
mod tests;
