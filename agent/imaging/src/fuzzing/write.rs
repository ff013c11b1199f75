//! The whole writer.

use std::io::Cursor;
use std::sync::Mutex;

use crate::{
    DigestAlgorithm, DiskLeft, ExpectedDigest, Observer, Opened, Progress, Source, SourceError, Target,
    TargetError, Verify, WriteMode, WriteRequest, write_image,
};

use super::tables::still_fits;

const EDGE: usize = 1 << 20;
const DISK: usize = 4 * EDGE;
const SECTOR: usize = 512;
/// What the disk holds before: no zeros, and nothing that boots.
const OLD: u8 = 0xdb;

/// Any bytes as served, written with the digest that they have. Of the first byte, bit 0 asks for changes only, bit 1 for
/// reading all of it back, bit 2 makes the digest a wrong one.
///
/// # Panics
///
/// When something else is revealed than what was asked for, or something at all after a failure.
pub fn write(data: &[u8]) {
    let Some((&flags, image)) = data.split_first() else { return };
    let mut hex: String = ring::digest::digest(&ring::digest::SHA256, image)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let forged = flags & 4 != 0;
    if forged {
        let first = if hex.starts_with('0') { "1" } else { "0" };
        hex.replace_range(..1, first);
    }
    let request = WriteRequest {
        digests: vec![ExpectedDigest { algorithm: DigestAlgorithm::Sha256, hex }],
        mode: if flags & 1 == 0 { WriteMode::All } else { WriteMode::Changed },
        verify: if flags & 2 == 0 { Verify::Revealed } else { Verify::Full },
        ..WriteRequest::new(vec![Box::new(Memory(image.to_vec()))])
    };
    let disk = Disk(Mutex::new(vec![OLD; DISK]));
    let result = write_image(request, &disk, &Nobody);
    let content = disk.0.into_inner().expect("no writer panicked");
    match result {
        Ok(written) => {
            assert!(!forged, "another image than the expected one was revealed");
            assert_eq!(
                still_fits(&content[..EDGE], SECTOR as u32, (DISK / SECTOR) as u64),
                written.partitions
            );
        }
        Err(error) if error.disk() == DiskLeft::Untouched => {
            assert!(content.iter().all(|byte| *byte == OLD), "untouched, and yet written: {error}");
        }
        Err(error) => {
            assert!(error.closed(), "{error}");
            let edges = content[..EDGE].iter().chain(&content[DISK - EDGE..]);
            assert!(edges.copied().all(|byte| byte == 0), "revealed after a failure: {error}");
        }
    }
}

struct Memory(Vec<u8>);

impl Source for Memory {
    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn open(&mut self, offset: u64, _: Option<u64>, _: Option<&str>) -> Result<Opened, SourceError> {
        let mut reader = Cursor::new(self.0.clone());
        reader.set_position(offset);
        Ok(Opened { reader: Box::new(reader), total: Some(self.0.len() as u64), etag: None, offset })
    }
}

struct Disk(Mutex<Vec<u8>>);

impl Disk {
    fn with<R>(&self, offset: u64, len: usize, act: impl FnOnce(&mut [u8]) -> R) -> Result<R, TargetError> {
        let start = usize::try_from(offset)?;
        let end = start.checked_add(len).ok_or("far behind the disk")?;
        let mut bytes = self.0.lock().expect("no writer panicked");
        let range = bytes.get_mut(start..end).unwrap_or_else(|| panic!("{start}..{end} is not on the disk"));
        Ok(act(range))
    }
}

impl Target for Disk {
    fn describe(&self) -> String {
        "disk".to_owned()
    }

    fn size_bytes(&self) -> u64 {
        DISK as u64
    }

    fn logical_sector(&self) -> u32 {
        SECTOR as u32
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), TargetError> {
        self.with(offset, buf.len(), |bytes| buf.copy_from_slice(bytes))
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), TargetError> {
        self.with(offset, buf.len(), |bytes| bytes.copy_from_slice(buf))
    }

    fn zero(&self, offset: u64, len: u64) -> Result<(), TargetError> {
        self.with(offset, usize::try_from(len)?, |bytes| bytes.fill(0))
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
