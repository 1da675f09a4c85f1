//! Tables: what is likely in a game's state, learnt from matches. They replace the chances with which
//! blocks begin, for those decisions that were seen.
//!
//! Four bytes tell for which types they were made; then come runs: a varint of nodes to leave as they
//! are, a varint of nodes that follow, and for each two bytes, low first: twelve bits of its chance
//! above four of how sure that is.

use crate::bits::{read_varint, write_varint};
use crate::hash::hash;
use crate::schema::Schema;

use super::model::Node;

/// The codec's version: tables of another one are not for this one's nodes.
const VERSION: u8 = 5;
/// A chance is kept in so many bits less than a node has.
const CHANCE_SHIFT: u32 = 4;

/// A node that saw fewer decisions knows no better than one that saw none.
const SEEN_MIN: u32 = 12;

/// What was seen in matches of one game.
#[derive(Clone, Default)]
pub struct Training {
    counts: Vec<[u32; 2]>,
}

impl Training {
    /// Adds what a codec saw.
    pub fn add(&mut self, counts: &[[u32; 2]]) {
        self.counts.resize(self.counts.len().max(counts.len()), [0; 2]);
        for (all, more) in self.counts.iter_mut().zip(counts) {
            all[0] = all[0].saturating_add(more[0]);
            all[1] = all[1].saturating_add(more[1]);
        }
    }

    /// The tables for a schema: what it was recorded with.
    #[must_use]
    pub fn tables(&self, schema: &Schema) -> Vec<u8> {
        let mut out = layout(schema).to_le_bytes().to_vec();
        let mut rest = &self.counts[..];
        let is_known = |count: &[u32; 2]| count[0].saturating_add(count[1]) >= SEEN_MIN;
        while let Some(skip) = rest.iter().position(is_known) {
            rest = &rest[skip..];
            let run = rest.iter().take_while(|count| is_known(count)).count();
            write_varint(&mut out, skip as u64);
            write_varint(&mut out, run as u64);
            let learnt = rest[..run].iter().map(|count| learnt(*count).to_le_bytes());
            out.extend(learnt.flatten());
            rest = &rest[run..];
        }
        out
    }
}

/// A node that saw so many no and yes.
fn learnt([no, yes]: [u32; 2]) -> u16 {
    let seen = u64::from(no) + u64::from(yes);
    // As if it had seen half of either more.
    let chance = (2 * u64::from(yes) + 1) * 65_535 / (2 * seen + 2);
    let sure = (64 - seen.leading_zeros()).min(7) as u16;
    chance as u16 >> CHANCE_SHIFT << CHANCE_SHIFT | sure
}

/// Whether a schema's tables are for its types.
#[must_use]
pub fn fit(schema: &Schema) -> bool {
    schema.tables.is_empty() || runs(schema).is_some()
}

/// Sets the nodes that a schema's tables know. Tables for other types are left out, at both ends
/// alike.
pub(super) fn apply(schema: &Schema, nodes: &mut [Node]) {
    let Some(mut bytes) = runs(schema) else { return };
    let mut at = 0usize;
    while let (Ok(skip), Ok(run)) = (read_varint(&mut bytes), read_varint(&mut bytes)) {
        at = at.saturating_add(usize::try_from(skip).unwrap_or(usize::MAX));
        for _ in 0..run {
            let (Some((pair, rest)), Some(node)) = (bytes.split_at_checked(2), nodes.get_mut(at))
            else {
                return;
            };
            let word = u16::from_le_bytes([pair[0], pair[1]]);
            *node = Node::new(word >> CHANCE_SHIFT << CHANCE_SHIFT, (word & 0xf) as u8);
            bytes = rest;
            at += 1;
        }
    }
}

/// The runs of a schema's tables, where they are for its types.
fn runs(schema: &Schema) -> Option<&[u8]> {
    let (head, runs) = schema.tables.split_at_checked(4)?;
    (head == layout(schema).to_le_bytes()).then_some(runs)
}

/// What the nodes of a schema depend on.
fn layout(schema: &Schema) -> u32 {
    let types = Schema {
        inputs: Vec::new(),
        actions: Vec::new(),
        events: Vec::new(),
        tables: Vec::new(),
        ..schema.clone()
    };
    hash(&[&[VERSION], &types.encode()[..]].concat()) as u32
}

#[cfg(test)]
mod tests {
    use super::super::{Baselines, Codec, View};
    use super::*;
    use crate::ids::WireId;
    use crate::schema::{FieldType, Kind, TypeDef};

    fn schema(span: u64) -> Schema {
        let ty = FieldType::Int { min: 0, span };
        let def = TypeDef { name: "N".into(), resource: false, ty, moves_by: None, rarely: false };
        Schema {
            kind: Kind::Realtime,
            components: vec![def],
            inputs: vec![],
            actions: vec![],
            events: vec![],
            tables: vec![],
        }
    }

    /// Bytes of a match in which ten numbers grow by 40 or 41 in each tick.
    fn play(codec: &mut Codec) -> usize {
        let (mut view, mut out) = (View::new(2), Vec::new());
        for tick in 1..40u32 {
            view.begin(tick.into());
            for id in 1..11 {
                view.enter(WireId(id));
                view.set(WireId(id), 0, Some(&[tick * 40 + (tick * id) % 2]));
            }
            let base = view.now() - 1;
            codec.encode(
                &mut view,
                Baselines { older: base.saturating_sub(1), base },
                &[],
                &mut out,
            );
        }
        out.len()
    }

    #[test]
    fn what_was_learnt_makes_blocks_shorter_and_both_ends_learn_the_same() {
        let mut schema = schema(10_000);
        let mut codec = Codec::new(&schema, 0);
        codec.learn();
        let before = play(&mut codec);
        let mut training = Training::default();
        training.add(codec.counts());
        schema.tables = training.tables(&schema);
        assert!(fit(&schema) && schema.tables.len() < 600, "{} bytes", schema.tables.len());
        let after = play(&mut Codec::new(&schema, 0));
        assert!(after * 10 < before * 7, "{after} bytes with tables, {before} without");
        assert_eq!(play(&mut Codec::new(&schema, 0)), after);
    }

    #[test]
    fn tables_for_other_types_are_left_out() {
        let mut codec = Codec::new(&schema(10_000), 0);
        codec.learn();
        play(&mut codec);
        let mut training = Training::default();
        training.add(codec.counts());
        let mut other = schema(20_000);
        let plain = play(&mut Codec::new(&other, 0));
        other.tables = training.tables(&schema(10_000));
        assert!(!fit(&other));
        assert_eq!(play(&mut Codec::new(&other, 0)), plain);
        // Nor do damaged ones do harm.
        let mut damaged = schema(10_000);
        damaged.tables = training.tables(&damaged);
        damaged.tables.truncate(11);
        damaged.tables.extend([0xff; 9]);
        play(&mut Codec::new(&damaged, 0));
    }
}
