//! What a client may say, before it reaches a room: its Hello, its frames, how many of them. Pure:
//! no socket, no clock. The seat a frame acts for is never in the frame; it is the session's.

use std::time::Instant;

use referee_protocol::frame::{Ack, ActionFrame, FrameError, InputFrame, Lane, split};
use referee_protocol::message::{self, ClientControl, Hello, HelloError, Resume};
use referee_protocol::{Code, GameName, MatchId, Refusal, Schema};

use crate::bucket::{Allowance, Bucket};
use crate::key::RoomKey;
use crate::token::{Claim, Tokens};

/// A Hello that was checked: what the client wishes.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Wish {
    /// The protocol version to speak.
    pub(crate) version: u16,
    /// The player's name, cleaned.
    pub(crate) name: String,
    /// It only wants to watch.
    pub(crate) watch: bool,
    /// It wants to compare what it sees.
    pub(crate) check: bool,
    /// The hash of the schema it has.
    pub(crate) schema: Option<u64>,
    /// The seat it proved to hold, or to have held.
    pub(crate) claim: Option<Claim>,
    /// What it still knows.
    pub(crate) resume: Option<Resume>,
    /// Parameters, should it be the first in the room: JSON, or empty.
    pub(crate) params: Vec<u8>,
}

/// Reads the first message of a connection.
///
/// # Errors
/// When it is no Hello.
pub(crate) fn hello(frame: &[u8]) -> Result<Hello, Refusal> {
    let control = match split(frame).map_err(|e| bad(&e))? {
        (Lane::Control, body) => message::decode(body).map_err(|e| bad(&e))?,
        (lane, _) => return Err(not_hello(&format!("a frame on the {lane:?} lane"))),
    };
    match control {
        ClientControl::Hello(hello) => Ok(hello),
        ClientControl::Ping { .. } => Err(not_hello("a ping")),
        ClientControl::Leave => Err(not_hello("a wish to leave")),
    }
}

fn not_hello(what: &str) -> Refusal {
    Refusal::new(
        Code::BadMessage,
        format!("the first message of a connection was {what}; it must be Hello"),
    )
}

fn bad(error: &FrameError) -> Refusal {
    Refusal::new(Code::BadMessage, format!("a message could not be read: {error}"))
}

/// The room that a Hello names, where no URL does.
///
/// # Errors
/// When it names none, or one that cannot be.
pub(crate) fn room(hello: &Hello) -> Result<RoomKey, Refusal> {
    check(hello)?;
    let (Some(game), Some(match_id)) = (&hello.game, &hello.match_id) else {
        let text = "Hello names no game and match; on this transport it must";
        return Err(Refusal::new(Code::BadMessage, text));
    };
    let game = GameName::new(game).map_err(|_| {
        Refusal::new(Code::UnknownGame, format!("no game called {game:?} is hosted here"))
    })?;
    let match_id = MatchId::new(match_id).map_err(|why| {
        Refusal::new(Code::BadMatchId, format!("{match_id:?} is no name for a match: {why}"))
    })?;
    Ok(RoomKey { game, match_id })
}

fn check(hello: &Hello) -> Result<u16, Refusal> {
    hello.check().map_err(|error| {
        let code = match error {
            HelloError::Version(_) => Code::Version,
            HelloError::Params(_) => Code::BadParams,
            HelloError::Token(_) => Code::BadMessage,
        };
        Refusal::new(code, error.to_string())
    })
}

/// What a client wishes by its Hello.
///
/// # Errors
/// When it asks for what cannot be.
pub(crate) fn wish(hello: &Hello, room: &RoomKey, tokens: &Tokens) -> Result<Wish, Refusal> {
    let version = check(hello)?;
    let params = hello.params.as_deref().unwrap_or_default();
    if !params.is_empty() {
        serde_json::from_str::<serde::de::IgnoredAny>(params).map_err(|error| {
            Refusal::new(Code::BadParams, format!("the params are not JSON: {error}"))
        })?;
    }
    Ok(Wish {
        version,
        name: hello.player_name(),
        watch: hello.watch,
        check: hello.check,
        schema: hello.schema,
        // A token that does not hold is as good as none: the client joins as somebody new.
        claim: hello.token.as_deref().and_then(|token| tokens.check(room, token)),
        resume: hello.resume,
        params: params.as_bytes().to_vec(),
    })
}

