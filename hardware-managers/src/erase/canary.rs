//! Marks that are written before anything is erased and looked for afterwards: what is still readable was not
//! erased, whatever the device claims. What was on the device before serves as witness beside them.

use std::ops::Range;

use tacit_blockdev::{AlignedBuf, Drive};

use super::control::Control;
use super::error::EraseError;
use super::noise::Noise;

/// Places as fractions of the device, in hundredths; the edges of the first and the last MiB come to these.
const HUNDREDTHS: [u64; 11] = [1, 5, 10, 25, 40, 50, 60, 75, 90, 95, 99];
const MIB: u64 = 1 << 20;
/// Least length of a mark.
const MARK: u64 = 4096;
/// How many places are looked at for content that was there before.
const WITNESSES: u64 = 32;
/// Compared piece by piece: a sector that survived alone is one too many.
const PIECE: usize = 512;

/// What a device is left as that was marked and no more.
pub(super) const MARKED: &str = "some places are overwritten with marks, nothing is erased";

/// What was readable before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Canaries {
    size: u64,
    marks: Vec<(u64, Vec<u8>)>,
    witnesses: Vec<(u64, Vec<u8>)>,
    /// Places where no mark could be written, and why.
    missing: Vec<(u64, String)>,
}

/// Length of a mark on this device: whole sectors.
fn unit(drive: &dyn Drive) -> u64 {
    let sector = u64::from(drive.logical_sector().max(1));
    MARK.div_ceil(sector) * sector
}

/// Offsets of the marks, ascending.
fn places(size: u64, unit: u64) -> Vec<u64> {
    let Some(last) = size.checked_sub(unit) else { return Vec::new() };
    let edge = MIB.min(size);
    let mut places: Vec<u64> =
        HUNDREDTHS.iter().map(|part| (u128::from(last) * u128::from(*part) / 100) as u64).collect();
    places.extend([0, edge.saturating_sub(unit).min(last), size.saturating_sub(edge).min(last), last]);
    // The last one counts from the end, as far as sectors allow.
    let mut places: Vec<u64> = places.into_iter().map(|at| at - at % unit).collect();
    places.sort_unstable();
    places.dedup();
    places
}

impl Canaries {
    /// Remembers what is there at some places, writes marks at others, flushes them and reads them back.
    ///
    /// # Errors
    ///
    /// [`EraseError::NoMarks`] when more than half of the places took none, [`EraseError::NotKept`] when they did
    /// not read back: then nothing could be proven. [`EraseError::Cancelled`] between two places.
    pub(crate) fn place(drive: &dyn Drive, noise: Noise, control: &Control) -> Result<Self, EraseError> {
        let (size, unit) = (drive.size_bytes(), unit(drive));
        let witnesses = witnesses(drive, noise, unit);
        let mut marks = Vec::new();
        let mut missing = Vec::new();
        let mut buffer = AlignedBuf::new(unit as usize);
        let all = places(size, unit);
        for &at in &all {
            control.go_on(MARKED)?;
            noise.fill(at, &mut buffer);
            match drive.write_at(at, &buffer) {
                Ok(()) => marks.push((at, buffer.to_vec())),
                Err(error) => missing.push((at, crate::chain::chain(&error))),
            }
        }
        if marks.len() * 2 <= all.len() {
            let first = missing.into_iter().next().map_or_else(
                || format!("{size} bytes have no room for one"),
                |(at, problem)| format!("offset {at}: {problem}"),
            );
            return Err(EraseError::NoMarks { first });
        }
        drive.flush()?;
        let mut lost = 0;
        for (at, mark) in &marks {
            let readable = drive.read_at(*at, &mut buffer).is_ok();
            lost += usize::from(!readable || buffer[..] != mark[..]);
        }
        if lost > 0 {
            return Err(EraseError::NotKept { missing: lost, all: marks.len() });
        }
        // What a mark lies upon is no witness any more.
        let witnesses = witnesses
            .into_iter()
            .filter(|(at, _)| marks.iter().all(|(mark, _)| mark.abs_diff(*at) >= unit))
            .collect();
        Ok(Self { size, marks, witnesses, missing })
    }

    /// The marks that an earlier run of this program placed with the same noise.
    pub(crate) fn recall(drive: &dyn Drive, noise: Noise) -> Self {
        let (size, unit) = (drive.size_bytes(), unit(drive));
        let mark = |at| {
            let mut bytes = vec![0; unit as usize];
            noise.fill(at, &mut bytes);
            (at, bytes)
        };
        let marks = places(size, unit).into_iter().map(mark).collect();
        Self { size, marks, witnesses: Vec::new(), missing: Vec::new() }
    }

