use std::cell::RefCell;
use std::time::Duration;

use super::security::recover;
use super::*;
use crate::drives::sanitize::Overwrite;
use crate::drives::simulated::{
    AtaTraits, Content, Misbehaviour, SimulatedAta, SimulatedClock, SimulatedTcg,
};
use crate::drives::{
    DriveError, DriveFacts, DriveHealth, DriveKind, EraseMethod, Reservations, Sanitize, Wait, identify,
};
use tacit_blockdev::Drive as _;

const SIZE: u64 = 1 << 34;
const MARK: [u8; 512] = [0xa5; 512];
const PLACES: [u64; 3] = [0, SIZE / 2 + 4096, SIZE - 512];

fn drive(traits: AtaTraits) -> (SimulatedAta, SimulatedClock) {
    let clock = SimulatedClock::new();
    let drive = SimulatedAta::new(Content::new(SIZE, 512), &clock, traits);
    for place in PLACES {
        drive.content().write_at(place, &MARK).unwrap();
    }
    (drive, clock)
}

fn wait(clock: &SimulatedClock) -> Wait<'_> {
    Wait { clock, progress: &|_| {}, cancelled: &|| false }
}

/// How many of the marks can still be read.
fn survivors(drive: &SimulatedAta) -> usize {
    let mut sector = [0; 512];
    let survives = |place: &&u64| {
        drive.read_at(**place, &mut sector).unwrap();
        sector == MARK
    };
    PLACES.iter().filter(survives).count()
}

fn facts(drive: &SimulatedAta) -> DriveFacts {
    identify(drive, DriveKind::Scsi)
}

fn unusable(facts: &DriveFacts, method: EraseMethod) -> Option<String> {
    facts.capability(method).unwrap().unusable.clone()
}

const SANITIZES: [(EraseMethod, Sanitize); 3] = [
    (EraseMethod::AtaSanitizeCrypto, Sanitize::Crypto),
    (EraseMethod::AtaSanitizeBlock, Sanitize::Block),
    (
        EraseMethod::AtaSanitizeOverwrite,
        Sanitize::Overwrite(Overwrite { passes: 16, pattern: 0xa5a5_a55a, invert: true }),
    ),
];

#[test]
fn what_a_drive_says_of_itself() {
    let (drive, _) = drive(AtaTraits { hidden_sectors: 2048, ..AtaTraits::default() });
    let facts = facts(&drive);
    assert_eq!(facts.unanswered, Vec::<String>::new());
    assert_eq!(facts.kind, DriveKind::Ata);
    assert_eq!(facts.model.as_deref(), Some("Simulated ATA drive"));
    assert_eq!((facts.serial.as_deref(), facts.firmware.as_deref()), (Some("SIM0ATA"), Some("FW01")));
    assert_eq!(facts.wwn.as_deref(), Some("0x5002538800000001"));
    assert_eq!((facts.rotational, facts.rotation_rpm), (Some(false), None));
    let capacity = facts.capacity.unwrap();
    assert_eq!((capacity.bytes, capacity.logical_sector, capacity.physical_sector), (SIZE, 512, 4096));
    assert_eq!(facts.hidden_bytes, Some(2048 * 512));
    assert_eq!((facts.health.clone(), facts.reservations.clone()), (DriveHealth::Good, Reservations::None));
    assert!(facts.erase.iter().all(|known| known.unusable.is_none()));
    assert_eq!(facts.erase.len(), 6);
    let erase = facts.capability(EraseMethod::AtaSecurityErase { enhanced: true }).unwrap();
    assert_eq!(erase.estimated_seconds, Some(120));
    assert_eq!(facts.erase.last().unwrap().method, EraseMethod::Unmap { zeroes_guaranteed: true });
}

