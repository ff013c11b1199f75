use std::cell::RefCell;
use std::time::Duration;

use super::*;
use crate::drives::sanitize::Overwrite;
use crate::drives::simulated::{Content, Misbehaviour, ScsiTraits, SimulatedClock, SimulatedScsi};
use crate::drives::{
    DriveError, DriveFacts, DriveHealth, DriveKind, EraseMethod, Reservations, Sanitize, Wait, identify,
};
use tacit_blockdev::Drive as _;

const SIZE: u64 = 3 << 30;
const MARK: [u8; 512] = [0xa5; 512];
const PLACES: [u64; 3] = [0, SIZE / 2 + 4096, SIZE - 512];

fn drive(traits: ScsiTraits) -> (SimulatedScsi, SimulatedClock) {
    let clock = SimulatedClock::new();
    let drive = SimulatedScsi::new(Content::new(SIZE, 512), &clock, traits);
    for place in PLACES {
        drive.write_at(place, &MARK).unwrap();
    }
    (drive, clock)
}

fn wait(clock: &SimulatedClock) -> Wait<'_> {
    Wait { clock, progress: &|_| {}, cancelled: &|| false }
}

/// How many of the marks can still be read.
fn survivors(drive: &SimulatedScsi) -> usize {
    let mut sector = [0; 512];
    let survives = |place: &&u64| {
        drive.read_at(**place, &mut sector).unwrap();
        sector == MARK
    };
    PLACES.iter().filter(survives).count()
}

fn facts(drive: &SimulatedScsi) -> DriveFacts {
    identify(drive, DriveKind::Scsi)
}

const SANITIZES: [(EraseMethod, Sanitize); 3] = [
    (EraseMethod::ScsiSanitizeCrypto, Sanitize::Crypto),
    (EraseMethod::ScsiSanitizeBlock, Sanitize::Block),
    (
        EraseMethod::ScsiSanitizeOverwrite,
        Sanitize::Overwrite(Overwrite { passes: 3, pattern: 0x55aa_55aa, invert: true }),
    ),
];

#[test]
fn what_a_drive_says_of_itself() {
    let (drive, _) = drive(ScsiTraits { attentions: 2, ..ScsiTraits::default() });
    let facts = facts(&drive);
    assert_eq!(facts.unanswered, Vec::<String>::new());
    assert_eq!(facts.kind, DriveKind::Scsi);
    assert_eq!((facts.vendor.as_deref(), facts.model.as_deref()), (Some("TACIT"), Some("Simulated disk")));
    assert_eq!((facts.serial.as_deref(), facts.firmware.as_deref()), (Some("SIM0SCSI"), Some("0001")));
    assert_eq!(facts.wwn.as_deref(), Some("0x5000c50000000001"));
    assert_eq!(facts.rotational, Some(false));
    let capacity = facts.capacity.unwrap();
    assert_eq!((capacity.bytes, capacity.logical_sector), (SIZE, 512));
    assert_eq!((facts.health, facts.reservations), (DriveHealth::Good, Reservations::None));
    assert!(facts.provisioning.unmap && facts.provisioning.reads_zeroes);
    let methods: Vec<_> = facts.erase.iter().map(|known| known.method).collect();
    let wanted = [
        EraseMethod::ScsiSanitizeCrypto,
        EraseMethod::ScsiSanitizeBlock,
        EraseMethod::ScsiSanitizeOverwrite,
        EraseMethod::Unmap { zeroes_guaranteed: true },
        EraseMethod::ScsiWriteSame,
    ];
    assert_eq!(methods, wanted);
    assert!(facts.erase.iter().all(|known| known.unusable.is_none()));
}

#[test]
fn a_failing_4kn_disk_that_can_do_little() {
    let clock = SimulatedClock::new();
    let traits = ScsiTraits {
        rotation: 10_000,
        unmap: false,
        write_same_unmaps: false,
        reads_zeroes: false,
        sanitize_crypto: false,
        sanitize_block: false,
        sanitize_overwrite: false,
        exception: (0x5d, 0x10),
        ..ScsiTraits::default()
    };
    let drive = SimulatedScsi::new(Content::new(1 << 30, 4096), &clock, traits);
    let facts = facts(&drive);
    assert_eq!((facts.rotational, facts.rotation_rpm), (Some(true), Some(10_000)));
    assert_eq!(facts.capacity.map(|capacity| capacity.logical_sector), Some(4096));
    assert!(matches!(facts.health, DriveHealth::Failing(_)));
    assert_eq!(facts.erase.len(), 1);
    assert!(matches!(unmap(&drive, &wait(&clock)), Err(DriveError::Unsupported { .. })));
    let refused = sanitize(&drive, Sanitize::Block, &wait(&clock));
    assert!(matches!(refused, Err(DriveError::Unsupported { .. })), "{refused:?}");
    // A disk with 4096-byte sectors takes blocks of them.
    drive.write_at(0, &MARK).unwrap();
    write_same(&drive, &wait(&clock)).unwrap();
    let mut sector = [1; 512];
    drive.read_at(0, &mut sector).unwrap();
    assert_eq!(sector, [0; 512]);
}

