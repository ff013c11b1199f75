//! Restoring of images, checked from all sides.

use std::ops::Range;

use super::super::fuzz::{feed, read};
use super::super::pass::{Pass, PassError};
use super::super::refusal::{Refusal, SurveyError};
use super::super::survey::Image;
use crate::extent::Extent;
use crate::pool::Pool;
use crate::unpack::{Unpacker, expect_end};

pub(super) const MIB: usize = 1 << 20;

/// Bytes that differ from place to place and do not compress.
pub(super) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// Noise, text that compresses, and nothing, in pieces of odd lengths.
pub(super) fn mixture(len: usize, seed: u64) -> Vec<u8> {
    let random = noise(len, seed);
    let mut disk = Vec::with_capacity(len + MIB);
    while disk.len() < len {
        let at = disk.len();
        let dice = random[at];
        let piece = 512 * (1 + usize::from(random[at / 2 + 1]) * 2);
        match dice % 4 {
            0 => disk.extend(&random[at..(at + piece).min(len)]),
            1 | 2 => {
                disk.extend((0..piece).map(|index| b"deploy bare metal "[index % 18] ^ (index >> 9) as u8))
            }
            _ => disk.resize(at + piece, 0),
        }
    }
    disk.truncate(len);
    disk
}

/// Surveys a file in memory for a disk that is large enough.
pub(super) fn survey(file: &[u8]) -> Result<Image, Refusal> {
    survey_for(file, 1 << 50)
}

pub(super) fn survey_for(file: &[u8], disk: u64) -> Result<Image, Refusal> {
    Image::survey(Some(file.len() as u64), disk, &mut read(file)).map_err(|error| match error {
        SurveyError::Refused(refusal) => refusal,
        SurveyError::Read(error) => panic!("the survey reads {error} of the file"),
    })
}

/// The disk that an image describes, or why not; `part` bytes of the file come at once.
pub(super) fn restore(image: &Image, file: &[u8], part: usize) -> Result<Vec<u8>, String> {
    let size = usize::try_from(image.size()).unwrap();
    let mut disk = vec![0xaa; size];
    let mut given: Vec<Range<u64>> = Vec::new();
    for hole in image.holes() {
        disk[hole.start as usize..hole.end as usize].fill(0);
        if let Some(last) = given.last() {
            assert!(last.end < hole.start, "neighbouring holes {last:?} and {hole:?}");
        }
        given.push(hole);
    }
    let (mut unpacker, mut streaming) = (Unpacker::default(), Unpacker::default());
    // A batch that began in the part before, whatever clusters began there, and the present part.
    let held = (image.cluster_size() as usize + 1024).div_ceil(part) + 2;
    let pool = Pool::new(held);
    let mut take = |extent: Extent| -> Result<(), String> {
        match extent {
            Extent::Data { offset, bytes } => {
                disk[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
                given.push(offset..offset + bytes.len() as u64);
            }
            Extent::Hole { .. } => panic!("holes are told apart from the pass"),
            Extent::Packed(packed) => {
                let mut at = packed.offset as usize;
                let len: u64 = packed.units.iter().map(|unit| unit.len).sum();
                assert!(len <= MIB as u64 || packed.units.len() == 1, "a batch of {len} bytes");
                for unit in &packed.units {
                    let out = &mut disk[at..at + unit.len as usize];
                    unpacker.unit(unit, packed.codec, out).map_err(|error| error.to_string())?;
                    let mut pieces = vec![0; out.len()];
                    let mut reader = streaming.reader(unit, packed.codec).unwrap();
                    for piece in pieces.chunks_mut(70_000) {
                        reader.read_exact(piece).unwrap();
                    }
                    expect_end(&mut *reader).unwrap();
                    assert!(pieces == out, "piece by piece it is something else");
                    at += out.len();
                }
                given.push(packed.offset..at as u64);
            }
        }
        Ok(())
    };
    let mut pass = Pass::new(image);
    feed(&mut pass, &pool, file, part, &mut take).and_then(|()| pass.finish(&mut take)).map_err(|error| {
        match error {
            PassError::Emit(error) => error,
            error => format!("{error:?}"),
        }
    })?;
    given.sort_unstable_by_key(|range| range.start);
    let mut end = 0;
    for range in given {
        assert_eq!(range.start, end, "a part of the disk twice or not at all");
        end = range.end;
    }
    assert_eq!(end, image.size());
    let head = image.head(&mut read(file)).unwrap();
    assert_eq!(head.len(), size.min(MIB));
    assert!(disk.starts_with(&head), "the head is another one");
    Ok(disk)
}
