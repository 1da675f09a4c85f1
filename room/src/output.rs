//! What a room hands to its host: everything it wants done outside.

use std::sync::Arc;

use referee_protocol::frame::FrameHead;
use referee_protocol::{LinkId, Refusal, Seat, SessionId};
use smallvec::SmallVec;

/// One thing to do, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// A session's join or resume was decided. Comes before the first [`Output::Send`] to its link.
    Joined {
        /// The session.
        session: SessionId,
        /// What was decided.
        outcome: Joined,
    },
    /// Send a frame.
    Send {
        /// On this link.
        link: LinkId,
        /// The frame.
        frame: Frame,
    },
    /// The answer to a request.
    Reply {
        /// The request's number.
        request: u64,
        /// An HTTP status.
        status: u16,
        /// JSON.
        body: Vec<u8>,
    },
    /// End a session's connection.
    Disconnect {
        /// The session.
        session: SessionId,
        /// Why.
        refusal: Refusal,
    },
    /// The room rebuilt itself from this snapshot, which is the room at the end of the tick just run:
    /// the newest that may be saved.
    Save(Vec<u8>),
}

impl Output {
    /// The snapshot, where it is one.
    #[must_use]
    pub fn saved(self) -> Option<Vec<u8>> {
        match self {
            Self::Save(snapshot) => Some(snapshot),
            _ => None,
        }
    }
}

/// How a join or a resume ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Joined {
    /// The session has a seat.
    Seated {
        /// Which.
        seat: Seat,
        /// The seat's generation, for the resume token.
        generation: u64,
        /// Whether it held the seat before.
        resumed: bool,
        /// The number of its last applied action.
        last_action: u64,
        /// The number of the last event before the first one that will be sent.
        last_event: u64,
        /// Events were dropped because too many waited.
        events_lost: bool,
    },
    /// The session watches.
    Watching,
    /// It may not join.
    Refused(Refusal),
}

/// A frame: a head of its own and parts it shares with others, to be written in this order.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What is this client's own: nothing where the frame is none of state.
    pub head: FrameHead,
    /// The rest: in a state frame its blocks.
    pub parts: Parts,
}

/// What a frame shares with others, in order: in a grid a client sees about nine cells.
pub type Parts = SmallVec<[Part; 12]>;

/// Bytes that several frames share. The room writes into them again when nobody has them any more.
pub type Part = Arc<Vec<u8>>;

impl Frame {
    /// How many bytes the frame has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.as_slice().len() + self.parts.iter().map(|part| part.len()).sum::<usize>()
    }

    /// Whether the frame has no bytes, which no frame a room sends is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The frame's bytes in one piece.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = self.head.as_slice().to_vec();
        self.parts.iter().for_each(|part| out.extend_from_slice(part));
        out
    }
}
