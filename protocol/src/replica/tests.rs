//! What a client knows over several groups: handles stay, what leaves goes last.

use super::*;
use crate::alias::Ids;
use crate::ladder::{LossyHead, LossyKind, LossyPrelude, Rung};
use crate::schema::{FieldType, Kind, TypeDef};
use crate::words::tests::generator;
use proptest::prelude::*;

fn schema() -> Schema {
    let ty = FieldType::Int { min: 0, span: 1000 };
    let def = TypeDef { name: "C".into(), resource: false, ty, moves_by: None, rarely: false };
    let (inputs, actions, events) = (vec![], vec![], vec![]);
    Schema { kind: Kind::Realtime, components: vec![def], inputs, actions, events, tables: vec![] }
}

/// A room that shows two groups to one client.
struct Rig {
    schema: Schema,
    codec: Codec,
    views: [View; 2],
    replica: Replica,
}

const GROUPS: [Group; 2] = [Group::Everyone, Group::Team(1)];

impl Rig {
    fn new() -> Self {
        let schema = schema();
        let codec = Codec::new(&schema, 0);
        let views = [View::new(2), View::new(2)];
        Self { schema, codec, views, replica: Replica::default() }
    }

    fn frame(
        &mut self,
        full: bool,
        renamed: [&[(WireId, WireId)]; 2],
        change: impl FnOnce(&mut [View; 2]),
    ) {
        self.aliased(full, renamed, &[], change);
    }

    fn aliased(
        &mut self,
        full: bool,
        renamed: [&[(WireId, WireId)]; 2],
        same: &[[u32; 2]],
        change: impl FnOnce(&mut [View; 2]),
    ) {
        let tick = Tick(self.replica.tick().0 + 1);
        self.views.iter_mut().for_each(|view| view.begin(tick.0));
        change(&mut self.views);
        let prelude = Prelude { full, tick, ..Prelude::default() };
        let kind = if full { BlockKind::Absolute } else { BlockKind::Delta };
        let heads = GROUPS.map(|group| Head { group, known: !full, kind });
        let mut body = prelude.encode(self.replica.tick(), &heads).to_vec();
        for (view, renamed) in self.views.iter_mut().zip(renamed) {
            let base = view.now() - 1;
            if full {
                self.codec.encode_whole(view, tick.0, &mut body);
            } else {
                let from = Baselines { older: base.saturating_sub(1), base };
                self.codec.encode(view, from, renamed, &mut body);
            }
        }
        let same: Vec<Ids> = same.iter().map(|ids| ids.map(WireId).into_iter().collect()).collect();
        alias::write(&same, &mut body);
        self.replica.apply(&self.schema, &body).expect("a good frame");
    }

    fn show(view: &mut View, id: u32, value: u32) {
        view.enter(WireId(id));
        view.set(WireId(id), 0, Some(&[value]));
    }
}

#[test]
fn a_move_between_two_groups_is_no_despawn() {
    let mut rig = Rig::new();
    rig.frame(true, [&[], &[]], |[_, team]| Rig::show(team, 8, 1));
    let handle = rig.replica.handle(WireId(8)).expect("it is seen");
    // It comes into everyone's view under another name, and out of the team's.
    rig.frame(false, [&[], &[(WireId(8), WireId(4))]], |[all, team]| {
        Rig::show(all, 4, 2);
        team.leave(WireId(8));
    });
    assert_eq!(rig.replica.handle(WireId(4)), Some(handle));
    assert_eq!(rig.replica.handle(WireId(8)), None);
    assert_eq!(rig.replica.component(WireId(4), 0), Some(&[2][..]));
    assert_eq!(rig.replica.entities().count(), 1);
}

#[test]
fn what_two_groups_show_goes_when_both_let_it_go() {
    let mut rig = Rig::new();
    rig.frame(true, [&[], &[]], |views| views.iter_mut().for_each(|view| Rig::show(view, 5, 1)));
    rig.frame(false, [&[], &[]], |[all, _]| all.leave(WireId(5)));
    assert!(rig.replica.handle(WireId(5)).is_some());
    rig.frame(false, [&[], &[]], |[_, team]| team.leave(WireId(5)));
    assert!(rig.replica.handle(WireId(5)).is_none());
}

