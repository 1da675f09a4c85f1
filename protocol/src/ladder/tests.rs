//! Preludes, heads and acknowledgements of links that lose: golden bytes, round trips, arbitrary bytes.

use super::*;
use crate::frame::InputAck;
use proptest::prelude::*;

fn cell(n: u32, kind: LossyKind) -> LossyHead {
    LossyHead { group: Group::Cell(n), kind }
}

#[test]
fn golden_bytes() {
    let prelude = Prelude {
        full: false,
        tick: Tick(0x1_0203),
        action: Some(0x0102),
        input: Some(InputAck { sample: 9, margin: -1 }),
    };
    let told = LossyPrelude { prelude, rung: Some(Rung { age: 5, back: 2 }) };
    let heads = [cell(1, LossyKind::Rung)];
    assert_eq!(told.encode(&heads).as_slice(), [0x77, 3, 2, 2, 1, 9, 255, 20, 0x52]);
    let full = Prelude { full: true, tick: Tick(300), ..Prelude::default() };
    let full = LossyPrelude { prelude: full, rung: None };
    assert_eq!(full.encode(&[]).as_slice(), [0x0f, 0xac, 2]);
    let plain = Prelude { tick: Tick(300), ..Prelude::default() };
    let heads = [
        LossyHead { group: Group::Everyone, kind: LossyKind::Rung },
        cell(1, LossyKind::News(6)),
        cell(2, LossyKind::All),
        cell(3, LossyKind::Farewell),
    ];
    let told = LossyPrelude { prelude: plain, rung: Some(Rung { age: 8, back: 14 }) };
    let bytes = [0xc7, 0x2c, 1, 1, 0, 21, 6, 38, 55, 0x8e, 1];
    assert_eq!(told.encode(&heads).as_slice(), bytes);
    assert_eq!(Applied { tick: Tick(9), before: 5, event: 1 }.encode(), [5, 9, 5, 1]);
}

#[test]
fn heads_that_cannot_be_are_refused() {
    let read = |mut bytes: &[u8]| LossyPrelude::read(&mut bytes, Tick(0), &mut Vec::new());
    assert!(read(&[0x87, 1, 0, 22, 38]).is_ok());
    assert!(read(&[0x87, 1, 0, 38, 22]).is_err(), "they are not in order");
    assert!(read(&[0x87, 1, 0, 22, 23]).is_err(), "a group comes twice");
    assert!(read(&[0x47, 1, 0, 18]).is_err(), "there is none with this number");
    assert!(read(&[0x87, 1, 0, 22]).is_err(), "they end early");
    assert!(read(&[0x47, 1, 0, 20]).is_err(), "a rung is missing");
    assert!(read(&[0x4f, 1, 22]).is_ok());
    assert!(read(&[0x4f, 1, 20, 16]).is_err(), "a full frame builds on nothing");
    assert!(read(&[0x41, 1, 0]).is_err(), "it is for an ordered link");
    assert!(Prelude::decode(&mut &[0x07, 1, 0][..], Tick(0)).is_err(), "it is for one that loses");
    let frame = |kind: u64, groups: u64| {
        let mut frame = vec![0xc7, 1, 0];
        write_varint(&mut frame, groups - 3);
        (0..groups).for_each(|n| write_varint(&mut frame, n << 4 | 4 | kind));
        frame
    };
    assert!(read(&frame(2, 127)).is_ok());
    assert!(read(&frame(2, 128)).is_err(), "too many");
    assert!(read(&frame(3, 500)).is_ok(), "there may be many farewells");
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
    fn heads_round_trip(
        a: u64,
        near in -30_000i64..30_000,
        action: u16,
        back in 0u8..16,
        age in 0..1u64 << 60,
        kinds in proptest::collection::vec(0u8..4, 0..9),
    ) {
        let tick = Tick(a / 2 + 40_000);
        let known = Tick(tick.0.saturating_add_signed(near));
        let full = a % 7 == 0;
        let kind = |kind| match kind {
            _ if full => LossyKind::All,
            0 => LossyKind::Rung,
            1 => LossyKind::News(age),
            2 => LossyKind::All,
            _ => LossyKind::Farewell,
        };
        let heads: Vec<_> = (0..).zip(&kinds).map(|(n, k)| cell(n * 7, kind(*k))).collect();
        let rung = heads.iter().any(|head| head.kind == LossyKind::Rung);
        let rung = rung.then_some(Rung { age, back });
        let told = LossyPrelude {
            prelude: Prelude { full, tick, action: Some(action), input: None },
            rung,
        };
        let bytes = told.encode(&heads);
        prop_assert!(LossyPrelude::is_at(&bytes));
        prop_assert_eq!(crate::frame::lane(bytes[0]), Some(Lane::State));
        let (mut rest, mut read) = (&bytes[..], vec![]);
        prop_assert_eq!(LossyPrelude::read(&mut rest, known, &mut read), Ok(told));
        prop_assert_eq!((read, rest), (heads, &[][..]));
    }

    #[test]
    fn what_is_said_to_be_applied_round_trips(tick: u64, before: u32, event: u64) {
        let applied = Applied { tick: Tick(tick), before, event };
        prop_assert_eq!(Applied::decode(&applied.encode()[1..]), Ok(applied));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, known: u64) {
        let _ = LossyPrelude::read(&mut &bytes[..], Tick(known), &mut Vec::new());
        let behind = [&[0xff], &bytes[..]].concat();
        let _ = LossyPrelude::read(&mut &behind[..], Tick(known), &mut Vec::new());
        if let Ok(applied) = Applied::decode(&bytes) {
            prop_assert!(applied.ticks().count() <= 33);
        }
    }
}
