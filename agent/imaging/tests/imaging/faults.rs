//! Whatever goes wrong, the disk is left with what it had, or with nothing to boot from.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use crate::support::*;
use tacit_imaging::{DiskLeft, Failure, ImagingError, Observer, Progress, write_image};

const DISK: usize = 6 * MIB;

fn assert_not_bootable(error: &ImagingError, disk: &Disk) {
    assert_eq!((error.disk(), error.closed()), (DiskLeft::NotBootable, true), "{error}");
    assert!(error.to_string().ends_with(" (the disk is not bootable)"), "{error}");
    assert_closed(&disk.content(), disk.sector as usize);
}

fn assert_untouched(error: &ImagingError, disk: &Disk) {
    assert_eq!(error.disk(), DiskLeft::Untouched, "{error}");
    assert_eq!(disk.operations.load(Ordering::SeqCst), 0, "{error}");
    assert!(error.to_string().ends_with(" (nothing was written)"), "{error}");
}

#[test]
fn a_wrong_digest_leaves_nothing_to_boot() {
    for packing in PACKINGS {
        let served = pack(&gpt_image(4 * MIB, 512), packing);
        let disk = Disk::new(DISK);
        let request = request(Script::new(served.clone()), sha256(b"something else"));
        let error = write_image(request, &disk, &Watch::default()).unwrap_err();
        assert!(matches!(error.failure(), Failure::Digest { .. }), "{error}");
        assert!(error.to_string().contains(&sha256(b"something else").hex), "{error}");
        assert!(error.to_string().contains(&sha256(&served).hex.to_lowercase()), "{error}");
        assert!(!error.retry());
        assert_not_bootable(&error, &disk);
    }
}

#[test]
fn the_image_is_on_the_disk_before_the_digest_fails_but_for_what_boots() {
    // Shows that the test above means something: all else was written.
    let image = gpt_image(DISK, 512);
    let disk = Disk::new(DISK);
    write_image(request(Script::new(image.clone()), sha256(b"")), &disk, &Watch::default()).unwrap_err();
    assert!(disk.content()[MIB..DISK - MIB] == image[MIB..DISK - MIB]);
}

/// A source that always ends at the same byte.
fn cut(served: &[u8], at: usize) -> Script {
    Script { claims: Some(served.len() as u64), ..Script::new(served[..at].to_vec()) }
}

#[test]
fn connections_that_always_end_early_leave_nothing_to_boot() {
    let image = gpt_image(4 * MIB, 512);
    for (at, touched) in [(0, false), (300_000, false), (MIB, true), (2 * MIB, true), (4 * MIB - 1, true)] {
        let disk = Disk::new(DISK);
        let error =
            write_image(request(cut(&image, at), sha256(&image)), &disk, &Watch::default()).unwrap_err();
        match error.failure() {
            Failure::SourceFailed { offset, attempts: 4, .. } => assert_eq!(*offset, at as u64),
            other => panic!("{other}"),
        }
        assert!(error.retry());
        if touched { assert_not_bootable(&error, &disk) } else { assert_untouched(&error, &disk) }
    }
}

#[test]
fn files_cut_at_the_server_leave_nothing_to_boot() {
    for packing in PACKINGS {
        let served = pack(&gpt_image(4 * MIB, 512), packing);
        for at in [0, 300_000, 3 * MIB / 2, served.len() - 1] {
            let disk = Disk::new(DISK);
            let source = Script::new(served[..at].to_vec());
            let error = write_image(request(source, sha256(&served)), &disk, &Watch::default()).unwrap_err();
            match error.failure() {
                Failure::Empty { .. } => assert_eq!(at, 0),
                Failure::Digest { .. } => assert_eq!(packing, Packing::Raw),
                Failure::Decode { .. } => assert_ne!(packing, Packing::Raw),
                // What is taken for the trailer of a cut gzip file is any number.
                Failure::TooLarge { exact: false, .. } => assert_eq!(packing, Packing::Gzip),
                other => panic!("{packing:?} cut at {at}: {other}"),
            }
            match error.disk() {
                DiskLeft::Untouched => assert_untouched(&error, &disk),
                _ => assert_not_bootable(&error, &disk),
            }
        }
    }
}

