//! Documents in files of their own: updates, what y-sweet keeps, a board as JSON.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{From, Kept, SourceError, seed, y_sweet};
use crate::limits::MOVED_BYTES_MAX;

/// The ending of files in a directory of updates.
const UPDATE_END: &str = "bin";

/// Files, by the names of the documents in them.
pub(super) struct Files {
    kind: From,
    files: BTreeMap<String, PathBuf>,
}

impl Files {
    pub(super) fn open(kind: From, path: &Path) -> Result<Self, SourceError> {
        let failed = |source| SourceError::Io { path: path.to_owned(), source };
        let is_directory = fs::metadata(path).map_err(failed)?.is_dir();
        let nothing = |what| SourceError::Nothing { path: path.to_owned(), what };
        let files = match kind {
            From::YSweet if is_directory && !path.join(y_sweet::FILE).is_file() => {
                listed(path, |path| path.join(y_sweet::FILE).is_file(), Path::file_name)?
                    .into_iter()
                    .map(|(name, path)| (name, path.join(y_sweet::FILE)))
                    .collect()
            }
            From::YSweet => {
                let file = if is_directory { path.join(y_sweet::FILE) } else { path.to_owned() };
                let file = fs::canonicalize(&file).map_err(failed)?;
                BTreeMap::from_iter(
                    file.parent().and_then(name(Path::file_name)).map(|name| (name, file.clone())),
                )
            }
            From::UpdateFile if is_directory => {
                let is_update =
                    |path: &Path| path.extension().is_some_and(|end| end == UPDATE_END) && path.is_file();
                listed(path, is_update, Path::file_stem)?
            }
            _ if is_directory => return Err(nothing("file, but a directory")),
            _ => BTreeMap::from_iter(name(Path::file_stem)(path).map(|name| (name, path.to_owned()))),
        };
        if files.is_empty() {
            return Err(nothing(match kind {
                From::YSweet => "NAME/data.ysweet",
                _ => "NAME.bin",
            }));
        }
        Ok(Self { kind, files })
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    /// Names of y-sweet's documents are names of directories as they are.
    pub(super) fn is_encoded(&self) -> bool {
        self.kind != From::YSweet
    }

    pub(super) fn document(&self, name: &str) -> Result<Kept, SourceError> {
        let bytes = read(self.files.get(name).ok_or(SourceError::Absent)?)?;
        let (updates, not_kept) = match self.kind {
            From::YSweet => (y_sweet::updates(&bytes)?, Vec::new()),
            From::SeedJson => {
                let seed::Board { update, not_kept } = seed::board(&bytes)?;
                (vec![update], not_kept)
            }
            _ => (vec![bytes], Vec::new()),
        };
        Ok(Kept { updates, not_kept })
    }
}

/// A path's name, by the part of it that says it.
fn name<'p>(part: impl Fn(&'p Path) -> Option<&'p std::ffi::OsStr>) -> impl Fn(&'p Path) -> Option<String> {
    move |path| part(path).map(|name| name.to_string_lossy().into_owned())
}

fn listed(
    directory: &Path,
    is_one: impl Fn(&Path) -> bool,
    part: impl Fn(&Path) -> Option<&std::ffi::OsStr>,
) -> Result<BTreeMap<String, PathBuf>, SourceError> {
    let failed = |source| SourceError::Io { path: directory.to_owned(), source };
    let mut files = BTreeMap::new();
    for entry in directory.read_dir().map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !is_one(&path) {
            continue;
        }
        if let Some(name) = part(&path).map(|name| name.to_string_lossy().into_owned()) {
            files.insert(name, path);
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>, SourceError> {
    let failed = |source| SourceError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let max = MOVED_BYTES_MAX as u64;
    let bytes = file.metadata().map_err(failed)?.len();
    if bytes > max {
        return Err(SourceError::TooLarge { bytes });
    }
    let mut read = Vec::new();
    file.take(max).read_to_end(&mut read).map_err(failed)?;
    Ok(read)
}
