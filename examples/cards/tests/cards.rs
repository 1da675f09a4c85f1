//! The rules of Crazy Eights, in memory; and that nobody learns what is hidden.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use cards::Suit::{Clubs, Diamonds, Hearts, Spades};
use cards::{Card, Deal, Draw, Hand, Lay, Place, Suit, Table, cards};
use referee::prelude::*;
use referee::testkit::{Secrecy, TestPlayer, TestRoom};

fn room(players: usize) -> (TestRoom, Vec<TestPlayer>) {
    let mut room = TestRoom::new(cards);
    let names = ["Ann", "Bob", "Cid", "Dee"];
    let players = names[..players].iter().map(|name| room.join(name)).collect();
    (room, players)
}

fn dealt(players: usize) -> (TestRoom, Vec<TestPlayer>) {
    let (mut room, players) = room(players);
    room.act(players[0], Deal);
    (room, players)
}

/// Every card there is, as it is in the room.
fn all(room: &TestRoom) -> Vec<(Entity, Card)> {
    let mut cards = room.world().try_query::<(Entity, &Card)>().unwrap();
    cards.iter(room.world()).map(|(entity, card)| (entity, *card)).collect()
}

fn held(room: &TestRoom, player: TestPlayer) -> Vec<(Entity, Card)> {
    let hand = Place::Hand(room.seat(player).unwrap());
    all(room).into_iter().filter(|(_, card)| card.place == hand).collect()
}

fn fits(room: &TestRoom, card: &Card) -> bool {
    let table = room.resource::<Table>();
    card.rank == 8 || card.rank == table.rank || card.suit == table.suit
}

/// Whoever's turn it is, of these.
fn turn_of(room: &TestRoom, players: &[TestPlayer]) -> Option<TestPlayer> {
    let turn = room.resource::<Table>().turn;
    players.iter().copied().find(|player| turn.is_some() && room.seat(*player) == turn)
}

/// One turn: lays the first card that fits, or draws.
fn play(room: &mut TestRoom, player: TestPlayer) {
    let fitting = held(room, player).into_iter().find(|(_, card)| fits(room, card));
    match fitting {
        Some((card, _)) => room.act(player, Lay { card, suit: None }),
        None => room.act(player, Draw),
    }
}

/// Puts the round into a state: these are the hands, the rest lies face down but for one card.
fn arrange(room: &mut TestRoom, hands: &[&[(Suit, u8)]], top: (Suit, u8)) {
    room.change(|world| {
        let mut query = world.query::<&mut Card>();
        let mut deck = 0;
        for mut card in query.iter_mut(world) {
            let is = |(suit, rank): &(Suit, u8)| card.suit == *suit && card.rank == *rank;
            let holder = hands.iter().position(|hand| hand.iter().any(is));
            card.place = match holder {
                Some(seat) => Place::Hand(Seat(seat as u16)),
                None if is(&top) => Place::Pile(1),
                None => {
                    deck += 1;
                    Place::Deck(deck)
                }
            };
        }
        let mut table = world.resource_mut::<Table>();
        (table.deck, table.laid, table.suit, table.rank) = (deck, 1, top.0, top.1);
    });
}

fn card(room: &TestRoom, suit: Suit, rank: u8) -> Entity {
    let is = |card: &Card| card.suit == suit && card.rank == rank;
    all(room).into_iter().find(|(_, card)| is(card)).unwrap().0
}

fn counts(room: &TestRoom, players: &[TestPlayer]) -> Vec<u8> {
    players.iter().map(|player| room.component::<Hand>(*player).cards).collect()
}

#[test]
fn each_is_dealt_five_and_one_card_is_turned_up() {
    for players in 2..=4 {
        let (room, players) = dealt(players);
        let table = room.resource::<Table>();
        assert!(counts(&room, &players).iter().all(|cards| *cards == 5));
        assert_eq!(usize::from(table.deck), 52 - 5 * players.len() - 1);
        assert_eq!((table.laid, table.turn), (1, Some(Seat(0))));
        let is_in_deck = |(_, card): &(Entity, Card)| matches!(card.place, Place::Deck(_));
        let deck = all(&room).into_iter().filter(is_in_deck).count();
        assert_eq!((deck, all(&room).len()), (usize::from(table.deck), 52));
    }
}

