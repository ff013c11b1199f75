//! Where images come from.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::managers::StepError;

/// Brings at most so many bytes from behind a URL.
pub(super) type Fetch<'a> = &'a dyn Fn(&str, usize) -> Result<Vec<u8>, StepError>;

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

    /// The bytes of the image; URLs are asked of `fetch`.
    ///
    /// # Errors
    ///
    /// [`StepError::InvalidParameter`] for a file, what `fetch` says for a URL.
    pub(super) fn read(&self, fetch: Fetch<'_>, limit: usize) -> Result<Vec<u8>, StepError> {
        match self {
            Self::File(path) => read_file(path, limit).map_err(|error| StepError::InvalidParameter {
                parameter: self.to_string(),
                problem: format!("cannot be read: {error}"),
            }),
            Self::Url(url) => fetch(url, limit),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            // What follows may be a secret.
            Self::Url(url) => f.write_str(url.split(['?', '#']).next().unwrap_or_default()),
        }
    }
}

fn read_file(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}
