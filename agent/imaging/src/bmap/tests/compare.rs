use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use proptest::prelude::*;

use super::super::{Bmap, Changed, CompareError, compare};
use super::{map_of, noise};
use crate::target::{Target, TargetError};

/// A disk in memory that can fail.
struct Disk {
    bytes: Vec<u8>,
    bad: Option<u64>,
    reads: AtomicUsize,
}

impl Disk {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, bad: None, reads: AtomicUsize::new(0) }
    }
}

impl Target for Disk {
    fn describe(&self) -> String {
        "disk".into()
    }

    fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn logical_sector(&self) -> u32 {
        512
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), TargetError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.bad.is_some_and(|bad| (offset..offset + buf.len() as u64).contains(&bad)) {
            return Err("EIO".into());
        }
        buf.copy_from_slice(&self.bytes[offset as usize..][..buf.len()]);
        Ok(())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<(), TargetError> {
        unreachable!("comparing only reads")
    }

    fn zero(&self, _: u64, _: u64) -> Result<(), TargetError> {
        unreachable!("comparing only reads")
    }

    fn flush(&self) -> Result<(), TargetError> {
        unreachable!("comparing only reads")
    }

    fn reread_partition_table(&self) -> Result<(), TargetError> {
        unreachable!("comparing only reads")
    }
}

fn compared(disk: &Disk, map: &Bmap) -> Changed {
    compare(disk, map, &AtomicU64::new(0), &|| false).unwrap()
}

/// An image whose holes are zero, its map, and a disk that holds it and something else behind it.
fn sample() -> (Vec<u8>, Bmap, Disk) {
    let mut image = noise((26 << 20) + 4000, 5);
    // One range that is larger than what a reader takes at a time, small ones, touching ones.
    let mut ranges = vec![(10, 20), (300, 4000), (4001, 4001), (4002, 4002)];
    ranges.extend((0..200).map(|index| (4100 + 2 * index, 4100 + 2 * index)));
    ranges.push((6400, 6656));
    let map = map_of(&image, 4096, &ranges);
    for hole in map.holes() {
        image[hole.start as usize..hole.end as usize].fill(0);
    }
    let disk = Disk::new([&image[..], &[0xff; 5000]].concat());
    (image, map, disk)
}

#[test]
fn an_equal_disk_has_no_differences() {
    let (image, map, disk) = sample();
    let read = AtomicU64::new(0);
    assert_eq!(compare(&disk, &map, &read, &|| false).unwrap(), Changed::default());
    assert_eq!(read.into_inner(), image.len() as u64);
}

#[test]
fn differences_are_told_by_range_and_hole() {
    let (_, map, mut disk) = sample();
    let at = |block: usize| block * 4096;
    for changed in [at(10), at(4000) + 4095, at(4002), at(6656) + 3999] {
        disk.bytes[changed] ^= 1;
    }
    // In the first hole, at both ends of the second, between two small ranges.
    for changed in [at(9) + 4095, at(21), at(299), at(4101) + 7] {
        disk.bytes[changed] ^= 1;
    }
    let found = compared(&disk, &map);
    let last = map.ranges().len() - 1;
    assert_eq!(found.ranges, [0, 1, 3, last]);
    let hole = |start: usize, end: usize| at(start) as u64..at(end) as u64;
    assert_eq!(found.holes, [hole(0, 10), hole(21, 300), hole(4101, 4102)]);
}

#[test]
fn large_holes_are_told_in_parts() {
    let mib = 1u64 << 20;
    let map = map_of(&vec![0; 64 << 20], 4096, &[]);
    let mut disk = Disk::new(vec![0; 64 << 20]);
    for at in [5 * mib, 6 * mib + 1, 40 * mib - 1] {
        disk.bytes[at as usize] = 1;
    }
    assert_eq!(compared(&disk, &map).holes, [5 * mib..7 * mib, 39 * mib..40 * mib]);
}

#[test]
fn errors_and_cancelling_end_it() {
    let (_, map, mut disk) = sample();
    disk.bad = Some(9 << 20);
    match compare(&disk, &map, &AtomicU64::new(0), &|| false) {
        Err(CompareError::Read { offset, length, .. }) => {
            assert!((offset..offset + length as u64).contains(&(9 << 20)));
        }
        other => panic!("{other:?}"),
    }
    disk.bad = None;
    let before = disk.reads.load(Ordering::Relaxed);
    let cancelled = || disk.reads.load(Ordering::Relaxed) > before + 3;
    let outcome = compare(&disk, &map, &AtomicU64::new(0), &cancelled);
    assert!(matches!(outcome, Err(CompareError::Cancelled)));
    assert!(disk.reads.load(Ordering::Relaxed) < before + 20);
    disk.bytes.truncate(disk.bytes.len() - 5001);
    let outcome = compare(&disk, &map, &AtomicU64::new(0), &|| false);
    assert!(matches!(outcome, Err(CompareError::TooSmall { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn exactly_what_differs_is_told(
        steps in prop::collection::vec((0..700u64, 1..700u64), 0..8),
        damage in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut free = 0;
        let ranges: Vec<_> = steps.iter().map(|(gap, len)| {
            let first = free + gap;
            free = first + len;
            (first, free - 1)
        }).collect();
        let mut image = noise(free as usize * 4096 + 5000, 7);
        let map = map_of(&image, 4096, &ranges);
        for hole in map.holes() {
            image[hole.start as usize..hole.end as usize].fill(0);
        }
        let mut disk = Disk::new(image.clone());
        for damage in damage {
            disk.bytes[damage.index(image.len())] = 0xa5;
        }
        let found = compared(&disk, &map);
        let differs = |bytes: &std::ops::Range<u64>| {
            let bytes = bytes.start as usize..bytes.end as usize;
            disk.bytes[bytes.clone()] != image[bytes]
        };
        let ranges: Vec<_> =
            map.ranges().enumerate().filter(|(_, range)| differs(&range.bytes)).map(|(at, _)| at).collect();
        prop_assert_eq!(found.ranges, ranges);
        // Zeroing what was told of the holes makes them right, and touches nothing else.
        let mut disk = disk.bytes;
        for part in &found.holes {
            prop_assert!(map.holes().any(|hole| hole.start <= part.start && part.end <= hole.end));
            disk[part.start as usize..part.end as usize].fill(0);
        }
        prop_assert!(map.holes().all(|hole| disk[hole.start as usize..hole.end as usize].iter().all(|&byte| byte == 0)));
        prop_assert!(found.holes.windows(2).all(|two| two[0].end <= two[1].start));
    }
}
