//! Over every format and every kind of fault: success only if the disk equals the reference byte for byte, and after any
//! failure nothing to boot from.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::faulty::*;
use crate::formats::*;
use crate::support::*;
use proptest::prelude::*;
use tacit_imaging::{DiskLeft, ImagingError, Target, Verify, WriteMode, WriteRequest, Written, write_image};

/// What must hold of every write, whatever happened to it.
fn judge(what: &str, result: &Result<Written, ImagingError>, disk: &Disk) {
    let content = disk.content();
    match result {
        Ok(_) => {
            let difference = content.iter().zip(&*EXPECTED).position(|(found, wanted)| found != wanted);
            assert_eq!(difference, None, "{what}: success, and another byte there");
        }
        Err(error) if error.disk() == DiskLeft::Untouched => {
            assert!(content == old_content(DISK, 512), "{what}: untouched, and another content: {error}");
        }
        Err(error) => {
            assert!(error.closed(), "{what}: {error}");
            assert_closed(&content, 512);
        }
    }
}

/// Every MiB of something so long, and its last byte.
fn boundaries(len: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by(MIB).chain([len - 1])
}

fn intact(served: &Served) -> WriteRequest {
    served.request(Box::new(FaultySource::new(Arc::clone(&served.bytes), &[])))
}

fn write_to(target: &dyn Target, request: WriteRequest) -> Result<Written, ImagingError> {
    write_image(request, target, &Watch::default())
}

#[test]
fn every_format_arrives_byte_for_byte() {
    for served in FORMATS.iter() {
        for mode in [WriteMode::All, WriteMode::Changed] {
            for verify in [Verify::Revealed, Verify::Full] {
                let disk = Disk::new(DISK);
                let result = write_to(&disk, WriteRequest { mode, verify, ..intact(served) });
                let what = format!("{} {mode:?} {verify:?}", served.name);
                assert!(result.is_ok(), "{what}: {}", chain(&result.unwrap_err()));
                judge(&what, &result, &disk);
            }
        }
    }
}

fn check_disk_fault(served: &Served, fault: DiskFault, mode: WriteMode, verify: Verify) {
    let what = format!("{} {fault:?} {mode:?} {verify:?}", served.name);
    let disk = FaultyDisk::new(Disk::new(DISK), fault);
    let result = write_to(&disk, WriteRequest { mode, verify, ..intact(served) });
    judge(&what, &result, &disk.disk);
    if !matches!(fault.kind, Kind::Silent) {
        let fired = disk.fired.load(Ordering::SeqCst) > 0;
        assert_eq!(result.is_err(), fired, "{what}: a fault that is no error, or an error without a fault");
    }
}

#[test]
fn a_disk_that_fails_once_at_any_mib_leaves_nothing_to_boot() {
    let mut errnos = [EIO, ENOSPC, EINTR].into_iter().cycle();
    for served in FORMATS.iter() {
        for byte in boundaries(DISK) {
            for kind in [Kind::Errno, Kind::Short] {
                let fault = DiskFault { at: At::Byte(byte), kind: kind(errnos.next().unwrap()), times: 1 };
                check_disk_fault(served, fault, WriteMode::All, Verify::Revealed);
            }
        }
    }
}

#[test]
fn a_disk_that_fails_once_at_any_operation_leaves_nothing_to_boot() {
    for (index, served) in FORMATS.iter().enumerate() {
        // Every other one: formats have most of them in common.
        for number in (index % 2..).step_by(2) {
            let kind = [Kind::Errno(EIO), Kind::Short(EIO)][number / 2 % 2];
            let fault = DiskFault { at: At::Operation(number), kind, times: 1 };
            let what = format!("{} {fault:?}", served.name);
            let disk = FaultyDisk::new(Disk::new(DISK), fault);
            let result = write_to(&disk, intact(served));
            judge(&what, &result, &disk.disk);
            if disk.fired.load(Ordering::SeqCst) == 0 {
                assert!(result.is_ok() && number > 8, "{what}");
                break;
            }
            assert!(result.is_err(), "{what}");
        }
    }
}

/// Of a disk that could not be closed either.
fn assert_nothing_unverified_boots(what: &str, content: &[u8]) {
    let old = old_content(DISK, 512);
    let untouched = content.iter().zip(&old).all(|(now, old)| now == old || *now == 0);
    // What makes a table valid comes last: the last block, then the first ones.
    let complete = content[4096..DISK - 512] == EXPECTED[4096..DISK - 512];
    assert!(untouched || complete || !is_bootable(content, 512), "{what}");
}

#[test]
fn a_disk_that_fails_for_good_anywhere_boots_nothing_unverified() {
    for served in FORMATS.iter() {
        for byte in [0, 510, 512, 4096, MIB - 1, 2 * MIB, DISK - MIB, DISK - 512, DISK - 1] {
            let fault = DiskFault { at: At::Byte(byte), kind: Kind::Short(EIO), times: usize::MAX };
            let what = format!("{} {fault:?}", served.name);
            let disk = FaultyDisk::new(Disk::new(DISK), fault);
            let error = write_to(&disk, intact(served)).unwrap_err();
            let edge = !(MIB..DISK - MIB).contains(&byte);
            assert_eq!(error.closed(), !edge, "{what}: {error}");
            assert_nothing_unverified_boots(&what, &disk.disk.content());
        }
    }
}

