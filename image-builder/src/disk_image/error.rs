use std::io;
use std::path::PathBuf;

use tacit_imaging::{InspectError, MakeError};

/// Why a disk image could not be described, or has no map.
#[derive(Debug, thiserror::Error)]
pub enum DiskImageError {
    #[error(transparent)]
    Inspect(#[from] InspectError),
    #[error(transparent)]
    Make(#[from] MakeError),
    #[error("{} exists and is not a block map", .0.display())]
    NotAMap(PathBuf),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}
