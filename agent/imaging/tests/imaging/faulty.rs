//! Disks and sources that fail at a given byte or operation, whichever thread comes by.

use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::*;
use tacit_imaging::{Opened, Source, SourceError, Target, TargetError};

pub(crate) const EINTR: i32 = 4;
pub(crate) const EIO: i32 = 5;
pub(crate) const ENOSPC: i32 = 28;

/// Which operation of a disk fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    /// Each that touches this byte.
    Byte(usize),
    /// The one with this number, in the order in which they begin.
    Operation(usize),
}

/// How it fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Nothing is done.
    Errno(i32),
    /// A part is done: up to the byte, or half of it.
    Short(i32),
    /// A part is done, and success is reported.
    Silent,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskFault {
    pub(crate) at: At,
    pub(crate) kind: Kind,
    /// How often, before all is well again.
    pub(crate) times: usize,
}

pub(crate) struct FaultyDisk {
    pub(crate) disk: Disk,
    fault: DiskFault,
    operations: AtomicUsize,
    /// How often the fault happened.
    pub(crate) fired: AtomicUsize,
}

impl FaultyDisk {
    pub(crate) fn new(disk: Disk, fault: DiskFault) -> Self {
        Self { disk, fault, operations: AtomicUsize::new(0), fired: AtomicUsize::new(0) }
    }

    /// How much of an operation is done, if it fails.
    fn hit(&self, offset: usize, len: usize) -> Option<usize> {
        let number = self.operations.fetch_add(1, Ordering::SeqCst);
        let done = match self.fault.at {
            At::Byte(byte) => byte.checked_sub(offset).filter(|done| *done < len)?,
            At::Operation(wanted) => (number >= wanted).then_some(len / 2)?,
        };
        let fired = self.fired.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |fired| {
            (fired < self.fault.times).then_some(fired + 1)
        });
        fired.ok().map(|_| done)
    }

    fn fail(
        &self,
        done: usize,
        part: impl FnOnce(usize) -> Result<(), TargetError>,
    ) -> Result<(), TargetError> {
        match self.fault.kind {
            Kind::Errno(errno) => Err(io::Error::from_raw_os_error(errno).into()),
            Kind::Short(errno) => {
                part(done)?;
                Err(io::Error::from_raw_os_error(errno).into())
            }
            Kind::Silent => part(done),
        }
    }
}

impl Target for FaultyDisk {
    fn describe(&self) -> String {
        self.disk.describe()
    }

    fn size_bytes(&self) -> u64 {
        self.disk.size_bytes()
    }

    fn logical_sector(&self) -> u32 {
        self.disk.logical_sector()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), TargetError> {
        self.disk.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), TargetError> {
        match self.hit(offset as usize, buf.len()) {
            Some(done) => self.fail(done, |done| self.disk.write_at(offset, &buf[..done])),
            None => self.disk.write_at(offset, buf),
        }
    }

    fn zero(&self, offset: u64, len: u64) -> Result<(), TargetError> {
        match self.hit(offset as usize, len as usize) {
            Some(done) => self.fail(done, |done| self.disk.zero(offset, done as u64)),
            None => self.disk.zero(offset, len),
        }
    }

    fn deallocate(&self, offset: u64, len: u64) -> Result<(), TargetError> {
        self.zero(offset, len)
    }

    fn flush(&self) -> Result<(), TargetError> {
        match self.hit(usize::MAX, 0) {
            // A flush that says that it was one cannot be told from one that was: nothing is lost without a power cut.
            Some(done) => self.fail(done, |_| self.disk.flush()),
            None => self.disk.flush(),
        }
    }

    fn reread_partition_table(&self) -> Result<(), TargetError> {
        Ok(())
    }
}

/// What happens to whoever reads on at a byte of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The connection breaks.
    Reset,
    /// No byte comes until the reader's patience ends.
    Stall,
    Interrupted,
    /// As if that were all.
    End,
    /// It cannot even be opened there.
    Refuse,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceFault {
    pub(crate) at: usize,
    pub(crate) trouble: Trouble,
    /// How often, before all is well again.
    pub(crate) times: usize,
}

/// A server that fails at certain bytes, however often and wherever it is opened.
pub(crate) struct FaultySource {
    bytes: Arc<Vec<u8>>,
    faults: Arc<Mutex<Vec<SourceFault>>>,
    /// Readers hand out so many bytes at a time.
    piece: usize,
}

impl FaultySource {
    pub(crate) fn new(bytes: Arc<Vec<u8>>, faults: &[SourceFault]) -> Self {
        Self { bytes, faults: Arc::new(Mutex::new(faults.to_vec())), piece: 200_000 }
    }

    /// How often faults are still to happen.
    pub(crate) fn left(&self) -> impl Fn() -> usize + use<> {
        let faults = Arc::clone(&self.faults);
        move || faults.lock().unwrap().iter().map(|fault| fault.times).sum()
    }
}

/// The fault that waits at a byte, once less from now on.
fn take(faults: &Mutex<Vec<SourceFault>>, at: usize, fits: impl Fn(Trouble) -> bool) -> Option<Trouble> {
    let mut faults = faults.lock().unwrap();
    let fault = faults.iter_mut().find(|fault| fault.at == at && fault.times > 0 && fits(fault.trouble))?;
    fault.times -= 1;
    Some(fault.trouble)
}

impl Source for FaultySource {
    fn describe(&self) -> String {
        "http://images.test/disk".into()
    }

    fn open(&mut self, offset: u64, len: Option<u64>, etag: Option<&str>) -> Result<Opened, SourceError> {
        assert!(etag.is_none_or(|etag| etag == "\"1\""));
        let at = offset as usize;
        if take(&self.faults, at, |trouble| trouble == Trouble::Refuse).is_some() {
            return Err(SourceError::Retryable { reason: "503 Service Unavailable".into(), source: None });
        }
        let all = self.bytes.len();
        let end = len.map_or(all, |len| all.min(at + len as usize));
        let (bytes, faults) = (Arc::clone(&self.bytes), Arc::clone(&self.faults));
        let reader = Box::new(FaultyReader { bytes, faults, at, end, piece: self.piece });
        Ok(Opened { reader, total: Some(all as u64), etag: Some("\"1\"".into()), offset })
    }
}

struct FaultyReader {
    bytes: Arc<Vec<u8>>,
    faults: Arc<Mutex<Vec<SourceFault>>>,
    at: usize,
    end: usize,
    piece: usize,
}

impl Read for FaultyReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.end {
            return Ok(0);
        }
        // Who refuses to be opened here also breaks whoever comes by.
        match take(&self.faults, self.at, |_| true) {
            Some(Trouble::Reset | Trouble::Refuse) => return Err(io::ErrorKind::ConnectionReset.into()),
            Some(Trouble::Stall) => return Err(io::ErrorKind::TimedOut.into()),
            Some(Trouble::Interrupted) => return Err(io::ErrorKind::Interrupted.into()),
            Some(Trouble::End) => return Ok(0),
            None => {}
        }
        let waiting = self.faults.lock().unwrap();
        let next = waiting.iter().filter(|fault| fault.times > 0 && fault.at > self.at).map(|fault| fault.at);
        let end = next.min().unwrap_or(usize::MAX).min(self.end);
        let len = buf.len().min(end - self.at).min(self.piece);
        buf[..len].copy_from_slice(&self.bytes[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}
