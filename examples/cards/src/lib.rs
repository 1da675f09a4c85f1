//! Crazy Eights: lay a card of the same suit or rank, or an eight, which names a suit; else draw one.
//! Whoever has none left wins the round. Nobody sees the deck, nor what another holds.

use referee::prelude::*;
use std::collections::BTreeSet;

mod bot;

pub use bot::{Sharp, bot};

/// The page, played at `/cards/{match}`.
pub const PAGE: &str = include_str!("../page.html");

const KING: u8 = 13;
const WILD: u8 = 8;
const HAND: usize = 5; // cards that each player is dealt

/// A card's suit.
#[derive(Replicate, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "everyone knows them")]
pub enum Suit {
    #[default]
    Clubs,
    Diamonds,
    Hearts,
    Spades,
}

/// A card. Where it is says who sees it.
#[derive(Component, Replicate, Clone, Copy, Debug)]
#[replicate(to = who_sees)]
pub struct Card {
    /// Its suit.
    pub suit: Suit,
    /// 1 is the ace, 11 to 13 are jack, queen and king.
    #[field(min = 1, max = KING)]
    pub rank: u8,
    /// Where it is.
    pub place: Place,
}

/// Where a card is.
#[derive(Replicate, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Out of the round.
    Aside,
    /// Face down, the so-many-th from below: 1 and up.
    Deck(u8),
    /// In a player's hand.
    Hand(Seat),
    /// Laid as the so-many-th of the round: 1 and up.
    Pile(u16),
}

fn who_sees(card: EntityRef<'_>) -> Vec<Group> {
    match card.get::<Card>().map(|card| card.place) {
        Some(Place::Hand(seat)) => vec![Group::Player(seat)],
        Some(Place::Pile(_)) => vec![Group::Everyone],
        _ => vec![],
    }
}

/// A player's hand, as everyone sees it.
#[derive(Component, Replicate, Default)]
pub struct Hand {
    /// How many cards; none for whoever is not in the round.
    pub cards: u8,
    /// Rounds won.
    pub wins: u16,
}

/// The table, as everyone sees it.
#[derive(Resource, Replicate, Default)]
pub struct Table {
    /// Cards that lie face down.
    pub deck: u8,
    /// Cards that were laid in the round; the last one lies on top.
    pub laid: u16,
    /// The suit to follow.
    pub suit: Suit,
    /// The rank to follow.
    pub rank: u8,
    /// Whose turn it is; nobody's between two rounds.
    pub turn: Option<Seat>,
    /// Who won the last round, and begins the next.
    pub winner: Option<Seat>,
}

impl Table {
    fn takes(&self, card: &Card) -> bool {
        card.rank == WILD || card.rank == self.rank || card.suit == self.suit
    }

    fn lay(&mut self, card: &mut Card, asked: Option<Suit>) {
        self.laid += 1;
        card.place = Place::Pile(self.laid);
        self.rank = card.rank;
        self.suit = asked.filter(|_| card.rank == WILD).unwrap_or(card.suit);
    }

    fn stack(&mut self, cards: Vec<Mut<Card>>) {
        self.deck = cards.len() as u8;
        (1..).zip(cards).for_each(|(n, mut card)| card.place = Place::Deck(n));
    }
}

/// Begins a round.
#[derive(Action)]
pub struct Deal;

/// Lays a card of one's hand.
#[derive(Action)]
pub struct Lay {
    /// Which.
    pub card: Entity,
    /// The suit that an eight asks for; without, its own.
    pub suit: Option<Suit>,
}

/// Takes the deck's top card instead.
#[derive(Action)]
pub struct Draw;

/// The game.
pub fn cards(game: &mut Game) {
    game.turn_based().gated().players(2..=4).spectators(16);
    game.replicate::<Card>().replicate::<Hand>().replicate::<Table>();
    game.action::<Deal>().action::<Lay>().action::<Draw>();
    game.player(Hand::default).on_start(unpack).on_leave(leave);
    game.systems((deal, lay, draw, count));
}

