//! Several devices at a time: bounded, watched, and stopped together.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tacit_model::Proof;

use super::control::{Control, Report};
use super::error::EraseError;
use super::execute::{Job, begin, erase, now};
use super::policy::Policy;
use super::source::DriveSource;
use crate::chain::chain;
use crate::managers::StepObserver;

/// How often the caller is asked whether to stop, and drives whether they live.
const TICK: Duration = Duration::from_millis(50);
/// How long work that is told to stop may take to do so. What goes on inside a drive is left alone after that.
const GRACE: Duration = Duration::from_secs(10);

/// What became of one device.
#[derive(Debug)]
pub(crate) enum Outcome {
    Proven(Box<Proof>),
    Failed { proof: Box<Proof>, reason: String, touched: bool },
    Stopped { proof: Box<Proof>, state: String, touched: bool },
}

impl Outcome {
    fn proof(&self) -> &Proof {
        match self {
            Self::Proven(proof) | Self::Failed { proof, .. } | Self::Stopped { proof, .. } => proof,
        }
    }
}

/// Devices that share a controller, one after the other, each with its number.
pub(crate) type Lane = Vec<(usize, Job)>;

enum Event {
    Report(usize, Report),
    Done(usize, Box<Proof>, Result<Vec<String>, EraseError>),
}

/// One device as the watch sees it.
struct Member {
    name: String,
    control: Arc<Control>,
    lane: usize,
    /// Of nothing: what is known of a device that never answers.
    proof: Proof,
}

fn failed(mut proof: Proof, reason: String, touched: bool) -> Outcome {
    proof.finished = Some(now());
    Outcome::Failed { proof: Box::new(proof.failed(&reason)), reason, touched }
}

/// Of a device that was erased and proven already, for the other name by which its marks were seen.
fn by_another_name(name: &str, proof: &Proof) -> Proof {
    let mut other = Proof { device: name.to_owned(), ..proof.clone() };
    other.actions.insert(0, format!("the same device as {}, erased by that name", proof.device));
    other
}

fn stopped(mut proof: Proof, state: String, touched: bool) -> Outcome {
    proof.finished = Some(now());
    Outcome::Stopped { proof: Box::new(proof.failed(&format!("stopped as asked: {state}"))), state, touched }
}

/// What the workers share.
struct Shared {
    source: Arc<dyn DriveSource>,
    policy: Policy,
    lanes: Mutex<VecDeque<Lane>>,
    controls: BTreeMap<usize, Arc<Control>>,
}

/// Erases the devices of all lanes; the outcomes are by the devices' numbers. Devices that hang are given up, and
/// others begin in their stead.
pub(crate) fn run(
    source: &Arc<dyn DriveSource>,
    policy: &Policy,
    lanes: Vec<Lane>,
    observer: &dyn StepObserver,
) -> BTreeMap<usize, Outcome> {
    let (events, received) = mpsc::channel();
    let mut members = BTreeMap::new();
    for (lane, jobs) in lanes.iter().enumerate() {
        for (number, job) in jobs {
            let (number, tell) = (*number, events.clone());
            // Nobody listens any more when the step gave this device up.
            let report = move |report| tell.send(Event::Report(number, report)).unwrap_or_default();
            let control = Arc::new(Control::new(report));
            members.insert(number, Member { name: job.disk.name.clone(), control, lane, proof: begin(job) });
        }
    }
    let controls = members.iter().map(|(number, member)| (*number, member.control.clone())).collect();
    let workers = policy.concurrency.min(lanes.len());
    let lanes = Mutex::new(lanes.into());
    let shared = Arc::new(Shared { source: source.clone(), policy: policy.clone(), lanes, controls });
    let spawn = || {
        let (shared, events) = (shared.clone(), events.clone());
        // Detached: a thread that hangs in a drive cannot be waited for.
        let started = thread::Builder::new().spawn(move || shared.work(&events));
        started.inspect_err(|error| tracing::error!(%error, "cannot start a thread to erase with")).is_ok()
    };
    let started = (0..workers).filter(|_| spawn()).count();
    let mut watch = Watch { members, outcomes: BTreeMap::new() };
    if started == 0 {
        watch.not_begun("there are no threads to erase with");
    }
    let mut stopped: Option<Instant> = None;
    while watch.outcomes.len() < watch.members.len() {
        match received.recv_timeout(TICK) {
            Ok(Event::Report(number, report)) => watch.report(number, &report, observer),
            Ok(Event::Done(number, proof, outcome)) => {
                watch.done(number, *proof, outcome.map(drop), observer);
            }
            Err(_) => {}
        }
        match stopped {
            None if observer.cancelled() => {
                stopped = Some(Instant::now());
                watch.members.values().for_each(|member| member.control.cancel());
            }
            None => {
                let hanging = watch.give_up_overdue(Instant::now());
                if (0..hanging).filter(|_| spawn()).count() < hanging && watch.all_hang() {
                    watch.not_begun("all threads hang, and no other could be started");
                }
            }
            Some(since) if since.elapsed() > GRACE => watch.leave(),
            Some(_) => {}
        }
    }
    watch.outcomes
}

