//! The files of the journal: one write and one sync a commit.
//!
//! There are two, made at full length and never longer, so that a sync has no length to save. One
//! takes frames; the other one is being moved into the database, or free. A file is written again
//! from its start when all that stands in it has been moved. Where frames begin and what proves
//! them is in `frame`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::directory::{OpenError, sync_directory};
use super::disk::{DiskHook, DiskOperation, is_full};
use super::frame::{self, FRAMES_AT, Frame, FrameBuilder, MARK, Scan};
use super::store::Failure;

/// How many files there are.
pub(super) const FILES: usize = 2;

/// See the module.
pub(super) struct Journal {
    files: [JournalFile; FILES],
    hook: Option<DiskHook>,
    /// The file that takes frames.
    current: usize,
    /// Where the next frame goes.
    at: usize,
    /// Its sequence.
    next: u64,
    state: State,
}

struct JournalFile {
    path: PathBuf,
    file: File,
    salt: u64,
    len: usize,
    /// What is synced here is found at the next start. Not after a failed write or sync, and not while another file may stand
    /// at its path.
    holds: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// Files are as they were found: everything must be moved first.
    Found,
    /// A file does not hold what it is given. Everything must be moved, and the file be made anew.
    Failed,
}

/// What was found in the files and may not be in the database.
pub(super) struct Found {
    /// In order.
    pub(super) frames: Vec<Frame>,
    /// The highest sequence that stands anywhere. What was not finished must never be taken for
    /// news later.
    pub(super) through: u64,
}

/// Why a frame is not known to be on the disk.
pub(super) struct Unwritten {
    pub(super) failure: Failure,
    /// All of it was written: it may get there.
    pub(super) in_doubt: bool,
}

impl Journal {
    /// Makes both files, whatever was there: only while the store has none yet. Frames go on behind
    /// the sequence `moved`.
    pub(super) fn create(
        paths: [PathBuf; FILES],
        len: usize,
        hook: Option<DiskHook>,
        moved: u64,
    ) -> Result<Self, OpenError> {
        let make = |index: usize| {
            let path: &PathBuf = &paths[index];
            JournalFile::create(path, index, len, hook.as_ref()).map_err(|error| OpenError::io(path, error))
        };
        let files = [make(0)?, make(1)?];
        Ok(Self { files, hook, current: 0, at: FRAMES_AT, next: moved + 1, state: State::Ready })
    }

    /// Opens both files and reads what the database, which has everything up to `moved`, may not
    /// have. A frame at the end that was never finished is left out.
    ///
    /// # Errors
    /// [`OpenError::Damaged`] if something that was synced is not there, unless it is known whose
    /// records are damaged.
    pub(super) fn open(
        paths: [PathBuf; FILES],
        hook: Option<DiskHook>,
        moved: u64,
    ) -> Result<(Self, Found), OpenError> {
        let (zero, scan_zero) = JournalFile::open(&paths[0], 0, hook.as_ref())?;
        let (one, scan_one) = JournalFile::open(&paths[1], 1, hook.as_ref())?;
        let found = combine([scan_zero, scan_one], moved).map_err(|why| {
            let path = paths[0].parent().map_or_else(|| paths[0].clone(), |dir| dir.join("journal"));
            OpenError::Damaged { path, why }
        })?;
        let (files, next) = ([zero, one], found.through + 1);
        Ok((Self { files, hook, current: 0, at: FRAMES_AT, next, state: State::Found }, found))
    }

    /// Whether frames can be appended.
    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// The newest sequence that was used, for better or worse.
    pub(super) fn through(&self) -> u64 {
        self.next - 1
    }

    /// Bytes of the largest frame that fits into an empty file.
    pub(super) fn capacity(&self) -> usize {
        let len = self.files.iter().map(|file| file.len).min().unwrap_or(0);
        len.saturating_sub(FRAMES_AT + MARK)
    }

