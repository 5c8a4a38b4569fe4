//! lib0's integers and a cursor that reads them. Pure.
//!
//! Kept apart from the server's own codecs on purpose: what measures a server does not share its
//! mistakes.

/// Appends `value` as a varUint: base 128, least significant group first.
pub(super) fn put_var_uint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a non-negative number as a varInt: six value bits in the first byte, then seven.
pub(super) fn put_var_int(out: &mut Vec<u8>, value: u32) {
    if value < 0x40 {
        out.push(value as u8);
    } else {
        out.push(value as u8 & 0x3f | 0x80);
        put_var_uint(out, u64::from(value >> 6));
    }
}

/// Appends a length and the bytes.
pub(super) fn put_buf(out: &mut Vec<u8>, bytes: &[u8]) {
    put_var_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What was sent is not what the format says; the text names the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server sent bytes that are not a Yjs message: {0}")]
pub(super) struct Malformed(pub &'static str);

/// Reads a byte string front to back.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed("it ends early"))?;
        self.rest = rest;
        Ok(*first)
    }

    /// A varUint of at most 64 bits.
    #[inline]
    pub(super) fn var_uint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("a number has more than 64 bits"))
    }

    /// A clock or a length: a varUint of at most 32 bits.
    #[inline]
    pub(super) fn clock(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.var_uint()?).map_err(|_| Malformed("a clock has more than 32 bits"))
    }

    /// A varUint length and that many bytes.
    #[inline]
    pub(super) fn buf(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.var_uint()?;
        let len = usize::try_from(len).map_err(|_| Malformed("a length is too large"))?;
        self.take(len)
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        if len > self.rest.len() {
            return Err(Malformed("it ends early"));
        }
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_went() {
        let mut out = Vec::new();
        for value in [0, 1, 127, 128, 300, (1 << 53) - 1, u64::MAX] {
            out.clear();
            put_var_uint(&mut out, value);
            println!("{value} is {} bytes as varUint and reads back", out.len());
            assert_eq!(Cursor::new(&out).var_uint(), Ok(value));
        }
        assert_eq!(Cursor::new(&[0xff; 11]).var_uint(), Err(Malformed("a number has more than 64 bits")));
        assert_eq!(Cursor::new(&[0x80]).var_uint(), Err(Malformed("it ends early")));
        assert_eq!(Cursor::new(&[5, 1]).buf(), Err(Malformed("it ends early")));
    }
}
