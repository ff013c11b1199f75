//! Images, disks and sources for the tests; disks and sources that fail on demand.

use std::io::{self, Cursor, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tacit_imaging::{
    ExpectedDigest, ImagingError, Observer, Opened, Progress, RetryPolicy, Source, SourceError, Target,
    TargetError, WriteRequest, Written, write_image,
};

pub(crate) const MIB: usize = 1 << 20;
pub(crate) const KIB: usize = 1 << 10;
pub(crate) const EFI_PART: &[u8] = b"EFI PART";

/// Bytes that differ from block to block and are never zero.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state as u8) | 1
        })
        .collect()
}

/// A disk image with a GPT (an ESP and a system partition, by an implementation that is not ours) and noise in all
/// its partitions, except for a MiB of zeros.
pub(crate) fn gpt_image(len: usize, sector: usize) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0; len]);
    let mut gpt = gptman::GPT::new_from(&mut disk, sector as u64, [7; 16]).unwrap();
    let align = (64 * KIB / sector) as u64;
    gpt.align = align;
    let esp = [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
    for (number, kind, blocks, name) in
        [(1, esp, 4 * align, "EFI"), (2, [0x55; 16], (len / 2 / sector) as u64, "root")]
    {
        gpt[number] = gptman::GPTPartitionEntry {
            partition_type_guid: kind,
            unique_partition_guid: [number as u8; 16],
            starting_lba: gpt.find_first_place(blocks).unwrap(),
            ending_lba: 0,
            attribute_bits: 0,
            partition_name: name.into(),
        };
        gpt[number].ending_lba = gpt[number].starting_lba + blocks - 1;
    }
    gpt.write_into(&mut disk).unwrap();
    gptman::GPT::write_protective_mbr_into(&mut disk, sector as u64).unwrap();
    let ranges: Vec<_> =
        gpt.iter().filter(|(_, entry)| entry.is_used()).map(|(_, e)| e.range().unwrap()).collect();
    let mut image = disk.into_inner();
    for (seed, range) in (1..).zip(ranges) {
        let bytes = *range.start() as usize * sector..(*range.end() as usize + 1) * sector;
        let fill = noise(bytes.len(), seed);
        image[bytes].copy_from_slice(&fill);
    }
    image
}

/// A disk image with an MBR, boot code and one partition from the first MiB to its end.
pub(crate) fn mbr_image(len: usize) -> Vec<u8> {
    let mut image = noise(len, 3);
    image[440..444].copy_from_slice(&0xdead_beef_u32.to_le_bytes());
    image[446..510].fill(0);
    mbr_entry(&mut image, 0, 0x83, 2048, (len / 512 - 2048) as u32);
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    image
}

pub(crate) fn mbr_entry(image: &mut [u8], slot: usize, kind: u8, start: u32, blocks: u32) {
    let entry = &mut image[446 + 16 * slot..462 + 16 * slot];
    entry[4] = kind;
    entry[8..12].copy_from_slice(&start.to_le_bytes());
    entry[12..16].copy_from_slice(&blocks.to_le_bytes());
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Raw,
    Gzip,
    Xz,
    Zstd,
}

pub(crate) const PACKINGS: [Packing; 4] = [Packing::Raw, Packing::Gzip, Packing::Xz, Packing::Zstd];