    /// Whether a frame of so many bytes fits behind the others, with its mark.
    pub(super) fn fits(&self, len: usize) -> bool {
        self.at + len + MARK <= self.files[self.current].len
    }

    /// Bytes in the file that takes frames.
    pub(super) fn used(&self) -> usize {
        self.at - FRAMES_AT
    }

    /// Writes a frame and syncs it; it must fit. Gives its bytes and its sequence.
    ///
    /// # Errors
    /// After one the journal is not ready until all is moved and [`Journal::restart`] is called.
    pub(super) fn append(&mut self, frame: FrameBuilder) -> Result<(Bytes, u64), Unwritten> {
        let (sequence, file) = (self.next, &self.files[self.current]);
        let bytes = frame.finish(file.salt, sequence);
        self.next += 1; // a sequence is never used for two frames
        let written = self.write(self.current, self.at, &bytes).map_err(|error| (error, false));
        let synced = written.and_then(|()| self.sync(self.current).map_err(|error| (error, true)));
        if let Err((error, in_doubt)) = synced {
            (self.state, self.files[self.current].holds) = (State::Failed, false);
            return Err(Unwritten { failure: failure(&error), in_doubt });
        }
        self.at += bytes.len();
        let mark = frame::mark(file.salt, sequence);
        // It only helps to tell damage from what was not finished: nothing waits for it.
        let _ = self.write(self.current, self.at, &mark);
        Ok((bytes, sequence))
    }

    /// Goes on in the other file, of which everything must have been moved.
    pub(super) fn turn(&mut self) {
        self.current = (self.current + 1) % FILES;
        self.at = FRAMES_AT;
    }

    /// Everything has been moved: frames begin at the start of the file again.
    pub(super) fn rewind(&mut self) {
        self.at = FRAMES_AT;
    }

    /// Everything has been moved: makes a journal that was not ready work again, with new files.
    ///
    /// # Errors
    /// If a file does not hold what it is given, and cannot be made anew. The journal is not ready then.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        for index in 0..FILES {
            let remakes = match self.state {
                State::Ready => false,
                State::Failed => !self.files[index].holds,
                // They were read, so the page cache holds them in large parts.
                State::Found => true,
            };
            if remakes && let Err(error) = self.remake(index) {
                // It may be large, and the disk full.
                let _ = fs::remove_file(new_path(&self.files[index].path));
                if !self.files[index].holds {
                    self.state = State::Failed;
                    return Err(error);
                }
                tracing::warn!(%error, "a file of the journal was not made anew; the one that was found is good");
            }
        }
        self.at = FRAMES_AT;
        self.state = State::Ready;
        Ok(())
    }

    fn remake(&mut self, index: usize) -> io::Result<()> {
        let (file, hook) = (&mut self.files[index], self.hook.as_ref());
        let made = JournalFile::make(&file.path, index, file.len, hook)?;
        // From here on the other one may stand at the path, now or after a power cut.
        file.holds = false;
        made.put_into_place(index, hook)?;
        *file = made;
        Ok(())
    }

    fn write(&self, index: usize, at: usize, data: &[u8]) -> io::Result<()> {
        write(&self.files[index].file, index, at as u64, data, self.hook.as_ref())
    }

    fn sync(&self, index: usize) -> io::Result<()> {
        ask(self.hook.as_ref(), DiskOperation::JournalSync { file: index })?;
        self.files[index].file.sync_data()
    }
}

impl JournalFile {
    /// Makes the file at its full length, in place of one that may be there.
    fn create(path: &Path, index: usize, len: usize, hook: Option<&DiskHook>) -> io::Result<Self> {
        let made = Self::make(path, index, len, hook)?;
        made.put_into_place(index, hook)?;
        Ok(made)
    }