#[test]
fn a_4kn_drive_without_anything() {
    let clock = SimulatedClock::new();
    let traits = AtaTraits {
        security: false,
        sanitize_crypto: false,
        sanitize_block: false,
        sanitize_overwrite: false,
        trim: false,
        rotation: 7200,
        failing: true,
        ..AtaTraits::default()
    };
    let drive = SimulatedAta::new(Content::new(1 << 30, 4096), &clock, traits);
    let facts = facts(&drive);
    assert_eq!(facts.capacity.map(|capacity| capacity.logical_sector), Some(4096));
    assert_eq!(facts.capacity.map(|capacity| capacity.bytes), Some(1 << 30));
    assert_eq!((facts.rotational, facts.rotation_rpm), (Some(true), Some(7200)));
    assert!(matches!(facts.health, DriveHealth::Failing(_)));
    assert!(facts.erase.is_empty());
    assert!(matches!(erase(&drive, false, &wait(&clock)), Err(DriveError::Unsupported { .. })));
    assert!(matches!(trim(&drive, &wait(&clock)), Err(DriveError::Unsupported { .. })));
    let refused = sanitize(&drive, Sanitize::Crypto, &wait(&clock));
    assert!(matches!(refused, Err(DriveError::Unsupported { .. })));
}

#[test]
fn identifying_changes_nothing() {
    let (drive, _) = drive(AtaTraits::default());
    drive.lock_with("tacit");
    facts(&drive);
    // IDENTIFY DEVICE, SMART, SANITIZE STATUS.
    assert_eq!(drive.commands(), [0xec, 0xb0, 0xb4]);
    assert!(drive.has_password());
}

#[test]
fn security_erase_empties_the_drive_and_leaves_no_password() {
    for enhanced in [false, true] {
        let (drive, clock) = drive(AtaTraits::default());
        let evidence = erase(&drive, enhanced, &wait(&clock)).unwrap();
        assert!(evidence.iter().any(|line| line.contains("security is not enabled")), "{evidence:?}");
        assert_eq!(survivors(&drive), 0);
        // The plain one of this drive leaves zeros, the enhanced one throws a key away.
        let mut sector = [0; 512];
        drive.read_at(0, &mut sector).unwrap();
        assert_eq!(sector != [0; 512], enhanced);
        assert!(!drive.has_password());
        assert!(clock.elapsed() >= Duration::from_secs(90));
    }
    let (drive, clock) = drive(AtaTraits { enhanced: false, ..AtaTraits::default() });
    assert!(matches!(erase(&drive, true, &wait(&clock)), Err(DriveError::Unsupported { .. })));
    assert_eq!(survivors(&drive), 3);
}

#[test]
fn a_frozen_drive_says_how_to_thaw_it() {
    let (drive, clock) = drive(AtaTraits::default());
    drive.freeze();
    let facts = facts(&drive);
    let reason = unusable(&facts, EraseMethod::AtaSecurityErase { enhanced: false }).unwrap();
    assert!(reason.contains("suspend the machine"), "{reason}");
    // Sanitize has a freeze of its own.
    assert_eq!(unusable(&facts, EraseMethod::AtaSanitizeBlock), None);
    let Err(DriveError::Unusable { reason: refused }) = erase(&drive, false, &wait(&clock)) else {
        panic!("a frozen drive was erased");
    };
    assert_eq!(refused, reason);
    assert!(!drive.has_password());
    assert!(sanitize(&drive, Sanitize::Block, &wait(&clock)).is_ok());
    assert_eq!(survivors(&drive), 0);
}

#[test]
fn passwords_that_are_known_to_be_left_behind() {
    for (password, terse) in [("tacit", false), ("NULL", false), ("", false), ("", true)] {
        let (drive, clock) = drive(AtaTraits { terse, ..AtaTraits::default() });
        drive.lock_with(password);
        let evidence = erase(&drive, true, &wait(&clock)).unwrap();
        assert!(evidence[0].contains("was removed"), "{evidence:?}");
        assert!(!drive.has_password());
        assert_eq!(survivors(&drive), 0);
    }
}

#[test]
fn settling_opens_what_a_crash_left_locked_and_nothing_else() {
    let (drive, clock) = drive(AtaTraits::default());
    assert_eq!(settle(&drive, &wait(&clock)).unwrap(), Vec::<String>::new());
    drive.lock_with("tacit");
    assert_eq!(settle(&drive, &wait(&clock)).unwrap().len(), 1);
    assert_eq!(survivors(&drive), 3);
    drive.set_password("tacit");
    assert_eq!(settle(&drive, &wait(&clock)).unwrap().len(), 1);
    assert!(!drive.has_password());
    // What somebody else set, and unlocked, stays.
    drive.set_password("theirs");
    assert_eq!(settle(&drive, &wait(&clock)).unwrap(), Vec::<String>::new());
    assert!(drive.has_password());
    assert!(erase(&drive, false, &wait(&clock)).unwrap()[0].contains("replaced"));
    assert!(!drive.has_password());
}

