//! Values: how the words of one component are coded, in whole or from what they were.

use super::block::BlockError;
use super::model::{LENGTH_NODES, MANTISSA_NODES, Models};
use super::plan::{BESIDE, CONTEXT_NODES, Form, NUMBER_CONTEXTS, Prediction, Velocity};
use super::range::Coder;
use crate::rotation;
use crate::words::bits_for;

/// How long ago the baselines are: ticks from the older baseline to the baseline, and from there to
/// now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spans {
    pub(super) before: u32,
    pub(super) now: u32,
    /// Ticks in a second.
    pub(super) hz: u32,
}

impl Spans {
    fn is_far(&self) -> usize {
        usize::from(self.before + self.now > 2)
    }
}

/// The words of a velocity at the older baseline, the baseline and now.
#[derive(Clone, Copy, Default)]
pub(super) struct Speeds<'a> {
    pub(super) older: &'a [u32],
    pub(super) old: &'a [u32],
    pub(super) now: &'a [u32],
}

/// One value on its way: its words are taken from, or put into, `words`.
pub(super) struct Coding<'a, C> {
    coder: &'a mut C,
    models: &'a mut Models,
    words: &'a mut Vec<u32>,
    at: usize,
    spans: Spans,
    pub(super) speeds: Speeds<'a>,
    /// How far off the numbers before this one were at most: 0 there was none, 1 as expected, 2 by one
    /// step, up to 7.
    pub(super) beside: usize,
    /// How far the part moved that moved most of those that move together; 0 where none do.
    together: i64,
    /// Words that may still be read.
    budget: usize,
    /// Something was read that no encoder writes.
    bad: bool,
}

impl<'a, C: Coder> Coding<'a, C> {
    pub(super) fn new(
        coder: &'a mut C,
        models: &'a mut Models,
        words: &'a mut Vec<u32>,
        spans: Spans,
        (budget, beside): (usize, usize),
    ) -> Self {
        let speeds = Speeds::default();
        Self { coder, models, words, at: 0, spans, speeds, beside, together: 0, budget, bad: false }
    }

    /// Ends a value: what was read must be one.
    pub(super) fn ended(&self) -> Result<(), BlockError> {
        if self.bad { Err(BlockError("a value lies outside its type")) } else { Ok(()) }
    }

    fn given(&self) -> u32 {
        if C::WRITES { self.words[self.at] } else { 0 }
    }

    fn put(&mut self, word: u32) {
        if !C::WRITES && self.spend(1) {
            self.words.push(word);
        }
        self.at += 1;
    }

    /// Checks what was read: a word may be at most this.
    fn checked(&mut self, word: u32, max: u32) -> u32 {
        debug_assert!(!C::WRITES || word <= max);
        self.bad |= word > max;
        word.min(max)
    }

    fn spend(&mut self, words: usize) -> bool {
        if C::WRITES {
            return true;
        }
        let left = self.budget.checked_sub(words);
        self.bad |= left.is_none() || self.coder.failed();
        self.budget = left.unwrap_or(0);
        !self.bad
    }

    fn flag(&mut self, node: usize, yes: bool) -> bool {
        self.models.bit(self.coder, node, yes)
    }

