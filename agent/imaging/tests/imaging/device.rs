//! A real block device, and someone else's opinion about the partition table on it.

use std::path::Path;
use std::process::Command;

use crate::loops::Loop;
use crate::support::*;
use tacit_blockdev::{Access, Device};
use tacit_imaging::write_image;

/// Has `sgdisk`, where it is installed, look for faults.
fn assert_sgdisk_agrees(disk: &Path) {
    let Ok(output) = Command::new("sgdisk").arg("--verify").arg(disk).output() else {
        eprintln!("sgdisk is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("No problems found"), "{said}");
}

#[test]
fn tables_on_files_satisfy_sgdisk() {
    for (len, drive) in [(5 * MIB, None), (80 * MIB, Some(noise(100_000, 1)))] {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(len as u64).unwrap();
        let device = Device::open(file.path(), Access::Exclusive).unwrap();
        let image = gpt_image(4 * MIB, 512);
        let mut request = request(Script::new(image.clone()), sha256(&image));
        request.config_drive = drive;
        write_image(request, &device, &Watch::default()).unwrap();
        assert_sgdisk_agrees(file.path());
    }
}

#[test]
fn loop_devices_take_images_of_their_sector_size() {
    for sector in [512u32, 4096] {
        let Some(disk) = Loop::new(80 * MIB, sector) else { return };
        let device = Device::open(&disk.path, Access::Exclusive).unwrap();
        let image = gpt_image(6 * MIB, sector as usize);
        let served = pack(&image, Packing::Zstd);
        let mut request = request(Script::new(served.clone()), sha256(&served));
        request.config_drive = Some(noise(300_001, 4));
        let written = write_image(request, &device, &Watch::default()).unwrap();
        assert_eq!(written.rescan_failed, None);
        let root = &written.partitions[1];
        let mut found = vec![0; root.size_lba as usize * sector as usize];
        let start = root.start_lba * u64::from(sector);
        device.read_at(start, &mut found).unwrap();
        assert!(found == image[start as usize..start as usize + found.len()]);
        drop(device);
        assert_sgdisk_agrees(&disk.path);
    }
}

#[test]
fn a_refused_image_leaves_a_device_that_does_not_boot() {
    let Some(disk) = Loop::new(8 * MIB, 512) else { return };
    let device = Device::open(&disk.path, Access::Exclusive).unwrap();
    device.write_at(0, &old_content(8 * MIB, 512)).unwrap();
    let image = gpt_image(8 * MIB, 512);
    write_image(request(Script::new(image), sha256(b"other")), &device, &Watch::default()).unwrap_err();
    let mut content = vec![0; 8 * MIB];
    device.read_at(0, &mut content).unwrap();
    assert_closed(&content, 512);
}