impl Shared {
    /// Takes lane after lane.
    fn work(&self, events: &Sender<Event>) {
        loop {
            let lane = self.lanes.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(lane) = lane else { return };
            let mut proven: BTreeMap<String, Proof> = BTreeMap::new();
            for (number, job) in lane {
                if let Some(proof) = proven.remove(&job.disk.name) {
                    if events.send(Event::Done(number, Box::new(proof), Ok(Vec::new()))).is_err() {
                        return;
                    }
                    continue;
                }
                let control = &self.controls[&number];
                control.begin();
                let mut proof = Box::new(begin(&job));
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    erase(self.source.as_ref(), &job, &self.policy, control, &mut proof)
                }))
                .unwrap_or_else(|_| {
                    Err(EraseError::Drive { details: "the program failed; see its log".to_owned() })
                });
                control.end();
                for name in outcome.iter().flatten() {
                    proven.insert(name.clone(), by_another_name(name, &proof));
                }
                if events.send(Event::Done(number, proof, outcome)).is_err() {
                    return;
                }
            }
        }
    }
}

struct Watch {
    members: BTreeMap<usize, Member>,
    outcomes: BTreeMap<usize, Outcome>,
}

impl Watch {
    fn report(&self, number: usize, report: &Report, observer: &dyn StepObserver) {
        if !self.outcomes.contains_key(&number) {
            let device = &self.members[&number].name;
            observer.progress(&report.stage, device, report.done, report.total, report.unit);
        }
    }

    /// The first word counts: who was given up may still say something.
    fn done(
        &mut self,
        number: usize,
        proof: Proof,
        outcome: Result<(), EraseError>,
        observer: &dyn StepObserver,
    ) {
        if self.outcomes.contains_key(&number) {
            return;
        }
        let touched = self.members[&number].control.touched();
        let outcome = match outcome {
            Ok(()) => Outcome::Proven(Box::new(proof)),
            Err(EraseError::Cancelled { state }) => stopped(proof, state, touched),
            Err(error) => failed(proof, chain(&error), touched),
        };
        observer.device_done(outcome.proof());
        self.outcomes.insert(number, outcome);
    }

    /// Fails devices that gave no sign of life, and those that wait behind them; the result is how many workers hang.
    fn give_up_overdue(&mut self, now: Instant) -> usize {
        let hanging: Vec<usize> = self
            .members
            .iter()
            .filter(|(number, member)| !self.outcomes.contains_key(number) && member.control.is_overdue(now))
            .map(|(number, _)| *number)
            .collect();
        for &number in &hanging {
            let member = &self.members[&number];
            member.control.cancel();
            let what = member.control.inside().unwrap_or_else(|| "the kernel's request".to_owned());
            let reason = format!("{what} has not ended in time; the drive may still be at work on it");
            let touched = member.control.touched();
            let (name, lane) = (member.name.clone(), member.lane);
            self.outcomes.insert(number, failed(member.proof.clone(), reason, touched));
            for (other, waiting) in self.members.iter().filter(|(_, other)| other.lane == lane) {
                waiting.control.cancel();
                let reason = format!("not begun: {name} on the same controller hangs");
                let proof = waiting.proof.clone();
                self.outcomes.entry(*other).or_insert_with(|| failed(proof, reason, false));
            }
        }
        hanging.len()
    }

    /// Whether every device that is at work was given up, so that nobody takes up those that wait.
    fn all_hang(&self) -> bool {
        let waiting = |number: &usize| !self.outcomes.contains_key(number);
        !self.members.iter().any(|(number, member)| waiting(number) && member.control.has_begun())
    }

    /// Fails all devices that nobody will take up.
    fn not_begun(&mut self, why: &str) {
        for (number, member) in &self.members {
            member.control.cancel();
            let outcome =
                || failed(member.proof.clone(), format!("not begun: {why}"), member.control.touched());
            self.outcomes.entry(*number).or_insert_with(outcome);
        }
    }