#[test]
fn a_password_that_nobody_knows() {
    let (drive, clock) = drive(AtaTraits::default());
    drive.lock_with("secret");
    let refused = erase(&drive, false, &wait(&clock));
    assert!(
        matches!(&refused, Err(DriveError::Unusable { reason }) if reason.contains("not known")),
        "{refused:?}"
    );
    // Settling does not give up: other methods may work. It costs three of five attempts each time.
    assert!(settle(&drive, &wait(&clock)).is_ok());
    assert!(matches!(sanitize(&drive, Sanitize::Crypto, &wait(&clock)), Err(DriveError::Rejected { .. })));
    let refused = erase(&drive, false, &wait(&clock));
    assert!(
        matches!(&refused, Err(DriveError::Unusable { reason }) if reason.contains("power-cycled")),
        "{refused:?}"
    );
    assert!(facts(&drive).security.unwrap().expired);
}

#[test]
fn an_erase_that_fails_leaves_no_password() {
    let (drive, clock) =
        drive(AtaTraits { misbehaviour: Misbehaviour::FailsHalfWay, ..AtaTraits::default() });
    let failed = erase(&drive, true, &wait(&clock));
    assert!(matches!(failed, Err(DriveError::Rejected { command: "SECURITY ERASE UNIT", .. })), "{failed:?}");
    assert!(!drive.has_password());
    // It can be read again, and what the second half holds is still there.
    assert_eq!(survivors(&drive), 2);
}

#[test]
fn an_erase_that_hangs_is_cut_off_at_its_deadline() {
    let (drive, clock) = drive(AtaTraits { misbehaviour: Misbehaviour::Hangs, ..AtaTraits::default() });
    let failed = erase(&drive, true, &wait(&clock)).unwrap_err();
    assert!(matches!(failed, DriveError::Failed { .. }), "{failed:?}");
    assert!(!failed.still_working());
    assert!(!drive.has_password());
    // Twice its own estimate of two minutes, and the margin.
    let expected = Duration::from_secs(2 * 120 + 1800);
    assert!((expected..expected + Duration::from_secs(60)).contains(&clock.elapsed()));
}

#[test]
fn a_drive_that_vanishes_keeps_the_password_and_the_error_says_so() {
    let (drive, clock) = drive(AtaTraits { misbehaviour: Misbehaviour::Vanishes, ..AtaTraits::default() });
    let failed = erase(&drive, false, &wait(&clock)).unwrap_err();
    let DriveError::PasswordLeft { password: "tacit", .. } = failed else { panic!("{failed:?}") };
    assert!(failed.to_string().contains("--security-unlock tacit"), "{failed}");
    // It is plugged in again: locked, and found.
    drive.content().set_gone(false);
    drive.lock_with("tacit");
    assert!(recover(&drive).unwrap().is_some());
    assert!(!drive.has_password());
}

#[test]
fn success_with_the_password_still_set_is_none() {
    let (drive, clock) = drive(AtaTraits { keeps_password: true, ..AtaTraits::default() });
    assert!(matches!(erase(&drive, false, &wait(&clock)), Err(DriveError::Unproven { .. })));
    assert!(!drive.has_password());
}

#[test]
fn a_drive_that_lies_is_not_found_out_by_its_own_words() {
    let (drive, clock) = drive(AtaTraits { misbehaviour: Misbehaviour::Lies, ..AtaTraits::default() });
    assert!(erase(&drive, true, &wait(&clock)).is_ok());
    assert!(sanitize(&drive, Sanitize::Block, &wait(&clock)).is_ok());
    assert_eq!(survivors(&drive), 3);
}

