//! What a session asks of its driver, and what it tells its user.

use crate::error::{ClientError, Reason};
use referee_protocol::replica::Departed;
use referee_protocol::{Code, Tick, Value};

/// Which of a session's connections. The session counts them; each attempt has a new number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkId(pub u32);

/// What the driver is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Open a connection to the match; then `handle_open`, or `handle_close` if it cannot be.
    Connect {
        /// What it is called from now on.
        link: LinkId,
    },
    /// Send a frame on a connection.
    Send {
        /// Which one.
        link: LinkId,
        /// The frame.
        frame: Vec<u8>,
    },
    /// Close a connection, or give up opening it, once what was sent before is on its way.
    /// Nothing of it need be fed to the session any more.
    Disconnect {
        /// Which one.
        link: LinkId,
        /// Why; a WebSocket closes with its close code.
        code: Code,
    },
    /// Keep this token for the next session of this player; none: forget the one that is kept.
    StoreToken(Option<String>),
}

/// How a session stands. `Connecting` leads to `Open`, `Open` to `Reconnecting` and back, and each
/// of the three to `Closed`, which leads nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// There is no state yet; however often it takes.
    Connecting,
    /// Connected: what is read is what the server shows now.
    Open,
    /// The connection is lost and sought again; what is read is what was known last.
    Reconnecting,
    /// Over for good: refused, removed, or left.
    Closed,
}

impl Status {
    /// The name a page compares with.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Open => "open",
            Self::Reconnecting => "reconnecting",
            Self::Closed => "closed",
        }
    }

    /// Whether a session that stands so may stand so next.
    pub(crate) fn leads_to(self, next: Self) -> bool {
        match self {
            Self::Connecting => next != Self::Reconnecting,
            Self::Open => matches!(next, Self::Reconnecting | Self::Closed),
            Self::Reconnecting => next != Self::Connecting,
            Self::Closed => false,
        }
    }
}

/// A wish of the player: done once, or held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An action.
    Action,
    /// A sampled input.
    Input,
}

impl Kind {
    /// The word for it in a sentence.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Input => "input",
        }
    }
}

/// What happened, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The status changed, or the reason while it stayed.
    Status {
        /// The new one.
        status: Status,
        /// Why, where it is not open.
        reason: Option<Reason>,
    },
    /// Entities are seen no more. Comes before the `State` that no longer shows them.
    Left {
        /// Which, by the ids that [`crate::EntityView::id`] gave: no other entity gets them.
        entities: Vec<Departed>,
    },
    /// A state was applied.
    State {
        /// Its tick. It may lie before the last one: the server came back from an older save.
        tick: Tick,
    },
    /// A one-shot event of the game; a state of its tick or later was applied before it.
    Event {
        /// The event's type.
        name: String,
        /// Its value; entities in it go by the ids that [`crate::EntityView::id`] gives.
        value: Value,
        /// The tick in which it happened.
        tick: Tick,
    },
    /// One-shot events were lost: too many waited. The state is right all the same.
    EventsLost,
    /// A wish that had been taken will not reach the room.
    Dropped {
        /// Which kind of wish.
        kind: Kind,
        /// The type's name.
        name: String,
        /// Why.
        why: Dropped,
    },
    /// The match has ended.
    Ended {
        /// Its result as JSON.
        result: String,
    },
}

/// Why a wish that had been taken was dropped.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Dropped {
    /// The old seat is gone; whether the room applied the action is not known.
    #[error("the seat it was meant for is gone")]
    SeatGone,
    /// It does not fit the schema, which was not known, or was another, when it was taken.
    #[error(transparent)]
    Unfit(ClientError),
}
