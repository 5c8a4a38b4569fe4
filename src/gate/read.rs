//! lib0's primitives, read and written: numbers, strings, ids. Nothing is allocated from what a
//! message declares; every read either consumes bytes that are there or refuses.

use super::refusal::Refusal;
use crate::ids::ClientId;
use crate::limits::{CLIENT_ID_MAX, CLOCK_MAX, NAME_BYTES_MAX};

/// The id of one unit of content: who made it, and the how many-eth it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id {
    pub(super) client: ClientId,
    pub(super) clock: u32,
}

/// A cursor over bytes from outside.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Starts in the middle: where an earlier pass has found the beginning of something.
    pub(super) fn starting_at(bytes: &'a [u8], at: u32) -> Self {
        Self { bytes, at: at as usize }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn byte(&mut self) -> Result<u8, Refusal> {
        let byte = *self.bytes.get(self.at).ok_or(Refusal::CutOff)?;
        self.at += 1;
        Ok(byte)
    }

    /// An unsigned number below 2^53. yrs lets larger ones wrap, JavaScript throws.
    #[inline]
    pub(super) fn number(&mut self) -> Result<u64, Refusal> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut number = u64::from(first & 0x7f);
        for shift in (7..56).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if number <= CLIENT_ID_MAX { Ok(number) } else { Err(Refusal::NumberTooLarge) };
            }
        }
        Err(Refusal::NumberTooLarge)
    }

    /// Passes over a signed number of at most 53 bits. yrs panics on 70 bits in debug builds.
    pub(super) fn pass_signed(&mut self) -> Result<(), Refusal> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(());
        }
        let mut number = u64::from(first & 0x3f);
        for shift in (6..56).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if number <= CLIENT_ID_MAX { Ok(()) } else { Err(Refusal::NumberTooLarge) };
            }
        }
        Err(Refusal::NumberTooLarge)
    }

    /// A clock: below [`CLOCK_MAX`].
    #[inline]
    pub(super) fn clock(&mut self) -> Result<u32, Refusal> {
        match u32::try_from(self.number()?) {
            Ok(clock) if clock < CLOCK_MAX => Ok(clock),
            _ => Err(Refusal::ClockTooLarge),
        }
    }

    /// A length in clocks: 1 to [`CLOCK_MAX`] - 1.
    #[inline]
    pub(super) fn length(&mut self) -> Result<u32, Refusal> {
        match self.clock()? {
            0 => Err(Refusal::Empty),
            length => Ok(length),
        }
    }

    /// How many things of at least `bytes_min` bytes each follow: never more than there is room for.
    pub(super) fn count(&mut self, bytes_min: usize) -> Result<u32, Refusal> {
        let count = self.number()?;
        match u32::try_from(count) {
            Ok(fitting) if count <= (self.left() / bytes_min) as u64 => Ok(fitting),
            _ => Err(Refusal::CutOff),
        }
    }

    #[inline]
    pub(super) fn take(&mut self, bytes: usize) -> Result<&'a [u8], Refusal> {
        if bytes > self.left() {
            return Err(Refusal::CutOff);
        }
        let taken = &self.bytes[self.at..self.at + bytes];
        self.at += bytes;
        Ok(taken)
    }

    /// Bytes after their length.
    #[inline]
    pub(super) fn blob(&mut self) -> Result<&'a [u8], Refusal> {
        let length = self.number()?;
        self.take(usize::try_from(length).map_err(|_| Refusal::CutOff)?)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Refusal> {
        std::str::from_utf8(self.blob()?).map_err(|_| Refusal::NotUtf8)
    }

    /// The name of a root, a key, a format or an XML node: kept for the life of the room.
    pub(super) fn name(&mut self) -> Result<&'a str, Refusal> {
        let name = self.text()?;
        if name.len() > NAME_BYTES_MAX { Err(Refusal::NameTooLong) } else { Ok(name) }
    }

    #[inline]
    pub(super) fn id(&mut self) -> Result<Id, Refusal> {
        Ok(Id { client: self.number()?, clock: self.clock()? })
    }

    /// Nothing may follow.
    pub(super) fn finish(&self) -> Result<(), Refusal> {
        if self.left() == 0 { Ok(()) } else { Err(Refusal::TrailingBytes) }
    }
}

/// Appends an unsigned number.
#[inline]
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends an id.
pub(super) fn put_id(out: &mut Vec<u8>, id: Id) {
    put_number(out, id.client);
    put_number(out, u64::from(id.clock));
}

/// How many UTF-16 units a string has: Yjs counts text in them.
pub(super) fn utf16_units(utf8: &[u8]) -> usize {
    // One for each character (any byte but a continuation), and one more for those of four bytes.
    utf8.iter().map(|&byte| usize::from(byte as i8 >= -0x40) + usize::from(byte >= 0xf0)).sum()
}