    /// A value of which nothing is known.
    pub(super) fn whole(&mut self, form: &Form) {
        if self.bad {
            return; // what follows would be read at the wrong place
        }
        match form {
            Form::Unit => {}
            Form::Symbol { bits, max, base } => {
                let word = self.models.tree(self.coder, *base, *bits, self.given());
                let word = self.checked(word, *max);
                self.put(word);
            }
            Form::Number { max, base, .. } => {
                let base = base + NUMBER_CONTEXTS * CONTEXT_NODES + MANTISSA_NODES;
                let word = self.number_whole(base, *max);
                self.put(word);
            }
            Form::Pair { max, .. } => {
                let low = self.coder.raw(self.given(), 32);
                self.put(low);
                let high_max = (max >> 32) as u32;
                let high = self.coder.raw(self.given(), bits_for(high_max));
                let high = self.checked(high, high_max);
                self.bad |= u64::from(high) << 32 | u64::from(low) > *max;
                self.put(high);
            }
            Form::Rotation { bits, base } => {
                let largest = self.coder.raw(self.given(), 2);
                self.put(largest);
                let nodes = base + 20 + NUMBER_CONTEXTS * CONTEXT_NODES + MANTISSA_NODES;
                for _ in 0..3 {
                    let word = self.number_whole(nodes, (1 << bits) - 1);
                    self.put(word);
                }
            }
            Form::Name { base } => {
                let some = self.flag(*base, self.given() != 0);
                let word = if some { self.coder.raw(self.given(), 32) } else { 0 };
                self.put(word);
            }
            Form::Text { max, .. } => self.text(*max),
            Form::Option { base, of } => {
                let some = self.flag(*base, self.given() == 1);
                self.put(u32::from(some));
                if some {
                    self.whole(of);
                }
            }
            Form::List { max, of, .. } => {
                let length = self.coder.raw(self.given(), bits_for(*max));
                let length = self.checked(length, *max);
                self.put(length);
                self.whole_run(of, length);
            }
            Form::Array { length, of } => self.whole_run(of, *length),
            Form::Parts(parts) => parts.iter().for_each(|part| self.whole(part)),
            Form::Enum { variants, .. } => {
                let max = variants.len() as u32 - 1;
                let variant = self.coder.raw(self.given(), bits_for(max));
                let variant = self.checked(variant, max);
                self.put(variant);
                self.whole(&variants[variant as usize]);
            }
        }
    }

    fn whole_run(&mut self, of: &Form, count: u32) {
        for _ in 0..count {
            if !self.spend(0) {
                return;
            }
            self.whole(of);
        }
    }

    fn number_whole(&mut self, base: usize, max: u32) -> u32 {
        let bits = bits_for(max);
        let given = self.given();
        let high = bits.min(4);
        let mut word = self.models.tree(self.coder, base, high, given >> (bits - high));
        let rest = bits - high;
        let middle = rest.min(4);
        let mask = |bits: u32| ((1u64 << bits) - 1) as u32;
        let part = given >> (rest - middle) & mask(middle);
        word = word << middle | self.models.tree(self.coder, base + 16, middle, part);
        let raw = rest - middle;
        let low = self.coder.raw(given & mask(raw), raw);
        self.checked(((u64::from(word) << raw) as u32) | low, max)
    }

    fn text(&mut self, max: u32) {
        let length = self.coder.raw(self.given(), bits_for(max));
        let length = self.checked(length, max);
        self.put(length);
        for start in (0..length).step_by(4) {
            if !self.spend(0) {
                return;
            }
            let bits = (length - start).min(4) * 8;
            let word = self.coder.raw(self.given(), bits);
            self.put(word);
        }
    }

    /// A value, given what it was at the older baseline and at the baseline. Both runs of words are
    /// moved past it.
    #[inline]
    pub(super) fn delta(&mut self, form: &Form, older: &mut &[u32], old: &mut &[u32]) {
        if self.bad {
            return; // what follows would be compared with the wrong words
        }
        // Most values are made of numbers, and one of them takes less than the way to it.
        match form {
            Form::Number { max, wraps, prediction, base } => {
                let (older, old) = (next(older), next(old));
                let expected = self.expect(*prediction, *wraps, *max, older, old);
                let word = self.number(*base, *wraps, *max, &expected);
                self.put(word);
            }
            other => self.delta_of(other, older, old),
        }
    }

