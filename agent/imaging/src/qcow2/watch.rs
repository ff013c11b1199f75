use std::ops::Range;

use ring::digest::{Context, Digest, SHA256};

/// Ranges of the file under one digest, one behind the other.
pub(super) struct Sealed {
    pub(super) ranges: Vec<Range<u64>>,
    pub(super) digest: Digest,
}

/// Makes a [`Sealed`].
pub(super) struct Seal {
    ranges: Vec<Range<u64>>,
    context: Context,
}

impl Seal {
    pub(super) fn new() -> Self {
        Self { ranges: Vec::new(), context: Context::new(&SHA256) }
    }

    /// Adds what was read at an offset behind everything that was added before.
    pub(super) fn add(&mut self, offset: u64, bytes: &[u8]) {
        self.context.update(bytes);
        let end = offset + bytes.len() as u64;
        match self.ranges.last_mut().filter(|last| last.end == offset) {
            Some(last) => last.end = end,
            None => self.ranges.push(offset..end),
        }
    }

    pub(super) fn finish(self) -> Sealed {
        Sealed { ranges: self.ranges, digest: self.context.finish() }
    }
}

/// Looks whether sealed ranges are still the same when the file comes by.
pub(super) struct Watch<'s> {
    left: &'s [Range<u64>],
    digest: &'s Digest,
    context: Option<Context>,
}

/// The ranges are not what they were.
#[derive(Debug)]
pub(super) struct Changed;

impl<'s> Watch<'s> {
    pub(super) fn new(sealed: &'s Sealed) -> Self {
        Self { left: &sealed.ranges, digest: &sealed.digest, context: Some(Context::new(&SHA256)) }
    }

    /// Looks at the part of the file at `offset`. Parts come one behind the other.
    ///
    /// # Errors
    ///
    /// When the last range has come and one of them has changed.
    pub(super) fn look(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Changed> {
        let end = offset + bytes.len() as u64;
        while let Some((range, behind)) = self.left.split_first().filter(|(range, _)| range.start < end) {
            let part = range.start.max(offset)..range.end.min(end);
            if let Some(context) = &mut self.context {
                context.update(&bytes[(part.start - offset) as usize..(part.end - offset) as usize]);
            }
            if range.end > end {
                return Ok(());
            }
            self.left = behind;
        }
        if self.left.is_empty()
            && let Some(context) = self.context.take()
            && context.finish().as_ref() != self.digest.as_ref()
        {
            return Err(Changed);
        }
        Ok(())
    }

    /// Whether all ranges have come by.
    pub(super) fn is_done(&self) -> bool {
        self.left.is_empty()
    }
}
