//! Erasing drives that behave, and drives that do not.

use std::sync::Mutex;
use std::time::Duration;

use proptest::prelude::*;
use tacit_blockdev::{CommandError, Drive, Error, NvmeCommand, ScsiCommand, ScsiReply, Transfer};

use super::erase;
use crate::drives::sanitize::Overwrite;
use crate::drives::simulated::{Content, NvmeFault, NvmeIdentity, SimulatedClock, SimulatedNvme};
use crate::drives::{
    DriveError, DriveFacts, DriveHealth, DriveKind, EraseMethod, PROGRESS_WHOLE, Wait, identify,
};

const GIB: u64 = 1 << 30;
const MARK: [u8; 4096] = [0xa5; 4096];

struct Bench {
    drive: SimulatedNvme,
    clock: SimulatedClock,
    heard: Mutex<Vec<u64>>,
}

impl Bench {
    fn new(identity: NvmeIdentity) -> Self {
        Self::with_sector(identity, 512)
    }

    fn with_sector(identity: NvmeIdentity, sector: u32) -> Self {
        let clock = SimulatedClock::new();
        let drive = SimulatedNvme::new(Content::new(64 * GIB, sector), identity, clock.clone());
        drive.write_at(32 * GIB, &MARK).unwrap();
        Self { drive, clock, heard: Mutex::default() }
    }

    fn faulty(fault: NvmeFault) -> Self {
        let bench = Self::new(NvmeIdentity::default());
        bench.drive.set_fault(fault);
        bench
    }

    fn erase(&self, method: EraseMethod) -> Result<Vec<String>, DriveError> {
        self.erase_with(method, Overwrite::default(), &[])
    }

    fn erase_with(
        &self,
        method: EraseMethod,
        overwrite: Overwrite,
        others: &[u32],
    ) -> Result<Vec<String>, DriveError> {
        let progress = |part| self.heard.lock().unwrap().push(part);
        let wait = Wait { clock: &self.clock, progress: &progress, cancelled: &|| false };
        erase(&self.drive, method, overwrite, others, &wait)
    }

    fn mark_is_left(&self) -> bool {
        let mut found = [0; MARK.len()];
        self.drive.read_at(32 * GIB, &mut found).unwrap();
        found == MARK
    }
}

const ALL: [EraseMethod; 5] = [
    EraseMethod::NvmeSanitizeCrypto,
    EraseMethod::NvmeSanitizeBlock,
    EraseMethod::NvmeSanitizeOverwrite,
    EraseMethod::NvmeFormatCrypto,
    EraseMethod::NvmeFormatUser,
];

#[test]
fn every_method_erases_a_drive_that_behaves() {
    for (sector, metadata, protection) in [(512, 0, 0), (4096, 0, 0), (4096, 8, 0x09)] {
        for method in ALL {
            let identity = NvmeIdentity { metadata_bytes: metadata, protection, ..NvmeIdentity::default() };
            let bench = Bench::with_sector(identity, sector);
            assert!(bench.mark_is_left());
            let lines = bench.erase(method).unwrap();
            assert!(!lines.is_empty());
            assert!(!bench.mark_is_left(), "{method:?}");
            assert_eq!(bench.drive.logical_sector(), sector, "{method:?} changed the blocks");
        }
    }
}

#[test]
fn progress_is_what_the_drive_says() {
    let bench = Bench::new(NvmeIdentity::default());
    bench.erase(EraseMethod::NvmeSanitizeOverwrite).unwrap();
    // One pass of the sixteen that the drive estimates.
    assert!(bench.clock.elapsed() >= Duration::from_secs(100));
    assert!(bench.clock.elapsed() < Duration::from_secs(110));
    let heard = bench.heard.lock().unwrap();
    assert!(heard.len() > 10 && heard.is_sorted());
    assert!(heard.last().is_some_and(|part| *part > PROGRESS_WHOLE / 2 && *part < PROGRESS_WHOLE));
}

#[test]
fn passes_reach_the_drive() {
    let bench = Bench::new(NvmeIdentity::default());
    let overwrite = Overwrite { passes: 16, ..Overwrite::default() };
    bench.erase_with(EraseMethod::NvmeSanitizeOverwrite, overwrite, &[]).unwrap();
    assert!(bench.clock.elapsed() >= Duration::from_secs(1600));
    let none = Overwrite { passes: 0, ..Overwrite::default() };
    assert!(bench.erase_with(EraseMethod::NvmeSanitizeOverwrite, none, &[]).is_err());
}

