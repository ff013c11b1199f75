mod compare;
mod make;
mod parse;
mod verify;

use std::io::Write;
use std::sync::atomic::AtomicU64;

use tempfile::NamedTempFile;

use super::{Bmap, BmapOptions, BmapVersion, Sha256, make_bmap, map::Blocks};

/// A map with the digests that the ranges have in `image`.
fn map_of(image: &[u8], block_size: u64, ranges: &[(u64, u64)]) -> Bmap {
    let blocks = ranges.iter().map(|&(first, last)| {
        let end = ((last + 1) * block_size).min(image.len() as u64);
        let sha256 = Sha256::of(&image[(first * block_size) as usize..end as usize]);
        Blocks { first, last, sha256 }
    });
    Bmap::new(BmapVersion::V2_0, image.len() as u64, block_size, blocks.collect()).unwrap()
}

fn file_of(image: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(image).unwrap();
    file
}

fn make(file: &NamedTempFile, scan_zeros: bool) -> Bmap {
    make_bmap(file.path(), BmapOptions { scan_zeros }, &AtomicU64::new(0), &|| false).unwrap()
}

/// Bytes that repeat nowhere soon and are never all zero in a block.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    })
    .take(len)
    .collect();
    bytes.iter_mut().step_by(512).for_each(|byte| *byte |= 1);
    bytes
}
