//! Copies whose place follows from the geometry of what they are copies of: the ones that repair tools bring a wiped
//! file system back from.
//!
//! The content is a tenant's. No number in it is trusted: places outside of the region are no places, and how much
//! work a disk can ask for is bounded by [`MOST`].

mod ext;
mod fields;
mod lvm;
mod microsoft;
mod other;
mod xfs;

use tacit_blockdev::Error;

use super::probe::{Follow, Found, Reader};

/// Most copies of one file system that are looked for. XFS has one in each 16 MiB at most: a TiB of the smallest ones.
const MOST: usize = 1 << 16;

/// All copies in a region, or only what guards ask for.
pub(super) fn copies(reader: &Reader<'_>, how_far: Follow) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    lvm::areas(reader, &mut found)?;
    if how_far == Follow::Guards {
        return Ok(found);
    }
    for follow in [
        ext::copies,
        xfs::copies,
        microsoft::ntfs,
        microsoft::bitlocker,
        other::ddf,
        other::udf,
        other::bcachefs,
        other::apfs,
        other::ufs,
    ] {
        follow(reader, &mut found)?;
    }
    Ok(found)
}
