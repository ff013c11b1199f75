//! One image in every format that is written: a new format is one more entry.

use std::fmt;
use std::io::{Cursor, Write};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock};

use crate::qcow2::writer::{Wanted, make};
use crate::support::*;
use tacit_imaging::{Bmap, BmapOptions, ExpectedDigest, Source, WriteRequest, make_bmap};

/// Length of the image, and of the disk that it goes to.
pub(crate) const IMAGE: usize = 4 * MIB;
pub(crate) const DISK: usize = 6 * MIB;

/// The image on a server.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) name: &'static str,
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) digests: Vec<ExpectedDigest>,
    pub(crate) map: Option<Bmap>,
}

/// Its name: the bytes are too many for a message.
impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Served {
    pub(crate) fn request(&self, source: Box<dyn Source>) -> WriteRequest {
        WriteRequest {
            digests: self.digests.clone(),
            bmap: self.map.clone(),
            retry: quick(),
            ..WriteRequest::new(vec![source])
        }
    }
}

/// Vouched for by a digest over the bytes as served.
fn digested(name: &'static str, bytes: Vec<u8>) -> Served {
    Served { name, digests: vec![sha256(&bytes)], map: None, bytes: Arc::new(bytes) }
}

fn members(image: &[u8], packing: Packing) -> Vec<u8> {
    image.chunks(700_001).flat_map(|part| pack(part, packing)).collect()
}

/// A stream that does not say how long what it holds is.
fn unsized_zstd(image: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(image).unwrap();
    encoder.finish().unwrap()
}

fn qcow2(image: &[u8], cluster_bits: u32, version: u32, zstd: bool) -> Vec<u8> {
    let made = make(Wanted { seed: 7, cluster_bits, version, zstd, blank: false }, image.to_vec());
    assert!(made.disk[..image.len()] == *image);
    made.file
}

fn map(image: &[u8]) -> Bmap {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), image).unwrap();
    make_bmap(file.path(), BmapOptions::default(), &AtomicU64::new(0), &|| false).unwrap()
}

fn formats(image: &[u8]) -> Vec<Served> {
    let mapped = |served: Served| Served { map: Some(map(image)), ..served };
    vec![
        digested("raw", image.to_vec()),
        digested("gzip", pack(image, Packing::Gzip)),
        digested("gzip of several members", members(image, Packing::Gzip)),
        digested("xz", pack(image, Packing::Xz)),
        digested("xz of several streams", members(image, Packing::Xz)),
        digested("zstd", pack(image, Packing::Zstd)),
        digested("zstd of several frames", members(image, Packing::Zstd)),
        digested("zstd without a size", unsized_zstd(image)),
        digested("qcow2 version 2", qcow2(image, 16, 2, false)),
        digested("qcow2 of small clusters", qcow2(image, 12, 3, false)),
        digested("qcow2 with zstd", qcow2(image, 16, 3, true)),
        Served { digests: Vec::new(), ..mapped(digested("map alone", image.to_vec())) },
        mapped(digested("map and digest", image.to_vec())),
        Served { digests: Vec::new(), ..mapped(digested("map of zstd", pack(image, Packing::Zstd))) },
    ]
}

/// The image for a disk with sectors of 512 bytes.
pub(crate) static GPT: LazyLock<Vec<u8>> = LazyLock::new(|| gpt_image(IMAGE, 512));
/// [`GPT`] in all formats.
pub(crate) static FORMATS: LazyLock<Vec<Served>> = LazyLock::new(|| formats(&GPT));
/// What a disk of [`DISK`] bytes holds after [`GPT`] was written to it.
pub(crate) static EXPECTED: LazyLock<Vec<u8>> =
    LazyLock::new(|| expected(&GPT, &old_content(DISK, 512), 512));

/// What must be on a disk after an image with a GPT was written to it: the table by an implementation that is not ours.
pub(crate) fn expected(image: &[u8], old: &[u8], sector: usize) -> Vec<u8> {
    let mut disk = old.to_vec();
    let len = disk.len();
    // What is held back becomes what the image has there, and zero otherwise.
    disk[..MIB].fill(0);
    disk[len - MIB..].fill(0);
    disk[..image.len()].copy_from_slice(image);
    if image.len() < len {
        // The image's own backup: entries and header.
        disk[image.len() - 16384 - sector..image.len()].fill(0);
    }
    let mut cursor = Cursor::new(disk);
    let mut gpt = gptman::GPT::read_from(&mut Cursor::new(image), sector as u64).unwrap();
    gpt.header.update_from(&mut cursor, sector as u64).unwrap();
    gpt.write_into(&mut cursor).unwrap();
    let mut disk = cursor.into_inner();
    let blocks = u32::try_from(len / sector - 1).unwrap();
    disk[446 + 12..446 + 16].copy_from_slice(&blocks.to_le_bytes());
    disk
}
