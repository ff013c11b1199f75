//! Headers and tables that nobody should believe.

use super::super::refusal::{Part, Refusal, SurveyError};
use super::super::survey::Image;
use super::support::{survey, survey_for};
use super::writer::{header, put32, put64};

const DISK: u64 = 1 << 40;
const CLUSTER: usize = 1 << 16;

/// An image of three clusters: header, L1, L2; the disk has 64 clusters.
fn small() -> Vec<u8> {
    let mut file = header(3, 16, 64 << 16, (1 << 16, 1), false);
    file.resize(3 * CLUSTER, 0);
    put64(&mut file, CLUSTER, 2 << 16);
    file
}

/// What `change` makes of the small image.
fn refusal(change: impl FnOnce(&mut Vec<u8>)) -> Refusal {
    let mut file = small();
    survey_for(&file, DISK).unwrap();
    change(&mut file);
    survey_for(&file, DISK).err().unwrap()
}

/// What is said of a header of which nothing but the first 64 KiB may be read.
fn from_header(change: impl FnOnce(&mut Vec<u8>)) -> Refusal {
    let mut file = small();
    change(&mut file);
    let result = Image::survey::<()>(None, DISK, &mut |offset, buf| {
        assert!(offset + buf.len() as u64 <= 64 << 10, "{} bytes at {offset}", buf.len());
        buf.copy_from_slice(&file[offset as usize..offset as usize + buf.len()]);
        Ok(())
    });
    match result {
        Err(SurveyError::Refused(refusal)) => refusal,
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn what_is_no_usable_header_is_refused_before_anything_else_is_read() {
    assert_eq!(from_header(|file| file[0] = 0), Refusal::NotQcow2);
    assert_eq!(from_header(|file| put32(file, 4, 1)), Refusal::Version(1));
    assert_eq!(from_header(|file| put32(file, 4, 4)), Refusal::Version(4));
    assert_eq!(from_header(|file| put64(file, 8, 0x200)), Refusal::BackingFile);
    for bits in [0, 8, 22, 31, u32::MAX] {
        assert_eq!(from_header(|file| put32(file, 20, bits)), Refusal::ClusterBits(bits));
    }
    for method in [1, 2, 3] {
        assert_eq!(from_header(|file| put32(file, 32, method)), Refusal::Encrypted(method));
    }
    assert_eq!(from_header(|file| put64(file, 72, 2)), Refusal::Corrupt);
    assert_eq!(from_header(|file| put64(file, 72, 4)), Refusal::ExternalData);
    assert_eq!(from_header(|file| put64(file, 72, 16)), Refusal::ExtendedL2);
    assert_eq!(from_header(|file| put64(file, 72, 1 << 63 | 1)), Refusal::Incompatible(1 << 63));
    for length in [0, 96, 105, 1 << 20] {
        assert_eq!(from_header(|file| put32(file, 100, length)), Refusal::HeaderLength(length));
    }
    assert_eq!(from_header(|file| file[104] = 1), Refusal::Compression(1));
    assert_eq!(from_header(|file| put64(file, 72, 8)), Refusal::Compression(0));
    let unknown = |file: &mut Vec<u8>| {
        put64(file, 72, 8);
        file[104] = 2;
    };
    assert_eq!(from_header(unknown), Refusal::Compression(2));
}

#[test]
fn wild_numbers_are_refused_before_anything_else_is_read() {
    for size in [0, 1, 513] {
        assert_eq!(from_header(|file| put64(file, 24, size)), Refusal::Size(size));
    }
    for size in [DISK + 512, 1 << 63, !511] {
        assert_eq!(from_header(|file| put64(file, 24, size)), Refusal::TooLarge { size, disk: DISK });
    }
    assert_eq!(from_header(|file| put32(file, 36, 0)), Refusal::L1Small { entries: 0, needed: 1 });
    let larger = |file: &mut Vec<u8>| put64(file, 24, DISK);
    assert_eq!(from_header(larger), Refusal::L1Small { entries: 1, needed: 2048 });
    for entries in [(4 << 20) + 1, u32::MAX] {
        assert_eq!(from_header(|file| put32(file, 36, entries)), Refusal::L1Large { entries });
    }
    for offset in [1, 512, 3 << 15, 1 << 63] {
        let expected = Refusal::Unaligned { part: Part::L1, offset };
        assert_eq!(from_header(|file| put64(file, 40, offset)), expected);
    }
    let expected = Refusal::Overlap { part: Part::L1, offset: 0, before: Part::Header, end: 1 << 16 };
    assert_eq!(from_header(|file| put64(file, 40, 0)), expected);
}

#[test]
fn extensions_are_looked_at() {
    let extension = |kind: u32, len: u32| {
        move |file: &mut Vec<u8>| {
            put32(file, 112, 0xe279_2aca);
            put32(file, 116, 5);
            put32(file, 128, kind);
            put32(file, 132, len);
        }
    };
    assert_eq!(from_header(extension(0x4441_5441, 8)), Refusal::ExternalData);
    assert_eq!(from_header(extension(0x0537_be77, 16)), Refusal::Encrypted(0));
    for len in [u32::MAX, 1 << 16] {
        let expected = Refusal::Extension { kind: 77, limit: 1 << 16 };
        assert_eq!(from_header(extension(77, len)), expected);
    }
    // To the last byte, and not known: no concern of ours.
    let mut file = small();
    extension(77, (1 << 16) - 136)(&mut file);
    survey(&file).unwrap();
    // The same in version 2, where they begin earlier.
    put32(&mut file, 4, 2);
    file[72..112].fill(0);
    put32(&mut file, 72, 0x4441_5441);
    assert_eq!(survey(&file).err(), Some(Refusal::ExternalData));
}

#[test]
fn short_files_are_refused() {
    let file = small();
    for len in [0, 4, 511] {
        assert_eq!(survey(&file[..len]).err(), Some(Refusal::Short));
    }
    let file_end = |len: u64, part, offset| Some(Refusal::Outside { part, offset, file: len });
    assert_eq!(survey(&file[..512]).err(), file_end(512, Part::L1, 1 << 16));
    assert_eq!(survey(&file[..CLUSTER + 7]).err(), file_end(CLUSTER as u64 + 7, Part::L1, 1 << 16));
    let len = 3 * CLUSTER - 1;
    assert_eq!(survey(&file[..len]).err(), file_end(len as u64, Part::L2, 2 << 16));
}

#[test]
fn tables_lie_in_the_file_and_on_nothing_else() {
    let l1 = |entry: u64| move |file: &mut Vec<u8>| put64(file, CLUSTER, entry);
    assert_eq!(refusal(l1(0x2_8000)), Refusal::Unaligned { part: Part::L2, offset: 0x2_8000 },);
    for offset in [3 << 16, 0xff_ffff_ffff_0000] {
        let expected = Refusal::Outside { part: Part::L2, offset, file: 3 << 16 };
        assert_eq!(refusal(l1(offset)), expected);
    }
    let expected = Refusal::Overlap { part: Part::L2, offset: 1 << 16, before: Part::L1, end: (1 << 16) + 8 };
    assert_eq!(refusal(l1(1 << 16)), expected);
    for entry in [2 << 16 | 1, 2 << 16 | 1 << 56, 1 << 62] {
        assert_eq!(refusal(l1(entry)), Refusal::Reserved { entry });
    }
    let shared = |file: &mut Vec<u8>| {
        put64(file, 24, 8193 << 16);
        put32(file, 36, 2);
        put64(file, CLUSTER + 8, 2 << 16);
    };
    let expected = Refusal::Overlap { part: Part::L2, offset: 2 << 16, before: Part::L2, end: 3 << 16 };
    assert_eq!(refusal(shared), expected);
}

#[test]
fn clusters_lie_in_the_file_and_on_nothing_else() {
    let l2 = |entries: &[u64]| {
        let entries = entries.to_vec();
        move |file: &mut Vec<u8>| {
            file.resize(5 * CLUSTER, 7);
            for (index, entry) in entries.iter().enumerate() {
                put64(file, 2 * CLUSTER + index * 8, *entry);
            }
        }
    };
    let overlap = |part, offset, before, end| Refusal::Overlap { part, offset, before, end };
    for entry in [3 << 16 | 2, 3 << 16 | 1 << 56, 3 << 16 | 1 << 61] {
        assert_eq!(refusal(l2(&[entry])), Refusal::Reserved { entry });
    }
    for flags in [0, 1, 1 << 63] {
        let offset = 0x3_0200;
        assert_eq!(refusal(l2(&[offset | flags])), Refusal::Unaligned { part: Part::Data, offset });
    }
    let expected = Refusal::Outside { part: Part::Data, offset: 5 << 16, file: 5 << 16 };
    assert_eq!(refusal(l2(&[5 << 16])), expected);
    assert_eq!(refusal(l2(&[3 << 16, 3 << 16])), overlap(Part::Data, 3 << 16, Part::Data, 4 << 16));
    assert_eq!(refusal(l2(&[1 << 16])), overlap(Part::Data, 1 << 16, Part::L1, (1 << 16) + 8));
    assert_eq!(refusal(l2(&[4 << 16, 2 << 16])), overlap(Part::Data, 2 << 16, Part::L2, 3 << 16));
    // Compressed: bits 54 to 61 are the number of sectors less one.
    let packed = |offset: u64, sectors: u64| 1 << 62 | (sectors - 1) << 54 | offset;
    let at = 3 << 16;
    assert_eq!(refusal(l2(&[packed(at, 130)])), Refusal::PackedLong { offset: at });
    assert_eq!(refusal(l2(&[packed(0x1000, 1)])), overlap(Part::Packed, 0x1000, Part::Header, 1 << 16));
    let begun = packed(0x2_fff0, 2);
    assert_eq!(refusal(l2(&[begun])), overlap(Part::Packed, 0x2_fff0, Part::L2, 3 << 16));
    let same = overlap(Part::Packed, at, Part::Packed, at + 1024);
    assert_eq!(refusal(l2(&[packed(at, 2), packed(at, 2)])), same);
    let earlier = overlap(Part::Packed, at + 511, Part::Packed, at + 1024);
    assert_eq!(refusal(l2(&[packed(at, 2), packed(at + 511, 2)])), earlier);
    let over = overlap(Part::Data, 4 << 16, Part::Packed, (4 << 16) + 512);
    assert_eq!(refusal(l2(&[packed((4 << 16) - 512, 2), 4 << 16])), over);
    // The last sector is shared, and the file ends within the last one.
    let mut file = small();
    l2(&[packed(at, 2), packed(at + 513, 1), packed((5 << 16) - 2, 1)])(&mut file);
    file.truncate(5 * CLUSTER - 1);
    survey(&file).unwrap();
    file.truncate(5 * CLUSTER - 2);
    let offset = (5 << 16) - 2;
    let outside = Refusal::Outside { part: Part::Packed, offset, file: offset };
    assert_eq!(survey(&file).err(), Some(outside));
    let zero = |file: &mut Vec<u8>| {
        l2(&[1])(file);
        put32(file, 4, 2);
        file[72..112].fill(0);
    };
    assert_eq!(refusal(zero), Refusal::ZeroInVersion2);
}

#[test]
fn clusters_of_several_tables_lie_on_nothing_else() {
    let two = |file: &mut Vec<u8>| {
        put64(file, 24, 8193 << 16);
        put32(file, 36, 2);
        put64(file, CLUSTER + 8, 3 << 16);
        file.resize(6 * CLUSTER, 0);
        put64(file, 2 * CLUSTER, 4 << 16);
        put64(file, 2 * CLUSTER + 8, 5 << 16);
        put64(file, 3 * CLUSTER, 5 << 16);
    };
    let expected = Refusal::Overlap { part: Part::Data, offset: 5 << 16, before: Part::Data, end: 6 << 16 };
    assert_eq!(refusal(two), expected);
    let on_other_table = |file: &mut Vec<u8>| {
        two(file);
        put64(file, 3 * CLUSTER, 2 << 16);
    };
    let expected = Refusal::Overlap { part: Part::Data, offset: 2 << 16, before: Part::L2, end: 3 << 16 };
    assert_eq!(refusal(on_other_table), expected);
}
