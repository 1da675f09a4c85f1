//! Heads, blocks and acknowledgements of links that lose: golden bytes, round trips, arbitrary bytes.

use super::*;
use proptest::prelude::*;

#[test]
fn golden_bytes() {
    let prelude = Prelude {
        full: false,
        tick: Tick(0x1_0203),
        action: Some(0x0102),
        input: Some(InputAck { sample: 9, margin: -1 }),
    };
    let head = Head { prelude, rung: Some(Rung { age: 5, back: 2 }) };
    assert_eq!(head.encode().as_slice(), [1, 0x3e, 3, 2, 2, 1, 9, 255, 5]);
    let full = Prelude { full: true, tick: Tick(300), ..Prelude::default() };
    assert_eq!(Head { prelude: full, rung: None }.encode().as_slice(), [1, 9, 0xac, 2]);
    let mut out = Vec::new();
    let told = |from| LossyBlock::Told { group: Group::Cell(1), from, body: &[7, 8] };
    told(Basis::Rung).write(&mut out);
    told(Basis::Since(6)).write(&mut out);
    told(Basis::Nothing).write(&mut out);
    LossyBlock::Farewell(Group::Cell(1)).write(&mut out);
    assert_eq!(out, [20, 2, 7, 8, 21, 6, 2, 7, 8, 22, 2, 7, 8, 23]);
    assert_eq!(Applied { tick: Tick(9), before: 5, event: 1 }.encode(), [5, 9, 5, 1]);
}

#[test]
fn what_was_applied_is_noted_once_and_forgotten_after_32_ticks() {
    let mut applied = Applied::default();
    for tick in [10, 11, 13, 12, 13, 42] {
        applied.note(Tick(tick));
    }
    let ticks: Vec<u64> = applied.ticks().map(|tick| tick.0).collect();
    assert_eq!(ticks, [42, 13, 11, 10]);
    applied.note(Tick(44));
    assert_eq!(applied.ticks().map(|tick| tick.0).collect::<Vec<_>>(), [44, 42, 13]);
    applied.note(Tick(1_000));
    assert_eq!(applied.ticks().count(), 1);
    let mut applied = Applied::default();
    applied.note(Tick(3));
    assert_eq!(applied.ticks().count(), 1, "nothing was applied before the first");
}

proptest! {
    #[test]
    fn heads_round_trip(a: u64, near in -30_000i64..30_000, action: u16, back in 0u8..16, age: u64) {
        let tick = Tick(a / 2 + 40_000);
        let known = Tick(tick.0.saturating_add_signed(near));
        let full = a % 7 == 0;
        let rung = (back > 0 && !full).then(|| Rung { age, back: back - 1 });
        let prelude = Prelude { full, tick, action: Some(action), input: None };
        let head = Head { prelude, rung };
        let bytes = head.encode();
        prop_assert!(Head::is_at(&bytes.as_slice()[1..]));
        prop_assert_eq!(Head::decode(&mut &bytes.as_slice()[1..], known), Ok(head));
    }

    #[test]
    fn what_is_said_to_be_applied_round_trips(tick: u64, before: u32, event: u64) {
        let applied = Applied { tick: Tick(tick), before, event };
        prop_assert_eq!(Applied::decode(&applied.encode()[1..]), Ok(applied));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, known: u64) {
        let _ = Head::decode(&mut &bytes[..], Tick(known));
        let _ = LossyBlock::read(&mut &bytes[..]);
        if let Ok(applied) = Applied::decode(&bytes) {
            prop_assert!(applied.ticks().count() <= 33);
        }
    }
}
