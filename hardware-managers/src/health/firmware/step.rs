//! From the arguments to the proofs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tacit_blockdev::Drive;
use tacit_model::{BlockDevice, ProgressUnit};

use super::super::limits::flag;
use super::super::verify::{Open, disks, opener, skip_list};
use super::apply::{Applied, apply};
use super::guard::obstacles;
use super::image::{ImageRequest, parse};
use super::plan::{Target, Verdict, plan};
use super::source::Fetch;
use crate::ask::{SILENCE, ask_all};
use crate::chain::chain;
use crate::drives::DriveKind;
use crate::drives::nvme::Activation;
use crate::machine::Machine;
use crate::managers::{DeviceFailure, RemoteFile, Route, StepContext, StepError, StepObserver};

/// What all images of a step may have together, in bytes: they are in memory before the first drive is touched.
const MOST_BYTES: usize = 256 << 20;

/// The step `update_firmware`: brings NVMe drives to the revisions that `images` names and proves by the drives' own
/// logs that they are there.
///
/// # Errors
///
/// [`StepError::InvalidParameter`] with what is wrong with the request or an image, and whatever fetching one failed
/// with, before anything is sent to any drive; [`StepError::Failed`] with every drive that failed.
pub(in super::super) fn run(machine: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    let request = Request {
        images: parse(context.args.get("images"))?,
        allow_downgrade: flag(context.args, "allow_downgrade")?,
        dry_run: context.dry_run()?,
    };
    let route = Route::from_context(context)?;
    let fetch = |url: &str, limit_bytes: usize| {
        context.observer.fetch(&RemoteFile { url, limit_bytes, route: &route })
    };
    let mut disks = disks(machine, context)?;
    disks.retain(|disk| disk.size > 0);
    let (skip, guarded) = (skip_list(context)?, machine.clone());
    let reach = Reach {
        open: opener(machine),
        against: Arc::new(move |disk| obstacles(&guarded, &skip, disk)),
        silence: SILENCE,
    };
    update(&request, &disks, &fetch, &reach, context.observer)
}

/// What stands against changing the drive, of which a disk is a namespace.
type Against = Arc<dyn Fn(&BlockDevice) -> Vec<String> + Send + Sync>;

/// How drives are reached.
#[derive(Clone)]
struct Reach {
    open: Open,
    against: Against,
    /// How long a drive may be silent.
    silence: Duration,
}

#[derive(Clone)]
struct Request {
    images: Vec<ImageRequest>,
    allow_downgrade: bool,
    dry_run: bool,
}

/// A drive that answers, under the name of its first namespace.
struct Known<'a> {
    disk: &'a BlockDevice,
    drive: Arc<dyn Drive>,
    target: Target,
}

/// Plans for all NVMe drives, loads all images that are needed, and then updates one drive after the other. Nothing is
/// sent before everything is known to be in order.
///
/// # Errors
///
/// [`StepError::Failed`] names every drive that failed.
fn update(
    request: &Request,
    disks: &[BlockDevice],
    fetch: Fetch<'_>,
    reach: &Reach,
    observer: &dyn StepObserver,
) -> Result<Value, StepError> {
    let (known, mut failures) = survey(request, disks, reach, observer)?;
    let refused = known.iter().filter_map(|known| match &known.target.verdict {
        Verdict::Refused(reason) => Some(format!("{}: {reason}", known.disk.name)),
        _ => None,
    });
    failures.extend(refused);
    if request.dry_run {
        let plan: Vec<Value> = known.iter().map(|known| report(known, request)).collect();
        return Ok(json!({ "plan": plan, "problems": failures }));
    }
    if !failures.is_empty() {
        return Err(failed(&failures, false));
    }
    let (mut bytes, mut left) = (Vec::new(), MOST_BYTES);
    for (at, image) in request.images.iter().enumerate() {
        let needed = known.iter().any(|known| {
            known.target.image == Some(at) && matches!(known.target.verdict, Verdict::Update { .. })
        });
        let image = if needed { image.load(fetch, left)? } else { Vec::new() };
        left = left.saturating_sub(image.len());
        bytes.push(Arc::new(image));
    }
    let (mut reports, mut touched) = (Vec::new(), false);
    for (done, drive) in known.iter().enumerate() {
        let rest = |from: usize| known[from..].iter().map(|known| known.disk);
        if observer.cancelled() {
            return Err(halted(rest(done), "not updated", touched));
        }
        let mut report = report(drive, request);
        if let (Verdict::Update { slot }, Some(at)) = (&drive.target.verdict, drive.target.image) {
            let (name, image) = (&drive.disk.name, &bytes[at]);
            let length = image.len() as u64;
            let progress = |done| observer.progress("firmware", name, done, length, ProgressUnit::Bytes);
            // Fetching may have taken long.
            let applied = still_free(reach, drive.disk).and_then(|()| {
                touched = true;
                let job = Job {
                    drive: drive.drive.clone(),
                    target: drive.target.clone(),
                    slot: *slot,
                    version: request.images[at].version.clone(),
                    image: image.clone(),
                };
                carry_out(job, reach.silence, &progress)
            });
            match applied {
                Ok(applied) => {
                    report["action"] = json!("updated");
                    report["reset_needed"] = json!(applied.activation == Activation::AtReset);
                    report["verification"] = json!(applied.verification);
                }
                Err(error) => {
                    failures.push(format!("{name}: {error}"));
                    // Firmware that harms one drive may harm them all.
                    failures.extend(rest(done + 1).map(|disk| format!("{}: left alone then", disk.name)));
                    break;
                }
            }
        }
        reports.push(report);
    }
    if failures.is_empty() { Ok(json!({ "devices": reports })) } else { Err(failed(&failures, touched)) }
}

