//! Which entries of a stream are the room's records: other programs can write into it, and entries can be missing.
//!
//! Pure. Counters have no holes, so every counter up to the newest one is answered for: by a record, by what stands in
//! its place, or as missing. What stands where its counter does not belong is not the room's. An entry that is no record
//! stands for a damaged one only if no record of its counter follows; an entry is believed to follow a hole only if it
//! is a record, and what it jumps over does not follow.

use super::reply::Entry;
use crate::ids::Position;
use crate::log::record::{RecordError, StoredRecord};

/// A page of a stream, in line.
#[derive(Debug, Default)]
pub(super) struct Lined {
    /// The records right after the one that was read last, in order.
    pub(super) records: Vec<StoredRecord>,
    /// The id of the last entry that is dealt with; the next page begins behind it.
    pub(super) seen: Option<String>,
    /// What follows can only be told with more of what is behind it in the same page.
    pub(super) unsure: bool,
    /// Entries that are not the room's.
    pub(super) foreign: usize,
    /// What a newer ruang wrote, and must not be passed over: reading ends before it.
    pub(super) newer: Option<(Position, RecordError)>,
}

/// How much of a stream a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Some, and more can be asked for.
    Part,
    /// As much as is ever looked at together.
    Full,
    /// All that there is.
    Complete,
}

/// Lines a page up behind the record `after`. `last`: the room's newest counter; `count_max`: records that are wanted,
/// at least one.
pub(super) fn line_up(
    after: Position,
    last: u64,
    entries: &[Entry],
    extent: Extent,
    count_max: usize,
) -> Lined {
    let mut line = Line { lined: Lined::default(), place: after, count_max };
    let mut rest = entries;
    while let Some((entry, behind)) = rest.split_first() {
        let next = line.place.seq + 1;
        if line.is_over() || next > last {
            return line.lined;
        }
        if entry.seq == next && is_record(entry) {
            line.push(entry);
        } else if is_foreign(entry, behind, next, last) {
            line.lined.foreign += 1;
        } else if extent == Extent::Part || (extent == Extent::Full && line.lined.seen.is_some()) {
            line.lined.unsure = true;
            return line.lined;
        } else if entry.seq == next {
            line.push(entry);
        } else {
            line.push_missing(entry.seq - 1);
            continue; // it is next now, or enough is found
        }
        line.lined.seen = Some(entry.id());
        rest = behind;
    }
    if extent == Extent::Complete {
        line.push_missing(last);
    }
    line.lined
}

/// Whether an entry that is not the record `next` is not the room's, as far as can be told from those behind it.
fn is_foreign(entry: &Entry, behind: &[Entry], next: u64, last: u64) -> bool {
    let in_place = entry.seq == next;
    let jumps = entry.seq > next && entry.seq <= last && is_record(entry);
    let comes_later = || behind.iter().any(|other| other.seq == next && is_record(other));
    !(in_place || jumps) || comes_later()
}

struct Line {
    lined: Lined,
    /// The last record that is answered for.
    place: Position,
    count_max: usize,
}

impl Line {
    fn is_over(&self) -> bool {
        self.lined.records.len() >= self.count_max || self.lined.newer.is_some()
    }

    /// The next record, or what stands in its place.
    fn push(&mut self, entry: &Entry) {
        let position = Position { seq: entry.seq, ms: entry.ms };
        let judged = match &entry.record {
            Some(record) => StoredRecord::judge(position, record.clone()),
            None => {
                Ok(StoredRecord::Damaged { position, why: "its fields are not those of a record".to_owned() })
            }
        };
        self.place = position;
        match judged {
            Ok(record) => self.lined.records.push(record),
            Err(newer) => self.lined.newer = Some((position, newer)),
        }
    }

    /// Answers for every counter up to `through` that nothing was found for.
    fn push_missing(&mut self, through: u64) {
        while self.place.seq < through && !self.is_over() {
            self.place.seq += 1;
            let why = "it is missing".to_owned();
            self.lined.records.push(StoredRecord::Damaged { position: self.place, why });
        }
    }
}

