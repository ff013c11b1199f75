//! Where a file has holes, by its file system.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

/// Tells data from holes. What was learned last is kept: some file systems look at every page up to where a run ends,
/// and asking again at each place within a long run would take ever longer.
pub(super) struct Sparse<'a> {
    file: &'a File,
    size: u64,
    data: Mutex<Range<u64>>,
    hole: Mutex<Range<u64>>,
}

impl<'a> Sparse<'a> {
    pub(super) fn new(file: &'a File, size: u64) -> Self {
        Self { file, size, data: Mutex::default(), hole: Mutex::default() }
    }

    /// Where data begin at `at` or behind it; the end of the file when none do.
    pub(super) fn next_data(&self, at: u64) -> io::Result<u64> {
        if holds(&self.data, at).is_some() {
            return Ok(at);
        }
        self.find(at, Whence::SeekData, &self.hole, at)
    }

    /// Where the data that are at `at` end.
    pub(super) fn next_hole(&self, at: u64) -> io::Result<u64> {
        self.find(at, Whence::SeekHole, &self.data, self.size)
    }

    /// Where the run that is at `at` ends, known or asked for. `unknown` is the answer where the file system does not
    /// keep holes.
    fn find(&self, at: u64, whence: Whence, run: &Mutex<Range<u64>>, unknown: u64) -> io::Result<u64> {
        if at >= self.size {
            return Ok(self.size);
        }
        if let Some(end) = holds(run, at) {
            return Ok(end);
        }
        let offset = i64::try_from(at).map_err(io::Error::other)?;
        let end = match lseek(self.file, offset, whence) {
            Ok(found) => u64::try_from(found).unwrap_or(at).clamp(at, self.size),
            // There is nothing more.
            Err(Errno::ENXIO) => self.size,
            Err(Errno::EINVAL | Errno::EOPNOTSUPP) => unknown,
            Err(error) => return Err(error.into()),
        };
        *run.lock().unwrap_or_else(PoisonError::into_inner) = at..end;
        Ok(end)
    }
}

/// The end of a run that holds `at`.
fn holds(run: &Mutex<Range<u64>>, at: u64) -> Option<u64> {
    let run = run.lock().unwrap_or_else(PoisonError::into_inner);
    run.contains(&at).then_some(run.end)
}
