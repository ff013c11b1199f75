//! Images in files of the conductor's machine.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use crate::media::{Content, RangeRead};

use super::error::ImageError;

struct ImageFile {
    file: File,
    length: u64,
}

impl RangeRead for ImageFile {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
}

/// Opens a regular file; its entity tag is made of size, time of change and inode, so that a file that was replaced
/// or written to has another one.
pub(super) async fn open(path: &Path) -> Result<Content, ImageError> {
    let path = path.to_owned();
    let opened = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || open_blocking(&path)).await
    };
    opened.map_err(io::Error::other).flatten().map_err(|source| ImageError::File { path, source })
}

fn open_blocking(path: &Path) -> io::Result<Content> {
    // Looked at before it is opened: opening a FIFO would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let changed = (metadata.mtime(), metadata.mtime_nsec());
    let etag = format!("\"{:x}-{:x}.{:x}-{:x}\"", metadata.len(), changed.0, changed.1, metadata.ino());
    let source = Arc::new(ImageFile { file, length: metadata.len() });
    Ok(Content { source, etag: Some(etag), media_type: "application/octet-stream" })
}
