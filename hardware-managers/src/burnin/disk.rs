//! `burnin_disk`: disks are filled with blocks that say where they belong, and read back. Destroys what is on them.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use serde_json::{Value, json};
use tacit_blockdev::{Access, AlignedBuf, Device, holders};
use tacit_model::BlockDevice;

use super::noise::Noise;
use super::run::{Shared, Total, failed, report, run};
use super::settings::{Settings, invalid};
use crate::chain::chain;
use crate::machine::Machine;
use crate::managers::{DRY_RUN, StepContext, StepError, StepSpecification};
use crate::wipe::{SkipList, survey};

pub(super) const STEP: StepSpecification = StepSpecification {
    name: "burnin_disk",
    interface: "deploy",
    clean: Some(0),
    deploy: None,
    service: None,
    abortable: true,
    arguments: &[DRY_RUN],
    run: burnin_disk,
};

const PIECE: usize = 1 << 20;
/// Smallest unit that is told apart; every disk's sector divides it.
const BLOCK: usize = 4096;
/// Offset, pass and checksum of a block.
const HEAD: usize = 20;

struct Subject {
    disk: BlockDevice,
    node: PathBuf,
}

fn burnin_disk(machine: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    let settings = Settings::of(context.node);
    let loops = settings.number("fio_disk_loops", 4)?.max(1);
    let runtime = Some(settings.seconds("fio_disk_runtime", 0)?).filter(|runtime| !runtime.is_zero());
    let file = settings.output_file("fio_disk_outputfile")?;
    if settings.flag("fio_disk_smart_test")? {
        let text = "self-tests of disks are not offered here; verify_devices reads what they found";
        return Err(invalid("fio_disk_smart_test", text.to_owned()));
    }
    let dry_run = context.dry_run()?;
    let (subjects, skipped) = subjects(machine, context.node)?;
    if dry_run {
        let erased: Vec<&str> = subjects.iter().map(|subject| subject.disk.name.as_str()).collect();
        return Ok(json!({"plan": {"overwritten": erased, "skipped": skipped, "loops": loops}}));
    }
    let shared = Shared::new(runtime);
    let sum: u64 = subjects.iter().map(|subject| subject.disk.size).sum();
    let total = match runtime {
        Some(runtime) => Total::Seconds(runtime.as_secs()),
        None => Total::Bytes(sum.saturating_mul(loops).saturating_mul(2)),
    };
    let mut seed = [0; 8];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut seed))
        .map_err(|error| failed(format!("random bytes: {error}")))?;
    let seed = u64::from_le_bytes(seed);
    let passes = if runtime.is_some() { u64::MAX } else { loops };
    let workers = subjects.iter().map(|subject| {
        Box::new(|| {
            let outcome = Device::open(&subject.node, Access::Exclusive)
                .map_err(|error| End::Failed(chain(&error)))
                .and_then(|device| (0..passes).try_for_each(|pass| exercise(&shared, &device, seed, pass)));
            match outcome {
                Ok(()) | Err(End::Over) => {}
                Err(End::Failed(reason)) => shared.fail(format!("{}: {reason}", subject.disk.name)),
            }
        }) as Box<dyn FnOnce() + Send>
    });
    let outcome = run(context, "disks", total, &shared, workers.collect());
    let outcome = outcome.map(|mut found| {
        found["disks"] = json!(subjects.iter().map(|subject| &subject.disk.name).collect::<Vec<_>>());
        found["skipped"] = json!(skipped);
        found
    });
    let outcome = outcome.map_err(|error| match error {
        StepError::Failed { class, code, message, details, retry, .. } => {
            StepError::Failed { class, code, message, details, retry, touched: true }
        }
        StepError::Cancelled { total, .. } => StepError::Cancelled { done: total, total },
        other => other,
    });
    report("burnin_disk", file.as_deref(), outcome)
}

