//! Reading an image through broken connections, every byte once.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::error::Failure;
use crate::progress::Counters;
use crate::source::{Opened, RetryPolicy, Source, SourceError};

/// Never sent: that the other end is gone means that nobody wants the image any more.
pub(crate) enum Never {}

/// Why fetching ended early.
pub(crate) enum Stop {
    Failed(Failure),
    /// Nobody reads on; who stopped knows why.
    Abandoned,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

pub(crate) struct Fetcher {
    sources: Vec<Box<dyn Source>>,
    current: usize,
    retry: RetryPolicy,
    abandoned: Receiver<Never>,
    counters: Arc<Counters>,
    reader: Option<Box<dyn Read + Send>>,
    /// Next byte to hand out.
    offset: u64,
    /// Where the range ends that is being read; the image's own end where there is none.
    end: Option<u64>,
    /// Whether what is read counts as progress.
    counts: bool,
    total: Option<u64>,
    /// Of the current source.
    etag: Option<String>,
    /// Whether anything was read: from then on the length, and within one source the ETag, must stay.
    opened: bool,
    /// Failures in a row since the last byte.
    failures: u32,
}

impl Fetcher {
    pub(crate) fn new(
        sources: Vec<Box<dyn Source>>,
        retry: RetryPolicy,
        abandoned: Receiver<Never>,
        counters: Arc<Counters>,
    ) -> Result<Self, Failure> {
        if sources.is_empty() {
            return Err(Failure::NoSource);
        }
        Ok(Self {
            sources,
            current: 0,
            retry,
            abandoned,
            counters,
            reader: None,
            offset: 0,
            end: None,
            counts: true,
            total: None,
            etag: None,
            opened: false,
            failures: 0,
        })
    }

    pub(crate) fn describe(&self) -> String {
        self.sources[self.current].describe()
    }

    /// Length of the source in bytes; known, if ever, after the first [`Self::fill`].
    pub(crate) fn total(&self) -> Option<u64> {
        self.total
    }

    /// Goes on with this range; with everything from its start on where it has no end.
    pub(crate) fn seek(&mut self, start: u64, end: Option<u64>) {
        // A reader that was asked for another range is of no use, wherever it stands.
        if start != self.offset || end != self.end {
            self.reader = None;
        }
        self.offset = start;
        self.end = end;
    }

    /// Checks that reading came as far as it was to.
    pub(crate) fn expect_end(&self, found: u64, wanted: u64) -> Result<(), Stop> {
        if found == wanted {
            return Ok(());
        }
        Err(self.changed(format!("it ends at byte {found}")).into())
    }

    /// Fills `buf` from `offset` on, through a connection of its own (the present one is given up first, so that never
    /// more than one is needed), and comes back to where reading was.
    pub(crate) fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Stop> {
        let (offset_before, end_before) = (self.offset, self.end);
        let end = offset.saturating_add(buf.len() as u64);
        self.seek(offset, Some(end));
        self.counts = false;
        let filled = self.fill(buf);
        self.counts = true;
        self.reader = None;
        self.seek(offset_before, end_before);
        self.expect_end(offset + filled? as u64, end)
    }

