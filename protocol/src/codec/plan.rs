//! The plan: how each field of a schema is coded, worked out once. Everything follows from what the
//! game declared: widths, ranges, what wraps, what moves by what.

use crate::rotation;
use crate::schema::{FieldType, Kind, Schema, TypeDef, float_span};
use crate::words::bits_for;

use super::model::{LENGTH_NODES, MANTISSA_NODES, Node};
use super::tables;

/// How a number moved, and what those before it in its record were like: so many classes each.
pub(super) const MOVED: usize = 10;
pub(super) const BESIDE: usize = 8;
/// Contexts of a number whose baselines lie close together, and as many of one whose do not.
const NEAR_CONTEXTS: usize = MOVED * BESIDE;
/// All contexts of a number.
pub(super) const NUMBER_CONTEXTS: usize = 2 * NEAR_CONTEXTS;
/// Nodes of a number's context: zero, sign, length.
pub(super) const CONTEXT_NODES: usize = 2 + LENGTH_NODES;
/// A number of at most so many bits is coded as a symbol: the new value, given the old one.
const SYMBOL_BITS: u32 = 3;

/// How likely a component is to change with its entity, where it did not the time before and where it did,
/// and how sure that is. What changes rarely (one time in a hundred) mostly does so once.
const OFTEN: ([u16; 2], u8) = ([9_830, 52_429], 1);
const RARELY: ([u16; 2], u8) = ([655, 6_554], 3);

/// As likely as not.
const EVEN: u16 = 1 << 15;

/// Where a number is expected.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Prediction {
    /// Where it was.
    Last,
    /// As far from where it was as it came the time before.
    Linear,
    /// Where a velocity brings it.
    Velocity(Velocity),
}

/// A number that says how another one moves.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Velocity {
    /// The component it stands in, and its word there.
    pub(super) component: u16,
    pub(super) word: usize,
    /// Steps of the moving number in a second for a velocity's word, and for its word 0: in 1/65,536.
    pub(super) scale: i64,
    pub(super) offset: i64,
}

/// How a field is coded.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Form {
    Unit,
    /// A word of few values.
    Symbol {
        bits: u32,
        max: u32,
        base: usize,
    },
    /// A word from 0 to `max`.
    Number {
        max: u32,
        wraps: bool,
        prediction: Prediction,
        base: usize,
    },
    /// Two words, low first, from 0 to `max`.
    Pair {
        max: u64,
        base: usize,
    },
    /// Four words: which part of a quaternion is the largest, and the others.
    Rotation {
        bits: u32,
        base: usize,
    },
    /// A word without order.
    Name {
        base: usize,
    },
    Text {
        max: u32,
        base: usize,
    },
    Option {
        base: usize,
        of: Box<Self>,
    },
    List {
        max: u32,
        base: usize,
        of: Box<Self>,
    },
    Array {
        length: u32,
        of: Box<Self>,
    },
    Parts(Vec<Self>),
    Enum {
        base: usize,
        variants: Vec<Self>,
    },
}

impl Form {
    /// Whether it goes on as it went, and round no circle.
    pub(super) fn is_linear(&self) -> bool {
        matches!(self, Self::Number { prediction: Prediction::Linear, wraps: false, .. })
    }
}

/// One component's.
pub(super) struct ComponentPlan {
    pub(super) form: Form,
    /// Nodes for whether it changed, and whether it is there.
    pub(super) mask: usize,
    /// The component by which it moves.
    pub(super) moves_by: Option<u16>,
}

/// How a schema is coded.
pub(super) struct Plan {
    pub(super) components: Vec<ComponentPlan>,
    /// Components in the order in which they are coded: what moves others comes before them.
    pub(super) order: Vec<u16>,
    pub(super) frame: FrameNodes,
    nodes: Vec<Node>,
}

/// Nodes for what a block says of its entities.
#[derive(Default)]
pub(super) struct FrameNodes {
    pub(super) structure: usize,
    pub(super) active: usize,
    pub(super) renamed: (usize, usize),
    pub(super) removed: (usize, usize),
    pub(super) entered: (usize, usize),
    pub(super) stirred: (usize, usize),
    pub(super) gap: (usize, usize),
    pub(super) id: (usize, usize),
    pub(super) ticks: usize,
}