/// Whether it holds a whole record, of this or a newer version.
pub(super) fn is_record(entry: &Entry) -> bool {
    let judge = |record: &bytes::Bytes| StoredRecord::judge(Position::START, record.clone());
    !matches!(entry.record.as_ref().map(judge), None | Some(Ok(StoredRecord::Damaged { .. })))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ids::{InstanceId, SessionId};
    use crate::log::record::{Kind, Metadata, Record, Role, RoomKind};

    fn record(seq: u64) -> Bytes {
        let metadata = Metadata {
            session: Some(SessionId(1)),
            role: Role::Editor,
            ..Metadata::by_server(InstanceId(7), 1, RoomKind::Free, 5)
        };
        Record::new(Kind::Update, &metadata, &seq.to_le_bytes()).expect("small").encoded
    }

    fn ours(seq: u64) -> Entry {
        Entry { ms: 100 + seq / 3, seq, record: Some(record(seq)) }
    }

    fn foreign(ms: u64, seq: u64, record: Option<&'static [u8]>) -> Entry {
        Entry { ms, seq, record: record.map(Bytes::from_static) }
    }

    /// What was found: counters; negative: damaged or missing.
    fn found(lined: &Lined) -> Vec<i64> {
        let number = |record: &StoredRecord| match record {
            StoredRecord::Intact { position, record } => {
                assert_eq!(record.update(), position.seq.to_le_bytes().to_vec());
                position.seq.cast_signed()
            }
            StoredRecord::Damaged { position, .. } => -position.seq.cast_signed(),
        };
        lined.records.iter().map(number).collect()
    }

    fn after(seq: u64) -> Position {
        Position { seq, ms: 9 }
    }

    use Extent::{Complete, Full, Part};

    /// [L82] Records that follow each other are what they are; what stands beyond the newest is not the room's.
    #[test]
    fn records_stand_in_line() {
        let entries: Vec<_> = (5..=8).map(ours).collect();
        let lined = line_up(after(4), 8, &entries, Complete, 99);
        assert_eq!(
            (found(&lined), lined.foreign, lined.seen.as_deref()),
            (vec![5, 6, 7, 8], 0, Some("102-8"))
        );
        assert_eq!(found(&line_up(after(4), 6, &entries, Complete, 99)), [5, 6]);
        assert_eq!(found(&line_up(after(4), 8, &entries, Complete, 2)), [5, 6]);
    }

    /// [L8] [L82] Missing entries are told at their counters: at the beginning, in the middle, at the end, all of them.
    #[test]
    fn holes_are_told() {
        let left = |seqs: &[u64]| seqs.iter().map(|seq| ours(*seq)).collect::<Vec<_>>();
        assert_eq!(found(&line_up(after(0), 7, &left(&[3, 4, 6]), Complete, 99)), [-1, -2, 3, 4, -5, 6, -7]);
        assert_eq!(found(&line_up(after(0), 3, &[], Complete, 99)), [-1, -2, -3]);
        assert_eq!(found(&line_up(after(0), 3, &[], Complete, 2)), [-1, -2]);
        // While there may be more behind a page, nothing is called missing.
        for extent in [Part, Full] {
            assert_eq!(found(&line_up(after(0), 3, &[], extent, 99)), [] as [i64; 0]);
            let lined = line_up(after(0), 9, &left(&[1, 2, 5]), extent, 99);
            assert_eq!(
                (found(&lined), lined.seen.as_deref(), lined.unsure),
                (vec![1, 2], Some("100-2"), true)
            );
        }
        assert!(line_up(after(2), 9, &left(&[5]), Part, 99).unsure);
        assert_eq!(found(&line_up(after(2), 9, &left(&[5]), Full, 99)), [-3, -4, 5]);
    }

    /// [L82] What others wrote beside the records is passed over and counted; in a record's place it is damage, unless the
    /// record follows.
    #[test]
    fn foreign_entries_are_set_aside() {
        let junk: Option<&[u8]> = Some(b"junk");
        let entries = [
            foreign(1, 0, None),
            ours(1),
            foreign(100, 2, junk),
            foreign(100, 3, junk),
            foreign(100, 900, junk),
            ours(2),
            foreign(101, 2, junk),
            foreign(101, 3, None),
            ours(4),
            foreign(150, 0, junk),
        ];
        let lined = line_up(after(0), 5, &entries, Complete, 99);
        assert_eq!((found(&lined), lined.foreign), (vec![1, 2, -3, 4, -5], 6));
        // Too little is seen to tell.
        let lined = line_up(after(0), 5, &entries[..4], Part, 99);
        assert_eq!((found(&lined), lined.unsure), (vec![1], true));
        // A whole record in the wrong place does not hide those behind it.
        let entries = [ours(1), Entry { seq: 4, ..ours(9) }, ours(2), ours(3), ours(4)];
        assert_eq!(found(&line_up(after(0), 3, &entries, Complete, 99)), [1, 2, 3]);
    }

    /// [L9] What a newer ruang wrote ends the reading.
    #[test]
    fn a_newer_record_ends_the_line() {
        let mut bytes = record(2).to_vec();
        bytes[4] = 2;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        let newer = Entry { ms: 100, seq: 2, record: Some(bytes.into()) };
        let lined = line_up(after(0), 3, &[ours(1), newer, ours(3)], Complete, 99);
        assert_eq!(found(&lined), [1]);
        assert!(matches!(lined.newer, Some((Position { seq: 2, .. }, RecordError::Newer { .. }))));
    }
}
