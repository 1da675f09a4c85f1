//! A bot that plays to win: it keeps its eights for when nothing else fits, lays from the suit of which
//! it holds most, and asks for that suit.

use referee::bot::{Bot, Random, Say, Session, Value};

use crate::WILD;

/// It looks so often, at most, before it deals: whoever comes a moment later is dealt in.
const LOOKS_MAX: u64 = 6;

/// A player of a seed.
#[derive(Debug)]
pub struct Sharp {
    random: Random,
    /// How often it will look before it deals.
    looks: u64,
}

/// The bot of a seed.
#[must_use]
pub fn bot(seed: u64) -> Sharp {
    let mut random = Random::new(seed);
    let looks = random.below(LOOKS_MAX);
    Sharp { random, looks }
}

/// A card of the own hand.
#[derive(Clone, PartialEq, Debug)]
struct Held {
    id: u32,
    suit: String,
    rank: u8,
}

impl Bot for Sharp {
    fn play(&mut self, match_: &Session) -> Option<Say> {
        let (table, seat) = (match_.resource("Table")?, match_.seat()?);
        let Some(turn) = table.field("turn")?.as_i64() else { return self.deal(match_) };
        if turn != i64::from(seat.0) {
            return None;
        }
        let hand: Vec<Held> = match_
            .entities()
            .filter_map(|card| held(card.id(), &card.component("Card")?))
            .collect();
        let (suit, rank) = (table.field("suit")?.variant()?, table.number_of("rank")? as u8);
        let Some(card) = self.choose(&hand, suit, rank) else {
            return Some(Say::Action("Draw", Value::Null));
        };
        let asked = Value::Variant(most_held(&hand, card)?, Box::new(Value::Null));
        let lay = Value::record([("card", Value::Entity(card.id)), ("suit", asked)]);
        Some(Say::Action("Lay", lay))
    }
}

/// What is laid is seen as well, but is in nobody's hand.
fn held(id: u32, card: &Value) -> Option<Held> {
    let place = card.field("place")?.variant()?;
    let (suit, rank) = (card.field("suit")?.variant()?.to_owned(), card.number_of("rank")? as u8);
    (place == "Hand").then_some(Held { id, suit, rank })
}

impl Sharp {
    fn deal(&mut self, match_: &Session) -> Option<Say> {
        let players = match_.entities().filter(|entity| entity.has("Hand")).count();
        self.looks = self.looks.checked_sub(1).unwrap_or_else(|| self.random.below(LOOKS_MAX));
        (players >= 2 && self.looks == 0).then_some(Say::Action("Deal", Value::Null))
    }

    fn choose<'h>(&mut self, hand: &'h [Held], suit: &str, rank: u8) -> Option<&'h Held> {
        let fits = |card: &&Held| card.rank == WILD || card.rank == rank || card.suit == suit;
        let worth = |card: &&Held| {
            let alike = hand.iter().filter(|other| other.suit == card.suit).count();
            (card.rank != WILD, alike, self.random.bits())
        };
        hand.iter().filter(fits).max_by_key(worth)
    }
}

/// The suit of which most is left when this card is laid; its own when none is left.
fn most_held(hand: &[Held], laid: &Held) -> Option<String> {
    let left = |suit: &str| hand.iter().filter(|c| c.id != laid.id && c.suit == suit).count();
    hand.iter().map(|card| &card.suit).max_by_key(|suit| left(suit)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cards such as `8S KH 10D`, with ids from 1.
    fn hand(text: &str) -> Vec<Held> {
        let card = |(id, text): (u32, &str)| {
            let (rank, suit) = text.split_at(text.len() - 1);
            Held { id, suit: suit.into(), rank: rank.parse().unwrap() }
        };
        (1..).zip(text.split(' ')).map(card).collect()
    }

    fn choice(text: &str, suit: &str, rank: u8) -> Option<u32> {
        bot(1).choose(&hand(text), suit, rank).map(|card| card.id)
    }

    #[test]
    fn it_lays_what_fits_and_keeps_its_eights() {
        assert_eq!(choice("8S 3H 4D", "H", 9), Some(2), "the same suit");
        assert_eq!(choice("8S 3H 4D", "C", 4), Some(3), "the same rank");
        assert_eq!(choice("8S 3H 4D", "C", 9), Some(1), "nothing else fits");
        assert_eq!(choice("3H 4D", "C", 9), None);
    }

    #[test]
    fn it_lays_from_the_longest_suit_and_asks_for_it() {
        assert_eq!(choice("9S 9H 4H 2H", "C", 9), Some(2));
        let hand = hand("8S 3H 4D 5H 6S");
        assert_eq!(most_held(&hand, &hand[0]).as_deref(), Some("H"));
        assert_eq!(most_held(&hand[..1], &hand[0]).as_deref(), Some("S"), "its last card");
    }
}