/// What a client that is in may say.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Said {
    /// It received frames and events.
    Ack(Ack),
    /// A sample of a sampled input, with an acknowledgement.
    Input(InputFrame),
    /// An action.
    Action(ActionFrame),
    /// It asks for an answer.
    Ping {
        /// Comes back with it.
        nonce: u32,
    },
    /// It gives up its seat.
    Leave,
}

/// Reads a message of a client that is in. Inputs and actions are values of the schema's types.
///
/// # Errors
/// When it cannot be read, or is nothing a client says at this point.
pub(crate) fn said(frame: &[u8], schema: &Schema) -> Result<Said, Refusal> {
    let (lane, body) = split(frame).map_err(|e| bad(&e))?;
    let said = match lane {
        Lane::Ack => Ack::decode(body).map(Said::Ack),
        Lane::Input => InputFrame::decode(body).and_then(|input| {
            input.payload.to_words("input", &schema.inputs)?;
            Ok(Said::Input(input))
        }),
        Lane::Action => ActionFrame::decode(body).and_then(|action| {
            action.payload.to_words("action", &schema.actions)?;
            Ok(Said::Action(action))
        }),
        Lane::Control => match message::decode(body).map_err(|e| bad(&e))? {
            ClientControl::Ping { nonce } => Ok(Said::Ping { nonce }),
            ClientControl::Leave => Ok(Said::Leave),
            ClientControl::Hello(_) => {
                let text = "a second Hello came; one connection carries one session";
                return Err(Refusal::new(Code::BadMessage, text));
            }
        },
        Lane::State | Lane::Events | Lane::Schema => Err(FrameError::Lane(lane as u8)),
    };
    said.map_err(|e| bad(&e))
}

/// How many messages a client may still send.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    allowed: Allowance,
    bucket: Bucket,
}

impl Rate {
    /// As `allowed` says, and `extra` more to begin with.
    #[must_use]
    pub(crate) fn new(allowed: Allowance, extra: u32, now: Instant) -> Self {
        Self { allowed, bucket: Bucket::with_extra(allowed, extra, now) }
    }

    /// When the last one was wanted, or since when there are any.
    pub(crate) fn used(&self) -> Instant {
        self.bucket.used()
    }

