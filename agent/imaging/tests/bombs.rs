//! Images that unpack to far more than the disk holds, and numbers that no image has: the writer stops at the disk's
//! size, in the memory that any image takes. The only test of its binary: it looks at the whole process.
#![expect(clippy::unwrap_used, reason = "tests panic on purpose")]

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tacit_imaging::{
    DiskLeft, ExpectedDigest, Failure, Md5, Observer, Opened, Progress, Source, SourceError, Target,
    TargetError, WriteMode, WriteRequest, write_image,
};

const MIB: u64 = 1 << 20;
const DISK: u64 = 64 * MIB;
/// Zeros in one member of a bomb, and members.
const MEMBER: usize = 64 << 20;
const MEMBERS: usize = 256;
/// What any image takes, and an xz dictionary (6 is the usual preset).
const MEMORY: u64 = (48 + 8) * MIB;

/// A first part and another one that is repeated, made while they are read.
#[derive(Clone)]
struct Repeated {
    first: Arc<Vec<u8>>,
    then: Arc<Vec<u8>>,
    times: usize,
    at: usize,
    handed_out: Arc<AtomicU64>,
}

impl Repeated {
    fn new(first: Vec<u8>, then: Vec<u8>, times: usize) -> Self {
        let (first, then) = (Arc::new(first), Arc::new(then));
        Self { first, then, times, at: 0, handed_out: Arc::default() }
    }

    fn len(&self) -> usize {
        self.first.len() + self.times * self.then.len()
    }
}

impl Read for Repeated {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let here = match self.at.checked_sub(self.first.len()) {
            None => &self.first[self.at..],
            Some(_) if self.at == self.len() => &[],
            Some(behind) => &self.then[behind % self.then.len()..],
        };
        let len = here.len().min(buf.len());
        buf[..len].copy_from_slice(&here[..len]);
        self.at += len;
        self.handed_out.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}

impl Source for Repeated {
    fn describe(&self) -> String {
        "http://images.test/bomb".into()
    }

    fn open(&mut self, offset: u64, _: Option<u64>, _: Option<&str>) -> Result<Opened, SourceError> {
        let reader = Box::new(Self { at: offset as usize, ..self.clone() });
        Ok(Opened { reader, total: Some(self.len() as u64), etag: None, offset })
    }
}

/// A disk that keeps nothing but how far it was written, and reads as zeros.
#[derive(Default)]
struct Nothing {
    end: AtomicU64,
}

impl Nothing {
    fn reach(&self, end: u64) -> Result<(), TargetError> {
        assert!(end <= DISK, "byte {end} of {DISK}");
        self.end.fetch_max(end, Ordering::Relaxed);
        Ok(())
    }
}

impl Target for Nothing {
    fn describe(&self) -> String {
        "/dev/nothing".into()
    }

    fn size_bytes(&self) -> u64 {
        DISK
    }

    fn logical_sector(&self) -> u32 {
        512
    }

    fn read_at(&self, _: u64, buf: &mut [u8]) -> Result<(), TargetError> {
        buf.fill(0);
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), TargetError> {
        self.reach(offset + buf.len() as u64)
    }

    fn zero(&self, offset: u64, len: u64) -> Result<(), TargetError> {
        self.reach(offset + len)
    }

    fn flush(&self) -> Result<(), TargetError> {
        Ok(())
    }

    fn reread_partition_table(&self) -> Result<(), TargetError> {
        Ok(())
    }
}

struct Nobody;

impl Observer for Nobody {
    fn progress(&self, _: &Progress) {}

    fn cancelled(&self) -> bool {
        false
    }
}

