//! How large a packed image is, as far as its head and tail tell before it is decoded.

use crate::fetch::Fetcher;
use crate::sniff::Codec;

/// Decoded size of an image in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImageSize {
    pub(crate) bytes: u64,
    /// Otherwise it may be larger.
    pub(crate) exact: bool,
}

/// How much of the end of an xz file is looked at: its footer and an index of tens of thousands of blocks.
const XZ_TAIL: u64 = 256 << 10;

/// Deflate packs no tighter than about 1032 to 1: an `ISIZE` beyond that is noise from a file that is cut off.
const DEFLATE_RATIO: u64 = 1032;

/// What `head` (the first bytes as served) and, where the codec says it there, the tail tell about the size.
pub(crate) fn declared_size(codec: Codec, head: &[u8], fetcher: &mut Fetcher) -> Option<ImageSize> {
    let total = fetcher.total();
    let mut tail = |len: u64| {
        if total == Some(head.len() as u64) { Some(head.to_vec()) } else { fetcher.tail(len) }
    };
    match codec {
        // Of the first frame; more may follow.
        Codec::Zstd => match zstd::zstd_safe::get_frame_content_size(head) {
            Ok(Some(bytes)) => Some(ImageSize { bytes, exact: false }),
            _ => None,
        },
        Codec::Gzip => tail(4)
            .and_then(|tail| gzip_size(&tail))
            .filter(|bytes| bytes / DEFLATE_RATIO <= total.unwrap_or(u64::MAX))
            .map(|bytes| ImageSize { bytes, exact: false }),
        Codec::Xz => match total {
            Some(total) => tail(total.min(XZ_TAIL)).and_then(|tail| xz_size(&tail, total)),
            None => None,
        },
    }
}

/// `ISIZE` of the last member (RFC 1952 §2.3.1): the size modulo 2³².
fn gzip_size(tail: &[u8]) -> Option<u64> {
    tail.last_chunk().map(|size| u64::from(u32::from_le_bytes(*size)))
}

/// Sum of the block sizes in the index of the last stream (.xz format §2.1.2, §4), given the end of the file.
fn xz_size(tail: &[u8], total: u64) -> Option<ImageSize> {
    let mut end = tail.len();
    // Stream padding.
    while end >= 4 && tail[end - 4..end] == [0; 4] {
        end -= 4;
    }
    let footer: &[u8; 12] = tail[..end].last_chunk()?;
    if footer[10..] != *b"YZ" {
        return None;
    }
    let backward = u32::from_le_bytes(footer[4..8].try_into().ok()?);
    let index_len = (u64::from(backward) + 1) * 4;
    let index_start = (end as u64 - 12).checked_sub(index_len)?;
    let mut index = &tail[usize::try_from(index_start).ok()?..end - 12];
    if *index.split_off_first()? != 0 {
        return None;
    }
    let records = variable_length(&mut index)?;
    let (mut packed, mut bytes) = (0u64, 0u64);
    for _ in 0..records {
        packed = packed.checked_add(variable_length(&mut index)?.checked_next_multiple_of(4)?)?;
        bytes = bytes.checked_add(variable_length(&mut index)?)?;
    }
    // Header, blocks, index, footer: when they make up the whole file, there is no other stream.
    let stream = packed.checked_add(12 + index_len + 12)?.checked_add((tail.len() - end) as u64)?;
    Some(ImageSize { bytes, exact: stream == total })
}

/// Multibyte integer (.xz format §1.2).
fn variable_length(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_xz_index_tells_the_size() {
        let one = xz(&vec![7; 300_000]);
        let total = one.len() as u64;
        assert_eq!(xz_size(&one, total), Some(ImageSize { bytes: 300_000, exact: true }));
        let padded = [&one[..], &[0; 8]].concat();
        assert_eq!(xz_size(&padded, total + 8), Some(ImageSize { bytes: 300_000, exact: true }));
        let two = [xz(&[1; 1000]), one].concat();
        assert_eq!(xz_size(&two, two.len() as u64), Some(ImageSize { bytes: 300_000, exact: false }));
    }

    proptest::proptest! {
        #[test]
        fn no_tail_makes_it_panic(mut tail: Vec<u8>, total: u64, footer: bool) {
            if footer {
                tail.extend([0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
                tail.extend(b"YZ");
            }
            xz_size(&tail, total);
            gzip_size(&tail);
        }
    }
}
