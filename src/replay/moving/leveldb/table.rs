//! Sorted tables: blocks of entries, an index of blocks, and a footer that says where the index is.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::bytes::{Input, is_checksum};
use super::{Fault, LevelDbError};
use crate::limits::MOVED_BYTES_MAX;

/// Kinds of entries.
pub(super) const DELETION: u8 = 0;
pub(super) const VALUE: u8 = 1;

const FOOTER_BYTES: u64 = 48;
const MAGIC: u64 = 0xdb47_7524_8b80_fb57;

/// How a block is compressed, and its checksum.
const TRAILER_BYTES: u64 = 5;

// How a block is compressed.
const PLAIN: u8 = 0;
const SNAPPY: u8 = 1;

/// Where a block is.
#[derive(Clone, Copy)]
struct Handle {
    at: u64,
    bytes: u64,
}

/// An open table.
pub(super) struct Table {
    path: PathBuf,
    file: File,
    bytes: u64,
    index: Vec<u8>,
}

impl Table {
    /// `bytes`: its size as the manifest has it.
    pub(super) fn open(path: &Path, bytes: u64) -> Result<Self, LevelDbError> {
        let failed = |source| LevelDbError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() != bytes || bytes < FOOTER_BYTES {
            return Err(Fault::Damaged("it has not the size that the manifest says").of(path));
        }
        let mut table = Self { path: path.to_owned(), file, bytes, index: Vec::new() };
        let footer = table.read(Handle { at: bytes - FOOTER_BYTES, bytes: FOOTER_BYTES })?;
        let index = index_of(&footer).map_err(|fault| fault.of(path))?;
        table.index = table.block(index)?;
        Ok(table)
    }

    /// Calls `each` with key, sequence and value (none: deleted) of the entries with `from <= key < to`.
    pub(super) fn between(
        &mut self,
        from: &[u8],
        to: &[u8],
        mut each: impl FnMut(&[u8], u64, Option<&[u8]>) -> Result<(), LevelDbError>,
    ) -> Result<(), LevelDbError> {
        for (last, handle) in self.index_entries().map_err(|fault| fault.of(&self.path))? {
            // `last` is at or after the block's last key, and before the next block's first.
            if last.as_slice() < from {
                continue;
            }
            let block = self.block(handle)?;
            let path = &self.path;
            let mut is_behind = false;
            let visited = entries(&block, |key, value| {
                let (key, sequence, kind) = match user_key(key) {
                    Ok((key, tag)) => (key, tag >> 8, tag as u8),
                    Err(fault) => return Err(fault.of(path)),
                };
                is_behind = key >= to;
                match kind {
                    _ if key < from || is_behind => Ok(()),
                    VALUE => each(key, sequence, Some(value)),
                    DELETION => each(key, sequence, None),
                    _ => Err(Fault::Unknown("an entry is of no known kind").of(path)),
                }
            });
            visited.map_err(|fault| fault.of(path))??;
            if is_behind {
                break;
            }
        }
        Ok(())
    }

    fn index_entries(&self) -> Result<Vec<(Vec<u8>, Handle)>, Fault> {
        let mut found = Vec::new();
        entries(&self.index, |key, value| {
            let handle = read_handle(&mut Input::new(value))?;
            found.push((user_key(key)?.0.to_vec(), handle));
            Ok::<_, Fault>(())
        })??;
        Ok(found)
    }

    fn read(&mut self, handle: Handle) -> Result<Vec<u8>, LevelDbError> {
        let end = handle.at.checked_add(handle.bytes);
        if end.is_none_or(|end| end > self.bytes) {
            return Err(Fault::Damaged("a block lies outside").of(&self.path));
        }
        let failed = |source| LevelDbError::Io { path: self.path.clone(), source };
        // Within a file that is there, so it fits; and never more than that file has.
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(handle.at)).map_err(failed)?;
        (&self.file).take(handle.bytes).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    fn block(&mut self, handle: Handle) -> Result<Vec<u8>, LevelDbError> {
        let Some(bytes) = handle.bytes.checked_add(TRAILER_BYTES) else {
            return Err(Fault::Damaged("a block lies outside").of(&self.path));
        };
        let stored = self.read(Handle { at: handle.at, bytes })?;
        unpack(stored).map_err(|fault| fault.of(&self.path))
    }
}

fn index_of(footer: &[u8]) -> Result<Handle, Fault> {
    let mut input = Input::new(footer);
    let _meta = read_handle(&mut input)?;
    let index = read_handle(&mut input)?;
    let mut magic = Input::new(&footer[footer.len() - 8..]);
    if magic.u64()? == MAGIC { Ok(index) } else { Err(Fault::Damaged("it has no end of a table")) }
}

fn read_handle(input: &mut Input<'_>) -> Result<Handle, Fault> {
    Ok(Handle { at: input.varint()?, bytes: input.varint()? })
}

/// Checks a block, and unpacks it.
fn unpack(mut stored: Vec<u8>) -> Result<Vec<u8>, Fault> {
    let mut trailer = Input::new(&stored[stored.len() - TRAILER_BYTES as usize..]);
    let (compression, checksum) = (trailer.byte()?, trailer.u32()?);
    stored.truncate(stored.len() - 4);
    if !is_checksum(checksum, &[&stored]) {
        return Err(Fault::Damaged("the checksum of a block is wrong"));
    }
    stored.truncate(stored.len() - 1);
    match compression {
        PLAIN => Ok(stored),
        SNAPPY => {
            let bytes = snap::raw::decompress_len(&stored).unwrap_or(usize::MAX);
            if bytes > MOVED_BYTES_MAX {
                return Err(Fault::Damaged("a block does not unpack"));
            }
            let unpacked = snap::raw::Decoder::new().decompress_vec(&stored);
            unpacked.map_err(|_| Fault::Damaged("a block does not unpack"))
        }
        _ => Err(Fault::Unknown("a block is compressed in a way that is not known (not with snappy)")),
    }
}

/// Calls `each` with the key and value of all entries of a block, in order. Keys begin with a part of the one
/// before; the places where they do not are listed at the end, and of no use to who reads all.
fn entries<E>(
    block: &[u8],
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
) -> Result<Result<(), E>, Fault> {
    const OUT: Fault = Fault::Damaged("the entries of a block are not whole");
    let (rest, count) = block.split_last_chunk().ok_or(OUT)?;
    let restarts = (u32::from_le_bytes(*count) as usize).checked_mul(4);
    let restarts = restarts.filter(|restarts| *restarts <= rest.len()).ok_or(OUT)?;
    let mut input = Input::new(&rest[..rest.len() - restarts]);
    let mut key = Vec::new();
    while !input.is_empty() {
        let (shared, own, value) = (input.length()?, input.length()?, input.length()?);
        if shared > key.len() {
            return Err(OUT);
        }
        key.truncate(shared);
        key.extend_from_slice(input.take(own)?);
        if let Err(stopped) = each(&key, input.take(value)?) {
            return Ok(Err(stopped));
        }
    }
    Ok(Ok(()))
}

/// A key as it was put, and its tag: the sequence in front of a byte that says its kind.
pub(super) fn user_key(key: &[u8]) -> Result<(&[u8], u64), Fault> {
    match key.split_last_chunk() {
        Some((key, tag)) => Ok((key, u64::from_le_bytes(*tag))),
        None => Err(Fault::Damaged("a key is too short")),
    }
}
