//! The notes of an embedded store: a small file beside the database, replaced whole whenever there is a new note.
//!
//! | bytes | what |
//! |---|---|
//! | 16 | `ruang notes, 1` and two line ends |
//! | then, for each note | length of the body (4), id (16), until (8), body, crc32c of all that (4) |
//!
//! Integers are little endian. Notes are few; they say who must not be let in, so one that is damaged keeps the store from
//! being opened.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut, Bytes};
use parking_lot::Mutex;

use super::directory::{OpenError, sync_directory};
use super::disk::is_full;
use crate::log::LogError;
use crate::log::notes::{Note, Notes};

const FILE: &str = "notes";
const FILE_NEW: &str = "notes.new";
const MAGIC: &[u8; 16] = b"ruang notes, 1\n\n";
/// Length, id and time.
const HEADER: usize = 4 + 16 + 8;

/// The notes, in memory and in the file. The store's directory is locked meanwhile.
pub(super) struct NoteFile {
    dir: PathBuf,
    notes: Mutex<Notes>,
}

impl NoteFile {
    /// Reads the file, if there is one.
    pub(super) fn open(dir: &Path, now_ms: u64) -> Result<Self, OpenError> {
        let path = dir.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => MAGIC.to_vec(),
            Err(error) => return Err(OpenError::io(&path, error)),
        };
        let read = read(&bytes, now_ms).ok_or("it is not as it was written");
        let notes = read.map_err(|why| OpenError::Damaged { path, why: why.to_owned() })?;
        Ok(Self { dir: dir.to_path_buf(), notes: Mutex::new(notes) })
    }

    /// Adds notes, all in one write; they survive a power cut. For a thread that may wait.
    pub(super) fn put(&self, new: Vec<Note>, now_ms: u64) -> Result<(), LogError> {
        let mut notes = self.notes.lock();
        let mut more = notes.clone();
        let (added, put) = more.put(new, now_ms);
        if added > 0 {
            self.write(&more.all(now_ms)).map_err(failed)?;
            *notes = more;
        }
        put
    }

    pub(super) fn all(&self, now_ms: u64) -> Vec<Note> {
        self.notes.lock().all(now_ms)
    }

    fn write(&self, notes: &[Note]) -> io::Result<()> {
        let new = self.dir.join(FILE_NEW);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file: File = options.open(&new)?;
        file.write_all(&encode(notes))?;
        file.sync_all()?;
        fs::rename(&new, self.dir.join(FILE))?;
        sync_directory(&self.dir)
    }
}

fn failed(error: io::Error) -> LogError {
    if is_full(&error) { LogError::Full(error.to_string()) } else { LogError::Unavailable(error.to_string()) }
}

fn encode(notes: &[Note]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    for note in notes {
        let from = out.len();
        out.put_u32_le(u32::try_from(note.body.len()).expect("a note is small"));
        out.put_u128_le(note.id);
        out.put_u64_le(note.until_ms);
        out.put_slice(&note.body);
        let check = crc32c::crc32c(&out[from..]);
        out.put_u32_le(check);
    }
    out
}

fn read(bytes: &[u8], now_ms: u64) -> Option<Notes> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut read = Vec::new();
    while !rest.is_empty() {
        let len = u32::from_le_bytes(*rest.first_chunk::<4>()?) as usize;
        let end = HEADER.checked_add(len)?;
        let (mut note, check) = (rest.get(..end)?, rest.get(end..)?.first_chunk::<4>()?);
        if crc32c::crc32c(note) != u32::from_le_bytes(*check) {
            return None;
        }
        rest = &rest[end + 4..];
        note.advance(4);
        let (id, until_ms) = (note.get_u128_le(), note.get_u64_le());
        read.push(Note { id, until_ms, body: Bytes::copy_from_slice(note) });
    }
    let mut notes = Notes::default();
    notes.put(read, now_ms).1.ok()?;
    Some(notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{NOTE_BYTES_MAX, NOTES_MAX};

    fn note(id: u128, until_ms: u64) -> Note {
        Note { id, until_ms, body: Bytes::from(vec![7; (id % 50) as usize]) }
    }

    /// [A20] Notes survive, until their time; a file that is damaged is not read as one that has fewer.
    #[test]
    fn notes_survive_and_damage_shows() {
        let dir = tempfile::tempdir().unwrap();
        let file = NoteFile::open(dir.path(), 0).unwrap();
        assert_eq!(file.all(0), []);
        for id in 1..=20 {
            file.put(vec![note(id, 1_000 + id as u64); 2], 0).unwrap();
            file.put(vec![note(1, 1_001), note(id, 1_000 + id as u64)], 0).unwrap();
        }
        let again = NoteFile::open(dir.path(), 0).unwrap();
        assert_eq!(again.all(0), (1..=20).map(|id| note(id, 1_000 + id as u64)).collect::<Vec<_>>());
        assert_eq!(again.all(1_010).len(), 10, "the others are over");
        let whole = fs::read(dir.path().join(FILE)).unwrap();
        let ends: Vec<usize> = (0..=20).map(|count| encode(&again.all(0)[..count]).len()).collect();
        for cut in 0..whole.len() {
            // Cut between two notes it looks whole; a rename is not cut.
            assert_eq!(read(&whole[..cut], 0).is_some(), ends.contains(&cut), "{cut}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(read(&changed, 0).is_none(), "{at}");
        }
        fs::write(dir.path().join(FILE), &whole[1..]).unwrap();
        assert!(matches!(NoteFile::open(dir.path(), 0), Err(OpenError::Damaged { .. })));
    }

    /// [A20] There is a bound, and it says so; what is over makes room.
    #[test]
    fn notes_are_bounded() {
        let mut notes = Notes::default();
        let most = NOTES_MAX as u128;
        assert!(
            matches!(notes.put((1..most).map(|id| note(id, 10)), 0), (added, Ok(())) if added + 1 == NOTES_MAX)
        );
        let more = notes.put([note(0, 10), note(u128::MAX, 10)], 0);
        assert!(matches!(more, (1, Err(LogError::Full(_)))), "there was place for one: {more:?}");
        assert!(matches!(notes.put([note(0, 10)], 0), (0, Ok(()))), "known");
        assert!(matches!(notes.put([note(u128::MAX, 20)], 10), (1, Ok(()))));
        let large = Note { id: 1, until_ms: 100, body: vec![0; NOTE_BYTES_MAX + 1].into() };
        assert!(matches!(notes.put([large], 10), (0, Err(LogError::Fatal(_)))));
    }
}