/// Nodes for whether a component changed. Those behind them: whether a new entity has it, by whether it
/// has the component before; whether an entity still has it; whether it is told of.
pub(super) const MASK_NODES: usize = 8;

struct Planner {
    nodes: Vec<Node>,
    /// Whether ticks are even: only then does a movement go on.
    realtime: bool,
}

impl Plan {
    /// The plan of a schema.
    #[must_use]
    pub(super) fn new(schema: &Schema) -> Self {
        let mut planner = Planner { nodes: Vec::new(), realtime: schema.kind == Kind::Realtime };
        let frame = planner.frame();
        let mut components: Vec<_> =
            schema.components.iter().map(|def| planner.component(def)).collect();
        for (def, plan) in schema.components.iter().zip(&mut components) {
            let Some(by) = def.moves_by.filter(|_| planner.realtime) else { continue };
            let Some(velocity) = schema.components.get(usize::from(by)) else { continue };
            plan.moves_by = Some(by);
            set_velocity(&mut plan.form, &def.ty, by, &velocity.ty, &mut planner.nodes);
        }
        let mut order: Vec<u16> = (0..components.len() as u16).collect();
        order.sort_by_key(|component| schema.velocity_depth(*component));
        let mut nodes = planner.nodes;
        tables::apply(schema, &mut nodes);
        Self { components, order, frame, nodes }
    }

    /// The nodes as they begin without training.
    #[must_use]
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

impl Planner {
    fn take(&mut self, nodes: impl IntoIterator<Item = Node>) -> usize {
        let base = self.nodes.len();
        self.nodes.extend(nodes);
        base
    }

    fn even(&mut self, count: usize) -> usize {
        self.take(std::iter::repeat_n(Node::new(EVEN, 0), count))
    }

    /// Nodes of a magnitude that is about this long, in half bits.
    fn magnitude(&mut self, about: usize) -> (usize, usize) {
        let lengths = self.take((0..LENGTH_NODES).map(|at| Node::new(longer(at, about), 1)));
        (lengths, self.even(MANTISSA_NODES))
    }

    fn frame(&mut self) -> FrameNodes {
        FrameNodes {
            structure: self.take([19_661, 655, 1_311, 32_768].map(|chance| Node::new(chance, 2))),
            active: self.take([58_982, 58_982].map(|chance| Node::new(chance, 3))),
            renamed: self.magnitude(1),
            removed: self.magnitude(2),
            entered: self.magnitude(2),
            stirred: self.magnitude(3),
            gap: self.magnitude(6),
            id: self.magnitude(16),
            ticks: self.even(2),
        }
    }

    fn component(&mut self, def: &TypeDef) -> ComponentPlan {
        // Where it did not change the time before, and where it did.
        let ([still, moved], sure) = if def.rarely { RARELY } else { OFTEN };
        let changed =
            (0..MASK_NODES).map(|at| Node::new(if at & 1 == 1 { moved } else { still }, sure));
        let mask =
            self.take(changed.chain([EVEN, EVEN, 58_982, EVEN].map(|chance| Node::new(chance, 0))));
        ComponentPlan { form: self.form(&def.ty), mask, moves_by: None }
    }

    fn number(&mut self, max: u32, wraps: bool, prediction: Prediction) -> Form {
        let base = self.nodes.len();
        for context in 0..NUMBER_CONTEXTS {
            let about = about(context);
            self.take(context_nodes(as_expected(context, about), about));
        }
        self.even(MANTISSA_NODES);
        self.even(32);
        Form::Number { max, wraps, prediction, base }
    }

    fn symbol(&mut self, max: u32) -> Form {
        let bits = bits_for(max);
        let count = 1usize << bits;
        // One tree for a value that is new, then one for each value it had.
        let base = self.even(count * (count + 1));
        Form::Symbol { bits, max, base }
    }

    fn word(&mut self, max: u32, wraps: bool, prediction: Prediction) -> Form {
        match bits_for(max) {
            bits if bits <= SYMBOL_BITS => self.symbol(max),
            _ => self.number(max, wraps, prediction),
        }
    }

