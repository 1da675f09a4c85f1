//! Which of its client's groups a state frame tells of, and how. What a block says is
//! [`crate::codec`]'s; here is only whose blocks follow, in a few bits of the frame's own head. So a
//! block has no head: its bytes are the same for everyone, and end where its values end.
//!
//! Both ends know the groups that the client is in: each frame says which come to that, and names the
//! others by their order.

use crate::bits::{BitError, read_varint, varint};
use crate::frame::FrameError;
use crate::ids::Group;
use crate::limits::SUBSCRIPTIONS_MAX;

/// What a frame tells of a group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum BlockKind {
    /// Nothing: there is no block.
    #[default]
    Nothing,
    /// What changed since the group was sent last on this link.
    Delta,
    /// All of it, or all that changed since some tick, in whole values.
    Absolute,
    /// The client no longer belongs to the group. There is no block.
    Farewell,
}

impl BlockKind {
    const ALL: [Self; 4] = [Self::Nothing, Self::Delta, Self::Absolute, Self::Farewell];

    /// Whether a block follows.
    #[must_use]
    pub fn has_block(self) -> bool {
        matches!(self, Self::Delta | Self::Absolute)
    }
}

/// What a frame tells of one group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The group.
    pub group: Group,
    /// Whether the client was in it before this frame.
    pub known: bool,
    /// What follows.
    pub kind: BlockKind,
}

/// How a frame says which blocks follow: two bits of its first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heads {
    /// There are none.
    None,
    /// Each of the client's groups has a delta block.
    Deltas,
    /// A bit for each group says whether it has a delta block.
    Marked,
    /// Groups are joined, so many; then two bits for each group.
    Listed(u8),
}

/// A frame joins at most so many groups, and a client is in at most as many while groups change: those
/// that it leaves are told to go in the frame that tells what it sees instead.
pub(crate) const GROUPS_MAX: usize = 2 * SUBSCRIPTIONS_MAX - 1;

impl Heads {
    /// The shortest way to say this. A full frame lists all its groups.
    pub(crate) fn of(heads: &[Head], full: bool) -> Self {
        let joined = heads.iter().filter(|head| !head.known).count();
        let only = |kinds: &[BlockKind]| heads.iter().all(|head| kinds.contains(&head.kind));
        assert!(joined <= GROUPS_MAX, "a client is in at most {SUBSCRIPTIONS_MAX} groups");
        match () {
            () if full || joined > 0 => Self::Listed(joined as u8),
            () if only(&[BlockKind::Nothing]) => Self::None,
            () if only(&[BlockKind::Delta]) => Self::Deltas,
            () if only(&[BlockKind::Nothing, BlockKind::Delta]) => Self::Marked,
            () => Self::Listed(0),
        }
    }

    /// The bits that each group takes.
    fn bits(self) -> usize {
        match self {
            Self::None | Self::Deltas => 0,
            Self::Marked => 1,
            Self::Listed(_) => 2,
        }
    }

    /// Appends what is said of each group.
    pub(crate) fn write(self, heads: &[Head], out: &mut impl Extend<u8>) {
        for head in heads.iter().filter(|head| !head.known) {
            varint(head.group.number(), |byte| out.extend([byte]));
        }
        let bits = self.bits();
        for run in heads.chunks(8 / bits.max(1)).filter(|_| bits > 0) {
            let kinds = run.iter().enumerate();
            out.extend([kinds.fold(0, |byte, (n, head)| byte | (head.kind as u8) << (n * bits))]);
        }
    }

