//! `tacit-image bmap`.

use std::fmt;
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use clap::Args;
use tacit_imaging::{BmapOptions, Inspected, inspect, make_bmap};

use super::bytes::{Bytes, Share};
use super::error::DiskImageError;
use crate::manifest;

/// What a map is made of, and where it goes.
#[derive(Debug, Args)]
pub struct MapArguments {
    /// The raw image.
    file: PathBuf,
    /// The map; FILE.bmap when not given. An older map is replaced, nothing else is.
    #[arg(short, long, value_name = "FILE.bmap")]
    out: Option<PathBuf>,
    /// Take runs of zeros for data: only what the file system knows as holes is not mapped.
    #[arg(long)]
    no_scan_zeros: bool,
}

/// A map that was made and stored.
#[derive(Debug)]
pub struct Made {
    pub path: PathBuf,
    pub image_bytes: u64,
    pub mapped_bytes: u64,
    pub ranges: usize,
    /// Of the map itself, hexadecimal.
    pub sha256: String,
}

/// Makes the map of a raw image and stores it.
///
/// # Errors
///
/// [`DiskImageError`]; an older map is then as it was.
pub fn make_map(arguments: &MapArguments) -> Result<Made, DiskImageError> {
    let path = arguments.out.clone().unwrap_or_else(|| beside(&arguments.file));
    if path.exists() && !matches!(inspect(&path), Ok(Inspected::Map(_))) {
        return Err(DiskImageError::NotAMap(path));
    }
    let options = BmapOptions { scan_zeros: !arguments.no_scan_zeros };
    let map = make_bmap(&arguments.file, options, &AtomicU64::new(0), &|| false)?;
    let text = map.to_string();
    store(&path, text.as_bytes()).map_err(|source| DiskImageError::Write { path: path.clone(), source })?;
    Ok(Made {
        path,
        image_bytes: map.image_size(),
        mapped_bytes: map.mapped_bytes(),
        ranges: map.ranges().len(),
        sha256: manifest::sha256(text.as_bytes()),
    })
}

fn beside(image: &Path) -> PathBuf {
    let mut path = image.as_os_str().to_owned();
    path.push(".bmap");
    path.into()
}

/// All of the new file or none of it.
fn store(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // What is left of these by the umask, as for any other new file.
    let permissions = Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new()
        .prefix(".bmap-")
        .permissions(permissions)
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

impl fmt::Display for Made {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, image_bytes, mapped_bytes, ranges, sha256 } = self;
        writeln!(out, "map      {}", path.display())?;
        writeln!(out, "image    {}", Bytes(*image_bytes))?;
        let share = Share(*mapped_bytes, *image_bytes);
        writeln!(out, "mapped   {}, {share} of the image, in {ranges} ranges", Bytes(*mapped_bytes))?;
        write!(out, "sha256   {sha256}")
    }
}
