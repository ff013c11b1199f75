//! qcow2 images onto disks.

use std::io::Cursor;
use std::sync::{Arc, Mutex};

use crate::support::*;
use tacit_imaging::{
    DiskLeft, Failure, ImagingError, Opened, Qcow2Part as Part, Qcow2Refusal as Refusal, Source, SourceError,
    WriteMode, WriteRequest, Written, write_image,
};

#[path = "../../src/qcow2/tests/writer.rs"]
pub(crate) mod writer;

use writer::{Made, Wanted, make};

/// An image of a whole disk, made of clusters in no order.
fn image(cluster_bits: u32, version: u32, zstd: bool, seed: u64) -> Made {
    let mut disk = mbr_image(4 * MIB + 512);
    // So that not everything is in the file.
    disk[MIB / 2..MIB].fill(0);
    disk[2 * MIB..3 * MIB].fill(0);
    // And some of it compresses.
    disk[3 * MIB..7 * MIB / 2].fill(0x11);
    make(Wanted { seed, cluster_bits, version, zstd, blank: false }, disk)
}

fn request(source: Script, file: &[u8]) -> WriteRequest {
    WriteRequest { disk_format: Some("qcow2".into()), ..crate::support::request(source, sha256(file)) }
}

fn write(file: &[u8], disk: &Disk) -> Result<Written, ImagingError> {
    write_image(request(Script::new(file.to_vec()), file), disk, &Watch::default())
}

fn assert_holds(disk: &Disk, image: &[u8]) {
    let content = disk.content();
    let differs = content.iter().zip(image).position(|(a, b)| a != b);
    assert_eq!(differs, None, "first difference");
}

#[test]
fn every_kind_arrives_whole() {
    for (cluster_bits, version, zstd) in [
        (9, 2, false),
        (9, 3, true),
        (12, 3, false),
        (16, 2, false),
        (16, 3, true),
        (21, 3, true),
        (21, 3, false),
    ] {
        let made = image(cluster_bits, version, zstd, cluster_bits.into());
        let disk = Disk::new(7 * MIB);
        let written = write(&made.file, &disk).unwrap();
        assert_eq!(written.source_bytes, made.file.len() as u64);
        assert_eq!(written.target_bytes, made.disk.len() as u64);
        assert_holds(&disk, &made.disk);
    }
}

#[test]
fn a_source_that_breaks_anywhere_is_continued() {
    let made = image(16, 3, true, 7);
    for cut in (0..made.file.len()).step_by(MIB / 2 + 11) {
        for event in [Event::BreakAfter(cut), Event::EndAfter(cut), Event::StallAfter(cut)] {
            let source = Script::with(made.file.clone(), &[event, Event::Refuse503]);
            let disk = Disk::new(7 * MIB);
            write_image(request(source, &made.file), &disk, &Watch::default()).unwrap();
            assert_holds(&disk, &made.disk);
        }
    }
}

#[test]
fn what_does_not_fit_or_is_not_whole_is_refused_before_the_first_write() {
    let made = image(16, 3, true, 8);
    let disk = Disk::new(4 * MIB);
    let error = write(&made.file, &disk).unwrap_err();
    assert!(matches!(error.failure(), Failure::TooLarge { exact: true, .. }), "{}", chain(&error));
    assert_eq!(error.disk(), DiskLeft::Untouched);
    let mut backed = made.file.clone();
    backed[15] = 1;
    let mut outside = made.file.clone();
    writer::put64(&mut outside, made.tables[1].start, 1 << 40);
    for (file, expected) in [
        (backed, Refusal::BackingFile),
        (outside.clone(), Refusal::Outside { part: Part::L2, offset: 1 << 40, file: outside.len() as u64 }),
    ] {
        let disk = Disk::new(7 * MIB);
        let error = write(&file, &disk).unwrap_err();
        assert!(
            matches!(error.failure(), Failure::Qcow2 { source, .. } if *source == expected),
            "{}",
            chain(&error)
        );
        assert_eq!(error.disk(), DiskLeft::Untouched);
        assert!(!error.retry());
    }
}

#[test]
fn a_damaged_cluster_leaves_nothing_bootable() {
    let made = image(16, 3, true, 9);
    let magic = [0x28, 0xb5, 0x2f, 0xfd];
    // Behind the first MiB of the disk, which is looked at before anything is written.
    let frames: Vec<usize> =
        made.file.windows(4).enumerate().filter(|(_, bytes)| *bytes == magic).map(|(at, _)| at).collect();
    let mut damaged = 0;
    for frame in frames {
        let mut file = made.file.clone();
        file[frame + 4..frame + 40].fill(0xff);
        let disk = Disk::new(7 * MIB);
        let error = write(&file, &disk).unwrap_err();
        if error.disk() != DiskLeft::Untouched {
            assert_closed(&disk.content(), 512);
            damaged += 1;
        }
    }
    assert!(damaged > 0, "no cluster was damaged");
}