#[test]
fn sanitize_empties_the_drive() {
    for (method, what) in SANITIZES {
        let (drive, clock) = drive(AtaTraits::default());
        assert_eq!(unusable(&facts(&drive), method), None);
        let heard = RefCell::new(Vec::new());
        let wait =
            Wait { clock: &clock, progress: &|share| heard.borrow_mut().push(share), cancelled: &|| false };
        let evidence = sanitize(&drive, what, &wait).unwrap();
        assert!(evidence.last().unwrap().contains("completed without error"), "{evidence:?}");
        assert_eq!(survivors(&drive), 0);
        let heard = heard.into_inner();
        assert!(heard.len() > 10 && heard.is_sorted() && heard.last() == Some(&65_536), "{heard:?}");
        assert!(clock.elapsed() >= Duration::from_secs(90) && clock.elapsed() < Duration::from_secs(100));
    }
}

#[test]
fn a_sanitize_that_fails_half_way_leaves_a_drive_that_can_be_read() {
    for (_, what) in SANITIZES {
        let (drive, clock) =
            drive(AtaTraits { misbehaviour: Misbehaviour::FailsHalfWay, ..AtaTraits::default() });
        let failed = sanitize(&drive, what, &wait(&clock));
        assert!(matches!(failed, Err(DriveError::Failed { .. })), "{failed:?}");
        assert_eq!(survivors(&drive), 2);
    }
}

#[test]
fn a_sanitize_that_hangs_is_still_at_work() {
    let (drive, clock) = drive(AtaTraits { misbehaviour: Misbehaviour::Hangs, ..AtaTraits::default() });
    let failed = sanitize(&drive, Sanitize::Crypto, &wait(&clock)).unwrap_err();
    assert!(matches!(failed, DriveError::Unfinished { .. }) && failed.still_working(), "{failed:?}");
    assert!(clock.elapsed() < Duration::from_secs(2 * 3600));
    let facts = facts(&drive);
    assert_eq!(facts.sanitizing, Some(32_768));
    assert!(unusable(&facts, EraseMethod::AtaSanitizeBlock).unwrap().contains("50 %"));
    assert!(unusable(&facts, EraseMethod::AtaSecurityErase { enhanced: true }).is_some());
}

#[test]
fn a_sanitize_that_somebody_else_began_is_waited_for() {
    let (drive, clock) = drive(AtaTraits::default());
    drive.begin_sanitize();
    assert!(drive.read_at(0, &mut [0; 512]).is_err());
    assert_eq!(settle(&drive, &wait(&clock)).unwrap().len(), 1);
    assert_eq!(survivors(&drive), 0);
    drive.begin_sanitize();
    let evidence = sanitize(&drive, Sanitize::Crypto, &wait(&clock)).unwrap();
    assert!(evidence[0].contains("under way ended"), "{evidence:?}");
}

#[test]
fn sanitize_frozen_vanished_or_untold() {
    let (frozen, clock) = drive(AtaTraits::default());
    frozen.freeze_sanitize();
    assert!(unusable(&facts(&frozen), EraseMethod::AtaSanitizeCrypto).unwrap().contains("frozen"));
    let refused = sanitize(&frozen, Sanitize::Crypto, &wait(&clock));
    assert!(matches!(refused, Err(DriveError::Unusable { .. })), "{refused:?}");
    assert_eq!(survivors(&frozen), 3);

    let (vanishing, clock) =
        drive(AtaTraits { misbehaviour: Misbehaviour::Vanishes, ..AtaTraits::default() });
    let lost = sanitize(&vanishing, Sanitize::Block, &wait(&clock));
    assert!(matches!(lost, Err(DriveError::Lost { .. })), "{lost:?}");

    // The flags of the status are in the half of the count that is not told: no proof, so no start.
    let (mute, clock) = drive(AtaTraits { fixed_sense: true, ..AtaTraits::default() });
    mute.freeze_sanitize();
    assert!(
        unusable(&facts(&mute), EraseMethod::AtaSanitizeCrypto).unwrap().contains("nothing could be proven")
    );
    assert!(matches!(sanitize(&mute, Sanitize::Crypto, &wait(&clock)), Err(DriveError::Malformed { .. })));
}

#[test]
fn passes_are_counted() {
    let (drive, clock) = drive(AtaTraits::default());
    for passes in [0, 17] {
        let what = Sanitize::Overwrite(Overwrite { passes, ..Overwrite::default() });
        assert!(matches!(sanitize(&drive, what, &wait(&clock)), Err(DriveError::Unusable { .. })));
    }
    assert_eq!(survivors(&drive), 3);
}

