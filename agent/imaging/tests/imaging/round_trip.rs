//! Images that are right arrive whole, with their tables fitted to the disk.

use std::io::Cursor;

use crate::support::*;
use proptest::prelude::*;
use tacit_imaging::{Failure, TableKind, write_image};

/// Everything but the table: the partitions of the image, byte for byte.
fn assert_holds(disk: &[u8], image: &[u8], sector: usize) {
    let gpt = gptman::GPT::read_from(&mut Cursor::new(disk), sector as u64).unwrap();
    let before = gptman::GPT::read_from(&mut Cursor::new(image), sector as u64).unwrap();
    for (number, entry) in before.iter().filter(|(_, entry)| entry.is_used()) {
        assert_eq!(&gpt[number], entry);
        let range = entry.starting_lba as usize * sector..(entry.ending_lba as usize + 1) * sector;
        assert!(disk[range.clone()] == image[range], "partition {number}");
    }
    // Both copies are valid, each alone, and the usable space goes to the end of the disk.
    assert!(gpt.header.is_primary());
    let blocks = (disk.len() / sector) as u64;
    assert_eq!(gpt.header.backup_lba, blocks - 1);
    assert_eq!(gpt.header.last_usable_lba, blocks - 2 - (16384 / sector) as u64);
    let mut without_primary = disk.to_vec();
    without_primary[sector..2 * sector].fill(0);
    let backup = gptman::GPT::read_from(&mut Cursor::new(&without_primary), sector as u64).unwrap();
    assert!(backup.header.is_backup());
    assert_eq!(backup.header.backup_lba, 1);
    // The protective partition covers the disk, and no other header is left anywhere.
    assert_eq!(disk[446 + 12..446 + 16], (blocks as u32 - 1).to_le_bytes());
    let headers = disk.chunks(sector).filter(|block| block.starts_with(EFI_PART)).count();
    assert_eq!(headers, 2);
}

#[test]
fn every_packing_arrives_whole_and_the_gpt_moves_to_the_end() {
    let image = gpt_image(4 * MIB, 512);
    for packing in PACKINGS {
        let served = pack(&image, packing);
        let disk = Disk::new(7 * MIB + 512);
        let watch = Watch::default();
        let written =
            write_image(request(Script::new(served.clone()), sha256(&served)), &disk, &watch).unwrap();
        assert_holds(&disk.content(), &image, 512);
        assert_eq!((written.source_bytes, written.target_bytes), (served.len() as u64, 4 * MIB as u64));
        assert_eq!(written.table, TableKind::Gpt);
        assert_eq!(written.vouched, [sha256(&served).hex.to_lowercase()]);
        let esp = &written.partitions[0];
        assert_eq!(esp.type_guid.as_deref(), Some("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"));
        assert_eq!(esp.guid.as_deref(), Some("01010101-0101-0101-0101-010101010101"));
        assert_eq!((esp.number, esp.name.as_deref(), esp.size_lba), (1, Some("EFI"), 512));
        let seen = watch.seen.lock().unwrap();
        let last = seen.last().unwrap();
        assert_eq!((last.stage, last.target_bytes), ("reveal", 4 * MIB as u64));
        assert_eq!(last.source_total, Some(served.len() as u64));
    }
}

#[test]
fn images_as_large_as_the_disk_fit() {
    for packing in PACKINGS {
        let image = gpt_image(4 * MIB, 512);
        let disk = Disk::new(4 * MIB);
        write(&pack(&image, packing), &disk).unwrap();
        assert_holds(&disk.content(), &image, 512);
        assert!(disk.content() == image, "{packing:?}");
    }
}

#[test]
fn images_smaller_than_what_is_held_back_fit() {
    let image = gpt_image(700 * KIB, 512);
    let disk = Disk::new(3 * MIB);
    write(&image, &disk).unwrap();
    assert_holds(&disk.content(), &image, 512);
    assert!(disk.content()[MIB..2 * MIB].iter().all(|&byte| byte == 0xdb), "more was written than the image");
}

#[test]
fn disks_with_large_sectors_take_images_made_for_them() {
    let image = gpt_image(4 * MIB, 4096);
    let disk = Disk::with_sector(8 * MIB, 4096);
    write(&image, &disk).unwrap();
    assert_holds(&disk.content(), &image, 4096);
}

#[test]
fn images_with_an_mbr_arrive_unchanged() {
    let image = mbr_image(3 * MIB + 512);
    let disk = Disk::new(5 * MIB);
    let written = write(&pack(&image, Packing::Zstd), &disk).unwrap();
    assert!(disk.content()[..image.len()] == image);
    assert_eq!((written.table, written.disk_identifier), (TableKind::Dos, 0xdead_beef));
    let only = &written.partitions[0];
    assert_eq!((only.number, only.type_byte, only.start_lba), (1, Some(0x83), 2048));
}

#[test]
fn streams_of_several_members_are_one_image() {
    let image = gpt_image(4 * MIB, 512);
    for packing in [Packing::Gzip, Packing::Xz, Packing::Zstd] {
        let served: Vec<u8> = image.chunks(1_500_000).flat_map(|part| pack(part, packing)).collect();
        let disk = Disk::new(6 * MIB);
        write(&served, &disk).unwrap();
        assert_holds(&disk.content(), &image, 512);
    }
}

#[test]
fn an_unknown_length_is_no_hindrance() {
    for packing in PACKINGS {
        let image = gpt_image(4 * MIB, 512);
        let served = pack(&image, packing);
        let disk = Disk::new(6 * MIB);
        let source = Script { total: false, ..Script::new(served.clone()) };
        write_image(request(source, sha256(&served)), &disk, &Watch::default()).unwrap();
        assert_holds(&disk.content(), &image, 512);
    }
}

#[test]
fn zstd_windows_are_bounded() {
    let image = gpt_image(4 * MIB, 512);
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(30).unwrap();
    encoder.include_contentsize(false).unwrap();
    std::io::Write::write_all(&mut encoder, &image).unwrap();
    let served = encoder.finish().unwrap();
    let disk = Disk::new(6 * MIB);
    let error = write(&served, &disk).unwrap_err();
    assert!(matches!(error.failure(), Failure::Decode { codec: "zstd", .. }), "{error}");
    assert_eq!(disk.content(), old_content(6 * MIB, 512));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_size_any_packing_any_interruptions(
        image_blocks in 1400usize..7000,
        spare_blocks in 0usize..5000,
        packing in prop::sample::select(&PACKINGS[..]),
        breaks in prop::collection::vec(1usize..400_000, 0..6),
        known in any::<bool>(),
    ) {
        let image = gpt_image(image_blocks * 512, 512);
        let served = pack(&image, packing);
        let disk = Disk::new(((image_blocks + spare_blocks) * 512).max(3 * MIB));
        let events: Vec<Event> = breaks.into_iter().map(Event::BreakAfter).collect();
        let source = Script { total: known, ..Script::with(served.clone(), &events) };
        write_image(request(source, sha256(&served)), &disk, &Watch::default())
            .map_err(|error| TestCaseError::fail(chain(&error)))?;
        assert_holds(&disk.content(), &image, 512);
    }
}