#[test]
fn what_follows_a_packed_image_is_an_error() {
    for packing in [Packing::Gzip, Packing::Xz, Packing::Zstd] {
        let mut served = pack(&gpt_image(4 * MIB, 512), packing);
        // A gzip file that ends so says that it holds one byte.
        served.extend(b"and more\x01\0\0\0");
        let disk = Disk::new(DISK);
        let error = write(&served, &disk).unwrap_err();
        assert!(matches!(error.failure(), Failure::Decode { .. }), "{packing:?}: {error}");
        assert_not_bootable(&error, &disk);
    }
}

#[test]
fn packed_images_with_a_flipped_bit_leave_nothing_to_boot() {
    for packing in [Packing::Gzip, Packing::Xz, Packing::Zstd] {
        let good = pack(&gpt_image(4 * MIB, 512), packing);
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 0x10;
        let disk = Disk::new(DISK);
        let error =
            write_image(request(Script::new(bad), sha256(&good)), &disk, &Watch::default()).unwrap_err();
        assert!(matches!(error.failure(), Failure::Decode { .. } | Failure::Digest { .. }), "{error}");
        assert_not_bootable(&error, &disk);
    }
}

#[test]
fn images_larger_than_the_disk_are_refused_before_anything_is_written() {
    for packing in PACKINGS {
        let served = pack(&gpt_image(5 * MIB, 512), packing);
        let disk = Disk::new(4 * MIB);
        let error = write(&served, &disk).unwrap_err();
        assert!(
            matches!(error.failure(), Failure::TooLarge { image, disk, .. }
            if *image == 5 * MIB as u64 && *disk == 4 * MIB as u64),
            "{packing:?}: {error}"
        );
        assert_untouched(&error, &disk);
    }
}

#[test]
fn images_whose_size_nobody_tells_are_refused_by_their_table() {
    let image = gpt_image(5 * MIB, 512);
    let disk = Disk::new(4 * MIB);
    let source = Script { total: false, ..Script::new(image.clone()) };
    let error = write_image(request(source, sha256(&image)), &disk, &Watch::default()).unwrap_err();
    assert!(chain(&error).contains("reaches to block 10240, the disk has 8192 blocks"), "{}", chain(&error));
    assert_untouched(&error, &disk);
}

#[test]
fn images_that_turn_out_larger_than_the_disk_leave_nothing_to_boot() {
    let mut image = gpt_image(4 * MIB, 512);
    image.resize(5 * MIB, 1);
    let disk = Disk::new(4 * MIB);
    let source = Script { total: false, ..Script::new(image.clone()) };
    let error = write_image(request(source, sha256(&image)), &disk, &Watch::default()).unwrap_err();
    assert!(matches!(error.failure(), Failure::TooLarge { exact: false, .. }), "{error}");
    assert_not_bootable(&error, &disk);
}

#[test]
fn other_formats_are_refused_by_name() {
    let mut iso = vec![0; 40_000];
    iso[32769..32774].copy_from_slice(b"CD001");
    let mut vdi = vec![0; 100];
    vdi[64..68].copy_from_slice(&[0x7f, 0x10, 0xda, 0xbe]);
    for (head, name) in [
        (b"KDMV".to_vec(), "vmdk"),
        (b"conectix".to_vec(), "vhd"),
        (b"vhdxfile".to_vec(), "vhdx"),
        (vdi, "vdi"),
        (b"QED\0".to_vec(), "qed"),
        (iso, "iso"),
    ] {
        for packing in PACKINGS {
            for declared in [None, Some("raw"), Some("qcow2")] {
                let served = pack(&[&head[..], &[0; 100]].concat(), packing);
                let disk = Disk::new(DISK);
                let mut request = request(Script::new(served.clone()), sha256(&served));
                request.disk_format = declared.map(str::to_owned);
                let error = write_image(request, &disk, &Watch::default()).unwrap_err();
                assert!(error.to_string().contains(name), "{error}");
                assert_untouched(&error, &disk);
            }
        }
    }
}

