//! Where the config drive goes (IPA contract §8.7).

use std::io::Cursor;

use crate::support::*;
use tacit_imaging::{Failure, ImagingError, Partition, Written, write_image};

const DISK: usize = 72 * MIB;
const DRIVE_BLOCKS: u64 = 64 * 2048;

fn iso() -> Vec<u8> {
    let mut iso = vec![0; 400 * KIB + 1000];
    iso[40 * KIB..].copy_from_slice(&noise(360 * KIB + 1000, 11));
    iso[32768..32774].copy_from_slice(b"\x01CD001");
    iso[32808..32840].copy_from_slice(b"config-2                        ");
    iso
}

fn write_with_drive(image: &[u8], disk: &Disk) -> Result<Written, ImagingError> {
    let mut request = request(Script::new(image.to_vec()), sha256(image));
    request.config_drive = Some(iso());
    write_image(request, disk, &Watch::default())
}

fn assert_holds_drive(disk: &[u8], partition: &Partition, sector: usize) {
    let start = partition.start_lba as usize * sector;
    let drive = iso();
    assert!(disk[start..start + drive.len()] == drive);
    let rest = (partition.size_lba as usize * sector).min(64 * MIB);
    assert!(disk[start + drive.len()..start + rest].iter().all(|&byte| byte == 0), "old bytes are left");
}

#[test]
fn a_gpt_gets_a_new_partition_at_its_end() {
    let sector = 512;
    for size in [DISK, DISK - 300 * KIB] {
        let image = gpt_image(4 * MIB, sector);
        let disk = Disk::with_sector(size, sector as u32);
        let written = write_with_drive(&image, &disk).unwrap();
        let partition = written.config_drive.unwrap();
        assert_eq!(partition.number, 3);
        assert_eq!(partition.name.as_deref(), Some("config-2"));
        assert_eq!(partition.type_guid.as_deref(), Some("0fc63daf-8483-4772-8e79-3d69d8477de4"));
        assert_eq!(partition.size_lba as usize * sector, 64 * MIB);
        assert_eq!(partition.start_lba as usize * sector % MIB, 0);
        assert_eq!(written.partitions.last(), Some(&partition));
        let content = disk.content();
        assert_holds_drive(&content, &partition, sector);
        let gpt = gptman::GPT::read_from(&mut Cursor::new(&content), sector as u64).unwrap();
        assert_eq!(gpt[3].starting_lba, partition.start_lba);
        assert_eq!(gpt[3].partition_name.as_str(), "config-2");
        assert!(gpt[3].unique_partition_guid != [0; 16]);
        assert!(gpt[3].ending_lba <= gpt.header.last_usable_lba);
    }
}

/// An image with partitions of these names, 1 MiB each, from 1 MiB on.
fn named(names: &[&str]) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0; 6 * MIB]);
    let mut gpt = gptman::GPT::new_from(&mut disk, 512, [7; 16]).unwrap();
    for (number, name) in (1..).zip(names) {
        gpt[number] = gptman::GPTPartitionEntry {
            partition_type_guid: [0x55; 16],
            unique_partition_guid: [number as u8; 16],
            starting_lba: u64::from(number) * 2048,
            ending_lba: u64::from(number) * 2048 + 2047,
            attribute_bits: 0,
            partition_name: (*name).into(),
        };
    }
    gpt.write_into(&mut disk).unwrap();
    gptman::GPT::write_protective_mbr_into(&mut disk, 512).unwrap();
    let mut image = disk.into_inner();
    image[2 * MIB..5 * MIB].copy_from_slice(&noise(3 * MIB, 5));
    image
}

#[test]
fn a_partition_of_that_name_is_used() {
    let disk = Disk::new(8 * MIB);
    let written = write_with_drive(&named(&["root", "CONFIG-2"]), &disk).unwrap();
    let partition = written.config_drive.unwrap();
    assert_eq!((partition.number, partition.start_lba), (2, 4096));
    assert_eq!(written.partitions.len(), 2);
    assert_holds_drive(&disk.content(), &partition, 512);
}

