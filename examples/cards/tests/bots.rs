//! Bots play whole rounds in memory: each sees what its own client decodes from the room's frames.
#![allow(clippy::unwrap_used, reason = "what helps tests fails like a test")]

use cards::{Hand, Sharp, Table, cards};
use referee::bot::{Bot, Say, Session};
use referee::prelude::*;
use referee::room::{Entry, Template};
use referee::testkit::{TestPlayer, TestRoom};
use referee_client::protocol::frame::{ActionFrame, Lane, split};
use referee_client::protocol::message::{self, ServerControl, Welcome};
use referee_client::protocol::{GameName, Incarnation, MatchId, SessionId};
use referee_client::{Config, LinkId, Output};

const SECOND: Duration = Duration::from_secs(1);

/// A bot, its place in the room, and the client through which it sees and acts.
struct Seated {
    bot: Sharp,
    player: TestPlayer,
    session: Session,
    link: LinkId,
    /// How many of its client's frames the session has read.
    read: usize,
}

impl Seated {
    fn join(room: &mut TestRoom, schema: &Template, seed: u64) -> Self {
        let player = room.join(&format!("Bot {seed}"));
        let config = Config::new(GameName::new("cards").unwrap(), MatchId::new("m").unwrap());
        let mut session = Session::new(config);
        session.handle_timeout(0);
        let Some(Output::Connect { link }) = session.poll_output() else { panic!("it connects") };
        session.handle_open(0, link);
        let welcome = Welcome {
            version: 1,
            session: SessionId(seed),
            seat: room.seat(player),
            token: None,
            resumed: false,
            incarnation: Incarnation(1),
            tick: Tick(0),
            hz: None,
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
        Self { bot: cards::bot(seed), player, session, link, read: 0 }
    }

    /// Reads what came, does what the bot says, and hands it to the room.
    fn play(&mut self, room: &mut TestRoom) {
        let frames = &room.frames(self.player)[self.read..];
        frames.iter().for_each(|frame| self.session.handle_frame(0, self.link, frame));
        self.read += frames.len();
        if let Some(Say::Action(name, value)) = self.bot.play(&self.session) {
            self.session.send_action(name, &value).expect("a bot says what fits");
        }
        while self.session.poll_event().is_some() {}
        let seat = room.seat(self.player).unwrap();
        while let Some(output) = self.session.poll_output() {
            let Output::Send { frame, .. } = output else { continue };
            let (lane, body) = split(&frame).unwrap();
            if lane == Lane::Action {
                let ActionFrame { number, payload } = ActionFrame::decode(body).unwrap();
                room.room().handle(Entry::Action { seat, number, payload });
            }
        }
        room.run(SECOND);
    }
}

#[test]
fn bots_play_whole_rounds_and_each_wins_some() {
    for players in 2..=4 {
        let template = Template::new("cards", cards).unwrap();
        let mut room = TestRoom::new(cards);
        let join = |seed| Seated::join(&mut room, &template, seed);
        let mut bots: Vec<_> = (1..=players).map(join).collect();
        for _ in 0..400 {
            bots.iter_mut().for_each(|bot| bot.play(&mut room));
        }
        let wins: Vec<u16> =
            bots.iter().map(|bot| room.component::<Hand>(bot.player).wins).collect();
        assert!(wins.iter().all(|wins| *wins > 0), "{players} bots won {wins:?}");
        assert!(room.resource::<Table>().laid > 0);
        room.play_again(players);
    }
}
