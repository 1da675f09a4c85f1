//! The one hash function of the project: XXH3, 64 bits. It finds differences; it keeps no secrets.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

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