    fn form(&mut self, ty: &FieldType) -> Form {
        match ty {
            FieldType::Unit => Form::Unit,
            FieldType::Bool => self.word(1, false, Prediction::Last),
            FieldType::Int { span, .. } => match u32::try_from(*span) {
                Ok(max) => self.word(max, false, Prediction::Last),
                Err(_) => Form::Pair { max: *span, base: self.even(2) },
            },
            FieldType::Float { min, max, step, wraps } => {
                let prediction = if self.realtime { Prediction::Linear } else { Prediction::Last };
                self.word(float_span(*min, *max, *step), *wraps, prediction)
            }
            FieldType::F32 => self.word(u32::MAX, false, Prediction::Last),
            FieldType::F64 => Form::Pair { max: u64::MAX, base: self.even(2) },
            FieldType::Rotation { bits } => {
                let base = self.even(16 + 4);
                self.number((1 << bits) - 1, false, Prediction::Linear);
                Form::Rotation { bits: *bits, base }
            }
            FieldType::Entity => Form::Name { base: self.even(2) },
            FieldType::String { max } => Form::Text { max: *max, base: self.even(2) },
            FieldType::Option { of } => {
                Form::Option { base: self.even(4), of: Box::new(self.form(of)) }
            }
            FieldType::List { of, max } => {
                let base = self.even(2);
                Form::List { max: *max, base, of: Box::new(self.form(of)) }
            }
            FieldType::Array { of, length } => {
                // One form for all: their places say little.
                Form::Array { length: *length, of: Box::new(self.form(of)) }
            }
            FieldType::Tuple { items } => {
                Form::Parts(items.iter().map(|ty| self.form(ty)).collect())
            }
            FieldType::Struct { fields } => {
                Form::Parts(fields.iter().map(|field| self.form(&field.ty)).collect())
            }
            FieldType::Enum { variants } => {
                let base = self.even(2);
                let variants = variants.iter().map(|variant| self.form(&variant.ty)).collect();
                Form::Enum { base, variants }
            }
        }
    }
}

/// How likely a number that is about so many half bits long has more than `at` bits.
fn longer(at: usize, half_bits: usize) -> u16 {
    LONGER[(2 * at + 17 - half_bits).min(LONGER.len() - 1)]
}

/// The logistic curve 1 / (1 + exp(0.6 n)) for n from -16 to 16, in 1/65,536, from 0.02 to 0.98.
const LONGER: [u16; 33] = [
    64_225, 64_225, 64_225, 64_225, 64_225, 64_225, 64_225, 64_225, 64_225, 64_225, 63_793, 62_428,
    60_085, 56_240, 50_366, 42_314, 32_768, 23_222, 15_170, 9_296, 5_451, 3_108, 1_743, 1_311,
    1_311, 1_311, 1_311, 1_311, 1_311, 1_311, 1_311, 1_311, 1_311,
];

/// The nodes of one context of a number that is as expected with this chance, and otherwise about so many
/// half bits off.
fn context_nodes(expected: u16, about: usize) -> impl Iterator<Item = Node> {
    let lengths = (0..LENGTH_NODES).map(move |at| Node::new(longer(at, about), 0));
    [Node::new(expected, 0), Node::new(EVEN, 1)].into_iter().chain(lengths)
}

/// About how long a difference is, in half bits: by how the number moved and by what those before were
/// like, where the baselines lie close together, and where they do not.
fn about(context: usize) -> usize {
    let (moved, beside) = (context % NEAR_CONTEXTS / BESIDE, context % BESIDE);
    match context < NEAR_CONTEXTS {
        true => [5, 1, 2, 3, 4, 5, 6, 7, 8, 9][moved].max([0, 0, 1, 3, 5, 6, 8, 10][beside]),
        false => [5, 2, 3, 5, 6, 9, 9, 10, 12, 14][moved].max([2, 2, 3, 4, 6, 7, 8, 11][beside]),
    }
}

/// How likely a number is as expected. One that did not move may well be: another of its component's
/// changed.
fn as_expected(context: usize, about: usize) -> u16 {
    match (context % NEAR_CONTEXTS / BESIDE, context % BESIDE) {
        (0, 0 | 1) => 39_322,
        (0, _) => 26_214,
        _ => EXPECTED[about.min(EXPECTED.len() - 1)],
    }
}

/// How likely a number is as expected that moved and is otherwise about so many half bits off.
const EXPECTED: [u16; 12] =
    [32_768, 27_525, 22_282, 18_350, 13_107, 9_175, 6_554, 5_243, 3_932, 3_277, 1_966, 1_311];

/// The same for a number that moves by a velocity: by how far it was off the time before, in quarters of a
/// step, and by where in its step it is expected.
fn flying(context: usize) -> (u16, usize) {
    let (off, part) = (context % NEAR_CONTEXTS / BESIDE, context % BESIDE);
    let about = [1, 1, 1, 2, 3, 5, 9, 9, 9, 9][off];
    match (off, part) {
        (0..=2, 1 | 2) => (49_152, about),
        (0..=2, _) => (39_322, about),
        _ => (19_661, about),
    }
}

/// Makes each float of a moving form follow the velocity's float that has as many before it.
fn set_velocity(
    form: &mut Form,
    moves: &FieldType,
    component: u16,
    velocity: &FieldType,
    nodes: &mut [Node],
) {
    let (mut moving, mut speeds) = (Vec::new(), Vec::new());
    moving_floats(form, moves, &mut moving);
    floats(velocity, &mut Some(0), &mut speeds);
    for ((form, step), speed) in moving.into_iter().zip(speeds) {
        let (Form::Number { prediction, base, .. }, Some(word)) = (form, speed.word) else {
            continue;
        };
        let fixed = |value: f64| (value / step * 65_536.0).round() as i64;
        let (scale, offset) = (fixed(speed.step), fixed(speed.min));
        *prediction = Prediction::Velocity(Velocity { component, word, scale, offset });
        for (context, nodes) in
            nodes[*base..].chunks_mut(CONTEXT_NODES).take(NUMBER_CONTEXTS).enumerate()
        {
            let (expected, about) = flying(context);
            nodes
                .iter_mut()
                .zip(context_nodes(expected, about))
                .for_each(|(node, new)| *node = new);
        }
    }
}

/// A velocity's float in steps.
struct Speed {
    min: f64,
    step: f64,
    /// Which of the value's words it is; none where that depends on the value.
    word: Option<usize>,
}

/// The floats in steps among a type's parts. `at` is the word at which it begins.
fn floats(ty: &FieldType, at: &mut Option<usize>, out: &mut Vec<Speed>) {
    match ty {
        FieldType::Float { min, step, .. } => {
            out.push(Speed { min: *min, step: *step, word: *at });
            *at = at.map(|at| at.saturating_add(1));
        }
        FieldType::Tuple { items } => items.iter().for_each(|ty| floats(ty, at, out)),
        FieldType::Struct { fields } => {
            fields.iter().for_each(|field| floats(&field.ty, at, out));
        }
        _ => *at = at.zip(words(ty)).map(|(at, words)| at.saturating_add(words)),
    }
}

/// The forms of a moving type's floats, and their steps.
fn moving_floats<'f>(form: &'f mut Form, ty: &FieldType, out: &mut Vec<(&'f mut Form, f64)>) {
    match (ty, form) {
        (FieldType::Float { step, .. }, form) => out.push((form, *step)),
        (FieldType::Tuple { items }, Form::Parts(parts)) => {
            parts.iter_mut().zip(items).for_each(|(part, ty)| moving_floats(part, ty, out));
        }
        (FieldType::Struct { fields }, Form::Parts(parts)) => {
            let fields = parts.iter_mut().zip(fields);
            fields.for_each(|(part, field)| moving_floats(part, &field.ty, out));
        }
        _ => {}
    }
}

/// How many words a value takes; none where that depends on the value.
fn words(ty: &FieldType) -> Option<usize> {
    Some(match ty {
        FieldType::Unit => 0,
        FieldType::Bool | FieldType::Float { .. } | FieldType::F32 | FieldType::Entity => 1,
        FieldType::Int { span, .. } => 1 + usize::from(u32::try_from(*span).is_err()),
        FieldType::F64 => 2,
        FieldType::Rotation { .. } => rotation::ROTATION_WORDS,
        FieldType::Array { of, length } => words(of)?.saturating_mul(*length as usize),
        FieldType::Tuple { items } => words_of(items.iter())?,
        FieldType::Struct { fields } => words_of(fields.iter().map(|field| &field.ty))?,
        FieldType::String { .. }
        | FieldType::Option { .. }
        | FieldType::List { .. }
        | FieldType::Enum { .. } => return None,
    })
}

fn words_of<'t>(mut types: impl Iterator<Item = &'t FieldType>) -> Option<usize> {
    types.try_fold(0usize, |sum, ty| Some(sum.saturating_add(words(ty)?)))
}
