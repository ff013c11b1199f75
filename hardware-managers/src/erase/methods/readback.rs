//! Reading what was written.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use tacit_blockdev::{AlignedBuf, Drive};
use tacit_model::ProgressUnit;

use super::overwrite::{Pattern, REQUEST, in_parallel};
use crate::erase::control::Control;
use crate::erase::error::EraseError;
use crate::erase::noise::Noise;
use crate::erase::policy::Verify;

/// Places of a sample: one in each of so many parts of the device, at a place within it that nobody foresees.
const SAMPLES: u64 = 256;

/// Ranges of a sample, ascending: both ends, and one request in each part of the device. A device that is hardly
/// larger than its sample is read whole.
fn sample(size: u64, noise: Noise) -> Vec<Range<u64>> {
    let part = size / SAMPLES / REQUEST * REQUEST;
    if part < 2 * REQUEST {
        return whole(size);
    }
    let mut draws = vec![0; SAMPLES as usize * 8];
    noise.fill(0, &mut draws);
    let (draws, _) = draws.as_chunks::<8>();
    let mut ranges: Vec<Range<u64>> = (0..SAMPLES)
        .zip(draws)
        .map(|(number, draw)| {
            let start = number * part + u64::from_le_bytes(*draw) % (part / REQUEST) * REQUEST;
            start..start + REQUEST
        })
        .collect();
    ranges[0] = 0..REQUEST;
    // Whole requests, as they were written: the noise of a request does not begin anywhere.
    let tail = (size - 1) / REQUEST * REQUEST;
    ranges.push(tail..size);
    ranges
}

impl Verify {
    /// What is read back of a device, and in words.
    pub(super) fn ranges(self, size: u64) -> Result<(Vec<Range<u64>>, String), EraseError> {
        Ok(match self {
            Self::Full => (whole(size), "all".to_owned()),
            Self::Sample => {
                let ranges = sample(size, Noise::new()?);
                let extent = match ranges.len() {
                    1 => "a sample of one place,".to_owned(),
                    places => format!("a sample of {places} places,"),
                };
                (ranges, extent)
            }
        })
    }
}

/// All of a device as one range.
pub(super) fn whole(size: u64) -> Vec<Range<u64>> {
    std::iter::once(0..size).collect()
}

/// Compares ranges with what a pass wrote there; those of `bad` are left out. The result is the bytes compared.
///
/// # Errors
///
/// [`EraseError::Differs`], [`EraseError::Unreadable`], [`EraseError::Cancelled`].
pub(super) fn read_back(
    drive: &dyn Drive,
    pattern: Pattern,
    ranges: &[Range<u64>],
    bad: &[Range<u64>],
    control: &Control,
) -> Result<u64, EraseError> {
    let total = ranges.iter().map(|range| range.end - range.start).sum();
    let (done, compared) = (AtomicU64::new(0), AtomicU64::new(0));
    control.progress("verify", 0, total, ProgressUnit::Bytes);
    in_parallel(ranges, control, |range, own| {
        let length = (range.end - range.start) as usize;
        // Around sectors that are known to be bad, the good ones are read one by one.
        let step = if bad.iter().any(|bad| bad.start < range.end && range.start < bad.end) {
            drive.logical_sector().max(1) as usize
        } else {
            length
        };
        let expected = pattern.at(range.start, &mut own[..length]);
        let mut found = AlignedBuf::new(step);
        for (piece, wanted) in (0..).zip(expected.chunks(step)) {
            let at = range.start + piece * step as u64;
            if bad.iter().any(|bad| bad.contains(&at)) {
                continue;
            }
            let found = &mut found[..wanted.len()];
            drive.read_at(at, found).map_err(|source| EraseError::Unreadable { offset: at, source })?;
            if found != wanted {
                let first = found.iter().zip(wanted).position(|(a, b)| a != b).unwrap_or(0);
                return Err(EraseError::Differs { offset: at + first as u64 });
            }
            compared.fetch_add(wanted.len() as u64, Ordering::Relaxed);
        }
        let so_far = done.fetch_add(length as u64, Ordering::Relaxed) + length as u64;
        control.progress("verify", so_far, total, ProgressUnit::Bytes);
        Ok(())
    })?;
    Ok(compared.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_cover_both_ends_and_every_part() {
        for size in [1, 512, 3 << 20, 512 << 20, (512 << 20) + 512, (1 << 40) + 4096] {
            let ranges = sample(size, Noise(3));
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, size));
            assert!(ranges.is_sorted_by(|a, b| a.end <= b.start), "{size}");
        }
        assert_eq!(sample(1 << 40, Noise(3)).len(), 257);
        assert_eq!(sample(300 << 20, Noise(3)), whole(300 << 20));
    }
}