    /// Whether the marks are readable here, too: then this is the same device by another name.
    pub(crate) fn are_on(&self, drive: &dyn Drive) -> bool {
        drive.size_bytes() == self.size
            && self.marks.iter().all(|(at, mark)| {
                let mut found = AlignedBuf::new(mark.len());
                drive.read_at(*at, &mut found).is_ok() && found[..] == mark[..]
            })
    }

    /// What was done, for the proof.
    pub(crate) fn action(&self) -> String {
        let mut text = format!("wrote random marks at {} places and read them back", self.marks.len());
        if let Some((at, problem)) = self.missing.first() {
            text.push_str(&format!(
                "; {} places took none, first offset {at}: {problem}",
                self.missing.len()
            ));
        }
        text
    }

    /// Looks for all of them through a device that was opened anew. Of `lost` ranges it is known that they could not
    /// be erased.
    ///
    /// # Errors
    ///
    /// [`EraseError::Survived`], [`EraseError::Unreadable`], [`EraseError::Resized`].
    pub(crate) fn check(&self, drive: &dyn Drive, lost: &[Range<u64>]) -> Result<Vec<String>, EraseError> {
        if drive.size_bytes() < self.size {
            return Err(EraseError::Resized { before: self.size, after: drive.size_bytes() });
        }
        let mut lines = Vec::new();
        let kinds = [(&self.marks, "random marks"), (&self.witnesses, "samples of what was there before")];
        for (known, name) in kinds {
            let mut survivors = Vec::new();
            let mut compared = 0;
            for (at, bytes) in known {
                if lost.iter().any(|range| overlaps(range, *at, bytes.len())) {
                    continue;
                }
                let mut found = AlignedBuf::new(bytes.len());
                match drive.read_at(*at, &mut found) {
                    Ok(()) if survives(bytes, &found) => survivors.push(*at),
                    Ok(()) => compared += 1,
                    Err(source) => return Err(EraseError::Unreadable { offset: *at, source }),
                }
            }
            if let Some(&offset) = survivors.first() {
                return Err(EraseError::Survived { count: survivors.len(), all: known.len(), offset });
            }
            if compared > 0 {
                lines.push(format!("none of the {name} is readable any more ({compared} places compared)"));
            }
        }
        Ok(lines)
    }
}

/// Whether any sector of what was there is there still. Constant sectors prove nothing.
fn survives(before: &[u8], after: &[u8]) -> bool {
    before
        .chunks(PIECE)
        .zip(after.chunks(PIECE))
        .any(|(before, after)| before == after && !is_constant(before))
}

fn is_constant(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == bytes[0])
}

fn overlaps(range: &Range<u64>, at: u64, length: usize) -> bool {
    range.start < at + length as u64 && at < range.end
}

/// Content at places that are not foreseeable. What cannot be read is none.
fn witnesses(drive: &dyn Drive, noise: Noise, unit: u64) -> Vec<(u64, Vec<u8>)> {
    let units = drive.size_bytes() / unit;
    if units == 0 {
        return Vec::new();
    }
    let mut draws = vec![0; WITNESSES as usize * 8];
    // Far behind the end of any device, so that no mark has the same bytes.
    noise.fill(1 << 63, &mut draws);
    let (draws, _) = draws.as_chunks::<8>();
    let mut found = Vec::new();
    for draw in draws {
        let at = u64::from_le_bytes(*draw) % units * unit;
        let mut buffer = AlignedBuf::new(unit as usize);
        if drive.read_at(at, &mut buffer).is_err() {
            // One failure is a bad sector, and a locked drive refuses them all: each would take its time.
            break;
        }
        if !buffer.chunks(PIECE).all(is_constant) {
            found.push((at, buffer.to_vec()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_lie_at_both_ends_and_all_over() {
        for (size, unit) in
            [(4096, 4096), (8192, 4096), (1 << 20, 4096), ((1 << 40) + 512, 4096), (52000, 4160)]
        {
            let places = places(size, unit);
            assert_eq!(places[0], 0, "{size}");
            assert!(places.iter().all(|at| at % unit == 0 && at + unit <= size), "{size}: {places:?}");
            assert!(size - places[places.len() - 1] < 2 * unit, "{size}");
        }
        assert_eq!(places(1 << 40, 4096).len(), 15);
        assert!(places(4095, 4096).is_empty());
    }

    #[test]
    fn one_sector_that_survives_is_enough_and_zeros_are_nothing() {
        let mut before = vec![0; 4096];
        before[600] = 1;
        assert!(!survives(&before, &[0; 4096]));
        let mut after = vec![9; 4096];
        after[512..1024].copy_from_slice(&before[512..1024]);
        assert!(survives(&before, &after));
    }
}
