//! Blocks of a frame: whose, of which kind, and how long. What is in them is [`crate::codec`]'s.
//!
//! | part | form |
//! |---|---|
//! | group and kind | varint: group number << 2, kind in the low bits |
//! | age, gap | varints, in absolute blocks only |
//! | length | varint: bytes of the body; none behind a farewell |
//! | body | as the kind says |

use crate::bits::{read_varint, write_varint};
use crate::frame::FrameError;
use crate::ids::Group;

/// What a block's values are relative to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum BlockKind {
    /// The group as it was sent last on this link.
    Delta,
    /// Nothing: all that changed since some tick, in whole values.
    Since,
    /// Nothing: everything the group shows. What was known of the group is forgotten first.
    Whole,
    /// The client no longer belongs to the group. It has no body.
    Farewell,
}

impl BlockKind {
    fn from_number(number: u64) -> Self {
        match number & 3 {
            0 => Self::Delta,
            1 => Self::Since,
            2 => Self::Whole,
            _ => Self::Farewell,
        }
    }
}

/// One block of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block<'a> {
    /// Whose block it is.
    pub group: Group,
    /// What it is relative to.
    pub kind: BlockKind,
    /// Ticks from the group's last send to the frame's tick; 0 in a delta.
    pub age: u64,
    /// Ticks from the send before that to the last; 0 in a delta.
    pub gap: u64,
    /// What the codec wrote.
    pub body: &'a [u8],
}

impl<'a> Block<'a> {
    /// Reads one block off the front of `bytes`.
    ///
    /// # Errors
    /// When it is cut short or names a group that cannot be.
    pub fn read(bytes: &mut &'a [u8]) -> Result<Self, FrameError> {
        let header = read_varint(bytes)?;
        let group = Group::from_number(header >> 2).ok_or(FrameError::Block("no such group"))?;
        let kind = BlockKind::from_number(header);
        let (age, gap) = match kind {
            BlockKind::Since | BlockKind::Whole => (read_varint(bytes)?, read_varint(bytes)?),
            BlockKind::Delta | BlockKind::Farewell => (0, 0),
        };
        let length = if kind == BlockKind::Farewell { 0 } else { read_varint(bytes)? };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (body, rest) =
            bytes.split_at_checked(length).ok_or(FrameError::Block("a block is cut short"))?;
        *bytes = rest;
        Ok(Self { group, kind, age, gap, body })
    }

    /// Appends the block.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_varint(out, self.group.number() << 2 | self.kind as u64);
        if matches!(self.kind, BlockKind::Since | BlockKind::Whole) {
            write_varint(out, self.age);
            write_varint(out, self.gap);
        }
        if self.kind != BlockKind::Farewell {
            write_varint(out, self.body.len() as u64);
            out.extend_from_slice(self.body);
        }
    }
}
