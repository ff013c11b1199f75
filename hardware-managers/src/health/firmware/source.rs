//! Where images come from.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::inject::FileSource;

/// More than any drive's firmware; what is longer is not read into memory.
const LONGEST: usize = 256 << 20;

/// The place of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A file of the ramdisk.
    File(PathBuf),
    /// For whoever can fetch it.
    Url(String),
}

impl Place {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.starts_with("https://") || text.starts_with("http://") {
            return Some(Self::Url(text.to_owned()));
        }
        let path = text.strip_prefix("file://").unwrap_or(text);
        path.starts_with('/').then(|| Self::File(path.into()))
    }

    /// The bytes of the image; URLs are asked of `source`.
    ///
    /// # Errors
    ///
    /// In words.
    pub(super) fn read(&self, source: Option<FileSource<'_>>) -> Result<Vec<u8>, String> {
        match (self, source) {
            (Self::File(path), _) => read_file(path).map_err(|error| format!("cannot be read: {error}")),
            (Self::Url(url), Some(source)) => source(url, LONGEST),
            (Self::Url(_), None) => Err("nobody here fetches URLs; put the file into the ramdisk".to_owned()),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(url),
        }
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LONGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}