#[test]
fn nobody_deals_alone_or_into_a_round() {
    let (mut alone, players) = room(1);
    alone.act(players[0], Deal);
    assert_eq!(alone.resource::<Table>().turn, None);
    let (mut room, players) = dealt(2);
    let before = room.resource::<Table>().laid;
    play(&mut room, players[0]);
    let (table, hands) = (room.resource::<Table>().turn, counts(&room, &players));
    room.act(players[1], Deal);
    assert_eq!((room.resource::<Table>().turn, counts(&room, &players)), (table, hands));
    assert!(room.resource::<Table>().laid >= before);
}

#[test]
fn only_who_is_on_turn_lays_and_only_own_cards_that_fit() {
    let (mut room, players) = dealt(2);
    let (ann, bob) = (players[0], players[1]);
    let hands: [&[_]; 2] = [&[(Hearts, 2), (Clubs, 3), (Spades, 9)], &[(Hearts, 5), (Clubs, 9)]];
    arrange(&mut room, &hands, (Hearts, 9));
    let tries = [
        (bob, Hearts, 5, "it is not Bob's turn"),
        (ann, Clubs, 3, "neither suit nor rank"),
        (ann, Hearts, 5, "Bob's card"),
        (ann, Hearts, 7, "a card of the deck"),
        (ann, Hearts, 9, "the pile's"),
    ];
    for (player, suit, rank, why) in tries {
        let card = card(&room, suit, rank);
        room.act(player, Lay { card, suit: None });
        assert_eq!(
            (room.resource::<Table>().laid, counts(&room, &players)),
            (1, vec![3, 2]),
            "{why}"
        );
    }
    let card_of = |room: &TestRoom, suit, rank| Lay { card: card(room, suit, rank), suit: None };
    let spade = card_of(&room, Spades, 9);
    room.act(ann, spade);
    let table = room.resource::<Table>();
    assert_eq!((table.suit, table.rank, table.turn), (Spades, 9, Some(Seat(1))), "the same rank");
    let club = card_of(&room, Clubs, 9);
    room.act(bob, club);
    let club = card_of(&room, Clubs, 3);
    room.act(ann, club);
    assert_eq!(counts(&room, &players), [1, 1], "the same suit");
}

#[test]
fn an_eight_fits_everywhere_and_asks_for_a_suit() {
    let (mut room, players) = dealt(2);
    let hands: [&[_]; 2] = [&[(Clubs, 8), (Spades, 8), (Clubs, 2)], &[(Diamonds, 4), (Hearts, 6)]];
    arrange(&mut room, &hands, (Hearts, 13));
    let eight = card(&room, Clubs, 8);
    room.act(players[0], Lay { card: eight, suit: Some(Diamonds) });
    let heart = card(&room, Hearts, 6);
    room.act(players[1], Lay { card: heart, suit: None });
    assert_eq!(room.resource::<Table>().laid, 2, "diamonds are asked for");
    let diamond = card(&room, Diamonds, 4);
    room.act(players[1], Lay { card: diamond, suit: Some(Spades) });
    assert_eq!(room.resource::<Table>().suit, Diamonds, "only an eight asks");
    let eight = card(&room, Spades, 8);
    room.act(players[0], Lay { card: eight, suit: None });
    assert_eq!(room.resource::<Table>().suit, Spades, "its own, when none is asked for");
}

