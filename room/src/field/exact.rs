//! Exact bytes: what snapshots hold and hashes cover. Integers and floats little-endian at their
//! full width, lengths and variants as LEB128, entities as their `NetId`.

use bevy_ecs::entity::Entity;
use referee_protocol::bits::{BitError, read_varint, write_varint};

/// Takes exact values.
pub struct Saver<'a> {
    /// The bytes so far.
    pub bytes: &'a mut Vec<u8>,
    net_id: &'a dyn Fn(Entity) -> u32,
}

impl<'a> Saver<'a> {
    /// Appends to `bytes`.
    pub fn new(bytes: &'a mut Vec<u8>, net_id: &'a dyn Fn(Entity) -> u32) -> Self {
        Self { bytes, net_id }
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a number, short where it is small.
    pub fn varint(&mut self, value: u64) {
        write_varint(self.bytes, value);
    }

    /// Appends bytes with their length before them.
    pub fn block(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.raw(bytes);
    }

    /// Appends a reference; one to an entity that is gone becomes none.
    pub fn entity(&mut self, entity: Entity) {
        let id = (self.net_id)(entity);
        self.varint(u64::from(id));
    }
}

/// Why saved bytes are no value of the expected type.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LoadError {
    /// The bytes are cut short or malformed.
    #[error(transparent)]
    Bits(#[from] BitError),
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// A variant does not exist.
    #[error("there is no variant {0}")]
    Variant(u32),
    /// A number does not fit its type.
    #[error("a number does not fit")]
    Number,
}

/// Hands out exact values.
pub struct Loader<'a> {
    bytes: &'a [u8],
    entity: &'a dyn Fn(u32) -> Entity,
}

impl<'a> Loader<'a> {
    /// Reads from the front of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8], entity: &'a dyn Fn(u32) -> Entity) -> Self {
        Self { bytes, entity }
    }

    /// What was not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], LoadError> {
        let (first, rest) = self.bytes.split_first_chunk().ok_or(BitError::End)?;
        self.bytes = rest;
        Ok(*first)
    }

    /// The next bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], LoadError> {
        let (first, rest) = self.bytes.split_at_checked(len).ok_or(BitError::End)?;
        self.bytes = rest;
        Ok(first)
    }

    /// A number written by [`Saver::varint`].
    ///
    /// # Errors
    /// When it is cut short.
    pub fn varint(&mut self) -> Result<u64, LoadError> {
        Ok(read_varint(&mut self.bytes)?)
    }

    /// A length or count written by [`Saver::varint`]: never more than there are bytes left, so that
    /// it may size an allocation.
    ///
    /// # Errors
    /// When it is larger.
    pub fn count(&mut self) -> Result<usize, LoadError> {
        let count = usize::try_from(self.varint()?).map_err(|_| LoadError::Number)?;
        if count > self.bytes.len() { Err(BitError::End.into()) } else { Ok(count) }
    }

    /// Bytes written by [`Saver::block`].
    ///
    /// # Errors
    /// When they are cut short.
    pub fn block(&mut self) -> Result<&'a [u8], LoadError> {
        let len = self.count()?;
        self.raw(len)
    }

    /// A reference written by [`Saver::entity`].
    ///
    /// # Errors
    /// When it is cut short.
    pub fn entity(&mut self) -> Result<Entity, LoadError> {
        let id = u32::try_from(self.varint()?).map_err(|_| LoadError::Number)?;
        Ok((self.entity)(id))
    }

    /// The error for a variant that does not exist.
    #[must_use]
    pub fn no_variant(&self, index: u32) -> LoadError {
        LoadError::Variant(index)
    }
}