pub(crate) fn pack(bytes: &[u8], packing: Packing) -> Vec<u8> {
    match packing {
        Packing::Raw => bytes.to_vec(),
        Packing::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Packing::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Packing::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            encoder.set_pledged_src_size(Some(bytes.len() as u64)).unwrap();
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> ExpectedDigest {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    ExpectedDigest::parse(Some("sha256"), &hex, tacit_imaging::Md5::Refused).unwrap()
}

/// What was done to a disk.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Write(usize, Vec<u8>),
    Zero(usize, usize),
    Flush,
}

pub(crate) fn apply(disk: &mut [u8], op: &Op) {
    match op {
        Op::Write(offset, bytes) => disk[*offset..offset + bytes.len()].copy_from_slice(bytes),
        Op::Zero(offset, len) => disk[*offset..offset + len].fill(0),
        Op::Flush => {}
    }
}

/// A disk in memory that begins full of someone else's bootable content, and fails as told.
pub(crate) struct Disk {
    pub(crate) bytes: Mutex<Vec<u8>>,
    pub(crate) sector: u32,
    /// Everything done to it, when it is asked to remember.
    pub(crate) journal: Option<Mutex<Vec<Op>>>,
    /// Writes, zeroings and flushes so far.
    pub(crate) operations: AtomicUsize,
    /// From this operation on, everything fails.
    pub(crate) fail_from: Option<usize>,
    /// Writes that touch this byte fail, after what lies before it was written.
    pub(crate) bad_byte: Option<usize>,
    /// Reads of this byte are wrong.
    pub(crate) lying_byte: Option<usize>,
}

impl Disk {
    pub(crate) fn new(len: usize) -> Self {
        Self {
            bytes: Mutex::new(old_content(len, 512)),
            sector: 512,
            journal: None,
            operations: AtomicUsize::new(0),
            fail_from: None,
            bad_byte: None,
            lying_byte: None,
        }
    }

    pub(crate) fn with_sector(len: usize, sector: u32) -> Self {
        Self { sector, bytes: Mutex::new(old_content(len, sector as usize)), ..Self::new(len) }
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    fn operation(&self) -> Result<(), TargetError> {
        let number = self.operations.fetch_add(1, Ordering::SeqCst);
        if self.fail_from.is_some_and(|first| number >= first) {
            return Err(io::Error::from_raw_os_error(5).into());
        }
        Ok(())
    }

    fn remember(&self, op: impl FnOnce() -> Op) {
        if let Some(journal) = &self.journal {
            journal.lock().unwrap().push(op());
        }
    }

    fn check(&self, offset: u64, len: usize) -> (usize, usize) {
        let offset = offset as usize;
        assert!(offset + len <= self.size_bytes() as usize, "{len} bytes at {offset} are not on the disk");
        (offset, offset + len)
    }
}

/// What the tenant before left: tables at both ends and content in between.
pub(crate) fn old_content(len: usize, sector: usize) -> Vec<u8> {
    let mut old = vec![0xdb; len];
    old[510..512].copy_from_slice(&[0x55, 0xaa]);
    old[sector..sector + 8].copy_from_slice(EFI_PART);
    old[len - sector..len - sector + 8].copy_from_slice(EFI_PART);
    old
}

impl Target for Disk {
    fn describe(&self) -> String {
        "/dev/test-disk".into()
    }

    fn size_bytes(&self) -> u64 {
        self.bytes.lock().unwrap().len() as u64
    }

    fn logical_sector(&self) -> u32 {
        self.sector
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), TargetError> {
        let (start, end) = self.check(offset, buf.len());
        buf.copy_from_slice(&self.bytes.lock().unwrap()[start..end]);
        if let Some(lie) = self.lying_byte.filter(|byte| (start..end).contains(byte)) {
            buf[lie - start] ^= 0xff;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), TargetError> {
        let (start, end) = self.check(offset, buf.len());
        self.operation()?;
        if let Some(bad) = self.bad_byte.filter(|byte| (start..end).contains(byte)) {
            self.bytes.lock().unwrap()[start..bad].copy_from_slice(&buf[..bad - start]);
            return Err(io::Error::from_raw_os_error(5).into());
        }
        self.bytes.lock().unwrap()[start..end].copy_from_slice(buf);
        self.remember(|| Op::Write(start, buf.to_vec()));
        Ok(())
    }

    fn zero(&self, offset: u64, len: u64) -> Result<(), TargetError> {
        let (start, end) = self.check(offset, len as usize);
        self.operation()?;
        self.bytes.lock().unwrap()[start..end].fill(0);
        self.remember(|| Op::Zero(start, end - start));
        Ok(())
    }

    fn flush(&self) -> Result<(), TargetError> {
        self.operation()?;
        self.remember(|| Op::Flush);
        Ok(())
    }

    fn reread_partition_table(&self) -> Result<(), TargetError> {
        Ok(())
    }
}

/// Whether firmware or a kernel would find a partition table.
pub(crate) fn is_bootable(disk: &[u8], sector: usize) -> bool {
    disk[510..512] == [0x55, 0xaa]
        || disk[sector..].starts_with(EFI_PART)
        || disk[disk.len() / sector * sector - sector..].starts_with(EFI_PART)
}

/// First and last MiB are zero, and no block of the disk looks like a GPT header.
pub(crate) fn assert_closed(disk: &[u8], sector: usize) {
    assert!(disk[..MIB].iter().all(|&byte| byte == 0), "the first MiB is not zero");
    assert!(disk[disk.len() - MIB..].iter().all(|&byte| byte == 0), "the last MiB is not zero");
    for (block, bytes) in disk.chunks(sector).enumerate() {
        assert!(!bytes.starts_with(EFI_PART), "block {block} is a GPT header");
    }
}

/// How one opening of a source goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// Reading breaks with an error after so many bytes.
    BreakAfter(usize),
    /// Reading ends after so many bytes as if that were all.
    EndAfter(usize),
    /// The reader times out after so many bytes.
    StallAfter(usize),
    /// It cannot be opened now.
    Refuse503,
    /// It cannot be opened ever.
    Refuse404,
    /// The content changes before it is opened.
    NewEtag,
}

/// An image server that misbehaves in a given order, and then no more.
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) events: Vec<Event>,
    /// Whether the length is told.
    pub(crate) total: bool,
    /// What it says its length is, if that is not the truth.
    pub(crate) claims: Option<u64>,
    /// Always serves from byte 0.
    pub(crate) ignores_range: bool,
    pub(crate) etag: u32,
    pub(crate) log: Arc<Log>,
}

