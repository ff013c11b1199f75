//! What a block map saves: what is neither fetched nor written.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::bmap::{Bmap, compare};
use crate::error::Failure;
use crate::pipeline::Plan;
use crate::prepare::{Arrangement, Writer};
use crate::progress::Reporter;
use crate::request::WriteMode;
use crate::survey::Content;
use crate::transform::Sieve;
use crate::veil::Veil;

/// Ranges that are no further apart are fetched together, in bytes: a request costs more than these do.
const GAP: u64 = 256 << 10;

impl Writer<'_> {
    /// What of the image goes to the disk, and what is fetched for that. `alone` says that nothing but the map vouches
    /// for the image.
    pub(crate) fn sieve(
        &self,
        map: &Arc<Bmap>,
        alone: bool,
        content: &Content,
        arrangement: &Arrangement,
        veil: &Veil<'_>,
        reporter: &mut Reporter<'_>,
    ) -> Result<(Sieve, Plan), Failure> {
        let whole_disk = matches!(arrangement, Arrangement::Whole(_));
        let (wanted, holes) = if self.mode == WriteMode::Changed && alone && whole_disk {
            self.changed(map, veil, reporter)?
        } else {
            (Bmap::clone(map), map.holes().collect())
        };
        let nothing = wanted.ranges().len() == 0;
        let sparse = alone && (nothing || matches!(content, Content::Raw));
        let plan = if sparse { Plan::Ranges(together(&wanted)) } else { Plan::Everything };
        if let Plan::Ranges(ranges) = &plan {
            reporter.progress.source_total = Some(ranges.iter().map(|range| range.end - range.start).sum());
        }
        Ok((Sieve { wanted, holes, sparse, strict: !alone }, plan))
    }

    /// The ranges and holes that are not on the disk as they should be.
    fn changed(
        &self,
        map: &Arc<Bmap>,
        veil: &Veil<'_>,
        reporter: &mut Reporter<'_>,
    ) -> Result<(Bmap, Vec<Range<u64>>), Failure> {
        reporter.stage("compare");
        let read = &self.counters.read_bytes;
        let changed = reporter
            .attend(|cancelled| compare(self.target, map, read, cancelled))?
            .map_err(|source| Failure::Compare { device: self.device.clone(), source })?;
        let mut differing = changed.ranges.iter().peekable();
        let mut kept = 0;
        for (place, range) in map.ranges().enumerate() {
            if differing.next_if_eq(&&place).is_none() {
                kept += range.bytes.end - range.bytes.start;
                veil.adopt(range.bytes).map_err(self.failed("reading what is held back"))?;
            }
        }
        let dirty: u64 = changed.holes.iter().map(|hole| hole.end - hole.start).sum();
        let holes = map.image_size() - map.mapped_bytes() - dirty;
        self.counters.target_bytes.fetch_add(kept + holes, Ordering::Relaxed);
        reporter.stage("write");
        Ok((map.only(&changed.ranges), changed.holes))
    }
}

fn together(map: &Bmap) -> Vec<Range<u64>> {
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in map.ranges() {
        match joined.last_mut() {
            Some(last) if range.bytes.start <= last.end + GAP => last.end = range.bytes.end,
            _ => joined.push(range.bytes),
        }
    }
    joined
}