#[test]
fn a_file_system_of_that_label_is_used() {
    let mut with_iso = named(&["root", "other"]);
    with_iso[2 * MIB..2 * MIB + 400 * KIB].copy_from_slice(&iso()[..400 * KIB]);
    let mut with_fat = named(&["root", "other"]);
    let boot = &mut with_fat[2 * MIB..2 * MIB + 512];
    boot[510..512].copy_from_slice(&[0x55, 0xaa]);
    boot[66] = 0x29;
    boot[71..82].copy_from_slice(b"CONFIG-2   ");
    boot[82..90].copy_from_slice(b"FAT32   ");
    for image in [with_iso, with_fat] {
        let disk = Disk::new(8 * MIB);
        let written = write_with_drive(&image, &disk).unwrap();
        assert_eq!(written.config_drive.as_ref().unwrap().number, 2);
        assert_holds_drive(&disk.content(), &written.config_drive.unwrap(), 512);
    }
}

#[test]
fn two_partitions_of_that_name_are_an_error() {
    let disk = Disk::new(8 * MIB);
    let error = write_with_drive(&named(&["config-2", "root", "Config-2"]), &disk).unwrap_err();
    assert!(chain(&error).contains("partitions 1 and 3 are both called config-2"), "{}", chain(&error));
    assert_eq!(disk.content(), old_content(8 * MIB, 512));
}

#[test]
fn a_disk_without_room_is_an_error() {
    let disk = Disk::new(60 * MIB);
    let error = write_with_drive(&gpt_image(4 * MIB, 512), &disk).unwrap_err();
    assert!(chain(&error).contains("free bytes at the end of the disk"), "{}", chain(&error));
    assert_closed(&disk.content(), 512);
}

#[test]
fn drives_that_are_too_large_are_refused_before_anything_is_written() {
    let disk = Disk::new(8 * MIB);
    let image = gpt_image(4 * MIB, 512);
    let mut request = request(Script::new(image.clone()), sha256(&image));
    request.config_drive = Some(vec![1; 64 * MIB + 1]);
    let error = write_image(request, &disk, &Watch::default()).unwrap_err();
    assert!(matches!(error.failure(), Failure::ConfigDrive { .. }), "{error}");
    assert_eq!(disk.content(), old_content(8 * MIB, 512));
}

#[test]
fn an_mbr_gets_a_new_primary_partition_at_its_end() {
    let disk = Disk::new(DISK);
    let mut image = mbr_image(4 * MIB);
    mbr_entry(&mut image, 2, 0x83, 7000, 100);
    let written = write_with_drive(&image, &disk).unwrap();
    let partition = written.config_drive.unwrap();
    assert_eq!((partition.number, partition.type_byte, partition.size_lba), (2, Some(0x83), DRIVE_BLOCKS));
    assert_eq!(partition.start_lba, (DISK / 512) as u64 - DRIVE_BLOCKS);
    let content = disk.content();
    assert_holds_drive(&content, &partition, 512);
    assert_eq!(content[462 + 8..462 + 12], (partition.start_lba as u32).to_le_bytes());
    assert_eq!(content[440..444], 0xdead_beef_u32.to_le_bytes());
}

#[test]
fn an_mbr_without_slot_or_room_is_an_error() {
    let mut full = mbr_image(4 * MIB);
    for slot in 1..4 {
        mbr_entry(&mut full, slot, 0x83, 7000 + 100 * slot as u32, 100);
    }
    let mut long = mbr_image(4 * MIB);
    mbr_entry(&mut long, 0, 0x83, 2048, (DISK / 512 - 2048) as u32);
    // The first of these could be labelled, which only its content shows.
    for (image, why, untouched) in
        [(full, "4 primary partitions", false), (long, "free bytes at the end", true)]
    {
        let disk = Disk::new(DISK);
        let error = write_with_drive(&image, &disk).unwrap_err();
        assert!(chain(&error).contains(why), "{}", chain(&error));
        if untouched {
            assert!(disk.content() == old_content(DISK, 512));
        } else {
            assert_closed(&disk.content(), 512);
        }
    }
}