/// Every NVMe drive once, and what could not be asked.
///
/// # Errors
///
/// [`StepError::Cancelled`].
fn survey<'a>(
    request: &Request,
    disks: &'a [BlockDevice],
    reach: &Reach,
    observer: &dyn StepObserver,
) -> Result<(Vec<Known<'a>>, Vec<String>), StepError> {
    let drives: Vec<&BlockDevice> =
        disks.iter().filter(|disk| DriveKind::of(&disk.name) == DriveKind::Nvme).collect();
    let subjects: Vec<BlockDevice> = drives.iter().copied().cloned().collect();
    let (asked, within) = (request.clone(), reach.clone());
    let answers = ask_all(&subjects, reach.silence, &|| observer.cancelled(), move |disk| {
        let drive = (within.open)(disk).map_err(|error| chain(&error))?;
        let mut target =
            plan(drive.as_ref(), &asked.images, asked.allow_downgrade).map_err(|error| chain(&error))?;
        if matches!(target.verdict, Verdict::Update { .. }) {
            let reasons = (within.against)(disk);
            if !reasons.is_empty() {
                target.verdict = Verdict::Refused(reasons.join(", "));
            }
        }
        Ok((target, Arc::from(drive)))
    });
    let answers = answers.ok_or(StepError::Cancelled { done: 0, total: drives.len() })?;
    let (mut known, mut failures) = (Vec::new(), Vec::new());
    // Namespaces of one drive have one firmware.
    let mut seen = BTreeSet::new();
    for (disk, answer) in drives.into_iter().zip(answers) {
        match answer.and_then(|answer| answer) {
            Ok((target, drive)) => {
                let controller = &target.controller;
                let identity = (controller.model.clone(), controller.serial.clone());
                if controller.serial.is_none() || seen.insert(identity) {
                    known.push(Known { disk, drive, target });
                }
            }
            Err(reason) => failures.push(format!("{}: {reason}", disk.name)),
        }
    }
    Ok((known, failures))
}

/// Asks the guard once more.
fn still_free(reach: &Reach, disk: &BlockDevice) -> Result<(), String> {
    let against = reach.against.clone();
    let answers = ask_all(std::slice::from_ref(disk), reach.silence, &|| false, move |disk| against(disk));
    let reasons = answers.into_iter().flatten().collect::<Result<Vec<_>, _>>()?.concat();
    if reasons.is_empty() { Ok(()) } else { Err(format!("not begun: {}", reasons.join(", "))) }
}

/// One drive that is to be changed, and all that is needed for it.
struct Job {
    drive: Arc<dyn Drive>,
    target: Target,
    slot: u8,
    version: String,
    image: Arc<Vec<u8>>,
}

/// Changes a drive in a thread of its own: one that hangs in the kernel cannot be waited for.
///
/// # Errors
///
/// What went wrong, in words.
fn carry_out(job: Job, silence: Duration, progress: &dyn Fn(u64)) -> Result<Applied, String> {
    enum Word {
        Progress(u64),
        End(Result<Applied, String>),
    }
    // The commit says nothing on the way.
    let silence = silence + job.target.controller.firmware_activation();
    let (tell, told) = mpsc::channel();
    let work = move || {
        // Nobody listens any more to a drive that was given up.
        let report = |done| tell.send(Word::Progress(done)).unwrap_or_default();
        let Job { drive, target, slot, version, image } = &job;
        let applied = apply(drive.as_ref(), &target.controller, *slot, version, image, &report);
        tell.send(Word::End(applied.map_err(|error| chain(&error)))).unwrap_or_default();
    };
    thread::Builder::new()
        .spawn(work)
        .map_err(|error| format!("not begun: there is no thread for it ({error})"))?;
    loop {
        match told.recv_timeout(silence) {
            Ok(Word::Progress(done)) => progress(done),
            Ok(Word::End(applied)) => return applied,
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!(
                    "nothing was heard of it for {} s: it may still be at work",
                    silence.as_secs()
                ));
            }
            Err(RecvTimeoutError::Disconnected) => return Err("the program failed; see its log".to_owned()),
        }
    }
}

/// The caller asked to stop: these drives were left as they were.
fn halted<'d>(disks: impl IntoIterator<Item = &'d BlockDevice>, state: &str, touched: bool) -> StepError {
    let state = |disk: &BlockDevice| DeviceFailure { device: disk.name.clone(), reason: state.to_owned() };
    StepError::Halted { states: disks.into_iter().map(state).collect(), proofs: Vec::new(), touched }
}

fn report(known: &Known<'_>, request: &Request) -> Value {
    let Target { controller, image, verdict } = &known.target;
    let (action, slot, reason) = match verdict {
        Verdict::NoImage => ("none", None, Some("no image is made for this model")),
        Verdict::UpToDate => ("none", None, Some("it runs this revision")),
        Verdict::Pending => ("none", None, Some("it runs this revision from its next reset on")),
        Verdict::Update { slot } => ("update", Some(slot), None),
        Verdict::Refused(reason) => ("refused", None, Some(reason.as_str())),
    };
    json!({
        "device": known.disk.name,
        "serial": controller.serial,
        "model": controller.model,
        "action": action,
        "reason": reason,
        "from": controller.firmware,
        "to": image.map(|at| &request.images[at].version),
        "slot": slot,
        "reset_needed": *verdict == Verdict::Pending,
    })
}

fn failed(failures: &[String], touched: bool) -> StepError {
    StepError::Failed {
        class: "FirmwareUpdateError",
        code: 500,
        message: "Firmware was not updated",
        details: failures.join("; "),
        retry: touched,
        touched,
    }
}

#[cfg(test)]
mod tests;
