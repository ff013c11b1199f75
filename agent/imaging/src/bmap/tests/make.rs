use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use tempfile::NamedTempFile;

use super::super::make::make_with;
use super::super::{Bmap, BmapOptions, MakeError, make_bmap};
use super::{file_of, make, map_of, noise};

const MIB: u64 = 1 << 20;

fn ranges(map: &Bmap) -> Vec<(u64, u64)> {
    map.ranges().map(|range| (range.bytes.start / 4096, range.bytes.end.div_ceil(4096) - 1)).collect()
}

#[test]
fn data_are_mapped_in_pieces_of_four_mib() {
    let image = noise(10 * MIB as usize + 100, 1);
    let map = make(&file_of(&image), true);
    assert_eq!(ranges(&map), [(0, 1023), (1024, 2047), (2048, 2560)]);
    assert_eq!(map, map_of(&image, 4096, &ranges(&map)));
    assert_eq!(map.mapped_bytes(), image.len() as u64);
}

#[test]
fn zeros_of_64_kib_are_holes_and_shorter_ones_data() {
    let mut image = noise(2 * MIB as usize, 1);
    image[..16 * 4096].fill(0);
    image[100 * 4096 + 1..117 * 4096].fill(0);
    image[200 * 4096..215 * 4096].fill(0);
    image[512 * 4096 - 16 * 4096..].fill(0);
    let file = file_of(&image);
    let map = make(&file, true);
    assert_eq!(ranges(&map), [(16, 100), (117, 495)]);
    assert_eq!(map, map_of(&image, 4096, &ranges(&map)));
    // The file itself has no holes.
    assert_eq!(ranges(&make(&file, false)), [(0, 511)]);
}

#[test]
fn holes_of_a_sparse_file_are_holes_of_any_length() {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(64 * MIB).unwrap();
    let block = noise(4096, 1);
    for at in [0, 8192, 40 * MIB, 64 * MIB - 4096] {
        file.as_file().write_all_at(&block, at).unwrap();
    }
    // Zeros that were written are no hole of the file.
    file.as_file().write_all_at(&[0; 2 * MIB as usize], 10 * MIB).unwrap();
    let data = [(0, 0), (2, 2), (10240, 10240), (16383, 16383)];
    assert_eq!(ranges(&make(&file, true)), data);
    let map = make(&file, false);
    assert_eq!(ranges(&map), [&data[..2], &[(2560, 3071)], &data[2..]].concat());
}

#[test]
fn nothing_but_holes_is_a_map_without_ranges() {
    let file = file_of(&[0; 200_000]);
    let map = make(&file, true);
    assert_eq!(map.mapped_bytes(), 0);
    assert!(map.holes().eq(std::iter::once(0..200_000)));
    assert_eq!(Bmap::parse(map.to_string().as_bytes()).unwrap(), map);
}

/// More islands of data than a map may have ranges: the shortest holes become data.
#[test]
fn too_many_ranges_are_joined() {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(8 * MIB).unwrap();
    for at in [0, 2, 100, 102, 104, 1500, 1600].map(|block| block * 4096) {
        file.as_file().write_all_at(&[1], at).unwrap();
    }
    let joined = |limit| {
        let options = BmapOptions { scan_zeros: false };
        ranges(&make_with(file.path(), options, limit, &AtomicU64::new(0), &|| false).unwrap())
    };
    let blocks = |list: &[u64]| list.iter().map(|&block| (block, block)).collect::<Vec<_>>();
    assert_eq!(joined(7), blocks(&[0, 2, 100, 102, 104, 1500, 1600]));
    assert_eq!(joined(6), [(0, 2), (100, 104), (1500, 1500), (1600, 1600)]);
    assert_eq!(joined(3), [(0, 104), (1500, 1600)]);
}

#[test]
fn what_is_no_raw_image_is_refused() {
    let made =
        |file: &NamedTempFile| make_bmap(file.path(), BmapOptions::default(), &AtomicU64::new(0), &|| false);
    let qcow2 = [b"QFI\xfb\0\0\0\x03", &[0; 5000][..]].concat();
    assert!(matches!(made(&file_of(&qcow2)), Err(MakeError::NotRaw { format: "qcow2", .. })));
    let packed = zstd::encode_all(&[0; 5000][..], 1).unwrap();
    assert!(matches!(made(&file_of(&packed)), Err(MakeError::NotRaw { format: "zstd", .. })));
    let map = include_bytes!("bmaptool.bmap");
    assert!(matches!(made(&file_of(map)), Err(MakeError::NotRaw { format: "a block map", .. })));
    assert!(matches!(made(&file_of(b"")), Err(MakeError::Map { .. })));
    let folder = tempfile::tempdir().unwrap();
    let outcome = make_bmap(folder.path(), BmapOptions::default(), &AtomicU64::new(0), &|| false);
    assert!(matches!(outcome, Err(MakeError::NotAFile(_))));
}

#[test]
fn it_counts_and_can_be_cancelled() {
    let image = noise(9 * MIB as usize, 1);
    let file = file_of(&image);
    let done = AtomicU64::new(0);
    make_bmap(file.path(), BmapOptions::default(), &done, &|| false).unwrap();
    assert_eq!(done.load(Ordering::Relaxed), image.len() as u64);
    let done = AtomicU64::new(0);
    let outcome = make_bmap(file.path(), BmapOptions::default(), &done, &|| done.load(Ordering::Relaxed) > 0);
    assert!(matches!(outcome, Err(MakeError::Cancelled(_))));
    assert!(done.load(Ordering::Relaxed) < image.len() as u64);
}

#[test]
fn a_file_that_changes_is_noticed() {
    let image = noise(9 * MIB as usize, 1);
    let file = file_of(&image);
    let grow = || {
        file.as_file().set_len(image.len() as u64 + 1).unwrap();
        false
    };
    let outcome = make_bmap(file.path(), BmapOptions::default(), &AtomicU64::new(0), &grow);
    assert!(matches!(outcome, Err(MakeError::Changed(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// What is mapped has the image's digests, what is not is zero, and no hole is missed by more than its ends at the
    /// borders of the pieces.
    #[test]
    fn maps_are_right(
        runs in prop::collection::vec((0u8..3, 1usize..60_000, 1usize..40), 1..14),
        scan_zeros: bool,
    ) {
        let file = NamedTempFile::new().unwrap();
        let mut image = Vec::new();
        for (kind, odd, blocks) in runs {
            let len = blocks * 4096 + odd % 3 * odd;
            let bytes = if kind == 0 { noise(len, 1) } else { vec![0; len] };
            if kind < 2 {
                file.as_file().write_all_at(&bytes, image.len() as u64).unwrap();
            }
            image.extend(bytes);
        }
        file.as_file().set_len(image.len() as u64).unwrap();
        let map = make(&file, scan_zeros);
        prop_assert_eq!(&map, &map_of(&image, 4096, &ranges(&map)));
        prop_assert_eq!(&Bmap::parse(map.to_string().as_bytes()).unwrap(), &map);
        for hole in map.holes() {
            prop_assert!(image[hole.start as usize..hole.end as usize].iter().all(|&byte| byte == 0));
        }
        if scan_zeros {
            for range in map.ranges() {
                let bytes = &image[range.bytes.start as usize..range.bytes.end as usize];
                // Not the image's last block where it is cut: with it, a run may be shorter than it looks.
                let zeros = bytes.chunks_exact(4096).map(|block| block.iter().all(|&byte| byte == 0)).collect::<Vec<_>>();
                prop_assert!(zeros.chunk_by(|a, b| a == b).all(|run| !run[0] || run.len() < 16));
            }
        }
    }
}
