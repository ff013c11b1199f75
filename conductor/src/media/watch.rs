//! What was fetched of a medium, and when.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::ranges::RangeRead;

/// How a BMC has used a medium so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaAccess {
    /// Requests answered, `HEAD` included.
    pub requests: u64,
    /// Bytes read for answers, those fetched twice counted twice.
    pub bytes: u64,
    /// End of the farthest byte fetched, in bytes from the start of the medium.
    pub end: u64,
    /// Unix time in seconds at which the first byte of content was fetched.
    pub first_at: Option<f64>,
    /// Unix time in seconds at which the latest byte of content was fetched.
    pub last_at: Option<f64>,
}

/// A registered medium: its bytes, and who waits for them to be fetched.
pub(super) struct Watched {
    medium: Box<dyn RangeRead>,
    access: watch::Sender<MediaAccess>,
}

impl Watched {
    pub(super) fn new(medium: Box<dyn RangeRead>) -> Self {
        Self { medium, access: watch::Sender::new(MediaAccess::default()) }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<MediaAccess> {
        self.access.subscribe()
    }

    pub(super) fn note_request(&self) {
        self.access.send_modify(|access| access.requests += 1);
    }
}

impl RangeRead for Watched {
    fn len(&self) -> u64 {
        self.medium.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.medium.read_at(offset, buffer)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        self.access.send_modify(|access| {
            access.bytes += count as u64;
            access.end = access.end.max(offset + count as u64);
            access.first_at.get_or_insert(now);
            access.last_at = Some(now);
        });
        Ok(count)
    }
}
