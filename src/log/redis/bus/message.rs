//! What goes over a room's channel.
//!
//! - A batch, published by `lua/append.lua`: a line `1 epoch before first count instance number created whole`, then, if
//!   `whole` is 1, each record after its length (four bytes, little-endian). Without the records: look at the log.
//! - `w instance` and a line end, then an awareness update: people of that instance.
//! - `q instance`: who is there?
//! - `s instance` and a line end, then UTF-8: a message for people that is not part of the document.
//! - Whatever else a newer version says: look at the log.
//!
//! Pure.

use bytes::Bytes;

use crate::ids::{InstanceId, Position};
use crate::limits::BATCH_UPDATES_MAX;
use crate::log::bus::{Epoch, Heard, Stored, Whisper};
use crate::log::check::judge;
use crate::log::redis::meta::parse_epoch;

/// Writes a whisper.
pub(super) fn whispered(from: InstanceId, whisper: &Whisper) -> Vec<u8> {
    match whisper {
        Whisper::Presence(update) => [format!("w {}\n", from.0).as_bytes(), update].concat(),
        Whisper::Stateless(text) => [format!("s {}\n", from.0).as_bytes(), text].concat(),
        Whisper::WhoIsHere => format!("q {}\n", from.0).into_bytes(),
    }
}

/// Reads a message. What cannot be read may be about a batch.
pub(super) fn read(message: Bytes) -> Heard {
    let Some(end) = message.iter().take(HEADER_BYTES_MAX).position(|byte| *byte == b'\n') else {
        return Heard::Behind;
    };
    let body = message.slice(end + 1..);
    let Ok(header) = std::str::from_utf8(&message[..end]) else { return Heard::Behind };
    let fields: Vec<&str> = header.split(' ').collect();
    match fields[..] {
        ["w", from] => match from.parse() {
            Ok(from) => Heard::Whispered { from: InstanceId(from), whisper: Whisper::Presence(body) },
            Err(_) => Heard::Behind,
        },
        ["s", from] => match from.parse() {
            Ok(from) => Heard::Whispered { from: InstanceId(from), whisper: Whisper::Stateless(body) },
            Err(_) => Heard::Behind,
        },
        ["q", from] => match from.parse() {
            Ok(from) => Heard::Whispered { from: InstanceId(from), whisper: Whisper::WhoIsHere },
            Err(_) => Heard::Behind,
        },
        ["1", epoch, before, first, count, instance, number, _, "1"] => {
            let header = Header::read([epoch, before, first, count, instance, number]);
            header.and_then(|header| header.stored(&body)).map_or(Heard::Behind, Heard::Stored)
        }
        _ => Heard::Behind,
    }
}

/// More than the longest line that is written.
const HEADER_BYTES_MAX: usize = 256;

struct Header {
    epoch: Epoch,
    before: Position,
    first: Position,
    count: usize,
    instance: InstanceId,
    number: u64,
}

impl Header {
    fn read([epoch, before, first, count, instance, number]: [&str; 6]) -> Option<Self> {
        Some(Self {
            epoch: parse_epoch(epoch)?,
            before: Position::from_id(before)?,
            first: Position::from_id(first)?,
            // One more: the genesis record.
            count: count.parse().ok().filter(|count| (1..=BATCH_UPDATES_MAX + 1).contains(count))?,
            instance: InstanceId(instance.parse().ok()?),
            number: number.parse().ok()?,
        })
    }

    fn stored(self, body: &Bytes) -> Option<Stored> {
        let mut records = Vec::with_capacity(self.count);
        let mut at = 0;
        for seq in self.first.seq..self.first.seq.checked_add(self.count as u64)? {
            let length = body.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)?;
            let (from, to) = (at + 4, (at + 4).checked_add(usize::try_from(length).ok()?)?);
            if to > body.len() {
                return None;
            }
            // A record of a newer ruang is met in the log, where it is told of.
            records.push(judge(Position { seq, ms: self.first.ms }, body.slice(from..to)).ok()?);
            at = to;
        }
        let Self { epoch, before, instance, number, .. } = self;
        (at == body.len()).then_some(Stored { instance, number, epoch, before, records })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::record::StoredRecord;

    fn batch(records: &[&[u8]]) -> Vec<u8> {
        let mut message = format!("1 00000000000000ab 5-7 6-8 {} 9 3 0 1\n", records.len()).into_bytes();
        for record in records {
            message.extend_from_slice(&u32::try_from(record.len()).expect("short").to_le_bytes());
            message.extend_from_slice(record);
        }
        message
    }

    /// [L94] A batch is read as it was published; damaged records are heard as such.
    #[test]
    fn batches_are_read() {
        let Heard::Stored(stored) = read(batch(&[b"junk", b""]).into()) else { panic!("a batch") };
        assert_eq!((stored.epoch, stored.instance, stored.number), (Epoch(0xab), InstanceId(9), 3));
        assert_eq!(stored.before, Position { seq: 7, ms: 5 });
        let positions: Vec<_> = stored.records.iter().map(StoredRecord::position).collect();
        assert_eq!(positions, [Position { seq: 8, ms: 6 }, Position { seq: 9, ms: 6 }]);
        assert!(stored.records.iter().all(|record| matches!(record, StoredRecord::Damaged { .. })));
    }

    /// [L94] Whispers come back as they were said.
    #[test]
    fn whispers_are_read() {
        let bytes = Bytes::from_static;
        let presence = Whisper::Presence(bytes(b"\x01\n\x00"));
        for whisper in [Whisper::WhoIsHere, presence, Whisper::Stateless(bytes(b"hi\nyou"))] {
            let from = InstanceId(u64::MAX);
            let heard = read(whispered(from, &whisper).into());
            assert_eq!(heard, Heard::Whispered { from, whisper });
        }
    }

    /// [L94] Whatever cannot be read makes the listener look at the log: every cut and every flipped bit of a batch
    /// is that, or a batch with records that are checked by themselves, or a whisper.
    #[test]
    fn what_cannot_be_read_is_looked_up() {
        for message in ["", "\n", "1\n", "2 whatever\n", "w\n", "w x\n", "q -1\n", "no line end"] {
            assert_eq!(read(message.as_bytes().to_vec().into()), Heard::Behind, "{message:?}");
        }
        assert_eq!(read(b"1 ab 5-7 6-8 300000000 9 3 0 1\n".to_vec().into()), Heard::Behind);
        assert_eq!(read(b"1 ab 5-7 6-8 2 9 3 0 0\n".to_vec().into()), Heard::Behind, "without records");
        let last = format!("1 ab 5-7 6-{} 2 9 3 0 1\n\0\0\0\0\0\0\0\0", u64::MAX);
        assert_eq!(read(last.into_bytes().into()), Heard::Behind, "positions end");
        let good = batch(&[b"one", b"two"]);
        for end in 0..good.len() {
            assert_eq!(read(good[..end].to_vec().into()), Heard::Behind, "cut at {end}");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let _ = read(bad.into());
        }
    }
}
