//! What a store gives back: nothing fails, whatever stands there, and what is read is what would be written.
//!
//! The first byte of the input says what the rest is: a record, a snapshot, a row of parts (a batch as the admin socket takes
//! it), what a log says of itself as JSON. The checksums of the first three are set right first: what they guard is meant.

use bytes::Bytes;
use ruang::history::{Snapshot, SnapshotError};
use ruang::ids::Position;
use ruang::log::record::{Kind, Record, RecordError, StoredRecord};
use ruang::replay::part::{self, PartKind};
use ruang::replay::portable::{
    AdoptedForm, AdoptionForm, AppendedForm, BatchForm, ErrorForm, HeadForm, RoomsForm, SnapshotForm,
};

fn mend(bytes: &mut [u8], crc_at: usize) {
    let Some(rest) = bytes.get(crc_at + 4..) else { return };
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..crc_at]), rest);
    bytes[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
}

fn record(mut bytes: Vec<u8>) -> bool {
    mend(&mut bytes, 12);
    let record = match Record::decode(Bytes::from(bytes)) {
        Ok(record) => record,
        Err(RecordError::Damaged(_) | RecordError::Newer { .. }) => return false,
        Err(error) => panic!("nothing is written here: {error}"),
    };
    let (kind, metadata, update) =
        (record.kind(), record.metadata().expect("it was checked"), record.update());
    assert!(update.len() < record.encoded.len());
    let written = match Record::new(kind, &metadata, &update) {
        Ok(written) => written,
        Err(error) => {
            assert_eq!(
                (error, true),
                (RecordError::NotOurs(record.encoded[5]), matches!(kind, Kind::Other(_)))
            );
            return true;
        }
    };
    let again = Record::decode(written.encoded).expect("it was written here");
    assert_eq!((again.kind(), again.metadata(), again.update()), (kind, Ok(metadata), update));
    true
}

fn snapshot(mut bytes: Vec<u8>) -> bool {
    mend(&mut bytes, 16);
    let snapshot = match Snapshot::decode(&bytes) {
        Ok(snapshot) => snapshot,
        Err(SnapshotError::Damaged(_) | SnapshotError::Newer { .. }) => return false,
        Err(error) => panic!("nothing is written here: {error}"),
    };
    let written = snapshot.encode().expect("what was read is not too large");
    assert_eq!(Snapshot::decode(&written).as_ref(), Ok(&snapshot));
    true
}

/// Sets the checksums of a row of parts right, which begin at `at` with the number 0.
pub(super) fn mend_parts(bytes: &mut [u8], mut at: usize) {
    for number in 0_u64.. {
        let Some(&[kind, a, b, c, d]) = bytes.get(at..).and_then(|rest| rest.first_chunk()) else { return };
        let (body, len) = (at + 9, u32::from_le_bytes([a, b, c, d]));
        let Some(end) = body.checked_add(len as usize).filter(|end| *end <= bytes.len()) else { return };
        let crc = [&[kind][..], &len.to_le_bytes(), &bytes[body..end]]
            .iter()
            .fold(crc32c::crc32c(&number.to_le_bytes()), |crc, piece| crc32c::crc32c_append(crc, piece));
        bytes[at + 5..body].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
}

fn parts(mut bytes: Vec<u8>) -> bool {
    mend_parts(&mut bytes, 0);
    let bytes = Bytes::from(bytes);
    if let Ok(batch) = BatchForm::read(&bytes) {
        assert_eq!(BatchForm::read(&BatchForm::write(&batch)).as_ref(), Ok(&batch));
    }
    let Ok(parts) = part::split(&bytes) else { return false };
    for (kind, body) in parts {
        if let Ok(stored) = part::decode_record(kind, &body) {
            assert!(matches!(kind, PartKind::Record | PartKind::Damaged));
            let is_intact = matches!(stored, StoredRecord::Intact { .. });
            let written = part::encode_record(0, &stored);
            assert!(!is_intact || written.ends_with(&body), "a record is passed on as it is");
        }
        if let Ok((upload, index, chunk)) = part::decode_chunk(&body) {
            assert!(part::encode_chunk(0, upload, index, &chunk).ends_with(&body));
        }
    }
    true
}

fn forms(json: &[u8]) -> bool {
    if let Ok(form) = serde_json::from_slice::<HeadForm>(json) {
        return form.head().is_some_and(|head| {
            assert_eq!(HeadForm::from(&head).head(), Some(head));
            true
        });
    }
    if let Ok(form) = serde_json::from_slice::<SnapshotForm>(json) {
        return form.snapshot().is_some_and(|snapshot| {
            assert_eq!(SnapshotForm::from(&snapshot).snapshot(), Some(snapshot));
            true
        });
    }
    if let Ok(form) = serde_json::from_slice::<AdoptionForm>(json) {
        return form.adoption().is_some_and(|adoption| {
            assert_eq!(AdoptionForm::from(&adoption).adoption(), Some(adoption));
            true
        });
    }
    if let Ok(form) = serde_json::from_slice::<ErrorForm>(json) {
        drop(form.into_log_error());
        return true;
    }
    if let Ok(text) = std::str::from_utf8(json)
        && let Some(position) = Position::from_id(text)
    {
        assert_eq!(Position::from_id(&position.to_string()), Some(position));
        return true;
    }
    serde_json::from_slice::<AppendedForm>(json).is_ok()
        || serde_json::from_slice::<AdoptedForm>(json).is_ok()
        || serde_json::from_slice::<RoomsForm>(json).is_ok()
}

/// See the module. Whether it was read.
pub fn run(input: &[u8]) -> bool {
    let Some((&which, rest)) = input.split_first() else { return false };
    match which % 4 {
        0 => record(rest.to_vec()),
        1 => snapshot(rest.to_vec()),
        2 => parts(rest.to_vec()),
        _ => forms(rest),
    }
}