#[test]
fn what_is_there_already_is_not_written_again() {
    let made = image(12, 3, true, 10);
    let disk = Disk::new(7 * MIB);
    for unchanged in [false, true] {
        let mut request = request(Script::new(made.file.clone()), &made.file);
        request.mode = WriteMode::Changed;
        let written = write_image(request, &disk, &Watch::default()).unwrap();
        assert_eq!(written.unchanged, unchanged);
        assert_holds(&disk, &made.disk);
    }
}

/// A server that shows one file to who asks for parts of it, and another to who reads it through.
struct TwoFaced {
    parts: Arc<Vec<u8>>,
    whole: Arc<Vec<u8>>,
    asked: Arc<Mutex<Vec<u64>>>,
}

impl Source for TwoFaced {
    fn describe(&self) -> String {
        "http://images.test/two-faced".into()
    }

    fn open(&mut self, offset: u64, len: Option<u64>, _: Option<&str>) -> Result<Opened, SourceError> {
        let through = len.is_none_or(|len| offset + len == self.whole.len() as u64 && offset <= MIB as u64);
        if !through {
            self.asked.lock().unwrap().push(offset);
        }
        let face = if through { &self.whole } else { &self.parts };
        let bytes = face[offset as usize..].to_vec();
        let total = Some(self.whole.len() as u64);
        Ok(Opened { reader: Box::new(Cursor::new(bytes)), total, etag: Some("\"1\"".into()), offset })
    }
}

fn write_two_faced(parts: Vec<u8>, whole: &[u8]) -> (Result<(), String>, Disk, usize) {
    let asked = Arc::default();
    let source =
        TwoFaced { parts: Arc::new(parts), whole: Arc::new(whole.to_vec()), asked: Arc::clone(&asked) };
    let mut request = WriteRequest::new(vec![Box::new(source)]);
    request.digests.push(sha256(whole));
    request.retry = quick();
    let disk = Disk::new(7 * MIB);
    let result = write_image(request, &disk, &Watch::default()).map(drop).map_err(|error| chain(&error));
    let asked = asked.lock().unwrap().len();
    (result, disk, asked)
}

/// The digest vouches for what is read through, so nothing else may decide.
#[test]
fn tables_that_are_shown_otherwise_in_parts_are_known() {
    let made = image(16, 3, true, 12);
    let (result, disk, _) = write_two_faced(made.file.clone(), &made.file);
    result.unwrap();
    assert_holds(&disk, &made.disk);
    let mut tried = 0;
    for table in made.tables.iter().filter(|table| table.start > MIB) {
        // The same clusters, two of them exchanged.
        let mut parts = made.file.clone();
        let entries: Vec<usize> = table.clone().step_by(8).filter(|&at| parts[at] & 0x40 != 0).collect();
        let [first, .., last] = entries[..] else { continue };
        for at in 0..8 {
            parts.swap(first + at, last + at);
        }
        let (result, disk, asked) = write_two_faced(parts, &made.file);
        assert!(asked > 0, "nothing was asked for in parts");
        let error = result.unwrap_err();
        assert!(error.contains("changed while it was read"), "{error}");
        assert_closed(&disk.content(), 512);
        tried += 1;
    }
    assert!(tried > 0, "no table lies behind the first MiB");
}

/// So does the partition table: it is checked by a head that was read in parts.
#[test]
fn a_head_that_is_shown_otherwise_in_parts_is_known() {
    // Where the disk's first cluster lies, behind what is read through at first.
    let first_cluster = |made: &Made| {
        let entry = made.tables[2..].iter().find_map(|table| {
            let at = u64::from_be_bytes(made.file[table.start..table.start + 8].try_into().unwrap());
            let at = (at & 0x00ff_ffff_ffff_fe00) as usize;
            made.file.get(at..at + 65536).is_some_and(|data| data == &made.disk[..65536]).then_some(at)
        });
        entry.filter(|at| *at > MIB)
    };
    let (made, at) = (0..)
        .find_map(|seed| {
            let made = image(16, 3, true, seed);
            first_cluster(&made).map(|at| (made, at))
        })
        .unwrap();
    let mut parts = made.file.clone();
    // A disk signature that the disk does not have.
    parts[at + 440] ^= 1;
    let (result, disk, asked) = write_two_faced(parts, &made.file);
    assert!(asked > 0, "nothing was asked for in parts");
    let error = result.unwrap_err();
    assert!(error.contains("changed while it was read"), "{error}");
    assert_closed(&disk.content(), 512);
}
