//! Stops that come between the marks and the method.

use std::sync::Arc;

use tacit_blockdev::{CommandError, Drive, Error, NvmeCommand, ScsiCommand, ScsiReply, Transfer};

use super::{Bench, MIB};
use crate::drives::DriveKind;
use crate::drives::simulated::{Content, ScsiTraits, SimulatedClock, SimulatedScsi};
use crate::erase::canary::Canaries;
use crate::erase::control::Control;
use crate::erase::error::EraseError;
use crate::erase::execute::{Job, begin, erase};
use crate::erase::method::Method;
use crate::erase::noise::Noise;
use crate::erase::policy::Policy;
use crate::erase::recheck::{Scope, asked};

/// A drive whose work is given up while it flushes.
struct GivenUp {
    drive: Arc<SimulatedScsi>,
    control: Arc<Control>,
}

impl Drive for GivenUp {
    fn size_bytes(&self) -> u64 {
        self.drive.size_bytes()
    }

    fn logical_sector(&self) -> u32 {
        self.drive.logical_sector()
    }

    fn is_read_only(&self) -> bool {
        self.drive.is_read_only()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        self.drive.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Error> {
        self.drive.write_at(offset, buf)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<(), Error> {
        self.drive.discard(offset, len)
    }

    fn flush(&self) -> Result<(), Error> {
        self.control.cancel();
        self.drive.flush()
    }

    fn nvme(&self, command: &NvmeCommand, data: Transfer<'_>) -> Result<u32, CommandError> {
        self.drive.nvme(command, data)
    }

    fn scsi(&self, command: &ScsiCommand<'_>, data: Transfer<'_>) -> Result<ScsiReply, CommandError> {
        self.drive.scsi(command, data)
    }

    fn opal_revert_by_psid(&self, psid: &str) -> Result<(), CommandError> {
        self.drive.opal_revert_by_psid(psid)
    }
}

#[test]
fn a_drive_that_was_given_up_during_the_marks_is_not_told_to_erase_itself() {
    let clock = SimulatedClock::new();
    let drive = Arc::new(SimulatedScsi::new(Content::new(16 * MIB, 512), &clock, ScsiTraits::default()));
    let control = Arc::new(Control::new(|_| {}));
    let mut bench = Bench::new(&clock);
    let given_up = Arc::new(GivenUp { drive: drive.clone(), control: control.clone() });
    bench.put("/dev/sda", DriveKind::Scsi, given_up);
    let disk = bench.disks().remove(0);
    let job = Job {
        facts: asked(&bench, drive.as_ref(), &disk),
        methods: vec![Method::by_name("scsi-sanitize-block").unwrap()],
        companions: Vec::new(),
        aliases: Vec::new(),
        scope: Arc::new(Scope { disks: vec![disk.clone()], ..Scope::default() }),
        disk,
    };
    let notes = bench.notes();
    let mut proof = begin(&job);
    let error = erase(&bench, &job, &Policy::default(), &control, &mut proof).unwrap_err();
    let EraseError::Cancelled { state } = error else { panic!("{error}") };
    assert!(state.contains("nothing is erased"), "{state}");
    assert!(!drive.commands().contains(&0x48));
    assert!(notes.lock().unwrap().is_empty());
}

#[test]
fn no_mark_is_written_for_a_caller_that_is_gone() {
    let content = Content::new(16 * MIB, 512);
    let drive = SimulatedScsi::new(content, &SimulatedClock::new(), ScsiTraits::default());
    let control = Control::new(|_| {});
    control.cancel();
    let placed = Canaries::place(&drive, Noise(1), &control);
    assert!(matches!(placed, Err(EraseError::Cancelled { .. })), "{placed:?}");
    assert_eq!(drive.content().writes(), 0);
}
