//! The archive: a directory with an export of each room that has expired.
//!
//! An export is written beside its place, synced, and renamed into it, so a file that has the right
//! name is whole and on the disk. Only after that the room goes.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::wall_ms;
use crate::ids::RoomName;
use crate::limits::ARCHIVE_NAME_BYTES_MAX;
use crate::log::{Head, Log};
use crate::replay::export::{ExportError, export_to_file};

/// Why an export could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file cannot be written.
    #[error("the archive cannot be written: {0}")]
    Io(#[from] io::Error),
    /// The room cannot be exported.
    #[error("the room cannot be exported: {0}")]
    Export(ExportError),
    /// The room is not as it was when the export was begun.
    #[error("the room has changed meanwhile")]
    Changed,
}

impl From<ExportError> for ArchiveError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Output(source) | ExportError::File { source, .. } => Self::Io(source),
            ExportError::Absent | ExportError::Removed | ExportError::Compacted => Self::Changed,
            error => Self::Export(error),
        }
    }
}

/// A directory of exports.
#[derive(Debug, Clone)]
pub struct Archive {
    directory: PathBuf,
}

impl Archive {
    /// The archive in `directory`, which is made if it is not there, and tried.
    ///
    /// # Errors
    /// The directory cannot be made or written.
    pub fn open(directory: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let archive = Self::at(directory);
        let probe = archive.directory.join(".probe");
        File::create(&probe)?;
        fs::remove_file(probe)?;
        Ok(archive)
    }

    /// The archive in a directory that was opened before.
    pub(super) fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Keeps an export of a room as it was when `head` was read. Returns its file, which is whole
    /// and synced. One that an earlier try has left is replaced.
    ///
    /// # Errors
    /// [`ArchiveError`]. Nothing of the room as `head` says is in the archive then.
    pub async fn keep(
        &self,
        log: &Arc<dyn Log>,
        room: &RoomName,
        head: &Head,
    ) -> Result<PathBuf, ArchiveError> {
        let file = self.directory.join(file_name(room, head));
        match tokio::fs::remove_file(&file).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let exported = export_to_file(log, room, &file, wall_ms()).await?;
        if exported.last != head.last {
            self.forget(&file).await;
            return Err(ArchiveError::Changed);
        }
        Ok(file)
    }

    /// Lets go of the export of a room that lives on.
    pub(super) async fn forget(&self, file: &Path) {
        if let Err(error) = tokio::fs::remove_file(file).await {
            tracing::warn!(%error, "an export of a room that lives on stays in the archive");
        }
    }
}

/// `NAME.HASH.MS-SEQ.ruang`: the room's name as far as a file system takes it, a hash that tells
/// apart what looks alike then, and the newest position, which tells lives of one name apart.
fn file_name(room: &RoomName, head: &Head) -> String {
    let mut name = String::new();
    for byte in room.as_str().bytes() {
        let encoded = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        if name.len() + encoded.len() > ARCHIVE_NAME_BYTES_MAX {
            break;
        }
        name.push_str(&encoded);
    }
    format!("{name}.{}.{}.ruang", room.log_id(), head.last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Position;

    fn name(room: &str) -> String {
        let head = Head {
            epoch: crate::log::bus::Epoch::NONE,
            last: Position { ms: 5, seq: 7 },
            base: 0,
            bytes: 0,
            snapshots: Vec::new(),
            revision: 0,
            deadline_ms: None,
            frozen: false,
        };
        file_name(&RoomName::parse(room).unwrap(), &head)
    }

    /// [H27] Whatever a room is called, its export has a file name of its own within the directory,
    /// and no longer than file systems take.
    #[test]
    fn names_become_file_names() {
        let retro = name("retro 1");
        println!("{retro}");
        assert!(retro.starts_with("retro%201.") && retro.ends_with(".5-7.ruang"));
        for odd in ["..", ".", "../../etc/passwd", "/", "a\\b", "日本語", "~", "-", "%"] {
            let name = name(odd);
            println!("{odd} is {name}");
            assert!(!name.starts_with('.') && !name.contains('/') && !name.contains('\\'));
            assert!(Path::new(&name).file_name().is_some_and(|only| only == name.as_str()));
        }
        let (one, two) = (name(&"/".repeat(127)), name(&"/".repeat(128)));
        assert_ne!(one, two);
        assert!(two.len() + ".".len() + ".part".len() <= 255, "{} bytes", two.len());
    }
}