/// The disks to be overwritten, and why others are not.
fn subjects(machine: &Machine, node: &Value) -> Result<(Vec<Subject>, Vec<String>), StepError> {
    let skip = SkipList::from_node(node).map_err(|error| StepError::InvalidParameter {
        parameter: "properties.skip_block_devices".to_owned(),
        problem: error.to_string(),
    })?;
    let guarded = !["driver_internal_info", "driver_info"]
        .iter()
        .any(|place| node[*place]["wipe_special_filesystems"] == Value::Bool(true));
    let (mut subjects, mut skipped, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for disk in machine.disks() {
        let node = machine.device_node(&disk.name);
        if skip.matches(&disk) {
            skipped.push(format!("{}: named by skip_block_devices", disk.name));
            continue;
        }
        let looked = Device::open(&node, Access::Read)
            .and_then(|device| Ok((device.is_read_only(), survey(&device, &skip)?)))
            .and_then(|found| Ok((found, holders(&node)?)));
        match looked {
            Err(error) => problems.push(format!("{}: {}", disk.name, chain(&error))),
            Ok(((true, _), _)) => skipped.push(format!("{}: read-only", disk.name)),
            Ok(((_, found), _)) if found.parameter_medium => {
                skipped.push(format!("{}: a virtual medium with parameters", disk.name));
            }
            Ok(((_, found), _)) if found.kept_volume => {
                skipped.push(format!("{}: member of an array named by skip_block_devices", disk.name));
            }
            Ok(((_, found), _)) if guarded && found.shared.is_some() => {
                let content = found.shared.unwrap_or_default();
                return Err(StepError::Protected { device: disk.name, content });
            }
            Ok((_, users)) if !users.is_empty() => problems.extend(users.iter().map(ToString::to_string)),
            Ok(_) => subjects.push(Subject { disk, node }),
        }
    }
    if problems.is_empty() { Ok((subjects, skipped)) } else { Err(failed(problems.join("; "))) }
}

/// Why a pass did not come to its end.
enum End {
    Over,
    Failed(String),
}

impl From<String> for End {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// One pass: the whole disk is written, then the whole disk is read, so that no cache of the drive answers for its
/// medium. What was written by the time that it is over is still read.
fn exercise(shared: &Shared, device: &Device, seed: u64, pass: u64) -> Result<(), End> {
    let size = device.size_bytes() / BLOCK as u64 * BLOCK as u64;
    let mut piece = AlignedBuf::new(PIECE);
    let mut written = 0;
    while written < size && !shared.is_over() {
        let length = piece_at(written, size);
        for (at, block) in (written..).step_by(BLOCK).zip(piece[..length].chunks_exact_mut(BLOCK)) {
            fill(block, seed, at, pass);
        }
        device.write_at(written, &piece[..length]).map_err(|error| chain(&error))?;
        written += length as u64;
        shared.add(length as u64);
    }
    device.flush().map_err(|error| chain(&error))?;
    let mut read = 0;
    while read < written {
        if shared.is_stopped() {
            return Err(End::Over);
        }
        let length = piece_at(read, written);
        device.read_at(read, &mut piece[..length]).map_err(|error| chain(&error))?;
        for (at, block) in (read..).step_by(BLOCK).zip(piece[..length].chunks_exact(BLOCK)) {
            check(block, seed, at, pass)?;
        }
        read += length as u64;
        shared.add(length as u64);
    }
    if shared.is_over() { Err(End::Over) } else { Ok(()) }
}

fn piece_at(from: u64, end: u64) -> usize {
    usize::try_from((end - from).min(PIECE as u64)).expect("bounded by a piece")
}

/// Noise of the block's own, with its place and its pass before it.
fn fill(block: &mut [u8], seed: u64, offset: u64, pass: u64) {
    Noise::new(seed ^ offset ^ pass.rotate_left(48)).fill(&mut block[HEAD..]);
    block[..8].copy_from_slice(&offset.to_le_bytes());
    block[8..16].copy_from_slice(&pass.to_le_bytes());
    let sum = checksum(block, seed);
    block[16..HEAD].copy_from_slice(&sum.to_le_bytes());
}

fn checksum(block: &[u8], seed: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(&block[..16]);
    hasher.update(&block[HEAD..]);
    hasher.finalize()
}

/// What a wrong block is tells what is wrong with the disk.
fn check(block: &[u8], seed: u64, offset: u64, pass: u64) -> Result<(), String> {
    let number = |at: usize| u64::from_le_bytes(block[at..at + 8].try_into().expect("eight bytes"));
    let sound = block[16..HEAD] == checksum(block, seed).to_le_bytes();
    if !sound {
        return Err(format!("the block at offset {offset} is not what was written (pass {pass})"));
    }
    if number(0) != offset {
        return Err(format!(
            "at offset {offset} is the block that was written at {} (pass {pass})",
            number(0)
        ));
    }
    if number(8) != pass {
        return Err(format!(
            "at offset {offset} is the block of pass {}, not of {pass}: a write was lost",
            number(8)
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(offset: u64, pass: u64) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        fill(&mut block, 77, offset, pass);
        block
    }

    #[test]
    fn wrong_blocks_are_told_apart() {
        assert_eq!(check(&block(4096, 2), 77, 4096, 2), Ok(()));
        let error = |block: &[u8]| check(block, 77, 4096, 2).unwrap_err();
        assert!(error(&block(8192, 2)).contains("that was written at 8192"));
        assert!(error(&block(4096, 1)).contains("a write was lost"));
        assert!(error(&vec![0; BLOCK]).contains("not what was written"));
        for at in [0, 17, 20, BLOCK - 1] {
            let mut flipped = block(4096, 2);
            flipped[at] ^= 1;
            assert!(error(&flipped).contains("not what was written"), "{at}");
        }
    }

    #[test]
    fn a_whole_disk_is_written_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let size = (2 << 20) + 3 * BLOCK as u64;
        File::create(&path).unwrap().set_len(size + 100).unwrap();
        let device = Device::open(&path, Access::ReadWrite).unwrap();
        let shared = Shared::new(None);
        assert!(exercise(&shared, &device, 5, 0).is_ok() && exercise(&shared, &device, 5, 1).is_ok());
        assert_eq!(shared.done(), 4 * size);
        let mut last = vec![0; BLOCK];
        device.read_at(size - BLOCK as u64, &mut last).unwrap();
        assert_eq!(check(&last, 5, size - BLOCK as u64, 1), Ok(()));
        let over = exercise(&Shared::new(Some(std::time::Duration::ZERO)), &device, 5, 2);
        assert!(matches!(over, Err(End::Over)));
    }
}
