//! Blocks: what changed in one group, as one run of bytes shared by every client that has the same
//! baseline. The plain coder lives here and in [`crate::words`], and nowhere else.
//!
//! A block is a varint, `group number << 1 | absolute`, then bits, padded to a byte:
//!
//! | part | bits |
//! |---|---|
//! | whole | in an absolute block one bit: forget the group first |
//! | renamed | count, then pairs of old and new id |
//! | removed entities | count, then ids |
//! | removed components | count, then id and component |
//! | records | count, then id, `new`, a component mask, each component's value |
//!
//! In a block against a baseline, a component the receiver has is coded as a difference from what
//! it has; in an absolute block every value is whole.

use crate::bits::{BitReader, BitWriter, read_varint, write_varint};
use crate::frame::FrameError;
use crate::ids::{Group, WireId};
use crate::schema::{Schema, TypeDef};
use crate::words::{self, bits_for};

/// Exp-Golomb order of an id's distance from the one before it.
const ID_ORDER: u32 = 12;
/// Exp-Golomb order of the count of records.
const COUNT_ORDER: u32 = 2;

/// What a block's values are relative to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum BlockKind {
    /// The group as it was sent last on this link.
    Delta,
    /// Nothing: all that changed since some tick, in whole values.
    Since,
    /// Nothing: everything the group shows. What was known of the group is forgotten first; with no
    /// records it tells that the client no longer belongs to the group.
    Whole,
}

/// Writes one block; calls come in the order of its parts.
pub struct BlockWriter<'a> {
    bits: BitWriter<'a>,
    components: &'a [TypeDef],
    last: u32,
}

impl<'a> BlockWriter<'a> {
    /// Starts a block at the end of `out`.
    pub fn new(schema: &'a Schema, group: Group, kind: BlockKind, out: &'a mut Vec<u8>) -> Self {
        write_varint(out, group.number() << 1 | u64::from(kind != BlockKind::Delta));
        let mut bits = BitWriter::new(out);
        if kind != BlockKind::Delta {
            bits.bit(kind == BlockKind::Whole);
        }
        Self { bits, components: &schema.components, last: 0 }
    }

    /// Entities that have another id from now on. Later parts name them by the new one.
    pub fn renamed(&mut self, pairs: &[(WireId, WireId)]) {
        self.bits.number(pairs.len() as u32, 0);
        for (old, new) in pairs {
            self.bits.number(old.0, ID_ORDER);
            self.bits.number(new.0, ID_ORDER);
        }
    }

    /// Entities that left the group, sorted.
    pub fn removed(&mut self, ids: &[WireId]) {
        self.bits.number(ids.len() as u32, 0);
        self.last = 0;
        for id in ids {
            self.id(*id);
        }
    }

    /// Components that entities of the group no longer show.
    pub fn removed_components(&mut self, pairs: &[(WireId, u16)]) {
        self.bits.number(pairs.len() as u32, 0);
        for (id, component) in pairs {
            self.bits.number(id.0, ID_ORDER);
            self.bits.bits(u32::from(*component), component_bits(self.components.len()));
        }
        self.last = 0;
    }

    /// Announces how many records follow.
    pub fn records(&mut self, count: usize) {
        self.bits.number(count as u32, COUNT_ORDER);
    }

    /// Starts the record of an entity: ids grow; `components` are the numbers of those that follow,
    /// sorted.
    pub fn record(&mut self, id: WireId, new: bool, components: impl Iterator<Item = u16>) {
        self.id(id);
        self.bits.bit(new);
        let mut from = 0;
        for component in components {
            (from..component).for_each(|_| self.bits.bit(false));
            self.bits.bit(true);
            from = component + 1;
        }
        (from..self.components.len() as u16).for_each(|_| self.bits.bit(false));
    }

    /// One component of the record: against `base` where the receiver has it and the block is a
    /// delta, else whole.
    pub fn component(&mut self, component: u16, base: Option<&[u32]>, value: &[u32]) {
        let ty = &self.components[usize::from(component)].ty;
        match base {
            Some(base) => words::write_delta(ty, base, value, &mut self.bits),
            None => words::write(ty, value, &mut self.bits),
        }
    }

    /// Ends the block.
    pub fn finish(self) {
        self.bits.finish();
    }

    fn id(&mut self, id: WireId) {
        self.bits.number(id.0 - self.last, ID_ORDER);
        self.last = id.0;
    }
}

/// A record as read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The entity.
    pub id: WireId,
    /// Whether it entered the group: what was known of it there is gone.
    pub new: bool,
    /// Components and their new words.
    pub components: Vec<(u16, Vec<u32>)>,
}

