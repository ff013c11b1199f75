//! What must hold of any bytes.

use std::ops::Range;
use std::sync::Arc;

use super::pass::{Pass, PassError};
use super::survey::Image;
use crate::extent::{Extent, Slice};
use crate::pool::Pool;
use crate::unpack::Unpacker;

/// Most bytes that are unpacked.
const UNPACKED: u64 = 16 << 20;

/// Feeds a pass with a file in parts of `part` bytes (at most 1 MiB), as a fetch would.
pub(super) fn feed<E>(
    pass: &mut Pass<'_>,
    pool: &Pool,
    file: &[u8],
    part: usize,
    emit: &mut dyn FnMut(Extent) -> Result<(), E>,
) -> Result<(), PassError<E>> {
    for (index, bytes) in file.chunks(part).enumerate() {
        let mut block = pool.take();
        block[..bytes.len()].copy_from_slice(bytes);
        let slice = Slice::new(Arc::new(block), 0..bytes.len());
        pass.feed((index * part) as u64, &slice, emit)?;
    }
    Ok(())
}

/// Reads a file in memory.
pub(super) fn read(file: &[u8]) -> impl FnMut(u64, &mut [u8]) -> Result<(), &'static str> {
    |offset, buf| {
        let start = usize::try_from(offset).map_err(|_| "far behind the end")?;
        let end = start.checked_add(buf.len()).ok_or("far behind the end")?;
        buf.copy_from_slice(file.get(start..end).ok_or("behind the end")?);
        Ok(())
    }
}

/// Surveys and passes any bytes as a qcow2 file.
///
/// # Panics
///
/// When an image that was accepted gives a byte of the disk twice or not at all, one that the disk does not have, or a
/// head that is not the beginning of what the pass gives.
pub(crate) fn fuzz(file: &[u8]) {
    let len = file.len() as u64;
    // The length need not be known beforehand.
    let known = file.len().is_multiple_of(2).then_some(len);
    let Ok(image) = Image::survey(known, 1 << 50, &mut read(file)) else { return };
    let head = image.head(&mut read(file)).ok();
    let mut first = head.as_ref().map_or(Vec::new(), |head| vec![0; head.len()]);
    let mut put = |offset: u64, bytes: &[u8]| {
        let at = usize::try_from(offset).ok().filter(|at| *at < first.len());
        if let Some(at) = at {
            let here = bytes.len().min(first.len() - at);
            first[at..at + here].copy_from_slice(&bytes[..here]);
        }
    };
    let mut covered: Vec<Range<u64>> = image.holes().collect();
    let (mut unpacker, mut budget, mut whole) = (Unpacker::default(), UNPACKED, true);
    let mut take = |extent: Extent| -> Result<(), ()> {
        match extent {
            Extent::Data { offset, bytes } => {
                put(offset, &bytes);
                covered.push(offset..offset + bytes.len() as u64);
            }
            Extent::Hole { .. } => panic!("holes are told apart from the pass"),
            Extent::Packed(packed) => {
                let mut offset = packed.offset;
                for unit in &packed.units {
                    if let Some(left) = budget.checked_sub(unit.len) {
                        budget = left;
                        let mut out = vec![0; unit.len as usize];
                        whole &= unpacker.unit(unit, packed.codec, &mut out).is_ok();
                        put(offset, &out);
                    } else {
                        whole = false;
                    }
                    covered.push(offset..offset + unit.len);
                    offset += unit.len;
                }
            }
        }
        Ok(())
    };
    let part = file.len().div_ceil(7).next_multiple_of(512).clamp(512, 1 << 20);
    let pool = Pool::new(file.len().div_ceil(part) + 1);
    let mut pass = Pass::new(&image);
    let result = feed(&mut pass, &pool, file, part, &mut take).and_then(|()| pass.finish(&mut take));
    match result {
        Ok(()) => {}
        // The file ended early, which could not be known.
        Err(PassError::Cut { .. }) if known.is_none() => return,
        Err(error) => panic!("the file is what it was: {error:?}"),
    }
    covered.sort_unstable_by_key(|range| range.start);
    let mut end = 0;
    for range in covered {
        assert_eq!(range.start, end, "a part of the disk twice or not at all");
        end = range.end;
    }
    assert_eq!(end, image.size(), "less or more than the disk");
    if let Some(head) = head.filter(|_| whole) {
        assert!(head == first, "the head is another one");
    }
}
