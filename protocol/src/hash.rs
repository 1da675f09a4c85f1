//! The one hash function of the project: XXH3, 64 bits. It finds differences; it keeps no secrets.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::ids::WireId;

/// The hash of some bytes.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// A hash built up piece by piece; equal to [`hash`] over the pieces joined.
#[derive(Default)]
pub struct Hasher(Xxh3);

impl Hasher {
    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of everything added so far.
    #[must_use]
    pub fn finish(&self) -> u64 {
        self.0.digest()
    }
}

/// The hash of what a client sees: each component that is shown, as the id of its entity, its number
/// and its words, in order of ids and numbers. Equal for those who see the same.
#[must_use]
pub fn view_hash<'a>(shown: impl Iterator<Item = (WireId, u16, &'a [u32])>) -> u64 {
    let mut hasher = Hasher::default();
    for (id, component, words) in shown {
        hasher.write(&id.0.to_le_bytes());
        hasher.write(&component.to_le_bytes());
        words.iter().for_each(|word| hasher.write(&word.to_le_bytes()));
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_hashes_as_its_bytes_in_order() {
        let shown = [(WireId(0), 1, &[7][..]), (WireId(5), 0, &[1, 2])];
        let bytes = [0, 0, 0, 0, 1, 0, 7, 0, 0, 0, 5, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0];
        assert_eq!(view_hash(shown.into_iter()), hash(&bytes));
        assert_eq!(view_hash(std::iter::empty()), 0x2d06_8005_38d3_94c2);
    }
}