/// An MBR whose partition fills the disk, and the rest of two MiB.
fn head() -> Vec<u8> {
    let mut head = vec![0x77; 2 * MIB as usize];
    head[446..510].fill(0);
    head[450] = 0x83;
    head[454..458].copy_from_slice(&2048u32.to_le_bytes());
    head[458..462].copy_from_slice(&((DISK / 512) as u32 - 2048).to_le_bytes());
    head[510..512].copy_from_slice(&[0x55, 0xaa]);
    head
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A frame that says how much it holds, or does not.
fn zstd(bytes: &[u8], sized: bool) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_contentsize(sized).unwrap();
    encoder.set_pledged_src_size(sized.then_some(bytes.len() as u64)).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn peak_rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Makes the peak what is there now.
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

fn request(source: Repeated, mode: WriteMode) -> WriteRequest {
    // Another digest than the bomb's: it is never asked for.
    let digest = ExpectedDigest::parse(None, &"0".repeat(64), Md5::Refused).unwrap();
    WriteRequest { digests: vec![digest], mode, ..WriteRequest::new(vec![Box::new(source)]) }
}

/// A header of a qcow2 image with these numbers: version 3, L1 table at 64 KiB.
fn qcow2(cluster_bits: u32, size: u64, l1_entries: u32) -> Vec<u8> {
    let mut file = vec![0; 256 << 10];
    for (at, bytes) in [
        (0, b"QFI\xfb\0\0\0\x03".to_vec()),
        (20, cluster_bits.to_be_bytes().to_vec()),
        (24, size.to_be_bytes().to_vec()),
        (36, l1_entries.to_be_bytes().to_vec()),
        (40, (64u64 << 10).to_be_bytes().to_vec()),
        (96, 4u32.to_be_bytes().to_vec()),
        (100, 104u32.to_be_bytes().to_vec()),
    ] {
        file[at..at + bytes.len()].copy_from_slice(&bytes);
    }
    file
}

fn bombs_stop_at_the_end_of_the_disk() {
    let zeros = vec![0; MEMBER];
    let bombs = [
        ("gzip", gzip(&head()), gzip(&zeros)),
        ("xz", xz(&head()), xz(&zeros)),
        ("zstd", zstd(&head(), true), zstd(&zeros, true)),
        ("zstd without sizes", zstd(&head(), false), zstd(&zeros, false)),
    ];
    drop(zeros);
    for (name, first, then) in bombs {
        for mode in [WriteMode::All, WriteMode::Changed] {
            let source = Repeated::new(first.clone(), then.clone(), MEMBERS);
            let (served, whole) = (Arc::clone(&source.handed_out), source.len() as u64);
            let disk = Nothing::default();
            forget_peak();
            let before = peak_rss();
            let error = write_image(request(source, mode), &disk, &Nobody).unwrap_err();
            let taken = peak_rss().saturating_sub(before);
            assert!(matches!(error.failure(), Failure::TooLarge { .. }), "{name}: {error}");
            assert_eq!((error.disk(), error.closed()), (DiskLeft::NotBootable, true), "{name}");
            let served = served.load(Ordering::Relaxed);
            eprintln!("{name} {mode:?}: {served} of {whole} bytes fetched, {} KiB taken", taken >> 10);
            // The blocks on their way are fetched; the gigabytes behind them are not unpacked.
            assert!(served < whole.min(16 * MIB) || whole < 16 * MIB, "{name}: {served} bytes were fetched");
            assert!(taken < MEMORY, "{name}: {taken} bytes");
        }
    }
}

fn wild_numbers_are_refused_without_memory() {
    // A frame that says that it holds all there is, with a window of 2 GiB, or a single segment of 2^63 bytes.
    let huge_frame = |descriptor: u8, window: &[u8], size: u64| {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, descriptor];
        frame.extend_from_slice(window);
        frame.extend_from_slice(&size.to_le_bytes());
        // A block of repeated bytes, 128 KiB of them.
        frame.extend_from_slice(&[0x02, 0x00, 0x10, 0x77]);
        frame
    };
    let mut xz_index = xz(&head());
    let end = xz_index.len();
    // So long says the footer; its checksum is looked at when all is unpacked.
    xz_index[end - 8..end - 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let images = [
        ("qcow2 of 2^63 bytes", qcow2(16, 1 << 63, 1)),
        ("qcow2 of 2^64 - 512 bytes", qcow2(16, u64::MAX - 511, u32::MAX)),
        ("qcow2 with an L1 table of 2^32 entries", qcow2(16, MIB, u32::MAX)),
        ("qcow2 with clusters of 2^31 bytes", qcow2(31, MIB, 1)),
        ("qcow2 with clusters of 2^63 bytes", qcow2(63, MIB, 1)),
        ("qcow2 with clusters of 2^64 bytes", qcow2(64, MIB, 1)),
        ("zstd frame of 2^63 bytes", huge_frame(0xe0, &[], 1 << 63)),
        ("zstd frame of 2^64 - 3 bytes", huge_frame(0xe0, &[], u64::MAX - 2)),
        ("zstd window of 2 GiB", huge_frame(0xc0, &[0xa8], MIB)),
        ("zstd window of all there is", huge_frame(0xc0, &[0xff], MIB)),
        ("later: xz index of 16 GiB", xz_index),
        (
            "later: zstd frame of 2^62 bytes",
            [zstd(&head(), true), huge_frame(0xc0, &[0x50], 1 << 62)].concat(),
        ),
    ];
    for (name, image) in images {
        let disk = Nothing::default();
        forget_peak();
        let before = peak_rss();
        let error = write_image(request(Repeated::new(image, vec![0], 0), WriteMode::All), &disk, &Nobody)
            .unwrap_err();
        let taken = peak_rss().saturating_sub(before);
        eprintln!("{name}: {} KiB taken: {error}", taken >> 10);
        assert!(taken < MEMORY, "{name}: {taken} bytes");
        if error.disk() == DiskLeft::Untouched {
            assert_eq!(disk.end.load(Ordering::Relaxed), 0, "{name}");
        } else {
            assert!(error.closed() && name.starts_with("later"), "{name}: {error}");
        }
    }
}

#[test]
fn bombs_and_wild_numbers() {
    wild_numbers_are_refused_without_memory();
    bombs_stop_at_the_end_of_the_disk();
}
