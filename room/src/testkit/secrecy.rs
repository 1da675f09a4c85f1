//! Secrecy: a match is played twice, and differs only in what a player must not see. Then every byte
//! that leaves the room for that player is the same: in which tick, in which order, how many and which.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use referee_protocol::frame::{Lane, split};
use referee_protocol::schema::TypeDef;
use referee_protocol::{Replica, Schema, Tick, WireId};
use serde_json::Value;

use crate::game::Game;
use crate::template::Template;

use super::client::{Sent, TestClient, events_of};
use super::{TestPlayer, TestRoom, json_of};

/// Longer than a turn-based room goes on at once, in nanoseconds: so that how many steps something
/// hidden takes does not move what comes later.
const ACT_NANOS: u128 = 100_000_000;

/// So many differences are told at most.
const TOLD_MAX: usize = 3;

/// Which of the two runs it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Run {
    /// The first.
    One,
    /// The second.
    Other,
}

impl Run {
    /// What is hidden, as it is in this run: the first value in the one, the second in the other.
    pub fn either<T>(self, one: T, other: T) -> T {
        match self {
            Self::One => one,
            Self::Other => other,
        }
    }
}

/// A game that has secrets.
///
/// A script plays a match, and says in the end who must have noticed nothing. It is run twice; what
/// differs comes from [`Run::either`], through acts of others or through [`TestRoom::change`].
///
/// ```
/// use referee_room::prelude::*;
/// use referee_room::testkit::Secrecy;
///
/// #[derive(Component, Replicate)]
/// #[replicate(to = owner)]
/// struct Bid(u32);
/// #[derive(Action)]
/// struct Say(u32);
///
/// fn auction(game: &mut Game) {
///     game.turn_based().replicate::<Bid>().action::<Say>().player(|| Bid(0));
///     game.systems(|said: Actions<Say>, mut bids: Query<&mut Bid>| {
///         for (player, bid) in &said {
///             bids.get_mut(player).unwrap().0 = bid.0;
///         }
///     });
/// }
///
/// Secrecy::of(auction).holds(|room, run| {
///     let (ann, bob) = (room.join("Ann"), room.join("Bob"));
///     room.act(ann, Say(run.either(5, 5000)));
///     room.act(bob, Say(7));
///     [bob]
/// });
/// ```
#[must_use = "nothing runs before `holds`"]
pub struct Secrecy {
    template: Arc<Template>,
    seed: u64,
    params: Value,
}

impl Secrecy {
    /// The secrets of a game, with a fixed seed and no parameters.
    ///
    /// # Panics
    /// When the game has mistakes: they are named.
    pub fn of(game: impl Fn(&mut Game) + Send + Sync + 'static) -> Self {
        let template = Template::new("test", game).unwrap_or_else(|e| panic!("{e}"));
        Self { template, seed: 7, params: Value::Null }
    }

    /// Another seed. It is the same in both runs: what comes from `Rng` does not differ.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The room's parameters.
    pub fn params(self, params: Value) -> Self {
        Self { params, ..self }
    }

    /// Plays the script twice and compares what left the room for those whom the script names.
    ///
    /// # Panics
    /// When one of them was sent anything else in the other run: tells what it was and when. Also
    /// when the two runs did not differ at all, which would prove nothing.
    pub fn holds<const N: usize>(
        self,
        mut script: impl FnMut(&mut TestRoom, Run) -> [TestPlayer; N],
    ) {
        let [(one, players), (other, others)] = [Run::One, Run::Other].map(|run| {
            let mut room = TestRoom::of(&self.template, self.seed, &self.params)
                .unwrap_or_else(|e| panic!("the game refuses to create a room: {e}"));
            (room.act_nanos, room.states) = (ACT_NANOS, Some(BTreeSet::new()));
            let players = script(&mut room, run);
            (room, players)
        });
        assert!(players == others, "the script names the same players in both runs");
        assert!(N > 0, "the script names nobody who must not notice anything");
        assert!(
            one.states != other.states,
            "this proves nothing: both runs went through the same states; let something hidden \
             differ, by `run.either(..)`"
        );
        for player in players {
            let clients = [&one, &other].map(|room| &room.clients[player.0]);
            if let Some(told) = difference(self.template.schema(), clients) {
                panic!("{} is told what it must not see: {told}", name_of(&one, player));
            }
        }
    }
}

