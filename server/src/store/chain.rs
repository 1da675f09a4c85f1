//! Which chunks of a room follow on its snapshot. A pure function, so that every order of events can
//! be tested.

use super::Chunk;

/// What is known of a room's stored snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Base {
    /// The incarnation that saved it.
    pub(super) life: u64,
    /// Its tick. None in what was saved before rooms had a journal.
    pub(super) tick: Option<u64>,
}

impl Base {
    /// Whether what a life did up to this tick is in the snapshot. A later life was made from all
    /// that the earlier ones left, so its snapshot stands for them; and what a later life wrote is
    /// not in an earlier one's snapshot, however far that had come: time may have gone back, or the
    /// room was made anew.
    pub(super) fn covers(self, life: u64, upto: u64) -> bool {
        life < self.life || (life == self.life && self.tick.is_some_and(|tick| upto <= tick))
    }
}

/// What a room is made from.
#[derive(PartialEq, Eq, Debug, Default)]
pub(super) struct Chain {
    /// The snapshot is not needed: the first chunk begins with all there is.
    pub(super) whole: bool,
    /// The chunks to apply, in order.
    pub(super) chunks: Vec<Chunk>,
    /// How many do not follow on anything.
    pub(super) left_out: usize,
}

/// The chunks that follow on the snapshot, from all that were written, in the order in which they
/// were.
pub(super) fn chain(base: Option<Base>, written: impl IntoIterator<Item = Chunk>) -> Chain {
    let mut chain = Chain::default();
    for chunk in written {
        if base.is_some_and(|base| base.covers(chunk.life, chunk.upto)) {
            continue;
        }
        if chunk.whole && begins_anew(base, &chunk) {
            chain = Chain { whole: true, chunks: vec![chunk], left_out: 0 };
        } else if let Some(kept) = follows(base, &chain, &chunk) {
            // What it takes the place of was written by a life that did not come back.
            chain.chunks.truncate(kept);
            chain.chunks.push(chunk);
        } else {
            chain.left_out += 1;
        }
    }
    chain
}

/// Whether a whole chunk does without the snapshot. Inside of one of the same life it goes on from
/// there, which is shorter.
fn begins_anew(base: Option<Base>, chunk: &Chunk) -> bool {
    let inside =
        |base: Base| base.life == chunk.life && base.tick.is_some_and(|tick| chunk.after <= tick);
    !base.is_some_and(inside)
}

/// After how many of the chain's chunks this one can stand.
fn follows(base: Option<Base>, chain: &Chain, chunk: &Chunk) -> Option<usize> {
    let after = chunk.after;
    if let Some(last) = chain.chunks.iter().rposition(|chunk| chunk.upto == after) {
        return Some(last + 1);
    }
    let at_start = match base {
        _ if chain.whole => false,
        // The snapshot was made in the middle of it.
        Some(Base { life, tick: Some(tick) }) if life == chunk.life => after <= tick,
        Some(Base { tick: Some(tick), .. }) => after == tick,
        // The first that was written after such a snapshot was loaded begins at its tick.
        Some(Base { tick: None, .. }) => chain.chunks.is_empty(),
        None => false,
    };
    at_start.then_some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(life: u64, after: u64, upto: u64) -> Chunk {
        Chunk { life, after, upto, ..Chunk::default() }
    }

    fn whole(life: u64, after: u64, upto: u64) -> Chunk {
        Chunk { whole: true, ..chunk(life, after, upto) }
    }

    fn base(life: u64, tick: u64) -> Option<Base> {
        Some(Base { life, tick: Some(tick) })
    }

    #[track_caller]
    fn check(base: Option<Base>, written: &[Chunk], kept: &[Chunk], left_out: usize) {
        let whole = base.is_none() || kept.first().is_some_and(|first| first.whole);
        let chain = chain(base, written.to_vec());
        assert_eq!((&chain.chunks[..], chain.left_out), (kept, left_out));
        assert_eq!(chain.whole, whole && !kept.is_empty());
    }

    #[test]
    fn what_the_snapshot_has_is_left_out_and_what_follows_is_kept() {
        let written = [chunk(1, 0, 4), chunk(1, 4, 8), chunk(1, 8, 12)];
        check(base(1, 4), &written, &written[1..], 0);
        check(base(1, 6), &written, &written[1..], 0);
        check(base(1, 12), &written, &[], 0);
        check(base(2, 3), &written, &[], 0);
    }

    #[test]
    fn after_a_gap_nothing_counts() {
        let written = [chunk(1, 4, 8), chunk(1, 9, 12), chunk(1, 12, 13)];
        check(base(1, 4), &written, &written[..1], 2);
        check(base(1, 2), &written, &[], 3);
        check(None, &written, &[], 3);
    }

    #[test]
    fn a_life_that_went_back_takes_the_place_of_what_came_after() {
        let lost = chunk(1, 9, 12);
        let written = [chunk(1, 0, 4), chunk(1, 4, 8), lost.clone(), chunk(2, 8, 10)];
        check(base(1, 0), &written, &[chunk(1, 0, 4), chunk(1, 4, 8), chunk(2, 8, 10)], 1);
        let written = [chunk(1, 0, 4), chunk(1, 4, 8), chunk(2, 4, 6), chunk(2, 6, 7)];
        check(base(1, 0), &written, &[chunk(1, 0, 4), chunk(2, 4, 6), chunk(2, 6, 7)], 0);
        check(base(1, 4), &written, &[chunk(2, 4, 6), chunk(2, 6, 7)], 0);
        check(base(1, 5), &[chunk(2, 4, 6)], &[], 1);
    }

    #[test]
    fn a_whole_chunk_begins_anew() {
        let anew = [whole(5, 0, 2), chunk(5, 2, 3)];
        check(None, &anew, &anew, 0);
        // The room was removed and made again, but the old snapshot is still there.
        let written = [chunk(1, 100, 120), anew[0].clone(), anew[1].clone()];
        check(base(1, 100), &written, &anew, 0);
        check(None, &written, &anew, 0);
        // Its own snapshot came in the meantime.
        check(base(5, 2), &anew, &anew[1..], 0);
        assert_eq!(
            chain(base(5, 1), anew.to_vec()),
            Chain { whole: false, chunks: anew.to_vec(), left_out: 0 }
        );
        // Time goes on in it, and the snapshot is older.
        let later = [whole(1, 8, 9)];
        check(base(1, 4), &later, &later, 0);
    }

    #[test]
    fn chunks_that_come_twice_are_applied_once() {
        let once = [chunk(1, 0, 4), chunk(1, 4, 8), chunk(1, 8, 9)];
        let twice = [&once[..2], &once[..]].concat();
        check(base(1, 0), &twice, &once, 0);
    }

    #[test]
    fn a_snapshot_without_a_tick_is_followed_by_what_was_written_first() {
        let old = Some(Base { life: 1, tick: None });
        let written = [chunk(2, 70, 75), chunk(2, 75, 76)];
        check(old, &written, &written, 0);
        check(old, &[chunk(2, 70, 75), chunk(2, 76, 77)], &written[..1], 1);
    }
}
