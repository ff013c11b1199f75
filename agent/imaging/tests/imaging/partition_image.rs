//! Images of one file system, which get their partitions here (IPA contract §8.5).

use std::io::Cursor;

use crate::support::*;
use tacit_imaging::{
    Failure, Firmware, ImagingError, PartitionRequest, PartitionRole, TableKind, Written, write_image,
};

const DISK: usize = 64 * MIB;

fn layout() -> PartitionRequest {
    PartitionRequest {
        label: TableKind::Gpt,
        firmware: Firmware::Bios,
        root_mib: 12,
        swap_mib: 2,
        ephemeral_mib: 20,
        ephemeral_format: None,
        preserve_ephemeral: false,
    }
}

/// Nothing that anyone knows, but for an XFS signature and a UUID.
fn image(len: usize) -> Vec<u8> {
    let mut image = noise(len, 21);
    image[..4].copy_from_slice(b"XFSB");
    image[32..48].fill(0xcd);
    image
}

fn write_partitioned(
    image: &[u8],
    served: Vec<u8>,
    layout: PartitionRequest,
    disk: &Disk,
) -> Result<Written, ImagingError> {
    let mut request = request(Script::new(served), sha256(image));
    request.layout = Some(layout);
    request.config_drive = Some(vec![5; 3000]);
    write_image(request, disk, &Watch::default())
}

#[test]
fn a_partition_image_gets_its_partitions() {
    for sector in [512, 4096] {
        let disk = Disk::with_sector(DISK, sector);
        let image = image(5 * MIB + 4096);
        let written = write_partitioned(&image, image.clone(), layout(), &disk).unwrap();
        let made = written.made.unwrap();
        use PartitionRole::*;
        let roles: Vec<_> = made.partitions.iter().map(|part| part.role).collect();
        assert_eq!(roles, [BiosBoot, Ephemeral, Swap, ConfigDrive, Root]);
        assert_eq!(made.root_uuid, "cdcdcdcd-cdcd-cdcd-cdcd-cdcdcdcdcdcd");
        assert_eq!(written.config_drive.as_ref(), Some(&made.partitions[3].partition));
        assert_eq!((written.table, written.partitions.len()), (TableKind::Gpt, 5));
        let content = disk.content();
        let bytes = |index: usize| {
            let range = &made.partitions[index].bytes;
            &content[range.start as usize..range.end as usize]
        };
        assert!(bytes(4).starts_with(&image) && bytes(4).len() == 12 * MIB);
        assert!(bytes(3).starts_with(&[5; 3000]) && bytes(3)[3000..].iter().all(|&byte| byte == 0));
        assert_eq!(bytes(2)[4086..4096], *b"SWAPSPACE2");
        assert_eq!(bytes(1)[1080..1082], [0x53, 0xef]);
        let gpt = gptman::GPT::read_from(&mut Cursor::new(&content), sector.into()).unwrap();
        assert_eq!(gpt[5].partition_name.as_str(), "root");
    }
}

#[test]
fn an_unverified_partition_image_leaves_nothing_that_boots() {
    let disk = Disk::new(DISK);
    let image = image(5 * MIB);
    let mut forged = image.clone();
    forged[4 * MIB] ^= 1;
    let error = write_partitioned(&image, forged, layout(), &disk).unwrap_err();
    assert!(matches!(error.failure(), Failure::Digest { .. }), "{error}");
    assert_closed(&disk.content(), 512);
}

#[test]
fn what_cannot_fit_is_refused_before_anything_is_written() {
    let image = image(5 * MIB);
    let smaller = PartitionRequest { root_mib: 4, ..layout() };
    let larger = PartitionRequest { root_mib: 64, ..layout() };
    let kept = PartitionRequest { preserve_ephemeral: true, ..layout() };
    for (layout, why) in [
        (smaller, "5242880"),
        (larger, "the disk has room for them"),
        (kept, "the ephemeral partition shall be kept"),
    ] {
        let disk = Disk::new(DISK);
        let error = write_partitioned(&image, image.clone(), layout, &disk).unwrap_err();
        assert!(chain(&error).contains(why), "{}", chain(&error));
        assert!(disk.content() == old_content(DISK, 512));
    }
}

#[test]
fn faults_at_any_operation_leave_nothing_that_boots() {
    let image = image(3 * MIB);
    let whole = Disk::new(DISK);
    write_partitioned(&image, image.clone(), layout(), &whole).unwrap();
    let operations = whole.operations.load(std::sync::atomic::Ordering::SeqCst);
    // Every operation would take long: each of the first and last, and some in between.
    let step = (operations / 12).max(1);
    for first in (0..6).chain((6..operations).step_by(step)).chain(operations.saturating_sub(8)..operations) {
        let disk = Disk { fail_from: Some(first), ..Disk::new(DISK) };
        let error = write_partitioned(&image, image.clone(), layout(), &disk).unwrap_err();
        assert!(!error.closed(), "everything fails from then on");
        let content = disk.content();
        // Until the very last operations there is nothing; nothing can be zeroed any more after them.
        if first > 3 && first < operations - 8 {
            assert!(!is_bootable(&content, 512), "operation {first} of {operations}");
        }
    }
}