#[test]
fn a_disk_that_lies_is_found_out_when_all_is_read_back() {
    for served in FORMATS.iter() {
        for byte in [MIB, 2 * MIB + 100_000, 3 * MIB + 1] {
            let fault = DiskFault { at: At::Byte(byte), kind: Kind::Silent, times: usize::MAX };
            check_disk_fault(served, fault, WriteMode::All, Verify::Full);
        }
    }
}

fn check_source_fault(served: &Served, faults: &[SourceFault]) -> (Result<Written, ImagingError>, usize) {
    let disk = Disk::new(DISK);
    let source = FaultySource::new(Arc::clone(&served.bytes), faults);
    let left = source.left();
    let result = write_to(&disk, served.request(Box::new(source)));
    judge(&format!("{} {faults:?}", served.name), &result, &disk);
    (result, left())
}

const TROUBLES: [Trouble; 5] =
    [Trouble::Reset, Trouble::Stall, Trouble::Interrupted, Trouble::End, Trouble::Refuse];

#[test]
fn a_source_that_recovers_is_continued_at_any_mib() {
    let mut troubles = TROUBLES.into_iter().cycle();
    for served in FORMATS.iter() {
        for at in boundaries(served.bytes.len()) {
            for trouble in troubles.by_ref().take(2) {
                // One time less than is tried.
                let fault = SourceFault { at, trouble, times: quick().attempts as usize - 1 };
                let (result, _) = check_source_fault(served, &[fault]);
                assert!(result.is_ok(), "{} {fault:?}: {}", served.name, chain(&result.unwrap_err()));
            }
        }
    }
}

#[test]
fn a_source_that_is_cut_at_any_mib_leaves_nothing_to_boot() {
    const FOREVER: usize = 1000;
    for served in FORMATS.iter() {
        for at in boundaries(served.bytes.len()) {
            for trouble in [Trouble::Reset, Trouble::Stall, Trouble::End, Trouble::Refuse] {
                let fault = SourceFault { at, trouble, times: FOREVER };
                let (result, left) = check_source_fault(served, &[fault]);
                // A map alone leaves out what it does not list, and a tail that cannot be looked at is no error.
                let met = FOREVER - left >= quick().attempts as usize;
                assert_eq!(result.is_err(), met, "{} {fault:?}", served.name);
            }
        }
    }
}

#[test]
fn a_file_that_was_cut_at_any_mib_leaves_nothing_to_boot() {
    for served in FORMATS.iter() {
        for at in boundaries(served.bytes.len()) {
            let cut = Arc::new(served.bytes[..at].to_vec());
            let disk = Disk::new(DISK);
            let result = write_to(&disk, served.request(Box::new(FaultySource::new(cut, &[]))));
            let what = format!("{} cut at {at}", served.name);
            assert!(result.is_err(), "{what}");
            judge(&what, &result, &disk);
        }
    }
}

fn write_flipped(served: &Served, at: usize, bit: u8, mode: WriteMode) {
    let mut bytes = served.bytes.to_vec();
    bytes[at] ^= 1 << bit;
    let disk = Disk::new(DISK);
    let source = Box::new(FaultySource::new(Arc::new(bytes), &[]));
    let result = write_to(&disk, WriteRequest { mode, ..served.request(source) });
    let what = format!("{} with bit {bit} of byte {at} flipped, {mode:?}", served.name);
    // What a map does not list, or what packs what it does not list, is not looked at.
    assert!(result.is_err() || served.digests.is_empty(), "{what}");
    judge(&what, &result, &disk);
}

#[test]
fn a_flipped_bit_at_any_mib_leaves_nothing_to_boot() {
    for served in FORMATS.iter() {
        for at in boundaries(served.bytes.len()) {
            write_flipped(served, at, 3, WriteMode::All);
        }
    }
}

fn any_disk_fault() -> impl Strategy<Value = DiskFault> {
    let at = prop_oneof![(0..DISK).prop_map(At::Byte), (0usize..24).prop_map(At::Operation)];
    let errno = prop::sample::select(&[EIO, ENOSPC, EINTR][..]);
    let kind = prop_oneof![errno.clone().prop_map(Kind::Errno), errno.prop_map(Kind::Short)];
    (at, kind).prop_map(|(at, kind)| DiskFault { at, kind, times: 1 })
}

fn any_format() -> impl Strategy<Value = &'static Served> {
    (0..FORMATS.len()).prop_map(|index| &FORMATS[index])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_disk_fault_anywhere(
        served in any_format(), fault in any_disk_fault(), changed: bool, full: bool,
    ) {
        let mode = if changed { WriteMode::Changed } else { WriteMode::All };
        let verify = if full { Verify::Full } else { Verify::Revealed };
        check_disk_fault(served, fault, mode, verify);
    }

    #[test]
    fn any_source_faults_anywhere(
        served in any_format(),
        faults in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(&TROUBLES[..]), 1usize..6), 1..6),
    ) {
        let faults: Vec<_> = faults
            .into_iter()
            .map(|(at, trouble, times)| SourceFault { at: at.index(served.bytes.len()), trouble, times })
            .collect();
        drop(check_source_fault(served, &faults));
    }

    #[test]
    fn any_flipped_bit(
        served in any_format(), at: prop::sample::Index, bit in 0u8..8, changed: bool,
    ) {
        let mode = if changed { WriteMode::Changed } else { WriteMode::All };
        write_flipped(served, at.index(served.bytes.len()), bit, mode);
    }
}