#[test]
fn ids_of_one_entity_are_one_entity_until_no_group_shows_any() {
    let mut rig = Rig::new();
    rig.frame(true, [&[], &[]], |[_, team]| Rig::show(team, 8, 1));
    let handle = rig.replica.handle(WireId(8)).expect("it is seen");
    // It comes into another group, which has another value of it and one more entity.
    rig.aliased(false, [&[], &[]], &[[4, 8]], |[all, _]| {
        Rig::show(all, 4, 2);
        Rig::show(all, 5, 9);
    });
    assert_eq!(rig.replica.entities().count(), 2);
    assert_eq!(rig.replica.wire_id(handle), Some(WireId(4)), "the smallest");
    for id in [4, 8].map(WireId) {
        assert_eq!(rig.replica.handle(id), Some(handle));
        assert_eq!(rig.replica.component(id, 0), Some(&[1][..]), "the narrower group's");
        assert_eq!(rig.replica.components(id), BTreeMap::from([(0, &[1][..])]));
    }
    assert_eq!(rig.replica.departed(), []);
    // One lets it go: it is there by the other. Then a renaming of what is still shown by both ids.
    rig.frame(false, [&[], &[]], |[_, team]| team.go(WireId(8), true));
    assert_eq!((rig.replica.handle(WireId(8)), rig.replica.departed()), (None, &[][..]));
    rig.frame(false, [&[], &[(WireId(4), WireId(9))]], |[_, team]| Rig::show(team, 9, 3));
    assert_eq!([4, 9].map(|id| rig.replica.handle(WireId(id))), [Some(handle); 2]);
    rig.frame(false, [&[], &[]], |[all, _]| all.leave(WireId(4)));
    assert_eq!(rig.replica.departed(), []);
    rig.frame(false, [&[], &[]], |[_, team]| team.go(WireId(9), true));
    assert_eq!(rig.replica.departed(), [Departed { handle, gone: true }]);
    assert_eq!(rig.replica.entities().count(), 1);
}

#[test]
fn two_entities_that_are_told_to_be_one_are_the_older() {
    let mut rig = Rig::new();
    rig.frame(true, [&[], &[]], |views| {
        Rig::show(&mut views[0], 5, 1);
        Rig::show(&mut views[1], 3, 1);
    });
    let [older, newer] = [5, 3].map(|id| rig.replica.handle(WireId(id)).expect("it is seen"));
    rig.aliased(false, [&[], &[]], &[[3, 5]], |[all, _]| Rig::show(all, 6, 1));
    assert_eq!([3, 5].map(|id| rig.replica.handle(WireId(id))), [Some(older); 2]);
    assert_eq!(rig.replica.departed(), [Departed { handle: newer, gone: false }]);
    // Who is told everything anew sees each of them leave once.
    rig.frame(true, [&[], &[]], |_| {});
    assert_eq!(rig.replica.departed().len(), 2);
}

#[test]
fn bytes_behind_the_last_block_are_a_fault() {
    let mut rig = Rig::new();
    rig.frame(true, [&[], &[]], |[all, _]| Rig::show(all, 1, 7));
    let prelude = Prelude { tick: Tick(9), ..Prelude::default() };
    let mut body = prelude.encode(rig.replica.tick(), &[]).to_vec();
    assert!(rig.replica.apply(&rig.schema, &body).is_ok());
    body.push(0);
    rig.replica.set_tick(Tick(1));
    let none = FrameError::Block("no entity has several ids");
    assert_eq!(rig.replica.apply(&rig.schema, &body), Err(none));
    rig.replica.set_tick(Tick(1));
    body.splice(body.len() - 1.., [1, 2, 1, 0, 9]);
    assert_eq!(rig.replica.apply(&rig.schema, &body), Err(FrameError::Trailing(1)));
}

proptest! {
    #[test]
    fn the_hash_tells_views_apart(seed: u64) {
        let mut draw = generator(seed);
        let (mut a, mut b) = (Rig::new(), Rig::new());
        for rig in [&mut a, &mut b] {
            rig.frame(true, [&[], &[]], |[all, _]| Rig::show(all, 1, 7));
        }
        prop_assert_eq!(a.replica.hash(), b.replica.hash());
        let value = draw() % 1000;
        a.frame(false, [&[], &[]], |[all, _]| Rig::show(all, 1, value));
        prop_assert_eq!(a.replica.hash() == b.replica.hash(), value == 7);
    }

    #[test]
    fn arbitrary_frames_never_panic(bytes: Vec<u8>) {
        let mut rig = Rig::new();
        rig.frame(true, [&[], &[]], |[all, _]| Rig::show(all, 1, 7));
        let _ = rig.replica.apply(&rig.schema, &bytes);
        // The same on a link that loses: behind good heads, too.
        let _ = rig.replica.take(&rig.schema, &bytes);
        let prelude = Prelude { tick: Tick(rig.replica.tick().0 + 1), ..Prelude::default() };
        for kind in [LossyKind::Rung, LossyKind::News(1), LossyKind::All] {
            let rung = (kind == LossyKind::Rung).then_some(Rung { age: 1, back: 0 });
            let head = LossyHead { group: GROUPS[0], kind };
            let mut frame = LossyPrelude { prelude, rung }.encode(&[head]).to_vec();
            frame.extend(&bytes);
            let _ = rig.replica.take(&rig.schema, &frame);
        }
    }
}
