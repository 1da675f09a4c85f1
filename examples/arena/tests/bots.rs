//! Bots play the arena in memory: each sees what its own client decodes from the room's frames.
#![allow(clippy::unwrap_used, reason = "what helps tests fails like a test")]

use arena::{Ace, Round, Ship, Stick, arena};
use referee::bot::{Bot, Say, Session, Value};
use referee::prelude::*;
use referee::room::Template;
use referee::testkit::{TestPlayer, TestRoom};
use referee_client::protocol::frame::Lane;
use referee_client::protocol::message::{self, ServerControl, Welcome};
use referee_client::protocol::{GameName, Incarnation, MatchId, SessionId};
use referee_client::{Config, LinkId, Output};

/// A bot, its place in the room, and the client through which it sees.
struct Seated {
    bot: Ace,
    player: TestPlayer,
    session: Session,
    link: LinkId,
    /// How many of its client's frames the session has read.
    read: usize,
}

impl Seated {
    fn join(room: &mut TestRoom, schema: &Template, seed: u64) -> Self {
        let player = room.join(&format!("Bot {seed}"));
        let seat = room.seat(player);
        let mut session =
            Session::new(Config::new(GameName::new("arena").unwrap(), MatchId::new("m").unwrap()));
        session.handle_timeout(0);
        let Some(Output::Connect { link }) = session.poll_output() else { panic!("it connects") };
        session.handle_open(0, link);
        let welcome = Welcome {
            version: 1,
            session: SessionId(seed),
            seat,
            token: None,
            resumed: false,
            incarnation: Incarnation(1),
            tick: Tick(0),
            hz: Some(30),
            schema: schema.schema_hash(),
            last_action: 0,
            last_event: 0,
            events_lost: false,
            ended: None,
        };
        session.handle_frame(0, link, &message::encode(&ServerControl::Welcome(welcome)));
        let mut frame = vec![Lane::Schema as u8];
        frame.extend_from_slice(schema.schema_bytes());
        session.handle_frame(0, link, &frame);
        Self { bot: arena::bot(seed), player, session, link, read: 0 }
    }

    fn look(&mut self, room: &TestRoom) {
        let frames = &room.frames(self.player)[self.read..];
        frames.iter().for_each(|frame| self.session.handle_frame(0, self.link, frame));
        self.read += frames.len();
        while self.session.poll_output().is_some() {}
        while self.session.poll_event().is_some() {}
    }
}

/// What a bot said, as the game knows it.
fn stick(say: &Say) -> Stick {
    let Say::Input("Stick", value) = say else { panic!("{say:?} is no stick") };
    let number = |name| value.number_of(name).expect("a number") as f32;
    Stick {
        x: Axis(number("x")),
        y: Axis(number("y")),
        aim: Angle(number("aim")),
        fire: value.field("fire").and_then(Value::as_bool).expect("a trigger"),
    }
}

/// A room of bots that has run so many ticks. In each tick one of them looks and acts.
fn played(bots: u64, ticks: u64, blind: bool) -> (TestRoom, Vec<Seated>) {
    let template = Template::new("arena", arena).unwrap();
    let params = json!({ "players": bots.max(2) });
    let mut room = TestRoom::with(arena, 3, &params).unwrap();
    let mut seated: Vec<_> =
        (0..bots).map(|seed| Seated::join(&mut room, &template, seed)).collect();
    for turn in 0..ticks {
        let bot = &mut seated[(turn % bots) as usize];
        bot.look(&room);
        let say = if blind { bot.bot.play_blind() } else { bot.bot.play(&bot.session) };
        match say {
            Some(say) => room.input(bot.player, &stick(&say)),
            None => room.run_ticks(1),
        }
    }
    (room, seated)
}

fn points(room: &TestRoom, bots: &[Seated]) -> u32 {
    bots.iter().map(|bot| u32::from(room.component::<Ship>(bot.player).points)).sum()
}

#[test]
fn bots_shoot_each_other_down_until_one_has_won() {
    let (mut room, bots) = played(4, 30 * 60, false);
    let down = points(&room, &bots);
    assert!(down >= 8, "in a minute four bots shot down {down}");
    // Nobody steers any more: the round ends when its time is up.
    let mut seconds = 0;
    while room.resource::<Round>().winner.is_none() {
        room.run_ticks(30);
        seconds += 1;
        assert!(seconds < 200, "the round has no end");
    }
    room.play_again(1);
}

#[test]
fn bots_that_do_not_look_fly_and_shoot_too() {
    let (room, bots) = played(4, 30 * 20, true);
    let ships = bots.iter().map(|bot| room.component::<arena::Position>(bot.player).0);
    let places: Vec<Vec2> = ships.collect();
    let (start, _) = played(4, 0, true);
    let before = bots.iter().map(|bot| start.component::<arena::Position>(bot.player).0);
    let flew = before.zip(&places).filter(|(from, to)| from.distance(**to) > 40.0).count();
    assert!(flew >= 3, "{flew} of four bots got anywhere");
}

#[test]
fn bots_of_the_same_seeds_play_the_same_match() {
    let (mut one, _) = played(3, 400, false);
    let (mut two, _) = played(3, 400, false);
    assert_eq!(one.state_hash(), two.state_hash());
}