    /// Reads what is said of each group off the front of a frame, behind its prelude. `known` are the
    /// client's groups, in order. What `out` held is gone.
    ///
    /// # Errors
    /// When the bytes end, or name a group that cannot be or is known.
    pub fn read(
        self,
        body: &mut &[u8],
        known: impl Iterator<Item = Group>,
        out: &mut Vec<Head>,
    ) -> Result<(), FrameError> {
        out.clear();
        let kind = if self == Self::Deltas { BlockKind::Delta } else { BlockKind::Nothing };
        out.extend(known.map(|group| Head { group, known: true, kind }));
        if let Self::Listed(joined) = self {
            for _ in 0..joined {
                let group = Group::from_number(read_varint(body)?);
                let group = group.ok_or(FrameError::Block("no such group"))?;
                out.push(Head { group, known: false, kind });
            }
            out.sort_unstable_by_key(|head| head.group);
            if out.windows(2).any(|pair| pair[0].group == pair[1].group) {
                return Err(FrameError::Block("a group is joined twice"));
            }
        }
        if out.len() > GROUPS_MAX {
            return Err(FrameError::Block("too many groups"));
        }
        self.kinds(body, out)
    }

    fn kinds(self, body: &mut &[u8], out: &mut [Head]) -> Result<(), FrameError> {
        let bits = self.bits();
        if bits == 0 {
            return Ok(());
        }
        for run in out.chunks_mut(8 / bits) {
            let (&byte, rest) = body.split_first().ok_or(BitError::End)?;
            *body = rest;
            for (n, head) in run.iter_mut().enumerate() {
                head.kind = BlockKind::ALL[usize::from(byte >> (n * bits)) & ((1 << bits) - 1)];
            }
            if u32::from(byte) >> (run.len() * bits) != 0 {
                return Err(BitError::Padding.into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(kinds: &[(u64, bool, BlockKind)]) -> Vec<Head> {
        let head = |(number, known, kind): &(u64, bool, BlockKind)| Head {
            group: Group::from_number(*number).expect("a group"),
            known: *known,
            kind: *kind,
        };
        kinds.iter().map(head).collect()
    }

    fn round(told: &[Head], bytes: usize) {
        let (how, mut out) = (Heads::of(told, false), Vec::new());
        how.write(told, &mut out);
        assert_eq!(out.len(), bytes, "{how:?}");
        let known = told.iter().filter(|head| head.known).map(|head| head.group);
        let (mut read, mut rest) = (Vec::new(), &out[..]);
        assert_eq!(how.read(&mut rest, known, &mut read), Ok(()));
        assert_eq!((&read[..], rest), (told, &[][..]));
    }

    #[test]
    fn what_is_told_takes_no_more_bits_than_it_must() {
        use BlockKind::{Absolute, Delta, Farewell, Nothing};
        round(&[], 0);
        round(&heads(&[(0, true, Delta)]), 0);
        round(&heads(&[(0, true, Nothing), (5, true, Nothing)]), 0);
        round(&heads(&[(0, true, Delta), (5, true, Delta), (7, true, Delta)]), 0);
        let cells: Vec<_> = (0..9).map(|n| (4 * n + 1, true, Delta)).collect();
        round(&heads(&[&[(0, true, Nothing)], &cells[..], &[(3, true, Nothing)]].concat()), 2);
        round(&heads(&[(0, true, Delta), (5, true, Absolute), (9, true, Farewell)]), 1);
        round(&heads(&[(0, true, Delta), (401, false, Absolute), (6, false, Nothing)]), 1 + 2 + 1);
    }

    #[test]
    fn groups_that_cannot_be_are_refused() {
        let read = |how: Heads, mut bytes: &[u8]| {
            let known = [Group::Everyone, Group::Team(1)].into_iter();
            how.read(&mut bytes, known, &mut Vec::new())
        };
        assert_eq!(read(Heads::Listed(1), &[9, 0b10_00_01]), Ok(()));
        assert!(read(Heads::Listed(1), &[6, 0]).is_err(), "it is known");
        assert!(read(Heads::Listed(2), &[5, 5, 0]).is_err(), "it comes twice");
        assert!(read(Heads::Listed(1), &[4, 0]).is_err(), "there is none with this number");
        assert!(read(Heads::Listed(1), &[9]).is_err(), "it ends early");
        assert!(read(Heads::Marked, &[0b111]).is_err(), "there is no third one");
        assert!(read(Heads::Marked, &[]).is_err());
        let many: Vec<u8> = (0..127u8).map(|n| n << 2 | 1).chain([0; 40]).collect();
        assert!(read(Heads::Listed(127), &many).is_err(), "too many");
    }
}
