//! Files of the authority: created whole or not at all, keys readable by their user alone.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use uuid::Uuid;

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) enum FileError {
    Io(io::Error),
    /// Group or others may read it; the mode that it has.
    Exposed(u32),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Creates the authority's directory, closed to others.
pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Reads `path`, or creates it with what `make` returns. When two processes create it at once, one wins and both
/// return what the winner wrote.
pub(super) fn read_or_create<E: From<FileError>>(
    path: &Path,
    mode: u32,
    make: impl FnOnce() -> Result<String, E>,
) -> Result<String, E> {
    match read(path, mode) {
        Err(FileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
        other => return Ok(other?),
    }
    create(path, mode, &make()?).map_err(FileError::Io)?;
    Ok(read(path, mode)?)
}

fn read(path: &Path, mode: u32) -> Result<String, FileError> {
    let mut file = File::open(path)?;
    let found = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 && found & 0o077 != 0 {
        return Err(FileError::Exposed(found));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a file beside `path` and links it into place; leaves an existing `path` as it is.
fn create(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let draft = directory.join(format!(".{}.new", Uuid::new_v4().simple()));
    let written = write_draft(&draft, mode, text).and_then(|()| match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(directory)?.sync_all(),
    });
    let removed = std::fs::remove_file(&draft);
    written.and(removed)
}

fn write_draft(draft: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
