//! The range coder: binary decisions with their probabilities, and bits of equal chance, in as many
//! bytes as they are worth. Carry and normalisation are those of the LZMA coder (7-Zip, Igor Pavlov;
//! after G. N. N. Martin, 1979); it differs in that no byte is spent on the start, and that the reader
//! knows where the run ends: what follows may be anything.

/// One direction of coding. What is given is written, or ignored where something is read; what is
/// returned stands in the bytes either way. So one function says how a thing is coded and read.
pub(super) trait Coder {
    /// Whether it writes.
    const WRITES: bool;

    /// A decision that is a yes with this chance, in 1/4,096.
    fn bit(&mut self, chance: u32, yes: bool) -> bool;

    /// The low bits (0 to 32) of a value, all equally likely.
    fn raw(&mut self, value: u32, bits: u32) -> u32;

    /// One of `count` (1 to 65,536) equally likely values.
    fn one_of(&mut self, value: u32, count: u32) -> u32;

    /// Whether the bytes have ended long ago.
    fn failed(&self) -> bool;
}

/// Below this the range grows by a byte.
const LOW_RANGE: u32 = 1 << 24;
/// Bits of a probability.
pub(super) const PROBABILITY_BITS: u32 = 12;

/// As many bytes a reader is ahead of what its decisions took.
const AHEAD_BYTES: usize = 4;

/// How many bytes at the end single out this range, whatever follows them: its reader knows it as well,
/// and so where the run ends.
fn last_bytes(range: u32) -> u32 {
    if range >= 2 * LOW_RANGE { 1 } else { 2 }
}

/// Writes to the end of a byte vector.
pub(super) struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    low: u64,
    range: u32,
    /// The last byte, not yet written: a carry may reach it; and how many bytes of 0xff follow it.
    held: Option<u8>,
    full: u32,
}

impl<'a> Encoder<'a> {
    /// Starts at the end of `out`.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, low: 0, range: u32::MAX, held: None, full: 0 }
    }

    /// Ends the run of bytes: whatever follows, they are read as they were written.
    pub(super) fn finish(mut self) {
        let bytes = last_bytes(self.range);
        let below = u64::from(u32::MAX >> (8 * bytes));
        self.low = (self.low + below) & !below;
        // One more than that: a byte is written when the next one is known.
        for _ in 0..=bytes {
            self.shift();
        }
    }

    #[inline]
    fn normalise(&mut self) {
        while self.range < LOW_RANGE {
            self.range <<= 8;
            self.shift();
        }
    }

    #[inline(never)]
    fn shift(&mut self) {
        let carry = (self.low >> 32) as u8;
        if carry == 0 && self.low as u32 >= 0xff00_0000 {
            self.full += 1;
        } else {
            if let Some(byte) = self.held {
                self.out.push(byte.wrapping_add(carry));
            }
            for _ in 0..std::mem::take(&mut self.full) {
                self.out.push(0xffu8.wrapping_add(carry));
            }
            self.held = Some((self.low >> 24) as u8);
        }
        self.low = u64::from((self.low as u32) << 8);
    }
}

impl Coder for Encoder<'_> {
    const WRITES: bool = true;

    #[inline]
    fn bit(&mut self, chance: u32, bit: bool) -> bool {
        let bound = (self.range >> PROBABILITY_BITS) * chance;
        if bit {
            self.range = bound;
        } else {
            self.low += u64::from(bound);
            self.range -= bound;
        }
        self.normalise();
        bit
    }

    fn raw(&mut self, value: u32, bits: u32) -> u32 {
        let mut left = bits;
        while left > 0 {
            let now = left.min(16);
            left -= now;
            self.range >>= now;
            self.low += u64::from(value >> left & ((1 << now) - 1)) * u64::from(self.range);
            self.normalise();
        }
        value
    }

    fn one_of(&mut self, value: u32, count: u32) -> u32 {
        self.range /= count;
        self.low += u64::from(value) * u64::from(self.range);
        self.normalise();
        value
    }

    fn failed(&self) -> bool {
        false
    }
}

/// Reads what [`Encoder`] wrote.
pub(super) struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    code: u32,
    range: u32,
}

impl<'a> Decoder<'a> {
    /// Reads a run at the front of `bytes`.
    #[must_use]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Self { bytes, at: 0, code: 0, range: u32::MAX };
        for _ in 0..AHEAD_BYTES {
            decoder.code = decoder.code << 8 | decoder.next();
        }
        decoder
    }

    /// How many of the bytes were this run's, where they were enough.
    #[must_use]
    pub(super) fn used(&self) -> Option<usize> {
        let used = self.at - AHEAD_BYTES + last_bytes(self.range) as usize;
        (used <= self.bytes.len()).then_some(used)
    }

    /// Whether its end, which is as short as can be, is as its writer makes it: one number of those that
    /// all read alike. It finds most runs that were cut off or damaged.
    pub(super) fn ends_as_written(&self) -> bool {
        let bytes = last_bytes(self.range) as usize;
        let used = self.at - AHEAD_BYTES + bytes;
        let read_ahead = (used..self.at).fold(0, |ahead, at| ahead << 8 | self.byte(at));
        self.code.wrapping_sub(read_ahead) >> (8 * (AHEAD_BYTES - bytes)) == 0
    }

    fn byte(&self, at: usize) -> u32 {
        self.bytes.get(at).copied().unwrap_or(0).into()
    }

    fn next(&mut self) -> u32 {
        let byte = self.byte(self.at);
        self.at += 1;
        byte
    }

    fn normalise(&mut self) {
        while self.range < LOW_RANGE {
            self.range <<= 8;
            self.code = self.code << 8 | self.next();
        }
    }
}

impl Coder for Decoder<'_> {
    const WRITES: bool = false;

    #[inline]
    fn bit(&mut self, chance: u32, _: bool) -> bool {
        let bound = (self.range >> PROBABILITY_BITS) * chance;
        let bit = self.code < bound;
        if bit {
            self.range = bound;
        } else {
            self.code -= bound;
            self.range -= bound;
        }
        self.normalise();
        bit
    }

    fn raw(&mut self, _: u32, bits: u32) -> u32 {
        let (mut value, mut left) = (0u32, bits);
        while left > 0 {
            let now = left.min(16);
            left -= now;
            self.range >>= now;
            // Bytes that no encoder wrote may point beyond the range.
            let part = (self.code / self.range).min((1 << now) - 1);
            self.code -= part * self.range;
            value = value << now | part;
            self.normalise();
        }
        value
    }

    fn one_of(&mut self, _: u32, count: u32) -> u32 {
        self.range /= count;
        let value = (self.code / self.range).min(count - 1);
        self.code -= value * self.range;
        self.normalise();
        value
    }

    fn failed(&self) -> bool {
        self.at > self.bytes.len() + AHEAD_BYTES
    }
}