/// What was asked of a source.
#[derive(Default)]
pub(crate) struct Log {
    /// Offsets that it was opened at.
    pub(crate) opened: Mutex<Vec<u64>>,
    /// How often each byte was handed out.
    pub(crate) served: Mutex<Vec<u8>>,
}

impl Script {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let log = Arc::new(Log::default());
        log.served.lock().unwrap().resize(bytes.len(), 0);
        Self {
            name: "http://images.test/disk",
            bytes: Arc::new(bytes),
            events: Vec::new(),
            total: true,
            claims: None,
            ignores_range: false,
            etag: 1,
            log,
        }
    }

    pub(crate) fn with(bytes: Vec<u8>, events: &[Event]) -> Self {
        Self { events: events.to_vec(), ..Self::new(bytes) }
    }
}

struct ScriptReader {
    bytes: Arc<Vec<u8>>,
    at: usize,
    until: usize,
    then: Option<io::ErrorKind>,
    log: Arc<Log>,
}

impl Read for ScriptReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(self.until - self.at).min(50_000);
        if len == 0 && !buf.is_empty() {
            return self.then.map_or(Ok(0), |kind| Err(kind.into()));
        }
        buf[..len].copy_from_slice(&self.bytes[self.at..self.at + len]);
        for count in &mut self.log.served.lock().unwrap()[self.at..self.at + len] {
            *count += 1;
        }
        self.at += len;
        Ok(len)
    }
}

impl Source for Script {
    fn describe(&self) -> String {
        self.name.into()
    }

    fn open(&mut self, offset: u64, _len: Option<u64>, etag: Option<&str>) -> Result<Opened, SourceError> {
        self.log.opened.lock().unwrap().push(offset);
        let event = if self.events.is_empty() { None } else { Some(self.events.remove(0)) };
        let start = if self.ignores_range { 0 } else { offset as usize };
        let mut reader = ScriptReader {
            bytes: Arc::clone(&self.bytes),
            at: start,
            until: self.bytes.len(),
            then: None,
            log: Arc::clone(&self.log),
        };
        let (len, then) = match event {
            Some(Event::Refuse503) => {
                return Err(SourceError::Retryable {
                    reason: "503 Service Unavailable".into(),
                    source: None,
                });
            }
            Some(Event::Refuse404) => {
                return Err(SourceError::Fatal { reason: "404 Not Found".into(), source: None });
            }
            Some(Event::BreakAfter(len)) => (len, Some(io::ErrorKind::ConnectionReset)),
            Some(Event::StallAfter(len)) => (len, Some(io::ErrorKind::TimedOut)),
            Some(Event::EndAfter(len)) => (len, None),
            Some(Event::NewEtag) => {
                self.etag += 1;
                (usize::MAX, None)
            }
            None => (usize::MAX, None),
        };
        reader.until = start.saturating_add(len).min(self.bytes.len());
        // What would happen behind the end does not.
        reader.then = then.filter(|_| start.saturating_add(len) < self.bytes.len());
        let now = format!("\"{}\"", self.etag);
        if offset > 0 && etag.is_some_and(|before| before != now) {
            // As `If-Range` does: the whole new content.
            reader.at = 0;
            reader.until = self.bytes.len();
            return Ok(Opened { reader: Box::new(reader), total: None, etag: Some(now), offset: 0 });
        }
        let total = self.claims.or(Some(self.bytes.len() as u64)).filter(|_| self.total);
        Ok(Opened { reader: Box::new(reader), total, etag: Some(now), offset: start as u64 })
    }
}

/// Watches, and lets everything happen.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) seen: Mutex<Vec<Progress>>,
}

impl Observer for Watch {
    fn progress(&self, progress: &Progress) {
        self.seen.lock().unwrap().push(progress.clone());
    }

    fn cancelled(&self) -> bool {
        false
    }
}

pub(crate) fn quick() -> RetryPolicy {
    RetryPolicy {
        first_delay: Duration::from_millis(1),
        max_delay: Duration::from_millis(2),
        attempts: 4,
        ..RetryPolicy::default()
    }
}

pub(crate) fn request(source: Script, digest: ExpectedDigest) -> WriteRequest {
    WriteRequest {
        digests: vec![digest],
        disk_format: Some("raw".into()),
        retry: quick(),
        ..WriteRequest::new(vec![Box::new(source)])
    }
}

/// Writes bytes as served, which are what the digest says.
pub(crate) fn write(served: &[u8], disk: &Disk) -> Result<Written, ImagingError> {
    write_image(request(Script::new(served.to_vec()), sha256(served)), disk, &Watch::default())
}

/// Message of an error and of everything below it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text.push_str(": ");
        text.push_str(&error.to_string());
        below = error.source();
    }
    text
}
