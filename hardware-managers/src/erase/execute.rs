//! Erasing one device: marks, method, verification, and the next method where the plan has one.

use std::sync::Arc;

use tacit_blockdev::{Access, Drive};
use tacit_model::{BlockDevice, EraseStandard, Proof, ProofResult};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::canary::{Canaries, MARKED};
use super::control::Control;
use super::error::EraseError;
use super::findings::Companion;
use super::join::join;
use super::method::Method;
use super::methods::{DiscardEraser, DriveEraser, Eraser, OverwriteEraser};
use super::noise::Noise;
use super::policy::Policy;
use super::reach::{not_erased, reached, unseen};
use super::recheck::{Scope, hold, look_again, same_drive, take};
use super::source::{DriveSource, Note};
use crate::chain::chain;
use crate::drives::{DriveFacts, EraseMethod, Wait, identify, settle};

/// One device that is to be erased, and how.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) disk: BlockDevice,
    pub(crate) facts: DriveFacts,
    /// In the order in which they are tried.
    pub(crate) methods: Vec<Method>,
    /// Other namespaces of its controller, all of which are to be erased where a method reaches them.
    pub(crate) companions: Vec<Companion>,
    /// Disks that seem to be this one by another path; whether they are, its marks show.
    pub(crate) aliases: Vec<BlockDevice>,
    pub(crate) scope: Arc<Scope>,
}

/// Erases a device and proves it. The error names every method that was tried and why it had no success; what was done
/// is in `proof` in any case, which is that of [`begin`]. Returns the other names of the same device: it is proven by
/// these, too.
///
/// # Errors
///
/// [`EraseError`] of the last method, with those before it.
pub(crate) fn erase(
    source: &dyn DriveSource,
    job: &Job,
    policy: &Policy,
    control: &Control,
    proof: &mut Proof,
) -> Result<Vec<String>, EraseError> {
    let also = erase_held(source, job, policy, control, proof)?;
    // While the device is held, the kernel reads its partitions for nobody, not even for the one who holds it.
    let aliases = job.aliases.iter().filter(|alias| also.contains(&alias.name));
    for disk in [&job.disk].into_iter().chain(aliases) {
        if let Err(error) = source.rescan(disk) {
            // The device is erased all the same; only the kernel still shows partitions that are gone.
            tracing::warn!(device = %disk.name, error = %chain(&error), "partitions not read again");
            proof.actions.push(format!("{}: the kernel kept its old view of the partitions", disk.name));
        }
    }
    Ok(also)
}

/// The same, up to the proof; the device is released at the end.
fn erase_held(
    source: &dyn DriveSource,
    job: &Job,
    policy: &Policy,
    control: &Control,
    proof: &mut Proof,
) -> Result<Vec<String>, EraseError> {
    control.go_on("untouched")?;
    proof.started = Some(now());
    let drive = take(source, job, policy)?;
    let aliases = hold(source, job, policy, job.aliases.iter().map(|alias| alias.name.as_str()))?;
    let others: Vec<u32> = job.companions.iter().filter_map(|companion| companion.namespace).collect();
    let work = Work { source, job, policy, control, others: &others, aliases: &aliases };
    if work.join(drive.as_ref(), proof)? {
        return Ok(Vec::new());
    }
    if job.facts.sanitizing.is_some() {
        // Until now it did not tell who has reserved it.
        look_again(source, drive.as_ref(), job, policy)?;
    }
    work.settle(drive.as_ref(), proof)?;
    let mut problems: Vec<String> = Vec::new();
    for &method in &job.methods {
        method.name().clone_into(&mut proof.method);
        match work.attempt(drive.as_ref(), method, proof) {
            Ok(also) => {
                work.finish(proof, method);
                return Ok(also);
            }
            Err(error @ EraseError::Cancelled { .. }) => return Err(error),
            Err(error) => {
                control.leave();
                let stop = matches!(error, EraseError::Swapped { .. } | EraseError::StillWorking { .. });
                let problem = format!("{}: {}", method.name(), chain(&error));
                proof.actions.push(format!("no success: {problem}"));
                problems.push(problem);
                if stop {
                    break;
                }
            }
        }
    }
    Err(EraseError::Exhausted { problems: problems.join("; ") })
}

pub(super) fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).expect("every time after 1970 has this form")
}