#[test]
fn the_first_without_cards_wins_and_begins_the_next_round() {
    let (mut room, players) = dealt(3);
    let hands: [&[_]; 3] = [&[(Hearts, 2), (Clubs, 3)], &[(Hearts, 5)], &[(Clubs, 9)]];
    arrange(&mut room, &hands, (Hearts, 9));
    for (player, rank) in [(players[0], 2), (players[1], 5)] {
        let card = card(&room, Hearts, rank);
        room.act(player, Lay { card, suit: None });
    }
    let table = room.resource::<Table>();
    assert_eq!((table.turn, table.winner), (None, Some(Seat(1))));
    assert_eq!(room.component::<Hand>(players[1]).wins, 1);
    room.act(players[2], Draw);
    assert_eq!(counts(&room, &players), [1, 0, 1], "it is over");
    room.act(players[2], Deal);
    let table = room.resource::<Table>();
    assert_eq!((table.turn, table.winner, table.laid), (Some(Seat(1)), None, 1));
    assert_eq!(counts(&room, &players), [5, 5, 5]);
    assert_eq!(room.component::<Hand>(players[1]).wins, 1);
}

#[test]
fn a_drawn_card_ends_the_turn_and_an_empty_deck_is_what_was_laid() {
    let (mut room, players) = dealt(2);
    for turn in 0..200 {
        let before = room.resource::<Table>().deck;
        let hands = counts(&room, &players);
        room.act(players[turn % 2], Draw);
        let drew = counts(&room, &players)[turn % 2] - hands[turn % 2];
        assert_eq!(u32::from(drew), u32::from(before > 0), "the one laid card stays");
        assert_eq!(room.resource::<Table>().turn, Some(Seat((turn as u16 + 1) % 2)));
    }
    // The deck is in their hands now: once they have laid, what is below the top is drawn anew.
    let mut seen = 0;
    for turn in 200..300 {
        let player = players[turn % 2];
        let laid = room.resource::<Table>().laid;
        if turn < 220 {
            play(&mut room, player)
        } else {
            room.act(player, Draw)
        }
        seen += u32::from(room.resource::<Table>().deck > 0);
        assert!(room.resource::<Table>().laid >= laid);
        assert_eq!(all(&room).len(), 52);
    }
    assert!(seen > 0, "the pile became a deck");
}

#[test]
fn who_leaves_takes_the_cards_along_and_the_turn_goes_on() {
    let (mut room, players) = dealt(3);
    play(&mut room, players[0]);
    room.leave(players[1]);
    assert_eq!(room.resource::<Table>().turn, Some(Seat(2)));
    let aside = all(&room).iter().filter(|(_, card)| card.place == Place::Aside).count();
    assert_eq!(aside, 5);
    let dee = room.join("Dee");
    assert_eq!(room.component::<Hand>(dee).cards, 0, "she waits for the next round");
    assert!(held(&room, dee).is_empty());
    room.leave(players[2]);
    let table = room.resource::<Table>();
    assert_eq!((table.turn, table.winner), (None, None), "nobody is left to play with");
    room.act(dee, Deal);
    assert_eq!(counts(&room, &[players[0], dee]), [5, 5]);
}

#[test]
fn whole_rounds_are_played_one_after_another() {
    for players in 2..=4 {
        let (mut room, players) = dealt(players);
        let mut rounds = 0;
        for _ in 0..400 {
            match turn_of(&room, &players) {
                Some(player) => play(&mut room, player),
                None => {
                    rounds += 1;
                    room.act(players[0], Deal);
                }
            }
            assert_eq!(counts(&room, &players), {
                let held = players.iter().map(|player| held(&room, *player).len() as u8);
                held.collect::<Vec<_>>()
            });
        }
        let wins: u16 = players.iter().map(|p| room.component::<Hand>(*p).wins).sum();
        assert!(rounds > 3 && u32::from(wins) == rounds, "{rounds} rounds, {wins} wins");
    }
}

#[test]
fn each_sees_the_own_hand_and_what_was_laid() {
    let (mut room, players) = dealt(2);
    play(&mut room, players[0]);
    let eve = room.watch("Eve");
    let laid = usize::from(room.resource::<Table>().laid);
    for player in &players {
        let own = held(&room, *player).len();
        assert_eq!(room.seen_on_entities(*player, "Card").len(), own + laid);
    }
    assert_eq!(room.seen_on_entities(eve, "Card").len(), laid);
}

