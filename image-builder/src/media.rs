//! A node's medium: the shared ISO with the node's configuration laid over the reserved region.
//!
//! Nothing is copied: a medium is some KiB of memory and a reference to the shared, open file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{cmp, fmt};

use tacit_protocol::medium::{NodeConfig, REGION_MARKER, REGION_SIZE, RegionError};

use crate::region;

/// Why there is no medium.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    #[error("cannot {action} medium {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("medium {} has no unfilled region for a node's configuration", .0.display())]
    NoRegion(PathBuf),
    #[error("medium {} has more than one region for a node's configuration", .0.display())]
    SeveralRegions(PathBuf),
    #[error("medium {}: its region at byte {offset} is not {REGION_SIZE} contiguous bytes", path.display())]
    BrokenRegion { path: PathBuf, offset: u64 },
    #[error("the node's configuration does not fit a medium")]
    Config(#[from] RegionError),
}

/// The shared ISO with its unfilled region.
#[derive(Debug)]
pub struct MediaTemplate {
    path: PathBuf,
    file: File,
    len: u64,
    region: u64,
}

impl MediaTemplate {
    /// Opens the ISO and finds its region, which takes one pass over the file.
    ///
    /// The open file is used for as long as the template lives: replace an ISO by renaming a new one over it.
    ///
    /// # Errors
    /// Unless there is exactly one region, whole and unfilled.
    pub fn open(path: &Path) -> Result<Self, MediaError> {
        let failed = |action| {
            let path = path.to_owned();
            move |source| MediaError::Io { action, path, source }
        };
        let file = File::open(path).map_err(failed("open"))?;
        let len = file.metadata().map_err(failed("open"))?.len();
        let found = region::find(&file, REGION_MARKER, 2).map_err(failed("read"))?;
        let region = match found[..] {
            [] => return Err(MediaError::NoRegion(path.to_owned())),
            [region] => region,
            _ => return Err(MediaError::SeveralRegions(path.to_owned())),
        };

        let mut bytes = vec![0; REGION_SIZE];
        let filled = region::read_full_at(&file, region, &mut bytes).map_err(failed("read"))?;
        if filled < REGION_SIZE || bytes[REGION_MARKER.len()..].iter().any(|&byte| byte != b' ') {
            return Err(MediaError::BrokenRegion { path: path.to_owned(), offset: region });
        }
        Ok(Self { path: path.to_owned(), file, len, region })
    }

    /// The medium of one node.
    ///
    /// # Errors
    /// [`MediaError::Config`] when the configuration is larger than the region.
    pub fn medium(self: &Arc<Self>, config: &NodeConfig) -> Result<NodeMedium, MediaError> {
        let overlay = config.to_region()?.into_boxed_slice();
        Ok(NodeMedium { template: Arc::clone(self), overlay })
    }

    /// Length in bytes, of the ISO and so of every medium made of it.
    #[expect(clippy::len_without_is_empty, reason = "a template holds a region, so it is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Where the region begins, in bytes.
    pub fn region_offset(&self) -> u64 {
        self.region
    }
}

/// One node's medium. Holds the node's private key: it is served to that node's BMC and to nobody else.
#[derive(Clone)]
pub struct NodeMedium {
    template: Arc<MediaTemplate>,
    overlay: Box<[u8]>,
}

impl NodeMedium {
    /// Length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a medium holds a region, so it is never empty")]
    pub fn len(&self) -> u64 {
        self.template.len
    }

    /// Reads from `offset` as much as one read gives; 0 at the end. Safe to call from several threads at once.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let region = self.template.region;
        let region_end = region + self.overlay.len() as u64;
        if (region..region_end).contains(&offset) {
            let start = (offset - region) as usize;
            let count = cmp::min(buf.len(), self.overlay.len() - start);
            buf[..count].copy_from_slice(&self.overlay[start..start + count]);
            return Ok(count);
        }
        // Bytes before the region end at it; `min` makes the length fit whatever the distance.
        let until = if offset < region { region } else { u64::MAX };
        let count = cmp::min(buf.len() as u64, until - offset) as usize;
        self.template.file.read_at(&mut buf[..count], offset)
    }

    /// Writes the whole medium to a new file that only its owner may read.
    ///
    /// # Errors
    /// When `path` exists already or cannot be written.
    pub fn write_to(&self, path: &Path) -> Result<(), MediaError> {
        let failed = |source| MediaError::Io { action: "write", path: path.to_owned(), source };
        let mut out =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        let mut buffer = vec![0; 1024 * 1024];
        let mut offset = 0;
        while offset < self.len() {
            let count = self.read_at(offset, &mut buffer).map_err(|source| MediaError::Io {
                action: "read",
                path: self.template.path.clone(),
                source,
            })?;
            if count == 0 {
                return Err(failed(io::ErrorKind::UnexpectedEof.into()));
            }
            out.write_all(&buffer[..count]).map_err(failed)?;
            offset += count as u64;
        }
        out.sync_all().map_err(failed)
    }
}

/// Leaves the configuration, and so the key, out.
impl fmt::Debug for NodeMedium {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NodeMedium").field("template", &self.template.path).finish_non_exhaustive()
    }
}