    /// The same beside its place, which it does not touch.
    fn make(path: &Path, index: usize, len: usize, hook: Option<&DiskHook>) -> io::Result<Self> {
        let salt = rand::random();
        let new = new_path(path);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&new)?;
        let (mut at, mut part) = (0, frame::file_header(index, salt, len as u64));
        while at < len {
            part.truncate(len - at);
            write(&file, index, at as u64, &part, hook)?;
            at += part.len();
            part.clear();
            part.resize(CREATE_PART, 0);
        }
        ask(hook, DiskOperation::JournalSync { file: index })?;
        file.sync_all()?;
        Ok(Self { path: path.to_path_buf(), file, salt, len, holds: true })
    }

    /// After an error either file may stand there.
    fn put_into_place(&self, index: usize, hook: Option<&DiskHook>) -> io::Result<()> {
        fs::rename(new_path(&self.path), &self.path)?;
        ask(hook, DiskOperation::JournalDirectorySync { file: index })?;
        self.path.parent().map_or(Ok(()), sync_directory)
    }

    fn open(path: &Path, index: usize, hook: Option<&DiskHook>) -> Result<(Self, Scan), OpenError> {
        let damaged = |why: String| OpenError::Damaged { path: path.to_path_buf(), why };
        let read = || {
            let mut file = OpenOptions::new().read(true).write(true).open(path)?;
            ask(hook, DiskOperation::JournalRead { file: index })?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok((file, Bytes::from(bytes)))
        };
        let (file, bytes) = read().map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => damaged("the file is missing".to_owned()),
            _ => OpenError::io(path, error),
        })?;
        let salt = frame::check_file(&bytes, index).map_err(damaged)?;
        let scan = frame::scan(&bytes, salt);
        Ok((Self { path: path.to_path_buf(), file, salt, len: bytes.len(), holds: true }, scan))
    }
}

/// Where a file is made before it takes its place.
fn new_path(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Bytes written at once while a file is made. The page cache keeps them together, and writes them together: with
/// 256 KiB each commit of 200 bytes would write 256 KiB.
const CREATE_PART: usize = 4 << 10;

/// What of both files the database does not have. Says what is wrong if anything that was synced is
/// missing.
fn combine(scans: [Scan; FILES], moved: u64) -> Result<Found, String> {
    let proven = scans.iter().map(|scan| scan.proven).max().unwrap_or(0);
    let through = scans.iter().map(|scan| scan.seen).max().unwrap_or(0).max(proven).max(moved);
    let mut frames: Vec<Frame> = scans.into_iter().flat_map(|scan| scan.frames).collect();
    frames.retain(|frame| frame.sequence > moved);
    frames.sort_by_key(|frame| frame.sequence);
    let mut next = moved + 1;
    let mut whole = Vec::with_capacity(frames.len());
    for frame in frames {
        if !frame.intact && frame.sequence > proven {
            break; // never finished, so never answered
        }
        if frame.sequence != next || frame.entries.is_none() {
            break;
        }
        whole.push(frame);
        next += 1;
    }
    if next <= proven {
        return Err(format!("commit {next} cannot be read, and commits up to {proven} were stored"));
    }
    Ok(Found { frames: whole, through })
}

fn write(file: &File, index: usize, offset: u64, data: &[u8], hook: Option<&DiskHook>) -> io::Result<()> {
    ask(hook, DiskOperation::JournalWrite { file: index, offset, data })?;
    write_all_at(file, data, offset)
}

#[cfg(unix)]
fn write_all_at(file: &File, data: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, data, offset)
}

#[cfg(not(unix))]
fn write_all_at(mut file: &File, data: &[u8], offset: u64) -> io::Result<()> {
    use io::{Seek, Write};
    file.seek(io::SeekFrom::Start(offset))?;
    file.write_all(data)
}

fn ask(hook: Option<&DiskHook>, operation: DiskOperation<'_>) -> io::Result<()> {
    hook.map_or(Ok(()), |hook| hook(operation))
}

fn failure(error: &io::Error) -> Failure {
    let why = format!("the journal: {error}");
    if is_full(error) { Failure::Full(why) } else { Failure::Disk(why) }
}