/// What is known before anything was done.
pub(crate) fn begin(job: &Job) -> Proof {
    let (disk, facts) = (&job.disk, &job.facts);
    Proof {
        // What the drive says over its own protocol counts for more than what a translator made of it.
        serial: facts.serial.clone().or_else(|| disk.serial.clone()),
        model: facts.model.clone().or_else(|| disk.model.clone()),
        wwn: facts.wwn.clone().or_else(|| disk.wwn.clone()),
        firmware: facts.firmware.clone(),
        ..Proof::of(disk)
    }
}

struct Work<'a> {
    source: &'a dyn DriveSource,
    job: &'a Job,
    policy: &'a Policy,
    control: &'a Control,
    others: &'a [u32],
    /// As many as the job has, in the same order.
    aliases: &'a [Arc<dyn Drive>],
}

impl Work<'_> {
    fn eraser(&self, method: Method) -> Result<Box<dyn Eraser + '_>, EraseError> {
        Ok(match method {
            Method::Overwrite => Box::new(OverwriteEraser::new(self.policy)?),
            Method::Discard => Box::new(DiscardEraser::new(self.policy)),
            Method::Drive(own) => {
                let (disk, facts) = (&self.job.disk, &self.job.facts);
                let psid = self.policy.psid([
                    facts.serial.as_deref(),
                    disk.serial.as_deref(),
                    facts.wwn.as_deref(),
                    disk.wwn.as_deref(),
                ]);
                Box::new(DriveEraser {
                    method: own,
                    facts,
                    psid,
                    others: self.others,
                    verify: self.policy.verify,
                    clock: self.source.clock(),
                })
            }
        })
    }

    /// Tries one method, and shows that it did what it should. Returns by which other names the device has shown it.
    fn attempt(
        &self,
        drive: &dyn Drive,
        method: Method,
        proof: &mut Proof,
    ) -> Result<Vec<String>, EraseError> {
        self.control.go_on(if self.control.touched() { "partly erased, not proven" } else { "untouched" })?;
        let eraser = self.eraser(method)?;
        // What is held by another path of the device is held.
        let is_alias = |name: &str| self.job.aliases.iter().any(|alias| alias.name == name);
        let reached = self
            .job
            .companions
            .iter()
            .filter(|companion| method.reaches_siblings() && !is_alias(&companion.name));
        let held =
            hold(self.source, self.job, self.policy, reached.map(|companion| companion.name.as_str()))?;
        let noise = Noise::new()?;
        self.control.touch();
        let canaries = match Canaries::place(drive, noise, self.control) {
            Err(EraseError::NoMarks { first }) if self.opens(drive, method) => {
                // It takes no marks in this state. What opens it proves nothing; done once more, with marks, it may.
                self.control.go_on(MARKED)?;
                let done = eraser.run(drive, self.control)?;
                proof.actions.push(format!("{}: no marks could be written ({first})", method.name()));
                proof.actions.extend(done.actions);
                if method == Method::Drive(EraseMethod::OpalPsid) {
                    // What is not locked any more need not lose its key by another revert.
                    return Err(EraseError::Opened);
                }
                Canaries::place(drive, noise, self.control)?
            }
            placed => placed?,
        };
        proof.actions.push(format!("{}: {}", method.name(), canaries.action()));
        let aliases = self.job.aliases.iter().zip(self.aliases);
        let also: Vec<&BlockDevice> =
            aliases.filter(|(_, drive)| canaries.are_on(drive.as_ref())).map(|(alias, _)| alias).collect();
        // Marks may have taken long; what follows nothing can stop.
        self.control.go_on(MARKED)?;
        let in_drive = matches!(method, Method::Drive(_));
        if in_drive {
            self.note(Some((method, noise)));
        }
        let outcome = eraser.run(drive, self.control);
        let done = match outcome {
            Ok(done) => done,
            Err(error) => {
                if in_drive && !error.is_still_working() {
                    self.note(None);
                }
                return Err(error);
            }
        };
        if self.control.cancelled() {
            return Err(EraseError::Cancelled { state: format!("{} is done, not proven", method.name()) });
        }
        self.note(None);
        drop(held);
        proof.actions.extend(done.actions.iter().cloned());
        if self.policy.floor() > EraseStandard::None
            && let Some(error) = EraseError::bad_sectors(&done.bad)
        {
            return Err(error);
        }
        let fresh = self.open_anew()?;
        let mut lines = canaries.check(fresh.as_ref(), &done.bad)?;
        for alias in &also {
            canaries.check(self.source.open(alias, Access::Read)?.as_ref(), &done.bad)?;
            lines.push(format!("{} showed the same marks, and shows none any more", alias.name));
        }
        lines.extend(eraser.verify(fresh.as_ref(), &done, self.control)?);
        lines.extend(not_erased(method, &self.job.facts));
        proof.actions.extend(unseen(method, &self.job.facts));
        proof.verification = lines;
        proof.standard = if done.bad.is_empty() { self.reached(method) } else { EraseStandard::None };
        Ok(also.into_iter().map(|alias| alias.name.clone()).collect())
    }

    fn reached(&self, method: Method) -> EraseStandard {
        reached(method, &self.job.disk, &self.job.facts, self.policy)
    }

    /// Past what this machine remembers of it. What has its name now may be another drive, on which there are no marks.
    fn open_anew(&self) -> Result<Arc<dyn Drive>, EraseError> {
        let fresh = self.source.open(&self.job.disk, Access::Read)?;
        same_drive(self.source, fresh.as_ref(), self.job)?;
        Ok(fresh)
    }

    /// Whether a drive that takes no writes may take them once the method was done: a lock is opened by a revert, a
    /// sanitize operation that failed is made good by another.
    fn opens(&self, drive: &dyn Drive, method: Method) -> bool {
        match method {
            Method::Drive(EraseMethod::OpalPsid) => true,
            Method::Drive(own) if own.is_sanitize() => {
                identify(drive, self.source.kind(&self.job.disk)).sanitize_failed
            }
            _ => false,
        }
    }

    fn finish(&self, proof: &mut Proof, method: Method) {
        method.name().clone_into(&mut proof.method);
        proof.result = ProofResult::Proven;
        proof.finished = Some(now());
    }

    fn note(&self, work: Option<(Method, Noise)>) {
        let note = work.map(|(method, noise)| Note {
            method: method.name().to_owned(),
            noise: noise.0,
            size: self.job.disk.size,
            started: now(),
        });
        self.source.note(&self.job.disk, note.as_ref());
    }

    /// Takes away what an erasure that was cut off may have left behind.
    fn settle(&self, drive: &dyn Drive, proof: &mut Proof) -> Result<(), EraseError> {
        let wait =
            Wait { clock: self.source.clock(), progress: &|_| {}, cancelled: &|| self.control.cancelled() };
        match settle(drive, self.job.facts.kind, &wait) {
            Ok(lines) => {
                proof.actions.extend(lines);
                Ok(())
            }
            Err(error) if error.still_working() => Err(error.into()),
            // What it means for a method, the method finds out.
            Err(error) => {
                proof.actions.push(format!("not as it should be at first: {}", chain(&error)));
                Ok(())
            }
        }
    }

    /// Waits for a sanitize operation that is under way already. One that an earlier run of this program began is
    /// proven by the marks of that run, which is `true`; after any other the device is erased anew.
    fn join(&self, drive: &dyn Drive, proof: &mut Proof) -> Result<bool, EraseError> {
        if self.job.facts.sanitizing.is_none() {
            self.source.note(&self.job.disk, None);
            return Ok(false);
        }
        let noted =
            self.source.noted(&self.job.disk).and_then(|note| Some((Method::by_name(&note.method)?, note)));
        self.control.touch();
        let kind = self.source.kind(&self.job.disk);
        if let Err(error) = join(drive, kind, self.source.clock(), self.control) {
            if error.is_still_working() {
                return Err(error);
            }
            self.source.note(&self.job.disk, None);
            proof.actions.push(chain(&error));
            return Ok(false);
        }
        self.control.go_on("the sanitize operation in the drive is done, not proven")?;
        self.source.note(&self.job.disk, None);
        proof.actions.push("a sanitize operation was under way and was waited for".to_owned());
        let Some((method, note)) = noted else {
            proof.actions.push("nobody noted who began it, so that it proves nothing".to_owned());
            return Ok(false);
        };
        let fresh = self.open_anew()?;
        proof
            .actions
            .push(format!("{}: begun by an earlier run of the agent at {}", note.method, note.started));
        match Canaries::recall(fresh.as_ref(), Noise(note.noise)).check(fresh.as_ref(), &[]) {
            Ok(mut lines) => {
                lines.extend(not_erased(method, &self.job.facts));
                proof.actions.extend(unseen(method, &self.job.facts));
                proof.verification = lines;
                proof.started = Some(note.started);
                proof.standard = self.reached(method);
                if proof.standard < self.policy.floor() {
                    return Ok(false);
                }
                self.finish(proof, method);
                Ok(true)
            }
            Err(error) => {
                proof.actions.push(format!("no success: {}: {}", note.method, chain(&error)));
                Ok(false)
            }
        }
    }
}
