//! Damaged snapshots of an earlier version.

use proptest::prelude::*;
use referee_room::Room;
use referee_room::inspect;

use super::{KEPT, template, v1, v2};

/// How much of a snapshot tells of types: all but what follows on them.
const HEAD: usize = 2_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn damaged_layouts_never_panic(
        changes in proptest::collection::vec((0..HEAD.min(KEPT.len()), any::<u8>()), 1..4),
        cut in proptest::option::of(0..KEPT.len()),
    ) {
        let mut snapshot = KEPT.to_vec();
        changes.iter().for_each(|(at, to)| snapshot[*at] = *to);
        snapshot.truncate(cut.unwrap_or(KEPT.len()));
        let _ = inspect::stored(&snapshot);
        let _ = Room::restore(&template(v2::game), &snapshot, [0; 32]);
        let _ = Room::restore(&template(v1::game), &snapshot, [0; 32]);
    }
}

/// What clients were told comes last, and is of no use to another version.
#[test]
fn a_cut_in_types_or_state_is_noticed() {
    let v2 = template(v2::game);
    let good = |end: &usize| inspect::stored(&KEPT[..*end]).is_ok();
    let state_ends = (0..KEPT.len()).find(good).expect("it is read");
    assert!((0..state_ends).all(|end| Room::restore(&v2, &KEPT[..end], [0; 32]).is_err()));
    assert!(state_ends > KEPT.len() / 2, "{state_ends} of {}", KEPT.len());
}