fn unpack(mut commands: Commands) {
    for suit in [Suit::Clubs, Suit::Diamonds, Suit::Hearts, Suit::Spades] {
        commands.spawn_batch((1..=KING).map(move |rank| Card { suit, rank, place: Place::Aside }));
    }
}

fn deal(
    (deals, mut table, mut rng): (Actions<Deal>, ResMut<Table>, ResMut<Rng>),
    (mut cards, players): (Query<&mut Card>, Query<&Player>),
) {
    let mut seats: Vec<Seat> = players.iter().map(|player| player.seat).collect();
    if deals.is_empty() || table.turn.is_some() || seats.len() < 2 {
        return;
    }
    seats.sort();
    let begins = table.winner.filter(|winner| seats.contains(winner)).unwrap_or(seats[0]);
    *table = Table { turn: Some(begins), ..Table::default() };
    let mut deck: Vec<_> = cards.iter_mut().collect();
    rng.shuffle(&mut deck);
    for seat in seats {
        deck.drain(..HAND).for_each(|mut card| card.place = Place::Hand(seat));
    }
    table.lay(&mut deck.remove(0), None);
    table.stack(deck);
}

fn lay(
    (lays, mut table): (Actions<Lay>, ResMut<Table>),
    (mut cards, players): (Query<&mut Card>, Query<&Player>),
) {
    for (player, lay) in &lays {
        let (Ok(player), Ok(mut card)) = (players.get(player), cards.get_mut(lay.card)) else {
            continue;
        };
        let mine = card.place == Place::Hand(player.seat) && table.turn == Some(player.seat);
        if mine && table.takes(&card) {
            table.lay(&mut card, lay.suit);
            table.turn = next(player.seat, &cards);
        }
    }
}

fn draw(
    (draws, mut table, mut rng): (Actions<Draw>, ResMut<Table>, ResMut<Rng>),
    (mut cards, players): (Query<&mut Card>, Query<&Player>),
) {
    for player in draws.iter().filter_map(|(player, _)| players.get(player).ok()) {
        if table.turn != Some(player.seat) {
            continue;
        }
        if table.deck == 0 {
            let below = |card: &Card| matches!(card.place, Place::Pile(n) if n < table.laid);
            let mut deck: Vec<_> = cards.iter_mut().filter(|card| below(card)).collect();
            rng.shuffle(&mut deck);
            table.stack(deck);
        }
        let top = cards.iter_mut().find(|card| card.place == Place::Deck(table.deck));
        if let Some(mut card) = top {
            card.place = Place::Hand(player.seat);
            table.deck -= 1;
        }
        table.turn = next(player.seat, &cards);
    }
}

fn leave(player: Player, mut table: ResMut<Table>, mut cards: Query<&mut Card>) {
    if table.turn == Some(player.seat) {
        table.turn = next(player.seat, &cards);
    }
    let held = cards.iter_mut().filter(|card| card.place == Place::Hand(player.seat));
    held.for_each(|mut card| card.place = Place::Aside);
}

/// Who comes next, of those who hold cards; nobody after whoever holds none any more.
fn next(seat: Seat, cards: &Query<&mut Card>) -> Option<Seat> {
    let holder = |card: &Card| if let Place::Hand(seat) = card.place { Some(seat) } else { None };
    let holders: BTreeSet<Seat> = cards.iter().filter_map(holder).collect();
    let later = holders.iter().find(|holder| **holder > seat).or(holders.first());
    later.copied().filter(|_| holders.contains(&seat))
}

fn count(
    mut table: ResMut<Table>,
    (cards, mut hands): (Query<&Card>, Query<(&Player, &mut Hand)>),
) {
    for (player, mut hand) in &mut hands {
        let held = cards.iter().filter(|card| card.place == Place::Hand(player.seat)).count() as u8;
        if hand.cards > 0 && held == 0 {
            (table.turn, table.winner) = (None, Some(player.seat));
            hand.wins += 1;
        }
        hand.cards = held;
    }
    if hands.iter().filter(|(_, hand)| hand.cards > 0).count() < 2 {
        table.turn = None; // Whoever is left alone has not won.
    }
}