fn name_of(room: &TestRoom, player: TestPlayer) -> String {
    match room.seat(player) {
        Some(seat) => format!("the player in seat {}", seat.0),
        None => "the spectator".to_owned(),
    }
}

/// What two clients were sent that differs, in words.
fn difference(schema: &Schema, [one, other]: [&TestClient; 2]) -> Option<String> {
    let (one, other) = (&one.sent[..], &other.sent[..]);
    let pairs = one.iter().zip(other);
    let at = pairs.take_while(|(one, other)| one == other).count();
    if at == one.len() && at == other.len() {
        return None;
    }
    let mut text = format!("message {} is the first that differs", at + 1);
    for (run, sent) in [("one run", one), ("the other", other)] {
        let of = sent.len();
        let what = sent.get(at).map_or("nothing".to_owned(), |(tick, sent)| describe(*tick, sent));
        let _ = write!(text, "\n  {run:<9} (of {of}): {what}");
    }
    let [a, b] = [one, other].map(|sent| sent.get(at).map_or(&[][..], |(_, sent)| bytes_of(sent)));
    if let Some(byte) = a.iter().zip(b).position(|(a, b)| a != b) {
        let _ =
            write!(text, "\n  byte {byte} differs first: {:#04x} and {:#04x}", a[byte], b[byte]);
    }
    let known = [one, other].map(|sent| known(schema, &sent[..sent.len().min(at + 1)]));
    for line in differing(&known).take(TOLD_MAX) {
        let _ = write!(text, "\n  {line}");
    }
    Some(text)
}

fn describe(tick: Tick, sent: &Sent) -> String {
    let what = match sent {
        Sent::Joined(joined) => format!("{joined:?}"),
        Sent::Ended(refusal) => format!("its end, {refusal:?}"),
        Sent::Frame(frame) => {
            let lane = split(frame).map_or("unknown".to_owned(), |(lane, _)| format!("{lane:?}"));
            format!("a frame of {} bytes ({lane})", frame.len())
        }
    };
    format!("in tick {}, {what}", tick.0)
}

fn bytes_of(sent: &Sent) -> &[u8] {
    match sent {
        Sent::Frame(frame) => frame,
        Sent::Joined(_) | Sent::Ended(_) => &[],
    }
}

/// What a client knows that was sent this: values by what they are called.
fn known(schema: &Schema, sent: &[(Tick, Sent)]) -> BTreeMap<String, Value> {
    let (mut replica, mut known) = (Replica::default(), BTreeMap::new());
    let frames = sent.iter().filter_map(|(_, sent)| split(bytes_of(sent)).ok());
    for (lane, body) in frames {
        match lane {
            Lane::State => drop(replica.apply(schema, body).expect("the room sends good state")),
            Lane::Events => known.extend(
                events_of(schema, body)
                    .into_iter()
                    .map(|(number, name, value)| (format!("event {number}, {name}"), value)),
            ),
            _ => {}
        }
    }
    let entities = replica.entities().map(|(id, handle)| (id, format!(" of entity {handle}")));
    for (id, whose) in entities.chain([(WireId::ROOM, String::new())]) {
        for (number, words) in replica.components(id) {
            let TypeDef { name, ty, .. } = &schema.components[usize::from(number)];
            known.insert(format!("{name}{whose}"), json_of(ty, words));
        }
    }
    known
}

fn differing([one, other]: &[BTreeMap<String, Value>; 2]) -> impl Iterator<Item = String> {
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let say = |value: Option<&Value>| value.map_or("unknown".to_owned(), Value::to_string);
    names.into_iter().filter(|name| one.get(*name) != other.get(*name)).map(move |name| {
        format!(
            "{name} is {} in one run, {} in the other",
            say(one.get(name)),
            say(other.get(name))
        )
    })
}