#[test]
fn what_is_not_supported_is_not_sent() {
    let identity = NvmeIdentity { sanitize: 0, optional_admin: 0, format: 0, ..NvmeIdentity::default() };
    let bench = Bench::new(identity);
    for method in ALL {
        let error = bench.erase(method).unwrap_err();
        assert!(matches!(error, DriveError::Unsupported { .. }), "{method:?}: {error:?}");
        assert!(!error.still_working());
    }
    assert!(bench.mark_is_left());
    let sent = bench.drive.opcodes();
    assert!(!sent.contains(&0x80) && !sent.contains(&0x84), "{sent:?}");
}

/// Such a drive takes the command all the same, with success, and keeps its key.
#[test]
fn a_crypto_format_that_is_not_advertised_is_not_tried() {
    let bench = Bench::new(NvmeIdentity { format: 0, ..NvmeIdentity::default() });
    assert!(matches!(bench.erase(EraseMethod::NvmeFormatCrypto), Err(DriveError::Unsupported { .. })));
    assert!(!bench.drive.opcodes().contains(&0x80));
}

#[test]
fn a_sanitize_that_fails_half_way_is_a_failure_until_another_succeeds() {
    let bench = Bench::faulty(NvmeFault::SanitizeFails(0x8000));
    let error = bench.erase(EraseMethod::NvmeSanitizeBlock).unwrap_err();
    assert!(matches!(error, DriveError::Failed { .. }), "{error:?}");
    assert!(!error.still_working());
    let facts = identify(&bench.drive, DriveKind::Nvme);
    assert!(facts.sanitize_failed && facts.sanitizing.is_none());
    let format = facts.capability(EraseMethod::NvmeFormatUser).unwrap();
    assert!(format.unusable.is_some());
    // The drive takes no format in this state, and lets nobody out of it.
    let error = bench.erase(EraseMethod::NvmeFormatUser).unwrap_err();
    assert!(matches!(error, DriveError::Unusable { .. }), "{error:?}");
    assert!(bench.drive.read_at(0, &mut [0; 512]).is_err());
    bench.drive.set_fault(NvmeFault::None);
    bench.erase(EraseMethod::NvmeSanitizeCrypto).unwrap();
    assert!(!bench.mark_is_left());
}

#[test]
fn a_failure_mode_that_somebody_left_open_is_left_for_a_format() {
    let bench = Bench::faulty(NvmeFault::SanitizeFails(1));
    // Block erase with unrestricted exit.
    bench.drive.start_sanitize(2 | 8);
    bench.clock.advance(Duration::from_secs(10));
    bench.erase(EraseMethod::NvmeFormatUser).unwrap();
    assert!(!bench.mark_is_left());
}

#[test]
fn an_operation_under_way_is_joined_and_not_started_twice() {
    let bench = Bench::new(NvmeIdentity::default());
    bench.drive.start_sanitize(2);
    bench.clock.advance(Duration::from_secs(5));
    let facts = identify(&bench.drive, DriveKind::Nvme);
    assert!(facts.sanitizing.is_some_and(|part| part > 0x3000 && part < 0x5000), "{:?}", facts.sanitizing);
    let lines = bench.erase(EraseMethod::NvmeSanitizeBlock).unwrap();
    assert!(lines[0].contains("joined"), "{lines:?}");
    assert_eq!(bench.drive.sanitizes_started(), 1);
    assert!(!bench.mark_is_left());
}

#[test]
fn an_operation_of_another_kind_is_waited_for() {
    let bench = Bench::new(NvmeIdentity::default());
    bench.drive.start_sanitize(2);
    bench.erase(EraseMethod::NvmeSanitizeCrypto).unwrap();
    assert_eq!(bench.drive.sanitizes_started(), 2);
    bench.drive.start_sanitize(2);
    bench.erase(EraseMethod::NvmeFormatUser).unwrap();
    assert_eq!(bench.drive.sanitizes_started(), 3);
}

#[test]
fn a_lost_answer_does_not_start_it_twice() {
    for fault in [NvmeFault::AnswerLost, NvmeFault::AnswerCut] {
        let bench = Bench::faulty(fault);
        bench.erase(EraseMethod::NvmeSanitizeBlock).unwrap();
        assert_eq!(bench.drive.sanitizes_started(), 1, "{fault:?}");
    }
}