#[test]
fn declarations_that_the_content_contradicts_are_refused() {
    for packing in PACKINGS {
        let served = pack(&gpt_image(4 * MIB, 512), packing);
        let disk = Disk::new(DISK);
        let mut request = request(Script::new(served.clone()), sha256(&served));
        request.disk_format = Some("qcow2".into());
        let error = write_image(request, &disk, &Watch::default()).unwrap_err();
        assert!(matches!(error.failure(), Failure::FormatContradicts { .. }), "{error}");
        assert_untouched(&error, &disk);
    }
}

#[test]
fn images_packed_twice_are_refused() {
    let served = pack(&pack(&gpt_image(4 * MIB, 512), Packing::Xz), Packing::Gzip);
    let disk = Disk::new(DISK);
    let error = write(&served, &disk).unwrap_err();
    assert!(matches!(error.failure(), Failure::UnsupportedInside { format: "xz", .. }), "{error}");
    assert_untouched(&error, &disk);
}

#[test]
fn tables_that_cannot_work_are_refused_before_anything_is_written() {
    let good = gpt_image(4 * MIB, 512);
    let changed = |offset: usize, byte: u8| {
        let mut image = good.clone();
        image[offset] ^= byte;
        image
    };
    let mut bare = good.clone();
    bare[512..1024].fill(0);
    let mut fat = noise(4 * MIB, 9);
    fat[0] = 0xeb;
    fat[82..87].copy_from_slice(b"FAT32");
    fat[510..512].copy_from_slice(&[0x55, 0xaa]);
    for (image, why) in [
        (vec![0; 4 * MIB], "no partitions"),
        (fat, "no partitions"),
        (gpt_image(4 * MIB, 4096), "sectors of 4096 bytes, the disk has sectors of 512"),
        (changed(512 + 60, 1), "the header's checksum is wrong"),
        (changed(1024 + 60, 1), "the entry array's checksum is wrong"),
        (changed(510, 1), "no protective MBR"),
        (bare, "protective MBR and no header"),
        (good[..10_000].to_vec(), "cut off"),
    ] {
        let disk = Disk::new(DISK);
        let error = write(&image, &disk).unwrap_err();
        assert!(chain(&error).contains(why), "{why}: {}", chain(&error));
        assert_untouched(&error, &disk);
    }
    let disk = Disk::with_sector(8 * MIB, 4096);
    let error = write(&good, &disk).unwrap_err();
    assert!(
        chain(&error).contains("sectors of 512 bytes, the disk has sectors of 4096"),
        "{}",
        chain(&error)
    );
    let disk = Disk::new(2 * MIB);
    assert!(matches!(write(&good, &disk).unwrap_err().failure(), Failure::DiskTooSmall { .. }));
}

#[test]
fn failing_writes_leave_nothing_to_boot() {
    let image = gpt_image(DISK, 512);
    for bad in [MIB, MIB + 5000, 2 * MIB + 1, 3 * MIB + 70_000] {
        let disk = Disk { bad_byte: Some(bad), ..Disk::new(DISK) };
        let error = write(&image, &disk).unwrap_err();
        assert!(matches!(error.failure(), Failure::Target { .. }), "{error}");
        assert!(chain(&error).contains("/dev/test-disk: writing the image failed"), "{}", chain(&error));
        assert!(chain(&error).contains("os error 5"), "{}", chain(&error));
        assert_not_bootable(&error, &disk);
    }
}

#[test]
fn failures_while_revealing_leave_nothing_to_boot() {
    let image = gpt_image(DISK, 512);
    for bad in [0, 512, 4096, 700_000, DISK - MIB, DISK - 600, DISK - 1] {
        let disk = Disk { bad_byte: Some(bad), ..Disk::new(DISK) };
        let error = write(&image, &disk).unwrap_err();
        assert!(chain(&error).contains("revealing the image failed"), "{}", chain(&error));
        assert_not_bootable(&error, &disk);
    }
    for lie in [0, 700_000, DISK - 1] {
        let disk = Disk { lying_byte: Some(lie), ..Disk::new(DISK) };
        let error = write(&image, &disk).unwrap_err();
        assert!(
            matches!(error.failure(), Failure::ReadBack { offset, .. } if *offset == lie as u64),
            "{error}"
        );
        assert_not_bootable(&error, &disk);
    }
}

