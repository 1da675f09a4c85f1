//! Every form a field may have: exact over a save, quantised on the wire, read back from a client.

use referee_room::prelude::*;
use referee_room::testkit::TestRoom;

#[derive(Replicate, Clone, PartialEq, Debug, Default)]
enum Shape {
    #[default]
    Dot,
    Circle(#[field(range = 0.0..=10.0, step = 0.5)] f32),
    Box {
        w: u8,
        h: u8,
    },
    Line(Vec2, Vec2),
}

#[derive(Replicate, Clone, PartialEq, Debug, Default)]
struct Inner(i16, bool);

#[derive(Resource, Replicate, Clone, PartialEq, Debug, Default)]
struct Everything {
    yes: bool,
    tiny: u8,
    wide: u64,
    signed: i64,
    #[field(min = -5, max = 5)]
    narrow: i32,
    #[field(range = -1.0..=1.0, step = 0.25)]
    stepped: f32,
    exact: f32,
    double: f64,
    #[field(range = 0.0..=360.0, step = 1.0, wraps)]
    heading: f32,
    #[field(max = 8)]
    text: String,
    maybe: Option<Inner>,
    #[field(max = 4, of(max = 9))]
    list: Vec<u8>,
    array: [Shape; 2],
    #[field(range = 0.0..=100.0, step = 0.1)]
    at: Vec2,
    pair: (u8, bool),
    target: Option<Entity>,
    #[field(max = 3, of(max = 4))]
    names: Vec<String>,
}

#[derive(Action, Clone)]
struct Set {
    shape: Shape,
    #[field(max = 8)]
    text: String,
    #[field(range = -1.0..=1.0, step = 0.25)]
    stepped: f32,
    target: Option<Entity>,
    #[field(max = 4)]
    list: Vec<i8>,
}

#[derive(Resource, Replicate, Clone, PartialEq, Debug, Default)]
struct Hidden(#[field(max = 64)] String);

#[derive(Component, Replicate)]
struct Thing;

fn game(game: &mut Game) {
    game.turn_based().replicate::<Everything>().keep::<Hidden>().replicate::<Thing>();
    game.action::<Set>();
    game.on_start(
        |mut commands: Commands, mut all: ResMut<Everything>, mut hidden: ResMut<Hidden>| {
            *all = full(commands.spawn(Thing).id());
            hidden.0 = "nobody hears of this".into();
        },
    );
    game.systems(|sets: Actions<Set>, mut all: ResMut<Everything>| {
        for (_, set) in &sets {
            all.array[0] = set.shape.clone();
            all.text.clone_from(&set.text);
            all.stepped = set.stepped;
            all.target = set.target;
            all.list = set.list.iter().map(|n| n.unsigned_abs()).collect();
        }
    });
}

fn full(target: Entity) -> Everything {
    Everything {
        yes: true,
        tiny: 200,
        wide: u64::MAX,
        signed: i64::MIN,
        narrow: -5,
        stepped: 0.3,
        exact: 0.1,
        double: std::f64::consts::PI,
        heading: 359.7,
        text: "ünïcöde"[..8].into(),
        maybe: Some(Inner(-7, true)),
        list: vec![1, 9, 3],
        array: [Shape::Circle(2.6), Shape::Box { w: 3, h: 4 }],
        at: Vec2::new(12.34, 99.99),
        pair: (7, true),
        target: Some(target),
        names: vec!["ab".into(), String::new()],
    }
}

#[test]
fn a_client_sees_every_form() {
    let mut room = TestRoom::new(game);
    let ann = room.join("Ann");
    let seen = room.seen(ann, "Everything").unwrap();
    let near = |value: &Value, expected: f64| {
        assert!((value.as_f64().unwrap() - expected).abs() < 1e-6, "{value} is not {expected}");
    };
    assert_eq!((&seen["yes"], &seen["tiny"]), (&json!(true), &json!(200)));
    assert_eq!((&seen["wide"], &seen["signed"]), (&json!(u64::MAX), &json!(i64::MIN)));
    assert_eq!((&seen["narrow"], &seen["text"]), (&json!(-5), &json!("ünïcö")));
    near(&seen["stepped"], 0.25);
    near(&seen["exact"], f64::from(0.1f32));
    near(&seen["double"], std::f64::consts::PI);
    near(&seen["heading"], 0.0);
    near(&seen["at"]["x"], 12.3);
    near(&seen["at"]["y"], 100.0);
    assert_eq!(seen["maybe"], json!([-7, true]));
    assert_eq!(seen["list"], json!([1, 9, 3]));
    assert_eq!(seen["array"], json!([{ "Circle": 2.5 }, { "Box": { "w": 3, "h": 4 } }]));
    assert_eq!((&seen["pair"], &seen["names"]), (&json!([7, true]), &json!(["ab", ""])));
    assert!(seen["target"].is_u64(), "{}", seen["target"]);
}

#[test]
fn memory_and_disk_keep_exact_values() {
    let mut room = TestRoom::new(game);
    room.join("Ann");
    let before = room.resource::<Everything>().clone();
    assert_eq!((before.stepped, before.heading), (0.3, 359.7));
    room.restart();
    let after = room.resource::<Everything>();
    let target = after.target.expect("the reference is restored");
    assert!(room.world().get::<Thing>(target).is_some(), "and leads to its entity");
    assert_eq!(&Everything { target: before.target, ..after.clone() }, &before);
    assert_eq!(room.resource::<Hidden>().0, "nobody hears of this");
}

#[test]
fn what_a_client_sends_arrives_quantised_and_its_references_lead_home() {
    let mut room = TestRoom::new(game);
    let ann = room.join("Ann");
    // Handles change when the room is rebuilt; identities do not.
    let id = |room: &TestRoom, entity: Option<Entity>| {
        entity.and_then(|entity| room.world().get::<NetId>(entity)).copied()
    };
    let target = room.resource::<Everything>().target;
    let before = id(&room, target);
    let shape = Shape::Line(Vec2::new(1.5, -2.0), Vec2::ZERO);
    let (text, list) = ("hi".to_owned(), vec![-3, 4]);
    room.act(ann, Set { shape: shape.clone(), text, stepped: 0.3, target, list });
    let all = room.resource::<Everything>();
    assert_eq!((&all.array[0], all.text.as_str(), all.stepped), (&shape, "hi", 0.25));
    assert_eq!(all.list, [3, 4]);
    assert!(before.is_some());
    assert_eq!(id(&room, all.target), before);
}

#[test]
fn what_is_only_kept_reaches_no_client() {
    let mut room = TestRoom::new(game);
    let ann = room.join("Ann");
    let names = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| room.seen(ann, "Hidden")));
    assert!(names.is_err(), "it is not even known by name");
}