    /// Takes one.
    ///
    /// # Errors
    /// When none is left.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Refusal> {
        if self.bucket.take(self.allowed, now) {
            return Ok(());
        }
        let Allowance { per_second, burst } = self.allowed;
        Err(Refusal::new(
            Code::TooMany,
            format!(
                "more messages came than {burst} at once and {per_second} a second; send fewer"
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use referee_protocol::frame::Payload;
    use referee_protocol::{GameName, Kind, MatchId, Seat, Tick};

    fn room() -> RoomKey {
        RoomKey { game: GameName::new("g").unwrap(), match_id: MatchId::new("m").unwrap() }
    }

    fn code_of(frame: &[u8]) -> Code {
        wished(frame, &Tokens::new([0; 32])).unwrap_err().code
    }

    fn encoded(hello: Hello) -> Vec<u8> {
        message::encode(&ClientControl::Hello(hello))
    }

    fn wished(frame: &[u8], tokens: &Tokens) -> Result<Wish, Refusal> {
        wish(&hello(frame)?, &room(), tokens)
    }

    #[test]
    fn a_hello_names_its_room_where_no_url_does() {
        let code = |game: Option<&str>, match_id: Option<&str>| {
            let (game, match_id) = (game.map(str::to_owned), match_id.map(str::to_owned));
            super::room(&Hello { game, match_id, ..plain() }).map_err(|refusal| refusal.code)
        };
        assert_eq!(code(Some("g"), Some("m")).unwrap().to_string(), "g/m");
        assert_eq!(code(None, Some("m")), Err(Code::BadMessage));
        assert_eq!(code(Some("g"), None), Err(Code::BadMessage));
        assert_eq!(code(Some("a.b"), Some("m")), Err(Code::UnknownGame));
        assert_eq!(code(Some("g"), Some("a.b")), Err(Code::BadMatchId));
        assert_eq!(super::room(&Hello::default()).unwrap_err().code, Code::Version);
    }

    fn plain() -> Hello {
        Hello { versions: vec![1], ..Hello::default() }
    }

    #[test]
    fn a_hello_is_checked() {
        let tokens = Tokens::new([0; 32]);
        let claim = Claim { seat: Seat(2), generation: 5 };
        let token = Some(tokens.issue(&room(), claim));
        let frame = encoded(Hello { token, name: " Ann ".into(), ..plain() });
        let wish = wished(&frame, &tokens).unwrap();
        assert_eq!((wish.claim, wish.name.as_str()), (Some(claim), "Ann"));
        let forged = encoded(Hello { token: Some("00".into()), ..plain() });
        assert_eq!(wished(&forged, &tokens).unwrap().claim, None);
    }

    #[test]
    fn what_is_no_good_hello_is_refused() {
        assert_eq!(code_of(&[]), Code::BadMessage);
        assert_eq!(code_of(&[0, 1, 2, 3]), Code::BadMessage);
        assert_eq!(code_of(&Ack::default().encode()), Code::BadMessage);
        assert_eq!(code_of(&message::encode(&ClientControl::Leave)), Code::BadMessage);
        assert_eq!(code_of(&encoded(Hello::default())), Code::Version);
        let params = |text: &str| encoded(Hello { params: Some(text.into()), ..plain() });
        assert_eq!(code_of(&params("{")), Code::BadParams);
        assert_eq!(code_of(&params(&" ".repeat(5000))), Code::BadParams);
        let token = Some("0".repeat(200));
        assert_eq!(code_of(&encoded(Hello { token, ..plain() })), Code::BadMessage);
    }

    fn schema() -> Schema {
        Schema {
            kind: Kind::TurnBased,
            components: vec![],
            inputs: vec![],
            actions: vec![],
            events: vec![],
            tables: vec![],
        }
    }

    #[test]
    fn only_what_a_client_says_is_read() {
        let ack = Ack { frames: 1, event: 2 };
        assert_eq!(said(&ack.encode(), &schema()), Ok(Said::Ack(ack)));
        let action = ActionFrame { number: 1, payload: Payload { kind: 0, bits: vec![].into() } };
        assert!(said(&action.encode(), &schema()).is_err(), "no such action");
        let input = InputFrame {
            ack,
            sample: 1,
            tick: Tick(0),
            payload: Payload { kind: 9, bits: vec![1].into() },
        };
        assert!(said(&input.encode(), &schema()).is_err(), "no such input");
        assert!(said(&encoded(plain()), &schema()).is_err(), "a second hello");
        for lane in [Lane::State, Lane::Events, Lane::Schema] {
            assert!(said(&[lane as u8, 0], &schema()).is_err(), "{lane:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, lane in 0u8..8) {
            let frame: Vec<u8> = std::iter::once(lane).chain(bytes).collect();
            let _ = wished(&frame, &Tokens::new([0; 32]));
            let _ = said(&frame, &schema());
        }
    }

    #[test]
    fn who_sends_too_much_is_told_how_much_is_allowed() {
        let start = Instant::now();
        let mut rate = Rate::new(Allowance { per_second: 10, burst: 3 }, 2, start);
        (0..5).for_each(|_| assert!(rate.take(start).is_ok()));
        let refusal = rate.take(start).unwrap_err();
        assert_eq!(refusal.code, Code::TooMany);
        assert!(refusal.message.contains("3 at once and 10 a second"), "{refusal}");
    }
}
