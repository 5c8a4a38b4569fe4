//! lib0 primitives: variable-length numbers, strings and buffers.
//! Source: lib0 `encoding.js`, `decoding.js`.

use super::WireError;
use crate::limits::CLIENT_ID_MAX;

/// Reads lib0 values from the front of a byte slice. Never panics, never allocates.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A reader that has read the first `at` bytes: where an earlier pass found a beginning.
    #[must_use]
    pub fn starting_at(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// How many bytes were read.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Whether all bytes were read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// One byte.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    #[inline]
    pub fn byte(&mut self) -> Result<u8, WireError> {
        let byte = *self.bytes.get(self.at).ok_or(WireError::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    /// A `varUint` of at most 53 bits. yrs lets larger ones wrap, JavaScript throws.
    ///
    /// # Errors
    /// [`WireError::Truncated`] or [`WireError::NumberTooLarge`].
    #[inline]
    pub fn var_uint(&mut self) -> Result<u64, WireError> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut number = u64::from(first & 0x7f);
        for shift in (7..56).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if number <= CLIENT_ID_MAX { Ok(number) } else { Err(WireError::NumberTooLarge) };
            }
        }
        Err(WireError::NumberTooLarge)
    }

    /// So many bytes.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    #[inline]
    pub fn take(&mut self, bytes: usize) -> Result<&'a [u8], WireError> {
        if bytes > self.left() {
            return Err(WireError::Truncated);
        }
        let taken = &self.bytes[self.at..self.at + bytes];
        self.at += bytes;
        Ok(taken)
    }

    /// A `varUint8Array`: its length, then its bytes.
    ///
    /// # Errors
    /// [`WireError`] if the length is no number or points past the end.
    #[inline]
    pub fn buffer(&mut self) -> Result<&'a [u8], WireError> {
        let len = self.var_uint()?;
        self.take(usize::try_from(len).map_err(|_| WireError::Truncated)?)
    }

    /// A `varString`.
    ///
    /// # Errors
    /// As [`Reader::buffer`], and [`WireError::NotUtf8`].
    pub fn string(&mut self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.buffer()?).map_err(|_| WireError::NotUtf8)
    }
}

/// Appends a `varUint`.
#[inline]
pub fn write_var_uint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a `varUint8Array`.
pub fn write_buffer(out: &mut Vec<u8>, buffer: &[u8]) {
    write_var_uint(out, buffer.len() as u64);
    out.extend_from_slice(buffer);
}

/// How many bytes [`write_var_uint`] appends for `number`.
#[must_use]
pub fn var_uint_len(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_way_out_and_back() {
        for number in [0, 1, 127, 128, 300, 1 << 31, 1 << 32, CLIENT_ID_MAX] {
            let mut out = Vec::new();
            write_var_uint(&mut out, number);
            assert_eq!(out.len(), var_uint_len(number));
            let mut reader = Reader::new(&out);
            assert_eq!(reader.var_uint(), Ok(number));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn numbers_above_53_bits_are_refused() {
        let mut out = Vec::new();
        write_var_uint(&mut out, CLIENT_ID_MAX + 1);
        assert_eq!(Reader::new(&out).var_uint(), Err(WireError::NumberTooLarge));
        assert_eq!(Reader::new(&[0xff; 20]).var_uint(), Err(WireError::NumberTooLarge));
        assert_eq!(Reader::new(&[0x80; 5]).var_uint(), Err(WireError::Truncated));
    }

    #[test]
    fn buffers_never_reach_past_the_end() {
        assert_eq!(Reader::new(&[3, 1, 2]).buffer(), Err(WireError::Truncated));
        assert_eq!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]).buffer(),
            Err(WireError::Truncated)
        );
        assert_eq!(Reader::new(&[2, 0xc3, 0x28]).string(), Err(WireError::NotUtf8));
    }
}
