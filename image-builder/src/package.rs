//! Reads Debian packages without installing them (deb(5)): an `ar` archive whose member `data.tar.*` holds the files.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::error::ImageError;

/// How an `ar` archive, and so a `.deb`, begins.
pub const AR_MAGIC: &[u8; 8] = b"!<arch>\n";

const HEADER: usize = 60;

/// Calls `visit` for every regular file of the package, with its path relative to the root (`boot/vmlinuz-…`).
///
/// A leading `usr/` is dropped, since distributions differ in whether `/lib` is a link to `/usr/lib`.
///
/// # Errors
/// Those of reading the package, and whatever `visit` returns.
pub fn for_each_file(
    path: &Path,
    mut visit: impl FnMut(&str, &mut dyn Read) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let fail = |reason: String| ImageError::Package { path: path.to_owned(), reason };
    let unreadable = |error: io::Error| fail(format!("its files cannot be read ({error})"));

    let mut tar = tar::Archive::new(open_data(path)?);
    for entry in tar.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name: PathBuf = entry.path().map_err(unreadable)?.into_owned();
        let Some(name) = name.to_str() else { continue };
        let name = name.trim_start_matches("./").trim_start_matches('/').to_owned();
        visit(name.strip_prefix("usr/").unwrap_or(&name), &mut entry)?;
    }
    Ok(())
}

/// The decompressed `data.tar` of the package.
fn open_data(path: &Path) -> Result<Box<dyn Read>, ImageError> {
    let fail = |reason: String| ImageError::Package { path: path.to_owned(), reason };
    let mut file = BufReader::new(File::open(path).map_err(ImageError::io("open", path))?);

    let mut magic = [0; AR_MAGIC.len()];
    if file.read_exact(&mut magic).is_err() || &magic != AR_MAGIC {
        return Err(fail("it does not begin like one".into()));
    }
    loop {
        let mut header = [0; HEADER];
        file.read_exact(&mut header).map_err(|_| fail("it ends before its member data.tar".into()))?;
        if &header[58..] != b"`\n" {
            return Err(fail("an ar header is damaged".into()));
        }
        let field =
            |range: std::ops::Range<usize>| String::from_utf8_lossy(&header[range]).trim_end().to_owned();
        let name = field(0..16).trim_end_matches('/').to_owned();
        let size: u64 =
            field(48..58).parse().map_err(|_| fail(format!("size of ar member `{name}` is no number")))?;

        if name.starts_with("data.tar") {
            let data = file.take(size);
            return Ok(match name.as_str() {
                "data.tar" => Box::new(data),
                "data.tar.xz" => Box::new(liblzma::read::XzDecoder::new(data)),
                "data.tar.gz" => Box::new(flate2::read::GzDecoder::new(data)),
                "data.tar.zst" => {
                    let decoder = zstd::stream::read::Decoder::new(data);
                    Box::new(decoder.map_err(|error| fail(format!("zstd does not start ({error})")))?)
                }
                other => return Err(fail(format!("its member `{other}` is compressed in an unknown way"))),
            });
        }
        // Members are padded to even offsets.
        let skipped = io::copy(&mut (&mut file).take(size + size % 2), &mut io::sink());
        skipped.map_err(ImageError::io("read", path))?;
    }
}
