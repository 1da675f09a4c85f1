//! State frames for links that lose, repeat and mix up what is sent, such as datagrams. What such a
//! frame tells does not depend on the frame before: it leads from a rung, a tick that the client has
//! said it has. Nor can it count on which groups its client knows: its heads name those that it tells
//! of. They say all that its blocks need, so that a frame is dropped before a block of it is read.
//!
//! | part | form |
//! |---|---|
//! | first | u8: 7 in the low three bits; 8 full, 16 action, 32 input; in the upper two bits how many groups, 3: that many or more |
//! | tick | u16: its low bits; in a full frame a varint: all of it |
//! | action, input | as in a frame of an ordered link |
//! | more | varint: how many groups more than 3; where there are that many |
//! | heads | for each group, in order, a varint: its number << 2, and the kind; behind that of news a varint: their age |
//! | rung | varint: how many ticks ago << 4, and how far before it the one before is; where a head leads from it |

use crate::bits::{BitError, read_varint, varint, write_varint};
use crate::block::GROUPS_MAX;
use crate::frame::{FrameError, FrameHead, LANE, LOSSY, Lane, Prelude};
use crate::frame::{byte, end, read_acts};
use crate::ids::{Group, Tick};
use crate::limits::{LADDER_MS, LADDER_STEP_MAX, LADDER_STEP_MS};

const FULL: u8 = 1 << 3;
/// Two bits: how many groups.
const COUNT: u32 = 6;
/// So many groups or more: how many more is said apart.
const MANY: usize = 3;
/// Bits that say where the rung before a rung is.
const BACK_BITS: u32 = 4;
const _: () = assert!(LADDER_STEP_MAX < 1 << BACK_BITS);

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

/// What a frame tells of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LossyKind {
    /// What changed since it was as it was at the frame's rung.
    Rung,
    /// All that changed since so many ticks ago, in whole values. The client has what was then or later.
    News(u64),
    /// Everything it shows.
    All,
    /// The client no longer belongs to it. It is told so until it is known to know. There is no block.
    Farewell,
}

/// What a frame tells of one group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LossyHead {
    /// The group.
    pub group: Group,
    /// What follows.
    pub kind: LossyKind,
}

impl LossyHead {
    fn write(self, out: &mut FrameHead) {
        let (kind, age) = match self.kind {
            LossyKind::Rung => (0, None),
            LossyKind::News(age) => (1, Some(age)),
            LossyKind::All => (2, None),
            LossyKind::Farewell => (3, None),
        };
        varint(self.group.number() << 2 | kind, |byte| out.push(byte));
        if let Some(age) = age {
            varint(age, |byte| out.push(byte));
        }
    }

    fn read(body: &mut &[u8]) -> Result<Self, FrameError> {
        let number = read_varint(body)?;
        let group = Group::from_number(number >> 2).ok_or(FrameError::Block("no such group"))?;
        let kind = match number & 3 {
            0 => LossyKind::Rung,
            1 => LossyKind::News(read_varint(body)?),
            2 => LossyKind::All,
            _ => LossyKind::Farewell,
        };
        Ok(Self { group, kind })
    }
}

/// The part of such a frame that is this client's own, but for its heads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LossyPrelude {
    /// What a frame of an ordered link tells as well.
    pub prelude: Prelude,
    /// Where its differences lead from; none: nothing in it is told by differences.
    pub rung: Option<Rung>,
}

impl LossyPrelude {
    /// Whether a state frame is one that may get lost.
    #[must_use]
    pub fn is_at(frame: &[u8]) -> bool {
        frame.first().is_some_and(|first| first & LANE == LOSSY)
    }

    /// Encodes a frame's first byte and its prelude, and what it tells of which groups, in order.
    ///
    /// # Panics
    /// When a head leads from a rung and there is none, or a rung is of no use.
    #[must_use]
    pub fn encode(&self, heads: &[LossyHead]) -> FrameHead {
        let Prelude { full, tick, .. } = self.prelude;
        assert_eq!(
            self.rung.is_some(),
            lead_from_a_rung(heads),
            "a rung is for what leads from it"
        );
        let mut out = FrameHead::new();
        let full_flag = if full { FULL } else { 0 };
        let count = heads.len().min(MANY) as u8;
        out.push(LOSSY | full_flag | self.prelude.acts_flags() | count << COUNT);
        if full {
            varint(tick.0, |byte| out.push(byte));
        } else {
            out.extend((tick.0 as u16).to_le_bytes());
        }
        self.prelude.write_acts(&mut out);
        if let Some(more) = heads.len().checked_sub(MANY) {
            varint(more as u64, |byte| out.push(byte));
        }
        heads.iter().for_each(|head| head.write(&mut out));
        if let Some(Rung { age, back }) = self.rung {
            varint(age << BACK_BITS | u64::from(back), |byte| out.push(byte));
        }
        out
    }

    /// Reads a prelude and heads off the front of a state frame. `known` is the tick of the newest
    /// frame that was applied: this one is not far from it. What `heads` held is gone.
    ///
    /// # Errors
    /// When the bytes end, or are none of these.
    pub fn read(
        frame: &mut &[u8],
        known: Tick,
        heads: &mut Vec<LossyHead>,
    ) -> Result<Self, FrameError> {
        let first = byte(frame)?;
        if first & LANE != LOSSY {
            return Err(FrameError::Lane(first & LANE));
        }
        let full = first & FULL != 0;
        let tick = match full {
            true => Tick(read_varint(frame)?),
            false => nearest(known, u16::from_le_bytes([byte(frame)?, byte(frame)?]))?,
        };
        let (action, input) = read_acts(first, frame)?;
        let count = match usize::from(first >> COUNT) {
            MANY => read_varint(frame)?.saturating_add(MANY as u64),
            few => few as u64,
        };
        read_heads(frame, count, heads)?;
        if full && heads.iter().any(|head| head.kind != LossyKind::All) {
            return Err(FrameError::Block("a full frame builds on what was before"));
        }
        let rung = match lead_from_a_rung(heads) {
            true => Some(Rung::read(frame)?),
            false => None,
        };
        Ok(Self { prelude: Prelude { full, tick, action, input }, rung })
    }
}

impl Rung {
    fn read(frame: &mut &[u8]) -> Result<Self, FrameError> {
        let number = read_varint(frame)?;
        Ok(Self { age: number >> BACK_BITS, back: (number & ((1 << BACK_BITS) - 1)) as u8 })
    }
}

fn lead_from_a_rung(heads: &[LossyHead]) -> bool {
    heads.iter().any(|head| head.kind == LossyKind::Rung)
}

fn read_heads(frame: &mut &[u8], count: u64, heads: &mut Vec<LossyHead>) -> Result<(), FrameError> {
    heads.clear();
    for _ in 0..count {
        let head = LossyHead::read(frame)?;
        if heads.last().is_some_and(|last| last.group >= head.group) {
            return Err(FrameError::Block("the groups are not in order"));
        }
        heads.push(head);
    }
    // Nobody is in more; farewells may be many while there is no word of them.
    let told = heads.iter().filter(|head| head.kind != LossyKind::Farewell);
    if told.count() > GROUPS_MAX { Err(FrameError::Block("too many groups")) } else { Ok(()) }
}

/// The tick nearest to a known one that has these low bits.
fn nearest(known: Tick, low: u16) -> Result<Tick, BitError> {
    let step = low.wrapping_sub(known.0 as u16) as i16;
    known.0.checked_add_signed(step.into()).map(Tick).ok_or(BitError::Number)
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
