//! Discarding everything, believed only where it shows (IPA contract §5.2, "verified discard").

use std::ops::Range;
use std::time::Duration;

use tacit_blockdev::{AlignedBuf, Drive};
use tacit_model::ProgressUnit;

use super::overwrite::Pattern;
use super::readback::{read_back, whole};
use super::{Done, Eraser};
use crate::erase::control::Control;
use crate::erase::error::EraseError;
use crate::erase::policy::{Policy, Verify};

/// Places of the samples, as fractions of the device in hundredths.
const HUNDREDTHS: [u64; 10] = [0, 1, 10, 25, 40, 50, 60, 75, 90, 99];
const SAMPLE: u64 = 1 << 20;
const FILL: u8 = 0xa5;
/// Discarded at a time, so that progress can be told and a stop is heard.
const RANGE: u64 = 1 << 30;
/// What a drive may take for one of these.
const PATIENCE: Duration = Duration::from_secs(600);

/// Fills samples, discards everything, and takes it for erased when what is read back is zero.
pub(in crate::erase) struct DiscardEraser {
    verify: Verify,
}

impl DiscardEraser {
    pub(in crate::erase) fn new(policy: &Policy) -> Self {
        Self { verify: policy.verify }
    }
}

/// Ranges of the samples, ascending and apart.
fn samples(size: u64, sector: u64) -> Vec<Range<u64>> {
    let last = size.saturating_sub(SAMPLE);
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for part in HUNDREDTHS {
        let at = (u128::from(last) * u128::from(part) / 100) as u64;
        let start = (at - at % sector).max(ranges.last().map_or(0, |range| range.end));
        let end = (start + SAMPLE).min(size);
        if start < end {
            ranges.push(start..end);
        }
    }
    ranges
}

impl Eraser for DiscardEraser {
    fn run(&self, drive: &dyn Drive, control: &Control) -> Result<Done, EraseError> {
        let (size, sector) = (drive.size_bytes(), u64::from(drive.logical_sector().max(1)));
        let samples = samples(size, sector);
        let mut fill = AlignedBuf::new(SAMPLE as usize);
        fill.fill(FILL);
        for range in &samples {
            control.go_on("marks were written")?;
            drive.write_at(range.start, &fill[..(range.end - range.start) as usize])?;
        }
        drive.flush()?;
        let mut at = 0;
        while at < size {
            control.go_on("partly discarded")?;
            control.progress("discard", at, size, ProgressUnit::Bytes);
            let length = RANGE.min(size - at);
            control.enter("discard".to_owned(), PATIENCE);
            let outcome = drive.discard(at, length);
            control.leave();
            outcome?;
            at += length;
        }
        control.progress("discard", size, size, ProgressUnit::Bytes);
        drive.flush()?;
        let actions = vec![
            format!("filled {} samples of up to {SAMPLE} bytes with {FILL:#x}", samples.len()),
            format!("discarded {size} bytes"),
        ];
        Ok(Done { actions, bad: Vec::new() })
    }

    fn verify(&self, drive: &dyn Drive, _: &Done, control: &Control) -> Result<Vec<String>, EraseError> {
        let size = drive.size_bytes();
        let sector = u64::from(drive.logical_sector().max(1));
        let (ranges, extent) = match self.verify {
            Verify::Full => (whole(size), "all"),
            Verify::Sample => (samples(size, sector), "the filled samples,"),
        };
        let compared = read_back(drive, Pattern::Zeros, &ranges, &[], control)?;
        Ok(vec![format!("{extent} {compared} bytes read back as zeros")])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_lie_apart_and_within_the_device() {
        for size in [4096, 1 << 20, (3 << 20) + 512, 64 << 20, 1 << 40] {
            let ranges = samples(size, 512);
            assert!(ranges.is_sorted_by(|a, b| a.end <= b.start), "{size}: {ranges:?}");
            assert!(ranges[ranges.len() - 1].end <= size && ranges[0].start == 0);
        }
        assert_eq!(samples(1 << 40, 4096).len(), 10);
    }
}
