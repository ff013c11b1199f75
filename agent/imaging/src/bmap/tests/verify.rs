use std::sync::Arc;
use std::thread;

use proptest::prelude::*;

use super::super::{Bmap, RangeError, RangeVerifier, Sha256};
use super::{map_of, noise};
use crate::extent::Slice;
use crate::pool::{BLOCK, Pool};

/// Blocks for all that is under way: too few would make pushing wait for ever.
const BLOCKS: usize = 24;

/// Mapped bytes, and where.
type Mapped = Vec<(u64, Vec<u8>)>;

/// Pushes the pieces of an image, and returns what was mapped.
fn stream(
    map: &Bmap,
    image: &[u8],
    pieces: impl IntoIterator<Item = std::ops::Range<usize>>,
) -> Result<Mapped, RangeError> {
    let pool = Pool::new(BLOCKS);
    thread::scope(|scope| {
        let mut verifier = RangeVerifier::start(scope, map);
        let mut mapped = Vec::new();
        for piece in pieces {
            let mut block = pool.take();
            block[..piece.len()].copy_from_slice(&image[piece.clone()]);
            let slice = Slice::new(Arc::new(block), 0..piece.len());
            let parts = verifier.push(piece.start as u64, &slice)?;
            mapped.extend(parts.iter().map(|(offset, part)| (*offset, part.to_vec())));
        }
        verifier.finish()?;
        Ok(mapped)
    })
}

fn in_steps(len: usize, step: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..len).step_by(step).map(move |start| start..(start + step).min(len))
}

/// 12 MiB and a bit, with large ranges, touching ones, and many small ones.
fn sample() -> (Vec<u8>, Bmap) {
    let image = noise((12 << 20) + 777, 3);
    let mut ranges = vec![(0, 1023), (1024, 1024), (1030, 2500)];
    ranges.extend((0..100).map(|index| (2502 + 3 * index, 2503 + 3 * index)));
    ranges.push((2900, 3072));
    let map = map_of(&image, 4096, &ranges);
    (image, map)
}

#[test]
fn mapped_bytes_come_out_and_are_verified() {
    let (image, map) = sample();
    for step in [BLOCK, 4096, 100_001] {
        let mapped = stream(&map, &image, in_steps(image.len(), step)).unwrap();
        let mut disk = vec![0; image.len()];
        for (offset, bytes) in mapped {
            disk[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        let mut expected = vec![0; image.len()];
        for range in map.ranges() {
            let range = range.bytes.start as usize..range.bytes.end as usize;
            expected[range.clone()].copy_from_slice(&image[range]);
        }
        assert!(disk == expected, "steps of {step}");
    }
}

#[test]
fn holes_need_not_come() {
    let (image, map) = sample();
    let pieces = map.ranges().flat_map(|range| {
        let (start, end) = (range.bytes.start as usize, range.bytes.end as usize);
        in_steps(end - start, BLOCK).map(move |piece| start + piece.start..start + piece.end)
    });
    stream(&map, &image, pieces).unwrap();
}

#[test]
fn the_first_range_that_differs_is_told() {
    let (image, map) = sample();
    for wrong in [0, 2, 50, map.ranges().len() - 1] {
        let ranges: Vec<_> = map.ranges().collect();
        let mut damaged = image.clone();
        damaged[ranges[wrong].bytes.end as usize - 1] ^= 0x80;
        let error = stream(&map, &damaged, in_steps(image.len(), BLOCK)).unwrap_err();
        let bytes = &ranges[wrong].bytes;
        let expected = RangeError::Mismatch {
            start: bytes.start,
            end: bytes.end,
            expected: ranges[wrong].sha256,
            found: Sha256::of(&damaged[bytes.start as usize..bytes.end as usize]),
        };
        assert_eq!(error, expected);
    }
    // A difference in a hole is not the map's business.
    let mut damaged = image.clone();
    damaged[1026 * 4096] ^= 1;
    stream(&map, &damaged, in_steps(image.len(), BLOCK)).unwrap();
}

#[test]
fn images_of_another_length_are_told() {
    let (image, map) = sample();
    for len in [0, 4096, 1024 * 4096, 2000 * 4096 + 1, image.len() - 1] {
        let error = stream(&map, &image, in_steps(len, BLOCK)).unwrap_err();
        assert!(
            matches!(error, RangeError::Missing { start, end } if start >= len as u64 && end > start),
            "{len}: {error}"
        );
    }
    let longer = [&image[..], &[0]].concat();
    let error = stream(&map, &longer, in_steps(longer.len(), BLOCK)).unwrap_err();
    assert_eq!(error, RangeError::TooLong { image_size: image.len() as u64 });
    // Left out in the middle of a range, and between ranges.
    let left_out = [0..BLOCK, 2 * BLOCK..3 * BLOCK];
    let error = stream(&map, &image, left_out).unwrap_err();
    assert_eq!(error, RangeError::Missing { start: BLOCK as u64, end: 2 * BLOCK as u64 });
    let left_out = in_steps(BLOCK * 4, BLOCK).chain(std::iter::once(2532 * 4096..2532 * 4096 + BLOCK));
    let error = stream(&map, &image, left_out).unwrap_err();
    assert_eq!(error, RangeError::Missing { start: 1024 * 4096, end: 1025 * 4096 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_damage_in_a_range_is_found_and_none_elsewhere(
        steps in prop::collection::vec((0..5u64, 1..40u64), 1..30),
        step in 1usize..40_000,
        damage: prop::sample::Index,
    ) {
        let mut free = 0;
        let ranges: Vec<_> = steps.iter().map(|(gap, len)| {
            let first = free + gap;
            free = first + len;
            (first, free - 1)
        }).collect();
        let image = noise(free as usize * 512 + 100, 9);
        let map = map_of(&image, 512, &ranges);
        let at = damage.index(image.len());
        let mut damaged = image.clone();
        damaged[at] ^= 4;
        let hit = map.ranges().find(|range| range.bytes.contains(&(at as u64)));
        match (stream(&map, &damaged, in_steps(image.len(), step)), hit) {
            (Ok(_), None) => {}
            (Err(RangeError::Mismatch { start, .. }), Some(range)) => prop_assert_eq!(start, range.bytes.start),
            (outcome, hit) => prop_assert!(false, "{:?} {:?}", outcome.map(drop), hit),
        }
    }
}