#[test]
fn a_wait_that_is_ended_leaves_the_drive_at_work() {
    let bench = Bench::new(NvmeIdentity::default());
    let stopped = Wait { clock: &bench.clock, progress: &|_| (), cancelled: &|| true };
    // The second time it is joined, and so is the third, which would format.
    for method in
        [EraseMethod::NvmeSanitizeBlock, EraseMethod::NvmeSanitizeBlock, EraseMethod::NvmeFormatUser]
    {
        let error = erase(&bench.drive, method, Overwrite::default(), &[], &stopped).unwrap_err();
        assert!(matches!(error, DriveError::Left { .. }) && error.still_working(), "{error:?}");
    }
    assert_eq!(bench.drive.sanitizes_started(), 1);
    assert!(identify(&bench.drive, DriveKind::Nvme).sanitizing.is_some());
}

#[test]
fn a_drive_that_ignores_the_command_has_not_sanitized() {
    let bench = Bench::new(NvmeIdentity::default());
    // The log tells of a success, though not of this one.
    bench.erase(EraseMethod::NvmeSanitizeCrypto).unwrap();
    bench.drive.write_at(32 * GIB, &MARK).unwrap();
    bench.drive.set_fault(NvmeFault::Ignores);
    let error = bench.erase(EraseMethod::NvmeSanitizeBlock).unwrap_err();
    assert!(matches!(error, DriveError::Unproven { .. }), "{error:?}");
}

/// Nothing of the protocol shows it: this is what marks are for.
#[test]
fn a_drive_that_lies_is_only_found_out_by_its_content() {
    for method in ALL {
        let bench = Bench::new(NvmeIdentity::default());
        bench.drive.content.set_keeps(true);
        bench.erase(method).unwrap();
        assert!(bench.mark_is_left(), "{method:?}");
    }
}