#[test]
fn identifying_changes_nothing() {
    let (drive, _) = drive(ScsiTraits::default());
    facts(&drive);
    // INQUIRY, READ CAPACITY, PERSISTENT RESERVE IN, LOG SENSE, REQUEST SENSE, REPORT SUPPORTED OPERATION CODES,
    // SECURITY PROTOCOL IN.
    let harmless = [0x12, 0x9e, 0x5e, 0x4d, 0x03, 0xa3, 0xa2];
    assert!(drive.commands().iter().all(|command| harmless.contains(command)));
    assert_eq!(survivors(&drive), 3);
}

#[test]
fn sanitize_empties_the_drive() {
    for no_unrestricted_exit in [false, true] {
        for (_, what) in SANITIZES {
            let traits = ScsiTraits { attentions: 1, no_unrestricted_exit, ..ScsiTraits::default() };
            let (drive, clock) = drive(traits);
            let heard = RefCell::new(Vec::new());
            let wait = Wait {
                clock: &clock,
                progress: &|share| heard.borrow_mut().push(share),
                cancelled: &|| false,
            };
            let evidence = sanitize(&drive, what, &wait).unwrap();
            assert!(evidence.iter().any(|line| line.contains("in progress, the last time")), "{evidence:?}");
            assert_eq!(survivors(&drive), 0);
            let heard = heard.into_inner();
            assert!(heard.len() > 10 && heard.is_sorted() && heard.last() == Some(&65_536), "{heard:?}");
            assert!(
                clock.elapsed() >= Duration::from_secs(120) && clock.elapsed() < Duration::from_secs(130)
            );
        }
    }
}

#[test]
fn a_sanitize_that_fails_half_way_is_left() {
    for (_, what) in SANITIZES {
        let traits = ScsiTraits { misbehaviour: Misbehaviour::FailsHalfWay, ..ScsiTraits::default() };
        let (drive, clock) = drive(traits);
        let failed = sanitize(&drive, what, &wait(&clock));
        assert!(matches!(failed, Err(DriveError::Failed { .. })), "{failed:?}");
        assert_eq!(survivors(&drive), 2);
        assert!(!facts(&drive).sanitize_failed);
    }
}

#[test]
fn a_drive_that_cannot_be_led_out_of_its_failure_says_so() {
    let traits = ScsiTraits {
        misbehaviour: Misbehaviour::FailsHalfWay,
        no_unrestricted_exit: true,
        ..ScsiTraits::default()
    };
    let (drive, clock) = drive(traits);
    assert!(matches!(sanitize(&drive, Sanitize::Block, &wait(&clock)), Err(DriveError::Failed { .. })));
    let facts = facts(&drive);
    assert!(facts.sanitize_failed);
    let unmap = facts.capability(EraseMethod::Unmap { zeroes_guaranteed: true }).unwrap();
    assert!(unmap.unusable.as_ref().unwrap().contains("failed"));
    // Another sanitize is the way out.
    assert_eq!(facts.capability(EraseMethod::ScsiSanitizeCrypto).unwrap().unusable, None);
}

#[test]
fn hanging_vanishing_and_lying() {
    let (hanging, clock) = drive(ScsiTraits { misbehaviour: Misbehaviour::Hangs, ..ScsiTraits::default() });
    let error = sanitize(&hanging, Sanitize::Crypto, &wait(&clock)).unwrap_err();
    assert!(matches!(error, DriveError::Unfinished { .. }) && error.still_working(), "{error:?}");
    assert!(clock.elapsed() < Duration::from_secs(2 * 3600));
    assert_eq!(facts(&hanging).sanitizing, Some(32_768));

    let (vanishing, clock) =
        drive(ScsiTraits { misbehaviour: Misbehaviour::Vanishes, ..ScsiTraits::default() });
    let error = sanitize(&vanishing, Sanitize::Block, &wait(&clock)).unwrap_err();
    assert!(matches!(error, DriveError::Lost { .. }) && error.still_working(), "{error:?}");
    assert!(clock.elapsed() < Duration::from_secs(120));

    let (lying, clock) = drive(ScsiTraits { misbehaviour: Misbehaviour::Lies, ..ScsiTraits::default() });
    assert!(sanitize(&lying, Sanitize::Block, &wait(&clock)).is_ok());
    assert_eq!(survivors(&lying), 3);
}