/// Cancels as soon as a stage is seen.
struct CancelIn(&'static str, Mutex<bool>);

impl Observer for CancelIn {
    fn progress(&self, progress: &Progress) {
        *self.1.lock().unwrap() |= progress.stage == self.0;
    }

    fn cancelled(&self) -> bool {
        *self.1.lock().unwrap()
    }
}

/// Cancels once so many operations reached the disk.
struct CancelAt<'d>(&'d Disk, usize);

impl Observer for CancelAt<'_> {
    fn progress(&self, _: &Progress) {}

    fn cancelled(&self) -> bool {
        self.0.operations.load(Ordering::SeqCst) >= self.1
    }
}

#[test]
fn cancelling_at_any_moment_leaves_nothing_to_boot() {
    let image = gpt_image(DISK, 512);
    let disk = Disk::new(DISK);
    let request_of = || request(Script::new(image.clone()), sha256(&image));
    let error = write_image(request_of(), &disk, &CancelIn("fetch", Mutex::new(false))).unwrap_err();
    assert!(matches!(error.failure(), Failure::Cancelled { .. }));
    assert_untouched(&error, &disk);
    let mut written = 0;
    for moment in 1.. {
        let disk = Disk::new(DISK);
        match write_image(request_of(), &disk, &CancelAt(&disk, moment)) {
            Ok(_) => break,
            Err(error) => {
                assert!(matches!(error.failure(), Failure::Cancelled { .. }), "{error}");
                if disk.operations.load(Ordering::SeqCst) > 0 {
                    written += 1;
                    assert_not_bootable(&error, &disk);
                }
            }
        }
    }
    assert!(written >= DISK / MIB - 2, "{written} moments after the first write");
}

#[test]
fn a_disk_that_dies_at_any_operation_is_never_bootable_with_unverified_content() {
    let image = gpt_image(5 * MIB, 512);
    let whole = Disk::new(DISK);
    write(&image, &whole).unwrap();
    let operations = whole.operations.load(Ordering::SeqCst);
    let whole = whole.content();
    let old = old_content(DISK, 512);
    assert!(operations > 10);
    for first in 0..operations {
        let disk = Disk { fail_from: Some(first), ..Disk::new(DISK) };
        let error = write(&image, &disk).unwrap_err();
        assert!(!error.closed());
        assert!(error.to_string().contains("could not be zeroed afterwards"), "{error}");
        assert_sound(&disk.content(), &whole, &old, &format!("from operation {first} on"));
    }
}

/// Not bootable; or what was there before and nothing of the image; or the whole image but for its first blocks.
fn assert_sound(disk: &[u8], whole: &[u8], old: &[u8], when: &str) {
    if !is_bootable(disk, 512) {
        return;
    }
    let untouched = disk.iter().zip(old).all(|(now, old)| now == old || *now == 0);
    let complete = disk[4096..DISK - 512] == whole[4096..DISK - 512];
    assert!(untouched || complete, "bootable with unverified content, {when}");
}

#[test]
fn power_lost_at_any_moment_never_leaves_unverified_content_bootable() {
    let image = gpt_image(5 * MIB, 512);
    let whole = Disk { journal: Some(Mutex::new(Vec::new())), ..Disk::new(DISK) };
    write(&image, &whole).unwrap();
    let journal = whole.journal.as_ref().unwrap().lock().unwrap().clone();
    let whole = whole.content();
    let old = old_content(DISK, 512);
    let mut random = noise(100_000, 77).into_iter().map(|byte| byte >> 1);
    for cut in 0..=journal.len() {
        // What was flushed is there; of the rest, whatever the disk had already taken out of its cache.
        let flushed = journal[..cut].iter().rposition(|op| matches!(op, Op::Flush)).unwrap_or(0);
        for round in 0..8 {
            let mut disk = old.clone();
            for (index, op) in journal[..cut].iter().enumerate() {
                if index < flushed || random.next().unwrap() & 1 == 1 {
                    apply(&mut disk, op);
                }
            }
            assert_sound(&disk, &whole, &old, &format!("cut at operation {cut}, round {round}"));
        }
    }
}