    #[inline(never)]
    fn delta_of(&mut self, form: &Form, older: &mut &[u32], old: &mut &[u32]) {
        match form {
            Form::Unit => {}
            Form::Number { .. } => self.delta(form, older, old),
            Form::Symbol { bits, max, base } => {
                let (_, was) = (next(older), next(old));
                let base = base + ((was as usize + 1) << bits);
                let word = self.models.tree(self.coder, base, *bits, self.given());
                let word = self.checked(word, *max);
                self.put(word);
            }
            Form::Rotation { bits, base } => self.turn(*bits, *base, older, old),
            Form::Pair { base, .. } | Form::Text { base, .. } => {
                take(form, older);
                self.or_whole(form, *base, take(form, old));
            }
            Form::Name { base } => {
                take(form, older);
                self.or_whole(form, base + 1, take(form, old));
            }
            Form::Option { base, of } => {
                let (was_older, was) = (next(older) == 1, next(old) == 1);
                let some = self.flag(base + 1 + usize::from(was), self.given() == 1);
                self.put(u32::from(some));
                self.inner(of, some, (was, was_older), older, old);
            }
            Form::List { max, base, of } => self.list((*base, *max, of), older, old),
            Form::Array { length, of } => {
                for _ in 0..*length {
                    if !self.spend(0) {
                        return;
                    }
                    self.delta(of, older, old);
                }
            }
            Form::Parts(parts) => self.parts(parts, older, old),
            Form::Enum { base, variants } => self.variant(*base, variants, older, old),
        }
    }

    /// A value that stays as it was, or is told whole.
    fn or_whole(&mut self, form: &Form, node: usize, was: &[u32]) {
        let same = C::WRITES && self.words[self.at..].starts_with(was);
        if self.flag(node, !same) {
            self.whole(form);
        } else {
            was.iter().for_each(|word| self.put(*word));
        }
    }

    /// A number that mostly stays: a list's length, a variant's place.
    fn mostly_same(&mut self, node: usize, was: u32, max: u32) -> u32 {
        let differs = self.flag(node, self.given() != was);
        let word = if differs { self.coder.raw(self.given(), bits_for(max)) } else { was };
        let word = self.checked(word, max);
        self.put(word);
        word
    }

    fn list(&mut self, (base, max, of): (usize, u32, &Form), older: &mut &[u32], old: &mut &[u32]) {
        let (was_older, was) = (next(older), next(old));
        let count = self.mostly_same(base, was, max);
        for at in 0..count.max(was).max(was_older) {
            if at < count && !self.spend(0) {
                return;
            }
            self.inner(of, at < count, (at < was, at < was_older), older, old);
        }
    }

    fn variant(&mut self, base: usize, variants: &[Form], older: &mut &[u32], old: &mut &[u32]) {
        let (was_older, was) = (next(older), next(old));
        let variant = self.mostly_same(base, was, variants.len() as u32 - 1);
        let form = &variants[was as usize];
        if variant == was && was_older == was {
            return self.delta(form, older, old);
        }
        let before = take(form, old);
        take(&variants[was_older as usize], older);
        if variant == was {
            self.delta(form, &mut &*before, &mut &*before);
        } else {
            self.whole(&variants[variant as usize]);
        }
    }

    fn parts(&mut self, parts: &[Form], older: &mut &[u32], old: &mut &[u32]) {
        // What moves together is about as uncertain as what of it moves most.
        if parts.iter().all(Form::is_linear) {
            let ways = older.iter().zip(old.iter()).take(parts.len());
            let ways = ways.map(|(a, b)| i64::from(a.abs_diff(*b)));
            self.together = ways.max().unwrap_or(0);
        }
        parts.iter().for_each(|part| self.delta(part, older, old));
        self.together = 0;
    }

    /// A part that may be there now, at the baseline, and at the older one.
    fn inner(
        &mut self,
        of: &Form,
        is: bool,
        (was, was_older): (bool, bool),
        older: &mut &[u32],
        old: &mut &[u32],
    ) {
        if self.bad || is && was && was_older {
            return self.delta(of, older, old);
        }
        let before = if was { take(of, old) } else { &[] };
        if was_older {
            take(of, older);
        }
        match (is, was) {
            (true, true) => self.delta(of, &mut &*before, &mut &*before),
            (true, false) => self.whole(of),
            (false, _) => {}
        }
    }