#[test]
fn what_takes_no_commands_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    std::fs::write(&path, [0; 4096]).unwrap();
    let device = tacit_blockdev::Device::open(&path, tacit_blockdev::Access::ReadWrite).unwrap();
    assert_eq!(settle(&device, &wait(&SimulatedClock::new())).unwrap(), None);
}

#[test]
fn a_sanitize_that_somebody_else_began_is_waited_for() {
    let (drive, clock) = drive(ScsiTraits::default());
    assert_eq!(settle(&drive, &wait(&clock)).unwrap(), None);
    drive.begin_sanitize();
    assert!(drive.read_at(0, &mut [0; 512]).is_err());
    let facts = facts(&drive);
    assert!(facts.sanitizing.is_some());
    assert!(facts.erase.iter().all(|known| known.unusable.is_some()), "{:?}", facts.erase);
    assert!(settle(&drive, &wait(&clock)).unwrap().is_some());
    assert_eq!(survivors(&drive), 0);
}

#[test]
fn unmapping_by_either_command_leaves_nothing_out() {
    for write_same_unmaps in [false, true] {
        let traits = ScsiTraits { write_same_unmaps, unmap_blocks: 0x1_0001, ..ScsiTraits::default() };
        let (drive, clock) = drive(traits);
        let heard = RefCell::new(Vec::new());
        let wait =
            Wait { clock: &clock, progress: &|share| heard.borrow_mut().push(share), cancelled: &|| false };
        let evidence = unmap(&drive, &wait).unwrap();
        assert_eq!(evidence[0].contains("promises zeros"), write_same_unmaps, "{evidence:?}");
        let method = EraseMethod::Unmap { zeroes_guaranteed: write_same_unmaps };
        assert!(facts(&drive).erase.iter().any(|known| known.method == method));
        assert!(drive.commands().contains(if write_same_unmaps { &0x93 } else { &0x42 }));
        assert_eq!(survivors(&drive), 0);
        let heard = heard.into_inner();
        assert!(heard.is_sorted() && heard.last() == Some(&65_536));
    }
}

#[test]
fn zeros_that_the_drive_writes() {
    let (drive, clock) = drive(ScsiTraits::default());
    write_same(&drive, &wait(&clock)).unwrap();
    assert_eq!(survivors(&drive), 0);
    let stopped = write_same(&drive, &Wait { cancelled: &|| true, ..wait(&clock) });
    assert!(matches!(stopped, Err(DriveError::Cancelled { .. })));
    drive.content().set_read_only(true);
    assert!(matches!(write_same(&drive, &wait(&clock)), Err(DriveError::Refused { .. })));
}

#[test]
fn keys_of_others() {
    let (shared, _) =
        drive(ScsiTraits { keys: vec![0xabc, 0xdef], holder: Some(0xabc), ..ScsiTraits::default() });
    let wanted = Reservations::Registered { keys: vec![0xabc, 0xdef], holder: Some(0xabc) };
    assert_eq!(facts(&shared).reservations, wanted);
    let (registered, _) = drive(ScsiTraits { keys: vec![1], ..ScsiTraits::default() });
    assert_eq!(facts(&registered).reservations, Reservations::Registered { keys: vec![1], holder: None });
}

#[test]
fn a_drive_without_a_medium_or_without_a_word() {
    let clock = SimulatedClock::new();
    let empty = SimulatedScsi::new(Content::new(0, 512), &clock, ScsiTraits::default());
    let known = facts(&empty);
    assert_eq!(known.capacity.unwrap().bytes, 0);
    assert!(unmap(&empty, &wait(&clock)).is_ok());
    empty.content().set_gone(true);
    let facts = facts(&empty);
    assert!(facts.erase.is_empty());
    assert!(facts.unanswered[0].contains("INQUIRY"), "{:?}", facts.unanswered);
}

#[test]
fn a_start_without_an_answer_and_a_wait_that_was_ended_leave_the_drive_at_work() {
    let (mute, clock) = drive(ScsiTraits { misbehaviour: Misbehaviour::AnswerLost, ..ScsiTraits::default() });
    let lost = sanitize(&mute, Sanitize::Block, &wait(&clock)).unwrap_err();
    assert!(matches!(lost, DriveError::Lost { .. }) && lost.still_working(), "{lost:?}");
    assert!(facts(&mute).sanitizing.is_some());

    let (left, clock) = drive(ScsiTraits::default());
    let stopped = Wait { cancelled: &|| true, ..wait(&clock) };
    for _ in 0..2 {
        // The second time it is found at work, and the wait for that is ended, too.
        let error = sanitize(&left, Sanitize::Block, &stopped).unwrap_err();
        assert!(matches!(error, DriveError::Left { .. }) && error.still_working(), "{error:?}");
        assert!(facts(&left).sanitizing.is_some());
    }
    assert!(clock.elapsed() < Duration::from_secs(10));
}
