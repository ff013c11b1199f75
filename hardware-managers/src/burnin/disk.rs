//! `burnin_disk`: disks are filled with blocks that say where they belong, and read back. Destroys what is on them.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tacit_blockdev::{AlignedBuf, Drive};
use tacit_model::{BlockDevice, PlanVerdict};

use super::noise::Noise;
use super::run::{Crew, Total, Worker, failed, report};
use super::settings::{Settings, invalid};
use crate::chain::chain;
use crate::erase::{DriveSource, Job, MachineDrives, Policy, Surveyed, list, probe, take};
use crate::machine::Machine;
use crate::managers::{DRY_RUN, StepContext, StepError, StepSpecification};
use crate::wipe::{underneath, with_remarks};

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

/// How much is done.
#[derive(Clone, Copy)]
struct Order {
    loops: u64,
    runtime: Option<Duration>,
}

fn burnin_disk(machine: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    let settings = Settings::of(context.node);
    let order = Order {
        loops: settings.number("fio_disk_loops", 4)?.max(1),
        runtime: Some(settings.seconds("fio_disk_runtime", 0)?).filter(|runtime| !runtime.is_zero()),
    };
    let file = settings.output_file("fio_disk_outputfile")?;
    if settings.flag("fio_disk_smart_test")? {
        let text = "self-tests of disks are not offered here; verify_devices reads what they found";
        return Err(invalid("fio_disk_smart_test", text.to_owned()));
    }
    if context.dry_run()? {
        let plan = survey(machine, context)?.plan(order);
        return Ok(with_remarks(machine, context.node, plan));
    }
    let outcome = survey(machine, context).and_then(|found| found.burn(context, order));
    let outcome = outcome.map(|found| with_remarks(machine, context.node, found));
    report("burnin_disk", file.as_deref(), outcome)
}

fn survey(machine: &Machine, context: &StepContext<'_>) -> Result<Subjects, StepError> {
    // What comes back from an array was not read from every one of its disks: these are tested, or nothing is. The
    // paths of a multipath device are in no list.
    let is_array = |disk: &BlockDevice| {
        !disk.name.starts_with("/dev/dm-") && !underneath(machine.roots(), &disk.name).is_empty()
    };
    let (arrays, disks): (Vec<_>, Vec<_>) = list(machine, context.observer)?.into_iter().partition(is_array);
    let mut subjects = Subjects::among(Arc::new(MachineDrives::new(machine)), disks, context)?;
    subjects.skipped.extend(arrays.iter().map(|disk| format!("{}: made of other disks", disk.name)));
    Ok(subjects)
}

/// What is to be tested, and what is not.
struct Subjects {
    source: Arc<dyn DriveSource>,
    policy: Arc<Policy>,
    jobs: Vec<Job>,
    /// With why.
    skipped: Vec<String>,
    /// With why: with any of these the step fails.
    refused: Vec<String>,
}

impl Subjects {
    /// Those that erasing would overwrite.
    fn among(
        source: Arc<dyn DriveSource>,
        disks: Vec<BlockDevice>,
        context: &StepContext<'_>,
    ) -> Result<Self, StepError> {
        let policy = Policy::overwriting(context.node)?;
        let (mut jobs, mut skipped, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for Surveyed { plan, job, .. } in probe(&source, disks, context, &policy)?.0 {
            let told = format!("{}: {}", plan.device, plan.reasons.join(", "));
            match plan.verdict {
                PlanVerdict::Erase => jobs.push(job),
                PlanVerdict::Skip => skipped.push(told),
                PlanVerdict::Refuse => refused.push(told),
            }
        }
        Ok(Self { source, policy: Arc::new(policy), jobs, skipped, refused })
    }

    fn names(&self) -> Vec<String> {
        self.jobs.iter().map(|job| job.disk.name.clone()).collect()
    }

    fn plan(&self, order: Order) -> Value {
        json!({"plan": {
            "overwritten": self.names(),
            "skipped": self.skipped,
            "refused": self.refused,
            "loops": order.loops,
        }})
    }

    fn burn(self, context: &StepContext<'_>, order: Order) -> Result<Value, StepError> {
        if !self.refused.is_empty() {
            return Err(failed(self.refused.join("; ")));
        }
        let mut seed = [0; 8];
        File::open("/dev/urandom")
            .and_then(|mut random| random.read_exact(&mut seed))
            .map_err(|error| failed(format!("random bytes: {error}")))?;
        let seed = u64::from_le_bytes(seed);
        let names = self.names();
        let sum: u64 = self.jobs.iter().map(|job| job.disk.size).sum();
        let (total, passes) = match order.runtime {
            Some(runtime) => (Total::Seconds(runtime.as_secs()), u64::MAX),
            None => (Total::Bytes(sum.saturating_mul(order.loops).saturating_mul(2)), order.loops),
        };
        let mut crew = Crew::new(order.runtime);
        for job in self.jobs {
            let (source, policy) = (self.source.clone(), self.policy.clone());
            crew.add(&job.disk.name.clone(), move |worker| {
                let outcome = take(source.as_ref(), &job, &policy)
                    .map_err(|error| End::Failed(chain(&error)))
                    .and_then(|drive| {
                        (0..passes).try_for_each(|pass| exercise(worker, drive.as_ref(), seed, pass))
                    });
                let name = &job.disk.name;
                match outcome {
                    Err(End::Failed(reason)) => worker.fail(format!("{name}: {reason}")),
                    // The time may be over before a disk has begun.
                    _ if worker.done() == 0 && !worker.is_stopped() => {
                        worker.fail(format!("{name}: nothing of it was tested"));
                    }
                    _ => {}
                }
            });
        }
        let mut found = crew.run(context, "disks", total).map_err(touched)?;
        if names.is_empty() {
            found["result"] = json!("nothing to test");
        }
        found["disks"] = json!(names);
        found["skipped"] = json!(self.skipped);
        Ok(found)
    }
}

/// Whatever the workers failed with, disks are not what they were.
fn touched(error: StepError) -> StepError {
    match error {
        StepError::Failed { class, code, message, details, retry, .. } => {
            StepError::Failed { class, code, message, details, retry, touched: true }
        }
        StepError::Halted { states, proofs, .. } => StepError::Halted { states, proofs, touched: true },
        StepError::Cancelled { total, .. } => StepError::Cancelled { done: total, total },
        other => other,
    }
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
fn exercise(worker: &Worker, device: &dyn Drive, seed: u64, pass: u64) -> Result<(), End> {
    let size = device.size_bytes() / BLOCK as u64 * BLOCK as u64;
    let mut piece = AlignedBuf::new(PIECE);
    let mut written = 0;
    while written < size && !worker.is_over() {
        let length = piece_at(written, size);
        for (at, block) in (written..).step_by(BLOCK).zip(piece[..length].chunks_exact_mut(BLOCK)) {
            fill(block, seed, at, pass);
        }
        device.write_at(written, &piece[..length]).map_err(|error| chain(&error))?;
        written += length as u64;
        worker.add(length as u64);
    }
    device.flush().map_err(|error| chain(&error))?;
    let mut read = 0;
    while read < written {
        if worker.is_stopped() {
            return Err(End::Over);
        }
        let length = piece_at(read, written);
        device.read_at(read, &mut piece[..length]).map_err(|error| chain(&error))?;
        for (at, block) in (read..).step_by(BLOCK).zip(piece[..length].chunks_exact(BLOCK)) {
            check(block, seed, at, pass)?;
        }
        read += length as u64;
        worker.add(length as u64);
    }
    if worker.is_over() { Err(End::Over) } else { Ok(()) }
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
mod tests;