#[test]
fn trimming() {
    let (drive, clock) = drive(AtaTraits::default());
    let evidence = trim(&drive, &wait(&clock)).unwrap();
    assert!(evidence[0].contains("promises zeros"), "{evidence:?}");
    assert_eq!(survivors(&drive), 0);
    let stopped = trim(&drive, &Wait { cancelled: &|| true, ..wait(&clock) });
    assert!(matches!(stopped, Err(DriveError::Cancelled { .. })));
    drive.content().set_read_only(true);
    assert!(matches!(trim(&drive, &wait(&clock)), Err(DriveError::Content { .. })));
}

#[test]
fn the_kernel_may_withhold_trusted_commands() {
    let tcg = Some(SimulatedTcg::locked("0123456789ABCDEF0123456789ABCDEF"));
    let (open, _) = drive(AtaTraits { tcg: tcg.clone(), ..AtaTraits::default() });
    assert!(facts(&open).tcg.unwrap().locked);
    let (withheld, _) = drive(AtaTraits { tcg, trusted_allowed: false, ..AtaTraits::default() });
    let facts = facts(&withheld);
    assert_eq!(facts.tcg, None);
    assert!(
        facts.unanswered.iter().any(|line| line.contains("libata.allow_tpm=1")),
        "{:?}",
        facts.unanswered
    );
}

#[test]
fn a_drive_without_a_medium_or_without_a_word() {
    let clock = SimulatedClock::new();
    let empty = SimulatedAta::new(Content::new(0, 512), &clock, AtaTraits::default());
    assert_eq!(facts(&empty).capacity.unwrap().bytes, 0);
    assert!(trim(&empty, &wait(&clock)).is_ok());
    empty.content().set_gone(true);
    let facts = facts(&empty);
    assert_eq!(facts.unanswered.len(), 2);
    assert!(facts.erase.is_empty());
}

#[test]
fn sizes_are_told_in_whole_or_not_at_all() {
    // More sectors than 24 bits count: fixed format has no room for them.
    let (cut, _) = drive(AtaTraits { hidden_sectors: 2048, fixed_sense: true, ..AtaTraits::default() });
    let found = facts(&cut);
    assert!(found.may_hide && found.hidden_bytes.is_none());
    assert!(
        found.unanswered.iter().any(|line| line.contains("one half of the address")),
        "{:?}",
        found.unanswered
    );
    let traits = AtaTraits { hidden_sectors: 8, overlaid_sectors: 2, ..AtaTraits::default() };
    let (overlaid, _) = drive(traits.clone());
    let found = facts(&overlaid);
    assert_eq!((found.hidden_bytes, found.overlaid_bytes, found.may_hide), (Some(4096), Some(1024), false));
    let (locked, _) = drive(AtaTraits { configuration_locked: true, ..traits });
    let found = facts(&locked);
    assert_eq!((found.hidden_bytes, found.overlaid_bytes, found.may_hide), (Some(4096), None, true));
}

#[test]
fn a_start_without_an_answer_and_a_wait_that_was_ended_leave_the_drive_at_work() {
    let (mute, clock) = drive(AtaTraits { misbehaviour: Misbehaviour::AnswerLost, ..AtaTraits::default() });
    let lost = sanitize(&mute, Sanitize::Block, &wait(&clock)).unwrap_err();
    assert!(matches!(lost, DriveError::Lost { .. }) && lost.still_working(), "{lost:?}");
    assert!(facts(&mute).sanitizing.is_some());

    let (left, clock) = drive(AtaTraits::default());
    let stopped = Wait { cancelled: &|| true, ..wait(&clock) };
    for _ in 0..2 {
        // The second time it is found at work, and the wait for that is ended, too.
        let error = sanitize(&left, Sanitize::Block, &stopped).unwrap_err();
        assert!(matches!(error, DriveError::Left { .. }) && error.still_working(), "{error:?}");
        assert!(facts(&left).sanitizing.is_some());
    }
    assert!(clock.elapsed() < Duration::from_secs(10));
}
