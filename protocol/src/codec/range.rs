//! The range coder: binary decisions with their probabilities, and bits of equal chance, in as many
//! bytes as they are worth. Carry and normalisation are those of the LZMA coder (7-Zip, Igor Pavlov;
//! after G. N. N. Martin, 1979); it differs in that no byte is spent on the start, and that the
//! end is the roundest number that will do, without its zero bytes: the reader goes on with zeros.

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

/// As many zero bytes as the end may leave out.
const ZEROS_MAX: usize = 4;

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

    /// Ends the run of bytes.
    pub(super) fn finish(mut self) {
        // The roundest number that is still inside the range.
        let end = self.low + u64::from(self.range) - 1;
        for zeros in (0..=32).rev() {
            let mask = (1u64 << zeros) - 1;
            let round = (self.low + mask) & !mask;
            if round <= end {
                self.low = round;
                break;
            }
        }
        for _ in 0..5 {
            self.shift();
        }
        for _ in 0..ZEROS_MAX {
            if self.out.pop_if(|byte| *byte == 0).is_none() {
                break;
            }
        }
    }

    fn normalise(&mut self) {
        while self.range < LOW_RANGE {
            self.range <<= 8;
            self.shift();
        }
    }

    fn shift(&mut self) {
        let carry = (self.low >> 32) as u8;
        if carry == 0 && self.low as u32 >= 0xff00_0000 {
            self.full += 1;
        } else {
            self.out.extend(self.held.map(|byte| byte.wrapping_add(carry)));
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
    /// Reads all of `bytes`.
    #[must_use]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Self { bytes, at: 0, code: 0, range: u32::MAX };
        for _ in 0..4 {
            decoder.code = decoder.code << 8 | decoder.next();
        }
        decoder
    }

    /// Whether these bytes were needed, and no others.
    #[must_use]
    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len() && !self.failed()
    }

    fn next(&mut self) -> u32 {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        u32::from(byte)
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
        self.at > self.bytes.len() + ZEROS_MAX
    }
}
