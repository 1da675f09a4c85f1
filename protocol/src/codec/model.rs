//! Models: what is likely. A node is the chance of one binary decision. All begin each block as their
//! tables say and learn from the block itself, so that a block depends on nothing but its baselines.

use super::range::{Coder, PROBABILITY_BITS};

/// One decision: the chance of a yes in 1/65,536, and how sure that is (0 to 7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Node {
    chance: u16,
    sure: u8,
}

/// By how much a node moves towards what it sees: 2 to the minus this, by how sure it is, in four bits for
/// each. Out of a register it is there sooner than out of an array.
const RATES: u32 = 0x5544_3321;
/// How sure a node becomes within a block.
const LEARNED: u8 = 5;

impl Node {
    /// A node of a chance in 1/65,536, and how sure that is: 0 to 7.
    pub(super) fn new(chance: u16, sure: u8) -> Self {
        Self { chance: chance.clamp(16, 65_520), sure: sure.min(7) }
    }

    #[inline(always)]
    fn learn(&mut self, yes: bool) {
        let rate = RATES >> (4 * u32::from(self.sure & 7)) & 7;
        if yes {
            self.chance += (u16::MAX - self.chance) >> rate;
        } else {
            self.chance -= self.chance >> rate;
        }
        self.sure += u8::from(self.sure < LEARNED);
    }
}

/// A node as a block uses it.
#[derive(Clone, Copy)]
struct Used {
    node: Node,
    /// As in its tables.
    initial: Node,
    /// The block that used it last: for another one it is as in its tables.
    block: u32,
}

/// All nodes of a game, as blocks use them.
pub(super) struct Models {
    nodes: Vec<Used>,
    block: u32,
    /// How often each node said no and yes, while a match is recorded for training.
    counts: Option<Vec<[u32; 2]>>,
}

impl Models {
    /// Models that begin so.
    pub(super) fn new(initial: &[Node]) -> Self {
        let used = |node: &Node| Used { node: *node, initial: *node, block: 0 };
        Self { nodes: initial.iter().map(used).collect(), block: 0, counts: None }
    }

    /// Begins to count what the nodes say.
    pub(super) fn record(&mut self) {
        self.counts = Some(vec![[0; 2]; self.nodes.len()]);
    }

    /// What was counted.
    pub(super) fn counts(&self) -> &[[u32; 2]] {
        self.counts.as_deref().unwrap_or(&[])
    }

    /// Begins a block.
    pub(super) fn begin(&mut self) {
        self.block = self.block.wrapping_add(1);
    }

    /// One decision.
    #[inline(always)] // A call costs a quarter of what it does.
    pub(super) fn bit<C: Coder>(&mut self, coder: &mut C, node: usize, yes: bool) -> bool {
        let used = &mut self.nodes[node];
        if used.block != self.block {
            (used.node, used.block) = (used.initial, self.block);
        }
        let chance = (u32::from(used.node.chance) >> (16 - PROBABILITY_BITS)).max(1);
        let yes = coder.bit(chance, yes);
        used.node.learn(yes);
        if let Some(counts) = &mut self.counts {
            counts[node][usize::from(yes)] += 1;
        }
        yes
    }

    /// A number of few bits, the highest first: each has a node for what came before it. Takes
    /// `1 << bits` nodes.
    pub(super) fn tree<C: Coder>(
        &mut self,
        coder: &mut C,
        base: usize,
        bits: u32,
        value: u32,
    ) -> u32 {
        let mut path = 1usize;
        for at in (0..bits).rev() {
            let yes = self.bit(coder, base + path, value >> at & 1 == 1);
            path = path << 1 | usize::from(yes);
        }
        path as u32 - (1 << bits)
    }

    /// A number that is often small: its length in bits, one by one ([`LENGTH_NODES`] from
    /// `lengths`), then its bits below the highest, of which two have nodes ([`MANTISSA_NODES`] from
    /// `mantissas`).
    pub(super) fn magnitude<C: Coder>(
        &mut self,
        coder: &mut C,
        (lengths, mantissas): (usize, usize),
        value: u32,
    ) -> u32 {
        let given = 32 - value.leading_zeros();
        let mut length = 0;
        while length < 32 {
            let node = lengths + (length as usize).min(LENGTH_NODES - 1);
            if !self.bit(coder, node, given > length) {
                break;
            }
            length += 1;
        }
        if length <= 1 {
            return length;
        }
        let below = length - 1;
        let modelled = below.min(2);
        let base = mantissas + 4 * (length.min(12) as usize - 2);
        let high = value >> (below - modelled) & ((1 << modelled) - 1);
        let high = self.tree(coder, base, modelled, high);
        let rest = below - modelled;
        let low = coder.raw(value & ((1u32 << rest) - 1), rest);
        1 << below | high << rest | low
    }
}

/// Nodes of a magnitude's length.
pub(super) const LENGTH_NODES: usize = 14;
/// Nodes of a magnitude's bits.
pub(super) const MANTISSA_NODES: usize = 44;