    /// Reads until `buf` is full or the range or the image ends, and returns how much was read.
    pub(crate) fn fill(&mut self, buf: &mut [u8]) -> Result<usize, Stop> {
        let mut filled = 0;
        while filled < buf.len() {
            if self.end.is_some_and(|end| self.offset >= end)
                || (self.offset > 0 && self.total == Some(self.offset))
            {
                break;
            }
            let within = self.end.map_or(u64::MAX, |end| end - self.offset).min((buf.len() - filled) as u64);
            match self.read_some(&mut buf[filled..filled + within as usize]) {
                Ok(0) if self.total.is_none_or(|total| total == self.offset) => break,
                Ok(0) => {
                    let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended early");
                    self.after_failure(error.into())?;
                }
                Ok(read) => {
                    filled += read;
                    self.offset += read as u64;
                    self.failures = 0;
                    self.opened = true;
                    if self.counts {
                        self.counters.source_bytes.fetch_add(read as u64, Ordering::Relaxed);
                    }
                    if let Some(total) = self.total.filter(|&total| self.offset > total) {
                        return Err(self.changed(format!("more than its {total} bytes")).into());
                    }
                }
                Err(Trouble::Read(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(Trouble::Read(error)) => self.after_failure(error.into())?,
                Err(Trouble::Open(SourceError::Changed { reason })) => {
                    return Err(self.changed(reason).into());
                }
                Err(Trouble::Open(error @ SourceError::Retryable { .. })) => {
                    self.after_failure(error.into())?;
                }
                Err(Trouble::Open(error @ SourceError::Fatal { .. })) => {
                    let (url, offset) = (self.describe(), self.offset);
                    if !self.next_source() {
                        return Err(Failure::SourceRefused { url, offset, source: error.into() }.into());
                    }
                    tracing::warn!(%url, offset, %error, "source refused, trying the next one");
                }
            }
        }
        Ok(filled)
    }

    /// The last `len` bytes of the source. `None` when that does not work for whatever reason, or not without reading
    /// all that lies before: the tail only helps to refuse early.
    pub(crate) fn tail(&mut self, len: u64) -> Option<Vec<u8>> {
        let start = self.total?.checked_sub(len)?;
        self.reader = None;
        let opened = self.sources[self.current].open(start, Some(len), self.etag.as_deref()).ok()?;
        if opened.offset != start || opened.total != self.total {
            return None;
        }
        let mut tail = Vec::new();
        opened.reader.take(len).read_to_end(&mut tail).ok()?;
        (tail.len() as u64 == len).then_some(tail)
    }

    fn read_some(&mut self, buf: &mut [u8]) -> Result<usize, Trouble> {
        if self.reader.is_none() {
            self.open()?;
        }
        let reader = self.reader.as_mut().expect("opened just before");
        let read = reader.read(buf)?;
        if read > buf.len() {
            return Err(io::Error::other("the reader says it read more than it was given room for").into());
        }
        Ok(read)
    }

    fn open(&mut self) -> Result<(), Trouble> {
        let Opened { mut reader, total, etag, offset } = self.sources[self.current].open(
            self.offset,
            self.end.map(|end| end - self.offset),
            self.etag.as_deref(),
        )?;
        if self.opened {
            let changed = |what: String| Trouble::Open(SourceError::Changed { reason: what });
            if let (Some(before), Some(now)) = (self.total, total)
                && before != now
            {
                return Err(changed(format!("its length was {before} bytes and is {now}")));
            }
            if let (Some(before), Some(now)) = (&self.etag, &etag)
                && before != now
            {
                return Err(changed(format!("its ETag was {before} and is {now}")));
            }
            if offset > self.offset {
                return Err(SourceError::Retryable {
                    reason: format!("asked for byte {}, got byte {offset}", self.offset),
                    source: None,
                }
                .into());
            }
            self.total = self.total.or(total);
            self.etag = etag.or(self.etag.take());
        } else {
            self.total = total;
            self.etag = etag;
        }
        let behind = self.offset.saturating_sub(offset);
        if behind > 0 {
            let skipped = io::copy(&mut reader.by_ref().take(behind), &mut io::sink())?;
            if skipped < behind {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        self.reader = Some(reader);
        Ok(())
    }

    /// Waits before the same source is tried again, or goes on to the next one.
    fn after_failure(&mut self, error: Box<dyn std::error::Error + Send + Sync>) -> Result<(), Stop> {
        self.reader = None;
        self.failures += 1;
        self.counters.retries.fetch_add(1, Ordering::Relaxed);
        let (url, offset, attempts) = (self.describe(), self.offset, self.failures);
        if attempts >= self.retry.attempts {
            if !self.next_source() {
                return Err(Failure::SourceFailed { url, offset, attempts, source: error }.into());
            }
            tracing::warn!(%url, offset, attempts, %error, "source failed, trying the next one");
            return self.pause(Duration::ZERO);
        }
        tracing::warn!(%url, offset, attempts, %error, "source failed, opening it again");
        let doubled = self.retry.first_delay.saturating_mul(1 << (attempts - 1).min(16));
        self.pause(doubled.min(self.retry.max_delay))
    }

    fn pause(&self, delay: Duration) -> Result<(), Stop> {
        match self.abandoned.recv_timeout(delay) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(Stop::Abandoned),
            Ok(never) => match never {},
        }
    }

    fn next_source(&mut self) -> bool {
        self.reader = None;
        self.failures = 0;
        // Validators are only comparable within one source; the length and the digest tie the sources together.
        self.etag = None;
        if self.current + 1 < self.sources.len() {
            self.current += 1;
            return true;
        }
        false
    }

    fn changed(&self, what: String) -> Failure {
        Failure::SourceChanged { url: self.describe(), offset: self.offset, what }
    }
}

enum Trouble {
    Read(io::Error),
    Open(SourceError),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        Self::Open(error)
    }
}