    /// A rotation, expected to go on turning as it did.
    fn turn(&mut self, bits: u32, base: usize, older: &mut &[u32], old: &mut &[u32]) {
        let four = |words: &mut &[u32]| {
            let (value, rest) = words.split_at(rotation::ROTATION_WORDS);
            *words = rest;
            rotation::from_words(value, bits)
        };
        let (older, old) = (four(older), four(old));
        let Spans { before, now, .. } = self.spans;
        let ratio = if before == 0 { 0.0 } else { now as f32 / before as f32 };
        let to = rotation::onward(older, old, ratio);
        let expected =
            (0..4).fold(0, |best, at| if to[at].abs() > to[best].abs() { at } else { best });
        let tree = base + 4 * expected;
        let largest = self.models.tree(self.coder, tree, 2, self.given());
        self.put(largest);
        let beside = |q| rotation::parts_beside(q, largest as usize, bits);
        let (from, was, to) = (beside(older), beside(old), beside(to));
        let max = (1 << bits) - 1;
        let moved = from.iter().zip(&was).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
        for n in 0..3 {
            let own = i64::from(was[n]) - i64::from(from[n]);
            let still =
                Expected { flip: own < 0, ..Expected::still(to[n], sized(moved.into(), own)) };
            let word = self.number(base + 20, false, max, &still);
            self.put(word);
        }
    }

    fn expect(
        &self,
        prediction: Prediction,
        wraps: bool,
        max: u32,
        older: u32,
        old: u32,
    ) -> Expected {
        let moved = difference(older, old, wraps, max);
        match prediction {
            Prediction::Last => Expected::still(old, moved),
            Prediction::Linear => {
                let Spans { before, now, .. } = self.spans;
                let way = if before == now {
                    moved
                } else {
                    moved * i64::from(now) / i64::from(before.max(1))
                };
                let size = sized(self.together, moved);
                Expected {
                    at: place(i64::from(old) + way, wraps, max),
                    flip: moved < 0,
                    ..Expected::still(old, size)
                }
            }
            Prediction::Velocity(velocity) => self.fly(&velocity, wraps, max, moved, old),
        }
    }

    /// Where a velocity brings a number. It is kept in whole steps, but flies in parts of them: how
    /// far it came the time before tells where in its step it was.
    fn fly(&self, by: &Velocity, wraps: bool, max: u32, moved: i64, old: u32) -> Expected {
        // A schema may name scales that no game has: then it wraps, at both ends alike.
        let speed = |words: &[u32]| {
            let word = i64::from(*words.get(by.word)?);
            Some(word.wrapping_mul(by.scale).wrapping_add(by.offset))
        };
        let (Some(before), Some(was), Some(is)) =
            (speed(self.speeds.older), speed(self.speeds.old), speed(self.speeds.now))
        else {
            return Expected::still(old, moved);
        };
        let way = |from: i64, to: i64, ticks: u32| {
            let ticks = i64::from(ticks);
            let steady = from.wrapping_mul(2 * ticks);
            let change = to.wrapping_sub(from).wrapping_mul(ticks + 1);
            steady.wrapping_add(change) / (2 * i64::from(self.spans.hz.max(1)))
        };
        let off = (moved << 16).wrapping_sub(way(before, was, self.spans.before));
        // Farther off than a step and a half, something else moved it.
        let inside = if off.unsigned_abs() < 3 << 15 { -off / 2 } else { 0 };
        let to = way(was, is, self.spans.now).wrapping_add((i64::from(old) << 16) + inside);
        let at = to.wrapping_add(1 << 15) >> 16;
        let part = to.wrapping_sub(at << 16).wrapping_add(1 << 15) as usize >> 14;
        let off = match off.unsigned_abs() >> 14 {
            0 => 0,
            1 => 1,
            2..=3 => 2,
            4..=5 => 3,
            6..=7 => 4,
            8..=31 => 5,
            32..=255 => 6,
            _ => 7,
        };
        Expected {
            at: place(at, wraps, max),
            context: off * 8 + part.min(3),
            beside: false,
            flip: false,
        }
    }

