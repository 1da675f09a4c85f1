//! All of a game's types with their layouts: what a snapshot, and the beginning of a journal, carry so
//! that another version of the game can read them.

use bevy_ecs::entity::Entity;
use referee_protocol::Kind;
use referee_protocol::hash::hash;
use referee_protocol::schema::FieldType;

use super::bytes::name;
use super::{FIRST, LAYOUT_DEPTH_MAX, Layout, Part};
use crate::field::{LoadError, Loader, Saver};
use crate::game::Game;

/// Makes the wire words of an exact value.
pub(crate) type WordsOf = fn(&[u8], &FieldType, &mut Vec<u32>) -> Result<(), LoadError>;

/// How many bytes the build's number has.
const BUILD_BYTES: usize = 8;

/// A registered type.
#[derive(Clone, Debug)]
pub(crate) struct TypeOf {
    /// Its name without its path.
    pub(crate) name: String,
    pub(crate) resource: bool,
    pub(crate) layout: Layout,
    /// How clients say it; only of inputs and actions.
    pub(crate) wire: Option<FieldType>,
    /// Not stored.
    pub(crate) words: Option<WordsOf>,
}

/// The types of a game, each list in the order in which they were registered.
#[derive(Clone, Debug)]
pub(crate) struct Types {
    /// What decides when a room ticks, and so what its ticks mean.
    pub(crate) kind: Kind,
    pub(crate) components: Vec<TypeOf>,
    pub(crate) inputs: Vec<TypeOf>,
    pub(crate) actions: Vec<TypeOf>,
    pub(crate) timers: Vec<TypeOf>,
    pub(crate) alarms: Vec<TypeOf>,
}

impl TypeOf {
    fn kept(name: &str, layout: Layout) -> Self {
        Self { name: name.to_owned(), resource: false, layout, wire: None, words: None }
    }

    fn said(name: &str, layout: Layout, wire: &FieldType, words: WordsOf) -> Self {
        Self { wire: Some(wire.clone()), words: Some(words), ..Self::kept(name, layout) }
    }

    /// What it was called in earlier versions of the game.
    fn was(&self) -> impl Iterator<Item = &str> {
        self.layout.names().skip(1)
    }

    fn encode(&self, out: &mut Saver<'_>) {
        out.block(self.name.as_bytes());
        out.raw(&[u8::from(self.resource)]);
        self.layout.encode(out);
        let wire = self.wire.as_ref();
        let wire = wire.map(|ty| rmp_serde::to_vec(ty).expect("types hold only plain data"));
        out.block(&wire.unwrap_or_default());
    }

    fn decode(from: &mut Loader<'_>) -> Result<Self, LoadError> {
        let name = name(from)?;
        let [resource] = from.array()?;
        let layout = Layout::decode(from)?;
        let wire = match from.block()? {
            [] => None,
            bytes => {
                let ty: FieldType = rmp_serde::from_slice(bytes).map_err(|_| LoadError::Number)?;
                ty.check().map_err(|_| LoadError::Number)?;
                Some(ty)
            }
        };
        Ok(Self { name, resource: resource != 0, layout, wire, words: None })
    }
}

impl Types {
    /// Those of a game.
    pub(crate) fn of(game: &Game) -> Self {
        let components = game.components.iter().map(|row| TypeOf {
            resource: row.resource,
            ..TypeOf::kept(&row.name, (row.layout)())
        });
        let inputs = game.inputs.iter();
        let inputs =
            inputs.map(|row| TypeOf::said(&row.name, (row.layout)(), &row.shape, row.words));
        let actions = game.actions.iter();
        let actions =
            actions.map(|row| TypeOf::said(&row.name, (row.layout)(), &row.shape, row.words));
        let timers = game.timers.iter().map(|row| TypeOf::kept(&row.name, (row.layout)()));
        let alarms = game.alarms.iter().map(|row| TypeOf::kept(&row.name, (row.layout)()));
        Self {
            kind: game.rules.kind,
            // It comes and goes with what is in it, and lies the same in every game.
            components: components.filter(|of| of.name != crate::storage::NAME).collect(),
            inputs: inputs.collect(),
            actions: actions.collect(),
            timers: timers.collect(),
            alarms: alarms.collect(),
        }
    }

    fn lists(&self) -> [&Vec<TypeOf>; 5] {
        [&self.components, &self.inputs, &self.actions, &self.timers, &self.alarms]
    }