/// A block as read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// Whose block it is.
    pub group: Group,
    /// What it was relative to.
    pub kind: BlockKind,
    /// Entities with a new id: old, new.
    pub renamed: Vec<(WireId, WireId)>,
    /// Entities that left the group.
    pub removed: Vec<WireId>,
    /// Components no longer shown.
    pub removed_components: Vec<(WireId, u16)>,
    /// What is new or changed.
    pub records: Vec<Record>,
}

/// What a reader must know of the past: the words a component has in a group, by the id that the
/// entity had before this block.
pub trait Baseline {
    /// The words, where the component is known.
    fn words(&self, group: Group, id: WireId, component: u16) -> Option<&[u32]>;
}

impl Block {
    /// Reads one block off the front of `bytes`.
    ///
    /// # Errors
    /// When it is cut short, names what cannot be, or leaves a declared range.
    pub fn read(
        schema: &Schema,
        baseline: &impl Baseline,
        bytes: &mut &[u8],
    ) -> Result<Self, FrameError> {
        let header = read_varint(bytes)?;
        let group = Group::from_number(header >> 1).ok_or(FrameError::Block("no such group"))?;
        let mut reader = Reader { bits: BitReader::new(bytes), types: &schema.components, last: 0 };
        let kind = match header & 1 {
            0 => BlockKind::Delta,
            _ if reader.bits.bit()? => BlockKind::Whole,
            _ => BlockKind::Since,
        };
        let mut block = Self {
            group,
            kind,
            renamed: reader.renamed()?,
            removed: reader.removed()?,
            removed_components: reader.removed_components()?,
            records: Vec::new(),
        };
        reader.records(baseline, &mut block)?;
        let used = reader.bits.finish()?;
        *bytes = &bytes[used..];
        Ok(block)
    }
}

struct Reader<'a> {
    bits: BitReader<'a>,
    types: &'a [TypeDef],
    last: u32,
}

impl Reader<'_> {
    fn renamed(&mut self) -> Result<Vec<(WireId, WireId)>, FrameError> {
        let count = self.bits.number(0)?;
        (0..count)
            .map(|_| {
                let (old, new) = (self.bits.number(ID_ORDER)?, self.bits.number(ID_ORDER)?);
                Ok((WireId(old), WireId(new)))
            })
            .collect()
    }

    fn removed(&mut self) -> Result<Vec<WireId>, FrameError> {
        let count = self.bits.number(0)?;
        self.last = 0;
        (0..count).map(|_| self.id()).collect()
    }

    fn removed_components(&mut self) -> Result<Vec<(WireId, u16)>, FrameError> {
        let count = self.bits.number(0)?;
        let width = component_bits(self.types.len());
        let pairs = (0..count)
            .map(|_| {
                let id = WireId(self.bits.number(ID_ORDER)?);
                Ok((id, self.bits.bits(width)? as u16))
            })
            .collect();
        self.last = 0;
        pairs
    }

    fn records(&mut self, baseline: &impl Baseline, block: &mut Block) -> Result<(), FrameError> {
        let count = self.bits.number(COUNT_ORDER)?;
        for _ in 0..count {
            let record = self.record(baseline, block)?;
            block.records.push(record);
        }
        Ok(())
    }

    fn record(&mut self, baseline: &impl Baseline, block: &Block) -> Result<Record, FrameError> {
        let id = self.id()?;
        let new = self.bits.bit()?;
        let mut present = Vec::new();
        for component in 0..self.types.len() {
            if self.bits.bit()? {
                present.push(component as u16);
            }
        }
        let known_as = block.renamed.iter().find(|(_, new)| *new == id).map_or(id, |(old, _)| *old);
        let mut components = Vec::with_capacity(present.len());
        for component in present {
            let ty = &self.types[usize::from(component)].ty;
            let base = match block.kind {
                BlockKind::Delta if !new => baseline.words(block.group, known_as, component),
                BlockKind::Delta | BlockKind::Since | BlockKind::Whole => None,
            };
            let mut value = Vec::new();
            match base {
                Some(base) => words::read_delta(ty, base, &mut self.bits, &mut value)?,
                None => words::read(ty, &mut self.bits, &mut value)?,
            }
            components.push((component, value));
        }
        Ok(Record { id, new, components })
    }

    fn id(&mut self) -> Result<WireId, FrameError> {
        let id = self.last.checked_add(self.bits.number(ID_ORDER)?);
        self.last = id.ok_or(FrameError::Block("an id overflows"))?;
        Ok(WireId(self.last))
    }
}

/// Bits of a component's number, given how many there are.
fn component_bits(count: usize) -> u32 {
    bits_for((count as u32).saturating_sub(1))
}
