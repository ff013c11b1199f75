use super::*;
use crate::drives::simulated::{
    AtaTraits, Content, NvmeIdentity, ScsiTraits, SimulatedAta, SimulatedClock, SimulatedNvme, SimulatedScsi,
    SimulatedTcg,
};
use crate::drives::{DriveError, DriveKind, EraseMethod, EraseOptions, Wait, erase, identify};
use tacit_blockdev::Drive;

const PSID: &str = "0123456789ABCDEF0123456789ABCDEF";

fn content() -> Content {
    let content = Content::new(1 << 20, 512);
    content.write_at(0, &[0xa5; 512]).unwrap();
    content
}

fn by_scsi(tcg: Option<SimulatedTcg>) -> (SimulatedScsi, SimulatedClock) {
    let clock = SimulatedClock::new();
    let drive = SimulatedScsi::new(content(), &clock, ScsiTraits { tcg, ..Default::default() });
    (drive, clock)
}

fn wait(clock: &SimulatedClock) -> Wait<'_> {
    Wait { clock, progress: &|_| {}, cancelled: &|| false }
}

/// Behind the lock.
fn survives(content: &Content) -> bool {
    let mut sector = [0; 512];
    content.read_at(0, &mut sector).unwrap();
    sector == [0xa5; 512]
}

#[test]
fn the_label_opens_and_empties_a_drive() {
    let (scsi, scsi_clock) = by_scsi(Some(SimulatedTcg::locked(PSID)));
    let ata_clock = SimulatedClock::new();
    let traits = AtaTraits { tcg: Some(SimulatedTcg::locked(PSID)), ..AtaTraits::default() };
    let ata = SimulatedAta::new(content(), &ata_clock, traits);
    let drives =
        [(&scsi as &dyn Drive, scsi.content(), scsi_clock), (&ata as &dyn Drive, ata.content(), ata_clock)];
    for (drive, content, clock) in drives {
        drive.read_at(0, &mut [0; 512]).unwrap_err();
        drive.write_at(0, &[0; 512]).unwrap_err();
        let facts = identify(drive, DriveKind::Scsi);
        assert_eq!(facts.capability(EraseMethod::OpalPsid).unwrap().unusable, None);
        let options = EraseOptions { psid: Some(PSID), ..EraseOptions::default() };
        let evidence = erase(drive, facts.kind, EraseMethod::OpalPsid, &options, &wait(&clock)).unwrap();
        assert!(evidence.last().unwrap().contains("not enabled any more"), "{evidence:?}");
        assert!(!survives(content));
        drive.write_at(0, &[1; 512]).unwrap();
        // What is not enabled proves nothing.
        let again = identify(drive, DriveKind::Scsi);
        assert!(again.capability(EraseMethod::OpalPsid).unwrap().unusable.is_some());
    }
}

#[test]
fn a_wrong_or_missing_label() {
    let (drive, clock) = by_scsi(Some(SimulatedTcg::locked(PSID)));
    let wrong = revert(&drive, DriveKind::Scsi, &PSID.replace('0', "9"), &wait(&clock));
    assert!(
        matches!(&wrong, Err(DriveError::Failed { reason, .. }) if reason.contains("another PSID")),
        "{wrong:?}"
    );
    for none in ["", "0123", &PSID.replace('0', " ")] {
        assert!(matches!(
            revert(&drive, DriveKind::Scsi, none, &wait(&clock)),
            Err(DriveError::Unusable { .. })
        ));
    }
    let method = EraseMethod::OpalPsid;
    let missing = erase(&drive, DriveKind::Scsi, method, &EraseOptions::default(), &wait(&clock));
    assert!(matches!(missing, Err(DriveError::Unusable { .. })));
    assert!(survives(drive.content()));
}

#[test]
fn a_drive_that_says_it_reverted_and_did_not() {
    let (drive, clock) = by_scsi(Some(SimulatedTcg { lies: true, ..SimulatedTcg::locked(PSID) }));
    let unproven = revert(&drive, DriveKind::Scsi, PSID, &wait(&clock));
    assert!(matches!(unproven, Err(DriveError::Unproven { .. })), "{unproven:?}");
}

#[test]
fn a_drive_that_does_not_encrypt_is_not_erased_by_a_revert() {
    for tcg in [
        SimulatedTcg { pyrite: true, ..SimulatedTcg::locked(PSID) },
        SimulatedTcg { media_encryption: false, ..SimulatedTcg::locked(PSID) },
    ] {
        let (drive, clock) = by_scsi(Some(tcg));
        let facts = identify(&drive, DriveKind::Scsi);
        let reason = facts.capability(EraseMethod::OpalPsid).unwrap().unusable.clone().unwrap();
        assert!(reason.contains("does not encrypt"), "{reason}");
        assert!(matches!(
            revert(&drive, DriveKind::Scsi, PSID, &wait(&clock)),
            Err(DriveError::Unusable { .. })
        ));
        assert!(survives(drive.content()));
    }
}

#[test]
fn a_drive_without_tcg() {
    let (drive, clock) = by_scsi(None);
    assert_eq!(discover(&drive, DriveKind::Scsi).unwrap(), None);
    assert!(identify(&drive, DriveKind::Scsi).capability(EraseMethod::OpalPsid).is_none());
    assert!(matches!(
        revert(&drive, DriveKind::Scsi, PSID, &wait(&clock)),
        Err(DriveError::Unsupported { .. })
    ));
}

#[test]
fn the_label_of_a_drive_does_not_empty_what_another_machine_has_of_it() {
    let clock = SimulatedClock::new();
    let tcg = Some(SimulatedTcg::locked(PSID));
    // The second one is attached to another controller.
    let identity =
        NvmeIdentity { namespaces: vec![1, 2], optional_admin: 0x0f, tcg, ..NvmeIdentity::default() };
    let drive = SimulatedNvme::new(content(), identity, clock.clone());
    let erase = |others| {
        let options = EraseOptions { psid: Some(PSID), others, ..EraseOptions::default() };
        erase(&drive, DriveKind::Nvme, EraseMethod::OpalPsid, &options, &wait(&clock))
    };
    let refused = erase(&[]).unwrap_err();
    assert!(refused.to_string().contains("would erase namespaces 2 of the drive"), "{refused}");
    assert!(survives(&drive.content));
    erase(&[2]).unwrap();
    assert!(!survives(&drive.content));
}