    /// Stops waiting for devices that do not stop.
    fn leave(&mut self) {
        for (number, member) in &self.members {
            let control = &member.control;
            self.outcomes.entry(*number).or_insert_with(|| {
                let state = match control.inside() {
                    Some(inside) => format!(
                        "{inside} goes on in the drive, which nothing can stop, and keeps the device busy; \
                         erase it again when it is done"
                    ),
                    None if !control.touched() => "untouched".to_owned(),
                    None => "the kernel's request has not ended; nothing is known of the content".to_owned(),
                };
                stopped(member.proof.clone(), state, control.touched())
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use tacit_model::{ProgressUnit, ProofResult};

    use super::*;

    /// Devices of which it was told that they are done.
    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl StepObserver for Told {
        fn progress(&self, _: &str, _: &str, _: u64, _: u64, _: ProgressUnit) {}

        fn cancelled(&self) -> bool {
            false
        }

        fn device_done(&self, proof: &Proof) {
            self.0.lock().unwrap().push(proof.device.clone());
        }
    }

    fn member(name: &str, lane: usize) -> Member {
        let proof = Proof { device: name.to_owned(), ..Proof::default() };
        Member { name: name.to_owned(), control: Arc::new(Control::new(|_| {})), lane, proof }
    }

    #[test]
    fn a_device_that_hangs_is_given_up_with_those_that_wait_behind_it() {
        let members = [member("/dev/nvme0n1", 0), member("/dev/nvme0n2", 0), member("/dev/sda", 1)];
        let members: BTreeMap<usize, Member> = members.into_iter().enumerate().collect();
        let mut watch = Watch { members, outcomes: BTreeMap::new() };
        for number in [0, 2] {
            watch.members[&number].control.begin();
        }
        watch.members[&0].control.touch();
        watch.members[&0].control.enter("nvme-format-user".to_owned(), Duration::ZERO);
        assert_eq!(watch.give_up_overdue(Instant::now() + TICK), 1);
        assert!(watch.members[&0].control.cancelled() && watch.members[&1].control.cancelled());
        assert!(!watch.members[&2].control.cancelled());
        match (&watch.outcomes[&0], &watch.outcomes[&1]) {
            (
                Outcome::Failed { proof, reason, touched: true },
                Outcome::Failed { reason: behind, touched: false, .. },
            ) => {
                assert!(reason.contains("nvme-format-user has not ended in time"), "{reason}");
                assert_eq!((proof.device.as_str(), proof.result), ("/dev/nvme0n1", ProofResult::Failed));
                assert!(behind.contains("/dev/nvme0n1"), "{behind}");
            }
            other => panic!("{other:?}"),
        }
        // What it says later changes nothing.
        let told = Told::default();
        watch.done(0, Proof::default(), Ok(()), &told);
        assert!(matches!(watch.outcomes[&0], Outcome::Failed { .. }));
        // Told once.
        assert_eq!(watch.give_up_overdue(Instant::now() + TICK), 0);
        // What becomes of the others is told at once.
        watch.done(2, Proof { device: "/dev/sda".to_owned(), ..Proof::default() }, Ok(()), &told);
        assert_eq!(*told.0.lock().unwrap(), ["/dev/sda"]);
    }

    #[test]
    fn a_stop_says_what_goes_on_inside_a_drive() {
        let members = [member("/dev/nvme0n1", 0), member("/dev/sdb", 1)].into_iter().enumerate().collect();
        let mut watch = Watch { members, outcomes: BTreeMap::new() };
        watch.members[&0].control.touch();
        watch.members[&0].control.enter("nvme-sanitize-block".to_owned(), TICK);
        watch.leave();
        let state = |number| match &watch.outcomes[&number] {
            Outcome::Stopped { state, .. } => state.clone(),
            other => panic!("{other:?}"),
        };
        assert!(state(0).contains("nvme-sanitize-block goes on in the drive"));
        assert_eq!(state(1), "untouched");
    }

    #[test]
    fn devices_that_nobody_can_take_up_have_failed() {
        let members = [member("/dev/sda", 0), member("/dev/sdb", 1)].into_iter().enumerate().collect();
        let mut watch = Watch { members, outcomes: BTreeMap::new() };
        watch.members[&0].control.begin();
        assert!(!watch.all_hang());
        watch.outcomes.insert(0, failed(Proof::default(), "it hangs".to_owned(), true));
        assert!(watch.all_hang());
        watch.not_begun("all threads hang");
        match &watch.outcomes[&1] {
            Outcome::Failed { proof, reason, touched: false } => {
                assert_eq!(
                    (reason.as_str(), proof.device.as_str()),
                    ("not begun: all threads hang", "/dev/sdb")
                );
            }
            other => panic!("{other:?}"),
        }
        // What hung is told as it was.
        assert!(matches!(&watch.outcomes[&0], Outcome::Failed { touched: true, .. }));
        assert!(watch.members[&1].control.cancelled());
    }
}
