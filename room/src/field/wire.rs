//! Wire words: writing them from a game's values, reading them from a client's.

use bevy_ecs::entity::Entity;
use referee_protocol::schema::FieldType;
use referee_protocol::value::string_value;

/// Takes the words of a game's values. Entities become their `NetId`: each group names them in its
/// own way later.
pub struct Quantiser<'a> {
    /// The words so far.
    pub words: &'a mut Vec<u32>,
    /// The `NetId` of an entity, 0 for none.
    pub(crate) net_id: &'a dyn Fn(Entity) -> u32,
    /// How many values lay outside their declared range and were clamped.
    pub clamped: u32,
}

impl<'a> Quantiser<'a> {
    /// Appends to `words`.
    pub fn new(words: &'a mut Vec<u32>, net_id: &'a dyn Fn(Entity) -> u32) -> Self {
        Self { words, net_id, clamped: 0 }
    }

    /// Appends one word.
    pub fn word(&mut self, word: u32) {
        self.words.push(word);
    }

    /// Starts a variant: appends its place and gives the type of its data.
    ///
    /// # Panics
    /// When the type is no enum, which `Field::shape` rules out.
    pub fn variant<'t>(&mut self, ty: &'t FieldType, index: u32) -> &'t FieldType {
        self.words.push(index);
        match ty {
            FieldType::Enum { variants } => &variants[index as usize].ty,
            other => panic!("{other:?} has no variants"),
        }
    }

    /// Appends an integer given as its distance from the smallest value.
    pub(crate) fn integer(&mut self, value: i128, min: i64, span: u64) {
        let distance = value - i128::from(min);
        let inside = distance.clamp(0, i128::from(span));
        self.clamped += u32::from(inside != distance);
        let word = inside as u64;
        self.words.push(word as u32);
        if span > u64::from(u32::MAX) {
            self.words.push((word >> 32) as u32);
        }
    }
}

/// Hands out the words of a client's values. Entities come as `NetId`s, which the room has put in
/// place of the client's wire ids.
pub struct Words<'a> {
    words: &'a [u32],
    entity: &'a dyn Fn(u32) -> Entity,
}

impl<'a> Words<'a> {
    /// Reads from the front of `words`.
    #[must_use]
    pub fn new(words: &'a [u32], entity: &'a dyn Fn(u32) -> Entity) -> Self {
        Self { words, entity }
    }

    /// The next word.
    pub fn word(&mut self) -> Option<u32> {
        let (&first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    /// The place of a variant and the type of its data.
    pub fn variant<'t>(&mut self, ty: &'t FieldType) -> Option<(u32, &'t FieldType)> {
        let index = self.word()?;
        match ty {
            FieldType::Enum { variants } => Some((index, &variants.get(index as usize)?.ty)),
            _ => None,
        }
    }

    pub(crate) fn integer(&mut self, min: i64, span: u64) -> Option<i128> {
        let low = u64::from(self.word()?);
        let high = if span > u64::from(u32::MAX) { u64::from(self.word()?) } else { 0 };
        Some(i128::from(min) + i128::from(high << 32 | low))
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        string_value(&mut self.words).ok()
    }

    pub(crate) fn entity(&mut self) -> Option<Entity> {
        Some((self.entity)(self.word()?))
    }
}
