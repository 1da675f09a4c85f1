//! Who sees what: owners, teams, groups; and that nobody's bytes hold what is not theirs.

mod common;

use referee_room::prelude::*;
use referee_room::testkit::{TestPlayer, TestRoom};
use std::collections::BTreeSet;

#[derive(Component, Replicate, Default)]
#[replicate(to = owner)]
struct Hand(#[field(max = 64)] String);

#[derive(Component, Replicate)]
struct Unit(u32);

#[derive(Component, Replicate)]
#[replicate(to = team)]
struct Orders(#[field(max = 64)] String);

#[derive(Component, Replicate)]
#[replicate(to = by_depth)]
struct Depth(u32);

#[derive(Component, Replicate)]
struct Follows(Option<Entity>);

fn by_depth(entity: EntityRef<'_>) -> Vec<Group> {
    let depth = entity.get::<Depth>().map_or(0, |depth| depth.0);
    if depth < 10 { vec![Group::Everyone] } else { vec![Group::Team(depth / 10)] }
}

#[derive(Action)]
struct Spawn {
    value: u32,
}
#[derive(Action)]
struct JoinTeam {
    #[field(max = 1000)]
    team: u32,
}
#[derive(Action)]
struct Hide {
    value: u32,
    #[field(max = 4)]
    to: u8,
}
#[derive(Action)]
struct Dig {
    depth: u32,
}
#[derive(Action)]
struct Follow;
#[derive(Action)]
struct See {
    #[field(max = 1000)]
    team: u32,
}

fn game(game: &mut Game) {
    game.turn_based().max_players(8).spectators(4);
    game.replicate::<Hand>().replicate::<Unit>().replicate::<Orders>().replicate::<Depth>();
    game.replicate::<Follows>().action::<Spawn>().action::<JoinTeam>().action::<Hide>();
    game.action::<Dig>().action::<Follow>().action::<See>();
    game.player(|player: Player| Hand(format!("the hand of {}", player.name)));
    game.systems((spawn, join_team, hide, dig, follow, see));
}

fn spawn(spawns: Actions<Spawn>, mut commands: Commands) {
    for (_, spawn) in &spawns {
        commands.spawn(Unit(spawn.value));
    }
}

fn join_team(joins: Actions<JoinTeam>, mut commands: Commands) {
    for (player, join) in &joins {
        let orders = Orders(format!("orders of team {}", join.team));
        commands.entity(player).insert((Team(join.team), orders));
    }
}

fn hide(hides: Actions<Hide>, units: Query<(Entity, &Unit)>, mut commands: Commands) {
    for (_, hide) in &hides {
        for (entity, _) in units.iter().filter(|(_, unit)| unit.0 == hide.value) {
            match hide.to {
                0 => commands.entity(entity).insert(InGroups(vec![])),
                1 => commands.entity(entity).insert(InGroups(vec![Group::Player(Seat(0))])),
                2 => commands.entity(entity).insert(InGroups(vec![Group::Team(1)])),
                4 => commands.entity(entity).insert(InGroups(vec![Group::Team(2)])),
                _ => commands.entity(entity).remove::<InGroups>(),
            };
        }
    }
}

fn dig(digs: Actions<Dig>, mut commands: Commands) {
    for (player, dig) in &digs {
        commands.entity(player).insert(Depth(dig.depth));
    }
}

fn follow(follows: Actions<Follow>, units: Query<Entity, With<Unit>>, mut commands: Commands) {
    for (player, _) in &follows {
        commands.entity(player).insert(Follows(units.iter().next()));
    }
}

fn see(sees: Actions<See>, mut commands: Commands) {
    for (player, see) in &sees {
        commands.entity(player).insert(Sees(vec![Group::Team(see.team)]));
    }
}

fn units(room: &TestRoom, player: TestPlayer) -> Vec<u64> {
    let seen = room.seen_on_entities(player, "Unit");
    let mut values: Vec<u64> = seen.iter().filter_map(Value::as_u64).collect();
    values.sort_unstable();
    values
}

fn two() -> (TestRoom, TestPlayer, TestPlayer) {
    let mut room = TestRoom::new(game);
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    (room, ann, bob)
}

/// Whether a client knows a text: texts are bytes, four to a word.
fn contains(room: &TestRoom, player: TestPlayer, text: &str) -> bool {
    let replica = room.replica(player);
    let found = |words: &&[u32]| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    let mut known = replica.entities().flat_map(|(id, _)| replica.components(id).into_values());
    known.any(|words| found(&words))
}

#[test]
fn a_hand_reaches_its_owner_and_nobody_else() {
    let (mut room, ann, bob) = two();
    let eve = room.watch("Eve");
    assert_eq!(room.seen_on_entities(ann, "Hand"), [json!("the hand of Ann")]);
    assert!(contains(&room, ann, "the hand of Ann"));
    for (player, hidden) in [(ann, "the hand of Bob"), (bob, "the hand of Ann"), (eve, "the hand")]
    {
        assert!(!contains(&room, player, hidden));
    }
    // Names travel to everyone: the search itself works.
    assert!(contains(&room, eve, "Ann"));
}

#[test]
fn what_nobody_sees_changes_nobodys_bytes() {
    let run = |hidden: bool| {
        let (mut room, ann, bob) = two();
        room.act(ann, Spawn { value: 1 });
        if hidden {
            room.act(ann, Spawn { value: 2 });
            room.act(ann, Hide { value: 2, to: 0 });
        } else {
            room.act(ann, Follow);
            room.act(ann, Follow);
        }
        let before = room.frames(bob).len();
        room.act(ann, Hide { value: 2, to: 0 });
        room.act(ann, JoinTeam { team: 3 });
        room.act(ann, Dig { depth: 77 });
        room.frames(bob)[before..].to_vec()
    };
    assert!(run(true).is_empty(), "Bob hears nothing of a hidden unit, a team and a depth");
}

#[test]
fn a_team_sees_its_orders_from_the_moment_of_joining_to_that_of_leaving() {
    let (mut room, ann, bob) = two();
    room.act(ann, JoinTeam { team: 1 });
    room.act(bob, JoinTeam { team: 2 });
    assert_eq!(room.seen_on_entities(ann, "Orders"), [json!("orders of team 1")]);
    assert!(!contains(&room, bob, "orders of team 1"));
    room.act(bob, JoinTeam { team: 1 });
    assert_eq!(room.seen_on_entities(bob, "Orders"), vec![json!("orders of team 1"); 2]);
    room.act(ann, JoinTeam { team: 2 });
    assert_eq!(room.seen_on_entities(bob, "Orders"), [json!("orders of team 1")]);
    assert_eq!(room.seen_on_entities(ann, "Orders"), [json!("orders of team 2")]);
}

#[test]
fn an_entity_goes_into_groups_and_out_of_them() {
    let (mut room, ann, bob) = two();
    room.act(ann, Spawn { value: 1 });
    room.act(ann, Spawn { value: 2 });
    assert_eq!((units(&room, ann), units(&room, bob)), (vec![1, 2], vec![1, 2]));
    room.act(ann, Hide { value: 2, to: 1 });
    assert_eq!((units(&room, ann), units(&room, bob)), (vec![1, 2], vec![1]));
    room.act(ann, Hide { value: 2, to: 0 });
    assert_eq!((units(&room, ann), units(&room, bob)), (vec![1], vec![1]));
    room.act(ann, Hide { value: 2, to: 3 });
    assert_eq!((units(&room, ann), units(&room, bob)), (vec![1, 2], vec![1, 2]));
}

#[test]
fn a_move_between_two_groups_that_a_client_gets_is_no_despawn() {
    let (mut room, ann, _) = two();
    room.act(ann, JoinTeam { team: 1 });
    room.act(ann, Spawn { value: 5 });
    let handles = |room: &TestRoom| {
        let mut handles: Vec<u32> =
            room.replica(ann).entities().map(|(_, handle)| handle).collect();
        handles.sort_unstable();
        handles
    };
    let before = handles(&room);
    // Everyone's, then only Ann's, then her team's, then everyone's again.
    for to in [1, 2, 3] {
        room.act(ann, Hide { value: 5, to });
        assert_eq!((handles(&room), units(&room, ann)), (before.clone(), vec![5]), "to {to}");
    }
}

#[test]
fn a_move_between_two_teams_is_a_despawn_only_to_those_who_see_one() {
    let (mut room, ann, bob) = two();
    room.act(ann, JoinTeam { team: 1 });
    room.act(ann, See { team: 2 });
    room.act(bob, JoinTeam { team: 2 });
    room.act(ann, Spawn { value: 5 });
    room.act(ann, Hide { value: 5, to: 2 });
    let handles = |room: &TestRoom, player| {
        room.replica(player).entities().map(|(_, handle)| handle).collect::<BTreeSet<u32>>()
    };
    let before = handles(&room, ann);
    assert!(units(&room, bob).is_empty());
    room.act(ann, Hide { value: 5, to: 4 });
    assert_eq!((handles(&room, ann), units(&room, ann)), (before, vec![5]));
    assert_eq!(units(&room, bob), [5]);
}

#[test]
fn what_comes_back_into_view_has_another_name() {
    let (mut room, ann, bob) = two();
    room.act(ann, Spawn { value: 5 });
    let name = |room: &TestRoom| {
        const UNIT: u16 = 2; // after Player and Hand, in order of registration
        let replica = room.replica(bob);
        let mut ids = replica.entities().map(|(id, _)| id);
        ids.find(|id| replica.components(*id).contains_key(&UNIT))
    };
    let first = name(&room).expect("Bob sees the unit");
    room.act(ann, Hide { value: 5, to: 1 });
    assert_eq!(name(&room), None);
    room.act(ann, Hide { value: 5, to: 3 });
    assert_ne!(name(&room).expect("it is back"), first);
}

#[test]
fn a_function_of_the_components_may_say_who_sees() {
    let (mut room, ann, bob) = two();
    room.act(ann, Dig { depth: 5 });
    assert_eq!(room.seen_on_entities(bob, "Depth"), [json!(5)]);
    room.act(ann, Dig { depth: 25 });
    assert!(room.seen_on_entities(bob, "Depth").is_empty());
    room.act(bob, JoinTeam { team: 2 });
    assert_eq!(room.seen_on_entities(bob, "Depth"), [json!(25)]);
}

#[test]
fn a_reference_is_told_only_where_its_target_is_seen() {
    let (mut room, ann, bob) = two();
    room.act(ann, Spawn { value: 1 });
    room.act(ann, Follow);
    assert_ne!(room.seen_on_entities(bob, "Follows"), [json!(null)]);
    room.act(ann, Hide { value: 1, to: 1 });
    assert_eq!(room.seen_on_entities(bob, "Follows"), [json!(null)]);
    room.act(ann, Hide { value: 1, to: 3 });
    assert_ne!(room.seen_on_entities(bob, "Follows"), [json!(null)], "and again when it is back");
}

#[derive(Component, Replicate)]
struct Card(u32);

/// Also what says who sees what.
#[test]
fn the_whole_state_tells_whose_a_thing_is() {
    let mut room = TestRoom::new(|game: &mut Game| {
        game.turn_based().replicate::<Card>();
    });
    let _ann = room.join("Ann");
    room.change(|world| {
        world.spawn((Card(1), Owner(Seat(3)), Team(7), InGroups(vec![Group::Player(Seat(3))])));
    });
    let state = room.room().to_json();
    let card = state["entities"].as_array().expect("a list").iter().find(|e| e["Card"] == json!(1));
    let card = card.expect("it is there");
    assert_eq!((&card["Owner"], &card["Team"]), (&json!(3), &json!(7)));
    assert_eq!(card["InGroups"], json!([Group::Player(Seat(3)).number()]));
}
