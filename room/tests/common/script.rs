//! A busy match from a seed: who comes, goes and acts in which tick.

use referee_protocol::frame::Payload;
use referee_protocol::{Seat, SessionId};
use referee_room::entry::Entry;
use referee_room::field::{Field, Quantiser};
use referee_room::prelude::*;
use referee_room::{Room, Template};

use super::{Arm, Say, Stick, join};

/// A small generator, so that a script depends on its seed alone.
pub struct Script(pub u64);

impl Script {
    pub fn draw(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

pub fn payload<T: Field>(template: &Template, action: bool, kind: u16, value: &T) -> Payload {
    let schema = template.schema();
    let types = if action { &schema.actions } else { &schema.inputs };
    let ty = &types[usize::from(kind)].ty;
    let mut words = vec![];
    value.quantise(ty, &mut Quantiser::new(&mut words, &|_| 0));
    Payload::from_words(kind, ty, &words)
}

/// The entries of one tick of a busy match: joins, leaves, drops, resumes, inputs and actions.
pub fn entries(
    template: &Template,
    script: &mut Script,
    tick: u64,
    acts: &mut [u64; 8],
) -> Vec<Entry> {
    let mut entries = vec![];
    if tick % 17 == 1 {
        entries.push(join(tick, "Ann"));
    }
    if tick % 41 == 40 {
        entries.push(Entry::Leave { session: SessionId(1 + script.draw(3) * 17) });
    }
    if tick % 23 == 22 {
        entries.push(Entry::Drop { session: SessionId(1 + script.draw(4) * 17) });
    }
    for seat in 0..4 {
        if script.draw(3) == 0 {
            let axis = |n: u64| Axis(n as f32 / 127.0 - 1.0);
            let (x, y) = (axis(script.draw(255)), axis(script.draw(255)));
            let stick = Stick { x, y, fire: script.draw(4) == 0 };
            let payload = payload(template, false, 0, &stick);
            entries.push(Entry::Input { seat: Seat(seat), sample: tick, tick: Tick(0), payload });
        }
        if script.draw(9) == 0 {
            let number = &mut acts[usize::from(seat)];
            *number += 1;
            let payload = match script.draw(2) {
                0 => payload(template, true, 0, &Say(format!("tick {tick}"))),
                _ => payload(template, true, 1, &Arm { ms: script.draw(900) as u32 }),
            };
            entries.push(Entry::Action { seat: Seat(seat), number: *number, payload });
        }
    }
    entries
}

pub fn advance(template: &Template, room: &mut Room, script: &mut Script, acts: &mut [u64; 8]) {
    let tick = room.info().tick.0 + 1;
    entries(template, script, tick, acts).into_iter().for_each(|entry| room.handle(entry));
    room.tick(Tick(tick));
    while room.poll_output().is_some() {}
}