#[test]
fn a_restart_in_the_middle_of_a_round_changes_nothing() {
    let (mut one, players) = dealt(3);
    let (mut other, _) = dealt(3);
    for turn in 0..20 {
        if turn == 7 {
            other.restart();
            players.iter().for_each(|player| other.resume(*player).unwrap());
        }
        for room in [&mut one, &mut other] {
            if let Some(player) = turn_of(room, &players) {
                play(room, player);
            }
        }
        let places = |room: &TestRoom| all(room).iter().map(|(_, c)| c.place).collect::<Vec<_>>();
        assert_eq!(places(&one), places(&other), "turn {turn}");
    }
}

/// Two cards change places.
fn swap(world: &mut World, one: Entity, other: Entity) {
    let place = |world: &World, card: Entity| world.get::<Card>(card).unwrap().place;
    let places = (place(world, one), place(world, other));
    world.get_mut::<Card>(one).unwrap().place = places.1;
    world.get_mut::<Card>(other).unwrap().place = places.0;
}

/// The face-down cards, the lowest first.
fn deck(room: &TestRoom) -> Vec<Entity> {
    let depth = |card: &Card| if let Place::Deck(n) = card.place { Some(n) } else { None };
    let mut deck: Vec<_> =
        all(room).iter().filter_map(|(entity, card)| Some((depth(card)?, *entity))).collect();
    deck.sort_unstable();
    deck.into_iter().map(|(_, card)| card).collect()
}

#[test]
fn nobody_learns_what_another_holds_draws_and_could_have_drawn() {
    Secrecy::of(cards).holds(|room, run| {
        let (ann, bob, eve) = (room.join("Ann"), room.join("Bob"), room.watch("Eve"));
        room.act(ann, Deal);
        let (hand, low) = (held(room, ann), deck(room));
        // Another hand, made of what lies lowest; and what she will draw is another card.
        room.change(|world| {
            for ((mine, _), other) in hand.iter().zip(&low).take(run.either(0, 5)) {
                swap(world, *mine, *other);
            }
            swap(world, low[low.len() - 1], low[run.either(6, 7)]);
        });
        room.act(ann, Draw);
        play(room, bob);
        room.act(ann, Draw);
        let fay = room.watch("Fay");
        room.restart();
        for player in [ann, bob] {
            room.resume(player).unwrap();
        }
        play(room, bob);
        [bob, eve, fay]
    });
}

#[test]
fn a_laid_card_tells_nothing_of_those_that_are_kept() {
    Secrecy::of(cards).holds(|room, run| {
        let (ann, bob, cid) = (room.join("Ann"), room.join("Bob"), room.join("Cid"));
        room.act(ann, Deal);
        let kept = run.either([(Clubs, 4), (Hearts, 5)], [(Diamonds, 2), (Hearts, 12)]);
        let hand = [kept[0], kept[1], (Spades, 8)];
        let others: [&[_]; 3] = [&hand, &[(Clubs, 9), (Clubs, 10)], &[(Clubs, 11), (Clubs, 12)]];
        arrange(room, &others, (Hearts, 3));
        let eight = card(room, Spades, 8);
        room.act(ann, Lay { card: eight, suit: Some(Clubs) });
        play(room, bob);
        play(room, cid);
        room.act(ann, Draw);
        [bob, cid]
    });
}

#[test]
fn how_many_cards_lie_aside_and_since_when_is_told_to_nobody() {
    Secrecy::of(cards).holds(|room, run| {
        let (ann, bob) = (room.join("Ann"), room.join("Bob"));
        room.act(ann, Deal);
        let joker = Card { suit: Hearts, rank: 1, place: Place::Aside };
        room.change(|world| {
            world.spawn_batch(vec![joker; run.either(1, 9)]);
        });
        play(room, ann);
        play(room, bob);
        [ann, bob]
    });
}