    /// A number of which something is expected.
    fn number(&mut self, base: usize, wraps: bool, max: u32, expected: &Expected) -> u32 {
        let context = expected.context + if expected.beside { self.beside } else { 0 };
        let context = context + self.spans.is_far() * NUMBER_CONTEXTS / 2;
        let nodes = base + context * CONTEXT_NODES;
        let off = difference(expected.at, self.given(), wraps, max);
        let zero = self.flag(nodes, off == 0);
        if zero {
            self.beside = self.beside.max(1);
            return expected.at;
        }
        let negative = self.flag(nodes + 1, (off < 0) ^ expected.flip) ^ expected.flip;
        let mantissas = base + NUMBER_CONTEXTS * CONTEXT_NODES;
        let given = (off.unsigned_abs() as u32).wrapping_sub(1);
        let size = self.models.magnitude(self.coder, (nodes + 2, mantissas), given);
        // What was hit in one of its numbers is off in the others too, also where one lies between that
        // is not.
        self.beside = self.beside.max(match size {
            0 => 2,
            1..=2 => 3,
            3..=6 => 4,
            7..=14 => 5,
            15..=62 => 6,
            _ => 7,
        });
        let off = i64::from(size) + 1;
        let to = i64::from(expected.at) + if negative { -off } else { off };
        let word = place(to, wraps, max);
        self.bad |= !wraps && i64::from(word) != to;
        word
    }
}

const _: () = assert!(CONTEXT_NODES == 2 + LENGTH_NODES);

/// What a number is expected to be, and how sure that is.
struct Expected {
    at: u32,
    context: usize,
    /// Whether the context leaves its place for what the numbers before were like.
    beside: bool,
    /// Whether more means backwards.
    flip: bool,
}

impl Expected {
    fn still(at: u32, moved: i64) -> Self {
        let size = match moved.unsigned_abs() {
            0 => 0,
            1 => 1,
            2..=3 => 2,
            4..=7 => 3,
            8..=15 => 4,
            16..=31 => 5,
            32..=63 => 6,
            64..=127 => 7,
            128..=255 => 8,
            _ => 9,
        };
        Self { at, context: size * BESIDE, beside: true, flip: moved < 0 }
    }
}

/// How much a number moved, to say how uncertain it is: its own way, or half of the longest one among
/// those that move together with it.
fn sized(together: i64, moved: i64) -> i64 {
    moved.saturating_abs().max(together / 2)
}

/// How far it is from one number to another; round a circle the shorter way.
fn difference(from: u32, to: u32, wraps: bool, max: u32) -> i64 {
    let way = i64::from(to) - i64::from(from);
    if !wraps || max == 0 {
        return way;
    }
    let (round, way) = (i64::from(max), way.rem_euclid(i64::from(max)));
    if way > round / 2 { way - round } else { way }
}

/// The nearest number there is.
fn place(at: i64, wraps: bool, max: u32) -> u32 {
    if wraps && max > 0 {
        at.rem_euclid(i64::from(max)) as u32
    } else {
        at.clamp(0, i64::from(max)) as u32
    }
}

fn next(words: &mut &[u32]) -> u32 {
    let (&word, rest) = words.split_first().expect("kept words follow their type");
    *words = rest;
    word
}

/// Takes one value off the front.
fn take<'a>(form: &Form, words: &mut &'a [u32]) -> &'a [u32] {
    let (value, rest) = words.split_at(length(form, words));
    *words = rest;
    value
}

/// How many words the value at the front takes.
fn length(form: &Form, words: &[u32]) -> usize {
    let run = |of: &Form, count: u32, from: usize| {
        (0..count).fold(from, |at, _| at + length(of, &words[at..]))
    };
    match form {
        Form::Unit => 0,
        Form::Symbol { .. } | Form::Number { .. } | Form::Name { .. } => 1,
        Form::Pair { .. } => 2,
        Form::Rotation { .. } => rotation::ROTATION_WORDS,
        Form::Text { .. } => 1 + (words[0] as usize).div_ceil(4),
        Form::Option { of, .. } => 1 + if words[0] == 1 { length(of, &words[1..]) } else { 0 },
        Form::List { of, .. } => run(of, words[0], 1),
        Form::Array { of, length } => run(of, *length, 0),
        Form::Parts(parts) => parts.iter().fold(0, |at, part| at + length(part, &words[at..])),
        Form::Enum { variants, .. } => 1 + length(&variants[words[0] as usize], &words[1..]),
    }
}