#[test]
fn a_drive_that_vanishes_is_lost_and_may_go_on() {
    let bench = Bench::faulty(NvmeFault::Vanishes(0x4000));
    let error = bench.erase(EraseMethod::NvmeSanitizeBlock).unwrap_err();
    assert!(matches!(error, DriveError::Lost { .. }), "{error:?}");
    assert!(error.still_working());
    // At once, not after minutes of patience.
    assert!(bench.clock.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_reset_of_the_controller_is_outlived() {
    let bench = Bench::faulty(NvmeFault::Resets(0x2000));
    bench.erase(EraseMethod::NvmeSanitizeOverwrite).unwrap();
    assert!(!bench.mark_is_left());
    assert_eq!(bench.drive.sanitizes_started(), 1);
}

#[test]
fn a_drive_that_hangs_is_given_up_at_the_deadline() {
    let bench = Bench::faulty(NvmeFault::SanitizeHangs(0x8000));
    let error = bench.erase(EraseMethod::NvmeSanitizeCrypto).unwrap_err();
    assert!(matches!(error, DriveError::Unfinished { .. }), "{error:?}");
    assert!(error.still_working());
    assert!(bench.clock.elapsed() <= Duration::from_secs(3600));
    // Asked again, it is still at the same.
    assert!(bench.erase(EraseMethod::NvmeSanitizeCrypto).is_err());
    assert_eq!(bench.drive.sanitizes_started(), 1);

    let bench = Bench::faulty(NvmeFault::FormatHangs);
    let error = bench.erase(EraseMethod::NvmeFormatUser).unwrap_err();
    assert!(error.still_working(), "{error:?}");
    assert!(bench.clock.elapsed() > Duration::from_secs(60));
}

#[test]
fn the_media_verification_state_is_left() {
    let bench = Bench::faulty(NvmeFault::StopsForVerification);
    bench.erase(EraseMethod::NvmeSanitizeBlock).unwrap();
    assert!(!bench.mark_is_left());
}

#[test]
fn a_format_that_changes_the_blocks_is_no_success() {
    let bench = Bench::faulty(NvmeFault::FormatChangesBlocks);
    let error = bench.erase(EraseMethod::NvmeFormatUser).unwrap_err();
    assert!(matches!(error, DriveError::Unproven { .. }), "{error:?}");
}

#[test]
fn other_namespaces_are_not_reached_by_accident() {
    let identity = || NvmeIdentity { namespaces: vec![1, 2], format: 4 | 2, ..NvmeIdentity::default() };
    for method in ALL {
        let bench = Bench::new(identity());
        let error = bench.erase(method).unwrap_err();
        assert!(matches!(error, DriveError::Unusable { .. }), "{method:?}: {error:?}");
        assert!(error.to_string().contains("namespaces 2 "), "{error}");
        assert!(bench.mark_is_left());
        // One that another machine has, or nobody, is not among those that are erased in the same run.
        assert!(bench.erase_with(method, Overwrite::default(), &[3]).is_err());
        bench.erase_with(method, Overwrite::default(), &[2]).unwrap();
        assert!(!bench.mark_is_left(), "{method:?}");
    }
    let bench = Bench::new(NvmeIdentity { format: 4, ..identity() });
    bench.erase(EraseMethod::NvmeFormatUser).unwrap();
}

#[test]
fn facts_are_what_the_drive_tells() {
    let bench = Bench::with_sector(NvmeIdentity::default(), 4096);
    let facts = identify(&bench.drive, DriveKind::Nvme);
    assert_eq!(facts.serial.as_deref(), Some("SIM0001"));
    assert_eq!(facts.model.as_deref(), Some("Simulated NVMe"));
    assert_eq!(facts.firmware.as_deref(), Some("1.0.0"));
    assert_eq!(facts.wwn.as_deref(), Some("eui.abababababababababababababababab"));
    let capacity = facts.capacity.unwrap();
    assert_eq!((capacity.bytes, capacity.logical_sector), (64 * GIB, 4096));
    assert_eq!(facts.health, DriveHealth::Good);
    assert!(facts.provisioning.reads_zeroes);
    assert!(facts.unanswered.is_empty(), "{:?}", facts.unanswered);
    let block = facts.capability(EraseMethod::NvmeSanitizeBlock).unwrap();
    assert_eq!((block.estimated_seconds, &block.unusable), (Some(20), &None));
    let overwrite = facts.capability(EraseMethod::NvmeSanitizeOverwrite).unwrap();
    assert_eq!(overwrite.estimated_seconds, Some(100));
    assert!(ALL.into_iter().all(|method| facts.capability(method).is_some()));
}

#[test]
fn a_drive_that_is_gone_leaves_gaps() {
    let bench = Bench::new(NvmeIdentity::default());
    bench.drive.content.set_gone(true);
    let facts = identify(&bench.drive, DriveKind::Nvme);
    assert!(facts.erase.is_empty() && !facts.unanswered.is_empty());
    assert_eq!(facts.health, DriveFacts::default().health);
}

/// Takes every command and answers with the same bytes again and again.
struct Babbler {
    bytes: Vec<u8>,
}

impl Drive for Babbler {
    fn size_bytes(&self) -> u64 {
        GIB
    }

    fn logical_sector(&self) -> u32 {
        512
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn read_at(&self, _: u64, buf: &mut [u8]) -> Result<(), Error> {
        buf.fill(0);
        Ok(())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn discard(&self, _: u64, _: u64) -> Result<(), Error> {
        Ok(())
    }

    fn flush(&self) -> Result<(), Error> {
        Ok(())
    }

    fn nvme(&self, _: &NvmeCommand, data: Transfer<'_>) -> Result<u32, CommandError> {
        if let Transfer::FromDevice(buffer) = data {
            buffer.iter_mut().zip(self.bytes.iter().cycle()).for_each(|(to, from)| *to = *from);
        }
        Ok(0)
    }

    fn nvme_namespace(&self) -> Result<u32, CommandError> {
        Ok(1)
    }

    fn scsi(&self, _: &ScsiCommand<'_>, _: Transfer<'_>) -> Result<ScsiReply, CommandError> {
        Err(CommandError::NoPassThrough)
    }

    fn opal_revert_by_psid(&self, _: &str) -> Result<(), CommandError> {
        Err(CommandError::NoPassThrough)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a drive babbles, every question and every wait comes to an end.
    #[test]
    fn babble_neither_panics_nor_hangs(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(0xff)], 1..5000),
        image in proptest::collection::vec(any::<u8>(), 0..3000),
    ) {
        let drive = Babbler { bytes };
        let clock = SimulatedClock::new();
        let facts = identify(&drive, DriveKind::Nvme);
        prop_assert!(facts.erase.len() < 10);
        for method in ALL {
            let wait = Wait { clock: &clock, progress: &|_| (), cancelled: &|| false };
            let outcome = erase(&drive, method, Overwrite::default(), &[2, 3], &wait);
            prop_assert!(outcome.is_ok() || outcome.is_err_and(|error| !error.to_string().is_empty()));
        }
        let controller = super::Controller::read(&drive).unwrap();
        let slots = super::FirmwareSlots::read(&drive).unwrap();
        if let Ok(slot) = slots.choose(&controller, None) {
            prop_assert!((1..=7).contains(&slot));
        }
        let sent = super::download(&drive, &controller, &image, &|_| ());
        prop_assert_eq!(sent.is_ok(), !image.is_empty() && image.len() % 4 == 0);
    }
}
