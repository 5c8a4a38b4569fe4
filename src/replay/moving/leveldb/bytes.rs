//! Numbers and strings as LevelDB writes them: little endian, and varints. Nothing is allocated from a declared
//! length.

/// There are fewer bytes than announced, or a varint has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut;

/// A cursor.
#[derive(Clone, Copy)]
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<&'a [u8], Cut> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(Cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Cut> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Cut)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Cut> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, Cut> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Cut> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Cut> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number of at most 64 bits, seven in a byte, lowest first.
    pub(super) fn varint(&mut self) -> Result<u64, Cut> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Cut)
    }

    /// A length that fits into memory.
    pub(super) fn length(&mut self) -> Result<usize, Cut> {
        usize::try_from(self.varint()?).map_err(|_| Cut)
    }

    /// Bytes after their length.
    pub(super) fn blob(&mut self) -> Result<&'a [u8], Cut> {
        let length = self.length()?;
        self.take(length)
    }
}

/// Whether a stored checksum is that of these bytes. LevelDB rotates them and adds a constant, so that a
/// checksum over bytes that hold one says something.
pub(super) fn is_checksum(stored: u32, parts: &[&[u8]]) -> bool {
    let sum = parts.iter().fold(0, |sum, part| crc32c::crc32c_append(sum, part));
    sum.rotate_right(15).wrapping_add(0xa282_ead8) == stored
}
