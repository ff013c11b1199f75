//! Carrying out a plan and proving it.

use std::ops::ControlFlow;
use std::path::Path;

use tacit_blockdev::{Access, AlignedBuf, Device, Error};
use tacit_model::{BlockDevice, Proof, ProofResult};

use super::plan::{Plan, cut};
use super::probe::{Budget, EDGE, Follow, Found, Region, probe};
use super::signatures;

/// Largest piece that is read back at once.
const PIECE: u64 = 1 << 20;

/// Why a disk is not proven to be clean.
#[derive(Debug, thiserror::Error)]
pub(super) enum EraseError {
    #[error("input or output failed")]
    Device(#[from] Error),
    #[error("{name} is still there at offset {offset} after it was overwritten")]
    Remains { name: &'static str, offset: u64 },
    #[error("the {length} bytes at offset {offset} do not read back as zeros")]
    NotZero { offset: u64, length: u64 },
    /// What the plan was made for is gone, or something else has its name.
    #[error("{0}")]
    Changed(String),
    /// Between two regions, as the caller asked for.
    #[error("stopped after {done} of {total} regions")]
    Stopped { done: u64, total: u64 },
}

/// Zeroes what the plan names, partitions before the disk, and proves by a newly opened device that nothing is left.
/// `step` hears how many regions are done, and says whether to go on. `still_holds` is asked of each device that is opened,
/// while it is open: as long as it is, its name stands for nothing else.
pub(super) fn execute(
    node: &Path,
    disk: &BlockDevice,
    plan: &Plan,
    still_holds: &dyn Fn() -> Result<(), String>,
    mut step: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Proof, EraseError> {
    let total = plan.regions.len() as u64;
    let mut actions = Vec::new();
    {
        let device = open(node, Access::Exclusive, plan, still_holds)?;
        for (done, (region, found)) in (1..).zip(&plan.regions) {
            actions.extend(cut(found
                .iter()
                .map(|hit| format!("{}: {} found at offset {}", region.name, hit.name, hit.offset))));
            if region.length == plan.disk_size {
                let tables = plan.structures.iter();
                actions.extend(cut(tables
                    .map(|part| format!("{} at offset {}, {} bytes", part.name, part.offset, part.length))));
            }
            let extents = plan.extents(region, found);
            for (offset, length) in &extents {
                device.zero(*offset, *length)?;
            }
            actions.extend(cut(extents.iter().map(|(offset, length)| {
                format!("{}: zeroed {length} bytes at offset {offset}", region.name)
            })));
            if step(done, total).is_break() && done < total {
                device.flush()?;
                return Err(EraseError::Stopped { done, total });
            }
        }
        device.flush()?;
        if let Err(error) = device.reread_partition_table() {
            // The disk is clean all the same; only the kernel still shows partitions that are gone.
            tracing::warn!(device = %disk.name, %error, "the kernel keeps its old view of the partitions");
            actions.push("the kernel kept its old view of the partitions".to_owned());
        }
    }
    let verification = verify(&open(node, Access::Read, plan, still_holds)?, plan)?;
    Ok(Proof { actions, verification, result: ProofResult::Proven, ..proof(disk) })
}

fn open(
    node: &Path,
    access: Access,
    plan: &Plan,
    still_holds: &dyn Fn() -> Result<(), String>,
) -> Result<Device, EraseError> {
    let device = Device::open(node, access)?;
    still_holds().map_err(EraseError::Changed)?;
    let (before, now) = (plan.disk_size, device.size_bytes());
    if before != now {
        let problem = format!("it had {before} bytes when it was looked at and has {now}");
        return Err(EraseError::Changed(problem));
    }
    Ok(device)
}

/// The proof before anything is done.
pub(super) fn proof(disk: &BlockDevice) -> Proof {
    Proof { method: "metadata-wipe".to_owned(), ..Proof::of(disk) }
}

fn verify(device: &Device, plan: &Plan) -> Result<Vec<String>, EraseError> {
    let mut lines = Vec::new();
    let mut buffer = AlignedBuf::new(usize::try_from(PIECE).expect("a MiB fits memory"));
    let budget = Budget::default();
    for (region, found) in &plan.regions {
        if let Some(Found { name, offset, .. }) =
            probe(device, region, Follow::Copies, &budget)?.into_iter().next()
        {
            return Err(EraseError::Remains { name, offset });
        }
        lines.push(format!("{}: none of {} signatures found", region.name, signatures::count()));
        // What a geometry led to cannot be found by it any more: it is read where it was.
        for (offset, length) in plan.extents(region, found) {
            verify_zero(device, &mut buffer, offset, length)?;
        }
        let edge = EDGE.min(region.length);
        lines.push(format!("{}: first and last {edge} bytes read back as zeros", region.name));
        lines.extend(cut(between(region, found).map(|hit| {
            format!("{}: {} at offset {} reads back as zeros", region.name, hit.name, hit.offset)
        })));
    }
    let tables = crate::partitions::scan_nested(device)?;
    if let Some(part) = tables.structures.first() {
        return Err(EraseError::Remains { name: part.name, offset: part.offset });
    }
    for part in &plan.structures {
        verify_zero(device, &mut buffer, part.offset, part.length)?;
    }
    let tables = plan.structures.iter();
    lines.extend(cut(
        tables.map(|part| format!("{} at offset {} reads back as zeros", part.name, part.offset))
    ));
    Ok(lines)
}

/// Findings that the edges do not cover.
fn between<'a>(region: &'a Region, found: &'a [Found]) -> impl Iterator<Item = &'a Found> {
    let edge = EDGE.min(region.length);
    let (start, end) = (region.start + edge, region.start + region.length - edge);
    found.iter().filter(move |hit| hit.offset + hit.length > start && hit.offset < end)
}

fn verify_zero(device: &Device, buffer: &mut AlignedBuf, offset: u64, length: u64) -> Result<(), EraseError> {
    // Whole blocks compare many times quicker than bytes one by one.
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut done = 0;
    while done < length {
        let piece = PIECE.min(length - done);
        let size = usize::try_from(piece).expect("at most a MiB");
        device.read_at(offset + done, &mut buffer[..size])?;
        if buffer[..size].chunks(ZEROS.len()).any(|block| *block != ZEROS[..block.len()]) {
            return Err(EraseError::NotZero { offset: offset + done, length: piece });
        }
        done += piece;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn plan_of(path: &Path) -> Result<Plan, Error> {
        Plan::make(&Device::open(path, Access::Read).unwrap(), Follow::Copies)
    }

    /// Writes bytes at an offset of a partition (or of the disk when it starts at 0) of an else empty disk.
    fn disk_with(path: &Path, size: u64, start: u64, offset: u64, bytes: &[u8]) {
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(path).unwrap();
        file.set_len(size).unwrap();
        if start > 0 {
            let mut entry = [0; 16];
            entry[4] = 0x83;
            entry[8..12].copy_from_slice(&u32::try_from(start / 512).unwrap().to_le_bytes());
            entry[12..16].copy_from_slice(&u32::try_from((size - start) / 512).unwrap().to_le_bytes());
            file.write_all_at(&entry, 446).unwrap();
            file.write_all_at(&[0x55, 0xaa], 510).unwrap();
        }
        file.write_all_at(bytes, start + offset).unwrap();
    }

    #[test]
    fn every_signature_is_found_and_removed_at_each_of_its_places() {
        // Some hundreds of wipes, each of which waits until its bytes are on stable storage: memory is quicker.
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let path = folder.path().join("disk");
        let disk = BlockDevice { name: "/dev/test".to_owned(), ..BlockDevice::default() };
        // The first place on a whole disk, the last one in a partition.
        for start in [0, 1 << 20] {
            for signature in signatures::all() {
                for place in signature.places {
                    // An odd size, so that rounding at the end matters; sparse, however large.
                    let small = (16 << 20) + 7 * 512;
                    let first = place.offsets(small).next().unwrap();
                    let length =
                        if first > 8 << 20 && first + 64 > small { first + (2 << 20) } else { small };
                    let offsets: Vec<u64> = place.offsets(length).collect();
                    let offset = if start == 0 { offsets[0] } else { offsets[offsets.len() - 1] };
                    disk_with(&path, start + length, start, offset, signature.magic);
                    let plan = plan_of(&path).unwrap();
                    let hit = |(_, found): &(Region, Vec<Found>)| {
                        found.iter().any(|hit| hit.name == signature.name && hit.offset == start + offset)
                    };
                    assert!(plan.regions.iter().any(hit), "{} at {offset}", signature.name);
                    let proof =
                        execute(&path, &disk, &plan, &|| Ok(()), |_, _| ControlFlow::Continue(())).unwrap();
                    assert_eq!(proof.result, ProofResult::Proven);
                    let plan = plan_of(&path).unwrap();
                    assert_eq!(plan.regions.len(), 1);
                    assert_eq!(plan.regions[0].1, []);
                }
            }
        }
    }

    #[test]
    fn a_signature_that_comes_back_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        disk_with(&path, 8 << 20, 0, 0, b"XFSB");
        let plan = plan_of(&path).unwrap();
        // Somebody writes between the wipe and the proof.
        let again = |_, _| {
            disk_with(&path, 8 << 20, 0, 0, b"LUKS\xba\xbe");
            ControlFlow::Continue(())
        };
        let error = execute(&path, &BlockDevice::default(), &plan, &|| Ok(()), again).unwrap_err();
        assert!(matches!(error, EraseError::Remains { name: "LUKS", offset: 0 }), "{error}");
        let again = |_, _| {
            disk_with(&path, 8 << 20, 0, 777, b"x");
            ControlFlow::Continue(())
        };
        let error = execute(&path, &BlockDevice::default(), &plan, &|| Ok(()), again).unwrap_err();
        assert!(matches!(error, EraseError::NotZero { offset: 0, .. }), "{error}");
    }

    #[test]
    fn a_plan_for_another_device_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        disk_with(&path, 8 << 20, 0, 0, b"XFSB");
        let plan = plan_of(&path).unwrap();
        let go_on = |_, _| ControlFlow::Continue(());
        let changed = || Err("another drive".to_owned());
        let error = execute(&path, &BlockDevice::default(), &plan, &changed, go_on).unwrap_err();
        assert!(matches!(&error, EraseError::Changed(problem) if problem == "another drive"), "{error}");
        assert!(std::fs::read(&path).unwrap().starts_with(b"XFSB"));

        disk_with(&path, 9 << 20, 0, 0, b"XFSB");
        let error = execute(&path, &BlockDevice::default(), &plan, &|| Ok(()), go_on).unwrap_err();
        assert!(matches!(error, EraseError::Changed(_)), "{error}");
        assert!(std::fs::read(&path).unwrap().starts_with(b"XFSB"));
    }
}
