use std::error::Error as StdError;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

/// Where an image comes from: a way to open it at a byte offset, as often as it takes.
pub trait Source: Send {
    /// URL or path for messages, without credentials.
    fn describe(&self) -> String;

    /// Opens the image for reading from `offset` bytes on; of `len`, no more than so many bytes will be read (a server is
    /// asked for these alone, so that its connection serves again afterwards). `etag` is what an earlier opening of this source returned:
    /// the content must still be the same (`If-Range`, RFC 9110 §13.1.5).
    ///
    /// The reader's calls must not block for ever: one that stalls ([`RetryPolicy::stall`]) returns
    /// [`std::io::ErrorKind::TimedOut`], and is opened again.
    ///
    /// # Errors
    ///
    /// [`SourceError`], by what helps: the same again, another source, or nothing.
    fn open(&mut self, offset: u64, len: Option<u64>, etag: Option<&str>) -> Result<Opened, SourceError>;
}

/// An opened source.
pub struct Opened {
    pub reader: Box<dyn Read + Send>,
    /// Length of the whole image in bytes, where it is known.
    pub total: Option<u64>,
    /// A strong validator of the content.
    pub etag: Option<String>,
    /// Where the reader starts: what was asked, or 0 from a server that ignores `Range`.
    pub offset: u64,
}

/// Why a source could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The same again may work: no connection, 5xx.
    #[error("{reason}")]
    Retryable { reason: String, source: Option<Box<dyn StdError + Send + Sync>> },
    /// The same again will not work (4xx, no permission); another source may.
    #[error("{reason}")]
    Fatal { reason: String, source: Option<Box<dyn StdError + Send + Sync>> },
    /// The content is not what it was when its first part was read.
    #[error("the content changed: {reason}")]
    Changed { reason: String },
}

/// How patient reading is. Progress (a byte further than ever before) resets the count of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Longest silence of a reader; kept by the sources themselves.
    pub stall: Duration,
    /// Failures in a row, without progress, before the next source is tried.
    pub attempts: u32,
    /// Pause after the first failure; each further one doubles it.
    pub first_delay: Duration,
    pub max_delay: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(60),
            attempts: 10,
            first_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(10),
        }
    }
}

/// An image in a file.
#[derive(Debug)]
pub struct FileSource {
    path: PathBuf,
}

impl FileSource {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Source for FileSource {
    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn open(&mut self, offset: u64, _len: Option<u64>, etag: Option<&str>) -> Result<Opened, SourceError> {
        let fatal = |reason: &str| {
            let reason = format!("cannot {reason} the file");
            move |error: std::io::Error| SourceError::Fatal { reason, source: Some(error.into()) }
        };
        let mut file = File::open(&self.path).map_err(fatal("open"))?;
        let metadata = file.metadata().map_err(fatal("examine"))?;
        let now =
            format!("{}-{}-{}.{}", metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec());
        if etag.is_some_and(|before| before != now) {
            return Err(SourceError::Changed { reason: "another file, length or time".to_owned() });
        }
        file.seek(SeekFrom::Start(offset)).map_err(fatal("seek in"))?;
        Ok(Opened { reader: Box::new(file), total: Some(metadata.len()), etag: Some(now), offset })
    }
}
