//! lib0's primitives within the bounds of updates: clocks, lengths, names, ids. Nothing is allocated
//! from what a message declares; every read either consumes bytes that are there or refuses.

use super::refusal::Refusal;
use crate::ids::ClientId;
use crate::limits::{CLIENT_ID_MAX, CLOCK_MAX, NAME_BYTES_MAX};
use crate::wire::WireError;
use crate::wire::lib0;

pub(super) use crate::wire::lib0::write_var_uint as put_number;

/// The id of one unit of content: who made it, and the how many-eth it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id {
    pub(super) client: ClientId,
    pub(super) clock: u32,
}

/// A cursor over bytes from outside: lib0's, with the bounds of updates.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(lib0::Reader<'a>);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(lib0::Reader::new(bytes))
    }

    /// Starts in the middle: where an earlier pass has found the beginning of something.
    pub(super) fn starting_at(bytes: &'a [u8], at: u32) -> Self {
        Self(lib0::Reader::starting_at(bytes, at as usize))
    }

    pub(super) fn at(&self) -> usize {
        self.0.position()
    }

    pub(super) fn left(&self) -> usize {
        self.0.left()
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, Refusal> {
        Ok(self.0.byte()?)
    }

    /// An unsigned number below 2^53.
    #[inline]
    pub(super) fn number(&mut self) -> Result<u64, Refusal> {
        Ok(self.0.var_uint()?)
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
        Ok(self.0.take(bytes)?)
    }

    /// Bytes after their length.
    #[inline]
    pub(super) fn blob(&mut self) -> Result<&'a [u8], Refusal> {
        Ok(self.0.buffer()?)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Refusal> {
        Ok(self.0.string()?)
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

impl From<WireError> for Refusal {
    fn from(error: WireError) -> Self {
        match error {
            WireError::NumberTooLarge => Self::NumberTooLarge,
            WireError::NotUtf8 => Self::NotUtf8,
            _ => Self::CutOff,
        }
    }
}

/// Appends an id.
pub(super) fn put_id(out: &mut Vec<u8>, id: Id) {
    put_number(out, id.client);
    put_number(out, u64::from(id.clock));
}

/// Appends a string after its length.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    lib0::write_buffer(out, text.as_bytes());
}

/// How many UTF-16 units a string has: Yjs counts text in them.
pub(super) fn utf16_units(utf8: &[u8]) -> usize {
    // One for each character (any byte but a continuation), and one more for those of four bytes.
    utf8.iter().map(|&byte| usize::from(byte as i8 >= -0x40) + usize::from(byte >= 0xf0)).sum()
}
