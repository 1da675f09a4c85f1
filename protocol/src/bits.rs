//! A bit stream: values from 0 to 32 bits, and Exp-Golomb numbers. Bits fill each byte from the
//! lowest up; the last byte is padded with zeros.

/// A stream ended early, or held something that no encoder writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BitError {
    /// More bits were asked for than there are.
    #[error("the data ends early")]
    End,
    /// A number was longer than any encoder writes.
    #[error("a number is too long")]
    Number,
    /// The padding of the last byte was not zero.
    #[error("the padding is not zero")]
    Padding,
}

/// Writes bits to the end of a byte vector.
pub struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    count: u32,
}

impl<'a> BitWriter<'a> {
    /// Starts at the end of `out`, which is byte-aligned by nature.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, pending: 0, count: 0 }
    }

    /// Writes the low `bits` bits of `value` (0 to 32).
    pub fn bits(&mut self, value: u32, bits: u32) {
        assert!(bits <= 32 && (bits == 32 || value >> bits == 0), "{value} in {bits} bits");
        self.pending |= u64::from(value) << self.count;
        self.count += bits;
        while self.count >= 8 {
            self.out.push(self.pending as u8);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    /// Writes one bit.
    pub fn bit(&mut self, value: bool) {
        self.bits(u32::from(value), 1);
    }

    /// Writes a number of unknown size in Exp-Golomb code of order `k` (0 to 30): small numbers are
    /// short.
    pub fn number(&mut self, value: u32, k: u32) {
        let shifted = u64::from(value) + (1 << k);
        let len = 63 - shifted.leading_zeros();
        let extra = len - k;
        for _ in 0..extra {
            self.bit(true);
        }
        self.bit(false);
        let low = shifted & ((1 << len) - 1);
        self.bits((low & 0xffff_ffff) as u32, len.min(32));
        if len > 32 {
            self.bits((low >> 32) as u32, len - 32);
        }
    }

    /// Pads to a whole byte and ends the stream.
    pub fn finish(self) {
        if self.count > 0 {
            self.out.push(self.pending as u8);
        }
    }
}

/// Reads what [`BitWriter`] wrote.
#[derive(Clone)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    pending: u64,
    count: u32,
}

impl<'a> BitReader<'a> {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, pending: 0, count: 0 }
    }

    /// Reads `bits` bits (0 to 32).
    ///
    /// # Errors
    /// [`BitError::End`] when there are fewer.
    pub fn bits(&mut self, bits: u32) -> Result<u32, BitError> {
        assert!(bits <= 32, "at most 32 bits at once");
        while self.count < bits {
            let byte = *self.bytes.get(self.at).ok_or(BitError::End)?;
            self.pending |= u64::from(byte) << self.count;
            self.at += 1;
            self.count += 8;
        }
        let value = (self.pending & ((1u64 << bits) - 1)) as u32;
        self.pending >>= bits;
        self.count -= bits;
        Ok(value)
    }

    /// Reads one bit.
    ///
    /// # Errors
    /// [`BitError::End`] when there is none.
    pub fn bit(&mut self) -> Result<bool, BitError> {
        Ok(self.bits(1)? == 1)
    }

    /// Reads an Exp-Golomb number of order `k`.
    ///
    /// # Errors
    /// When the data ends, or the number does not fit 32 bits.
    pub fn number(&mut self, k: u32) -> Result<u32, BitError> {
        let mut len = k;
        while self.bit()? {
            len += 1;
            if len > 32 {
                return Err(BitError::Number);
            }
        }
        let low = u64::from(self.bits(len.min(32))?);
        u32::try_from((low | 1 << len) - (1 << k)).map_err(|_| BitError::Number)
    }

    /// Ends the stream: the rest of the current byte must be zero. Returns how many bytes were read.
    ///
    /// # Errors
    /// [`BitError::Padding`] when it is not zero.
    pub fn finish(self) -> Result<usize, BitError> {
        let unread = (self.count / 8) as usize;
        let padding = self.pending & ((1u64 << (self.count % 8)) - 1);
        if padding != 0 { Err(BitError::Padding) } else { Ok(self.at - unread) }
    }
}

/// Writes a number to bytes, 7 bits at a time, low bits first (LEB128).
pub fn write_varint(out: &mut Vec<u8>, value: u64) {
    varint(value, |byte| out.push(byte));
}

/// The bytes of [`write_varint`], one by one.
pub(crate) fn varint(mut value: u64, mut put: impl FnMut(u8)) {
    while value >= 0x80 {
        put(value as u8 | 0x80);
        value >>= 7;
    }
    put(value as u8);
}

/// Reads a number written by [`write_varint`] and moves `bytes` past it. Only the shortest form is
/// accepted.
///
/// # Errors
/// When the bytes end, or the number does not fit 64 bits or is not in its shortest form.
pub fn read_varint(bytes: &mut &[u8]) -> Result<u64, BitError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(BitError::End)?;
        *bytes = rest;
        if shift == 63 && byte > 1 || byte == 0 && shift > 0 {
            return Err(BitError::Number);
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(BitError::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_round_trip(values: Vec<(u32, u8)>, tail in 0u32..8) {
            let mut out = vec![7];
            let mut w = BitWriter::new(&mut out);
            for (v, k) in &values { w.number(*v, u32::from(*k) % 31); }
            w.bits(0, tail);
            w.finish();
            let mut r = BitReader::new(&out[1..]);
            for (v, k) in &values { prop_assert_eq!(r.number(u32::from(*k) % 31), Ok(*v)); }
            prop_assert_eq!(r.bits(tail), Ok(0));
            prop_assert_eq!(r.finish(), Ok(out.len() - 1));
        }

        #[test]
        fn varints_round_trip(value: u64) {
            let mut out = Vec::new();
            write_varint(&mut out, value);
            prop_assert_eq!(read_varint(&mut &out[..]), Ok(value));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, k in 0u32..31) {
            let mut r = BitReader::new(&bytes);
            while r.number(k).is_ok() {}
            let _ = read_varint(&mut &bytes[..]);
        }
    }
}
