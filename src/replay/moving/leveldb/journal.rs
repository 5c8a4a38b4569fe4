//! The format of logs and of the manifest: records cut into fragments, none across a block of 32 KiB.

use super::Fault;
use super::bytes::{Input, is_checksum};

const BLOCK_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = 7;

// What a fragment is of a record; 0 is space that was never written.
const WHOLE: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// Whether a last record that is not whole is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was being written when the process ended.
    MayBeCut,
    /// It is damage: who opens the store to write begins a new file.
    MustBeWhole,
}

/// All records.
pub(super) fn records(bytes: &[u8], end_of_file: End) -> Result<Vec<Vec<u8>>, Fault> {
    let mut records = Vec::new();
    let mut begun: Option<Vec<u8>> = None;
    for block in bytes.chunks(BLOCK_BYTES) {
        let mut rest = block;
        // What is too short for a header is filled up with zeros.
        while rest.len() >= HEADER_BYTES {
            let mut header = Input::new(rest);
            let (checksum, length, kind) = (header.u32()?, usize::from(header.u16()?), header.byte()?);
            if (checksum, length, kind) == (0, 0, 0) {
                break;
            }
            let end = HEADER_BYTES + length;
            if end > rest.len() {
                if block.len() == BLOCK_BYTES {
                    return Err(Fault::Damaged("a fragment is longer than its block"));
                }
                return cut(records, end_of_file);
            }
            let (payload, kind_byte) = (&rest[HEADER_BYTES..end], &rest[HEADER_BYTES - 1..HEADER_BYTES]);
            if !is_checksum(checksum, &[kind_byte, payload]) {
                return Err(Fault::Damaged("the checksum of a fragment is wrong"));
            }
            rest = &rest[end..];
            match (kind, begun.take()) {
                (WHOLE, None) => records.push(payload.to_vec()),
                (FIRST, None) => begun = Some(payload.to_vec()),
                (MIDDLE, Some(mut record)) => {
                    record.extend_from_slice(payload);
                    begun = Some(record);
                }
                (LAST, Some(mut record)) => {
                    record.extend_from_slice(payload);
                    records.push(record);
                }
                _ => return Err(Fault::Damaged("fragments do not make a record")),
            }
        }
        if !rest.is_empty() && rest.len() < HEADER_BYTES && block.len() < BLOCK_BYTES {
            return cut(records, end_of_file);
        }
    }
    if begun.is_some() { cut(records, end_of_file) } else { Ok(records) }
}

fn cut(records: Vec<Vec<u8>>, end_of_file: End) -> Result<Vec<Vec<u8>>, Fault> {
    match end_of_file {
        End::MayBeCut => Ok(records),
        End::MustBeWhole => Err(Fault::Damaged("its last record is not whole")),
    }
}