    /// What is wrong with the names of types, each with the way out.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for list in self.lists() {
            for of in list {
                if of.layout.depth() > LAYOUT_DEPTH_MAX {
                    let name = &of.name;
                    problems.push(format!(
                        "{name}: it is nested deeper than {LAYOUT_DEPTH_MAX} levels, types in types \
                         included; make it flatter"
                    ));
                }
                for was in of.was() {
                    let other = list.iter().find(|other| {
                        other.resource == of.resource
                            && (other.name == was
                                || other.name != of.name && other.was().any(|name| name == was))
                    });
                    if let Some(other) = other {
                        problems.push(format!(
                            "{}: it was {was}, but so is, or was, {}: what is stored could be \
                             either; call the new type otherwise",
                            of.name, other.name
                        ));
                    }
                }
            }
        }
        problems
    }

    /// The bytes that tell of a game: the number of its build, then its types. What `runs` in it (the names
    /// of its systems in order, and how often a room is rebuilt) makes up the number, with the types.
    pub(crate) fn encode(&self, runs: &str) -> Vec<u8> {
        let mut bytes = vec![0; BUILD_BYTES];
        let mut out = Saver::new(&mut bytes, &|_| 0);
        out.raw(&[u8::from(self.kind == Kind::TurnBased)]);
        for list in self.lists() {
            out.varint(list.len() as u64);
            list.iter().for_each(|of| of.encode(&mut out));
        }
        let types = hash(&bytes[BUILD_BYTES..]);
        let build = hash(&[runs.as_bytes(), &types.to_le_bytes()].concat());
        bytes[..BUILD_BYTES].copy_from_slice(&build.to_le_bytes());
        bytes
    }

    /// Reads what [`Types::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are none.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, LoadError> {
        let mut from = Loader::new(bytes, &|_| Entity::PLACEHOLDER);
        from.raw(BUILD_BYTES)?;
        let kind = match from.array()? {
            [0] => Kind::Realtime,
            [1] => Kind::TurnBased,
            _ => return Err(LoadError::Number),
        };
        let mut list = || {
            let count = from.count()?;
            (0..count).map(|_| TypeOf::decode(&mut from)).collect::<Result<Vec<_>, _>>()
        };
        let (components, inputs, actions) = (list()?, list()?, list()?);
        let (timers, alarms) = (list()?, list()?);
        match from.rest() {
            [] => Ok(Self { kind, components, inputs, actions, timers, alarms }),
            _ => Err(LoadError::Number),
        }
    }
}

/// Whether both tell of the same types, if perhaps of another build.
pub(crate) fn same_types(one: &[u8], other: &[u8]) -> bool {
    one.get(BUILD_BYTES..) == other.get(BUILD_BYTES..)
}

/// What a game with the `new` types has no place for: types, and fields of types, of the old ones. Only
/// what stands in a type itself, not in types within it, nor what a function takes, as `taken` says.
pub(crate) fn dropped(old: &Types, new: &Types, taken: impl Fn(&Layout) -> bool) -> Vec<String> {
    let mut dropped = Vec::new();
    for (old, new) in old.lists().into_iter().zip(new.lists()) {
        let places = matched(old, new);
        for (at, of) in old.iter().enumerate() {
            let now = places.iter().position(|place| *place == Some(at)).map(|now| &new[now]);
            let Some(now) = now else {
                dropped.push(of.name.clone());
                continue;
            };
            let (stored, now) = (of.layout.bare(), now.layout.bare());
            if taken(&of.layout) || stored.same(now) {
                continue;
            }
            match (stored, now) {
                (Layout::Struct(parts), now) => {
                    let gone = parts.iter().filter(|part| !has_place(now, part));
                    dropped.extend(gone.map(|part| format!("{}.{}", of.name, part.name)));
                }
                // What is stored is one value without a name.
                (_, Layout::Unit) => dropped.push(format!("{}.{FIRST}", of.name)),
                _ => {}
            }
        }
    }
    dropped.sort();
    dropped.dedup();
    dropped
}

/// Whether a type that is now made up so has a place for a field that it had.
fn has_place(now: &Layout, part: &Part) -> bool {
    match now {
        Layout::Struct(now) => now.iter().any(|now| now.answers_to(&part.name)),
        Layout::Unit => false,
        Layout::Option(of) => has_place(of.bare(), part),
        // It lies as its one unnamed field.
        _ => part.name == FIRST,
    }
}

/// For each of the new types the place of the old one that it takes the place of: that of its name, or of
/// one of its earlier names.
pub(crate) fn matched(old: &[TypeOf], new: &[TypeOf]) -> Vec<Option<usize>> {
    let find = |of: &TypeOf, name: &str| {
        old.iter().position(|old| old.name == name && old.resource == of.resource)
    };
    let place = |of: &TypeOf| find(of, &of.name).or_else(|| of.was().find_map(|was| find(of, was)));
    new.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(of: &Layout) -> Types {
        let components = vec![TypeOf::kept("A", Layout::named("A", &[], of.clone()))];
        let none = Vec::new;
        #[rustfmt::skip]
        let types = Types {
            kind: Kind::Realtime, components, inputs: none(), actions: none(), timers: none(), alarms: none(),
        };
        types
    }

    #[test]
    fn what_has_no_place_any_more_is_named_whatever_took_the_place_of_its_type() {
        let int = Layout::Int { bits: 32, signed: false };
        let pair = Layout::tuple([int.clone(), Layout::Text]);
        let named = Layout::Struct(vec![Part::new("x", int.clone()), Part::new("y", int.clone())]);
        let x = Layout::Struct(vec![Part::new("x", int.clone())]);
        let x_as_first = Layout::Struct(vec![Part::new("x", int.clone()).was(&["0"])]);
        let maybe = |of: &Layout| Layout::Option(Box::new(of.clone()));
        let cases: [(&Layout, &Layout, &[&str]); 9] = [
            (&named, &named, &[]),
            (&named, &x, &["A.y"]),
            (&named, &maybe(&x), &["A.y"]),
            (&named, &Layout::Unit, &["A.x", "A.y"]),
            (&pair, &int, &["A.1"]),
            (&pair, &x_as_first, &["A.1"]),
            (&int, &x_as_first, &[]),
            (&int, &Layout::Unit, &["A.0"]),
            (&Layout::Unit, &x, &[]),
        ];
        for (old, new, gone) in cases {
            assert_eq!(dropped(&types(old), &types(new), |_| false), gone, "{old} to {new}");
        }
        assert!(dropped(&types(&named), &types(&Layout::Unit), |_| true).is_empty(), "a function");
    }
}
