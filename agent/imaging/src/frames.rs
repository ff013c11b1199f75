//! zstd frames (RFC 8878 §3.1) that can be unpacked each for itself, by whichever writer is free.

use std::io::{self, BufRead};

use crate::codec::{Input, ZSTD_WINDOW_LOG};
use crate::extent::{Slice, Unit};
use crate::writers::threads;

/// Longest frame, as served, that is kept together. The blocks that it lies in are taken from a small pool.
const LONGEST: usize = 3 << 20;
/// Largest windows of frames that the writers may unpack, all together: each of them keeps one.
const WINDOWS: u64 = 8 << 20;
/// Largest content of a frame that one writer unpacks alone.
const CONTENT: u64 = 64 << 20;
/// Longest frame header: magic, descriptor, window, dictionary, content size.
const HEADER: usize = 18;
const MAGIC: u32 = 0xfd2f_b528;

/// What comes next in a stream.
pub(crate) enum Next {
    /// Nothing.
    End,
    /// A frame that declares its content's size and is short.
    Frame(Unit),
    /// A frame that must be unpacked as it comes.
    Stream,
}

/// Looks at the next frame; a whole one is taken out of `input`, and skippable ones before it are skipped.
pub(crate) fn next(input: &mut Input) -> io::Result<Next> {
    loop {
        let head = gather(&input.peek(HEADER)?);
        if head.is_empty() {
            return Ok(Next::End);
        }
        let Some(magic) = head.first_chunk().map(|magic| u32::from_le_bytes(*magic)) else {
            return Ok(Next::Stream);
        };
        if magic & 0xffff_fff0 == 0x184d_2a50 {
            let Some(len) = head.get(4..8) else { return Ok(Next::Stream) };
            let len = u32::from_le_bytes(len.try_into().expect("four bytes"));
            skip(input, u64::from(len) + 8)?;
            continue;
        }
        let small = |len: &u64| *len <= CONTENT && window(&head, *len) <= WINDOWS / threads() as u64;
        let len = content_size(&head).filter(small).filter(|_| magic == MAGIC);
        let Some(len) = len else { return Ok(Next::Stream) };
        let Some(slices) = whole(input, &head)? else { return Ok(Next::Stream) };
        return Ok(Next::Frame(Unit { input: slices, len }));
    }
}

fn content_size(head: &[u8]) -> Option<u64> {
    zstd::zstd_safe::get_frame_content_size(head).ok().flatten()
}

/// Bytes that a decoder has to remember (RFC 8878 §3.1.1.1.2); 0 for a header that is cut.
fn window(head: &[u8], content: u64) -> u64 {
    match head {
        // A single segment is its own window.
        [_, _, _, _, descriptor, ..] if descriptor & 0x20 != 0 => content,
        [_, _, _, _, _, window, ..] => (1u64 << (10 + (window >> 3))) / 8 * (8 + u64::from(window & 7)),
        _ => 0,
    }
}

/// Length of the frame header in bytes.
fn header_len(head: &[u8]) -> Option<usize> {
    let descriptor = *head.get(4)?;
    let single_segment = descriptor & 0x20 != 0;
    let window = usize::from(!single_segment);
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content = match descriptor >> 6 {
        0 => usize::from(single_segment),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    Some(5 + window + dictionary + content)
}

/// Walks along the block headers to the frame's end. `None` when it is too long, cut short or not understood.
fn whole(input: &mut Input, head: &[u8]) -> io::Result<Option<Vec<Slice>>> {
    let Some(mut end) = header_len(head) else { return Ok(None) };
    loop {
        let Some(header) = bytes_at(input, end)? else { return Ok(None) };
        let len = match header >> 1 & 3 {
            // One byte, repeated.
            1 => 1,
            3 => return Ok(None),
            _ => (header >> 3) as usize,
        };
        end += 3 + len;
        if header & 1 == 1 {
            break;
        }
    }
    // Content checksum.
    end += if head[4] & 4 == 0 { 0 } else { 4 };
    if end > LONGEST {
        return Ok(None);
    }
    let slices = input.peek(end)?;
    if slices.iter().map(|slice| slice.len()).sum::<usize>() < end {
        return Ok(None);
    }
    input.consume(end);
    Ok(Some(slices))
}

/// The block header at an offset from where `input` stands.
fn bytes_at(input: &mut Input, offset: usize) -> io::Result<Option<u32>> {
    if offset + 3 > LONGEST {
        return Ok(None);
    }
    let mut skip = offset;
    let mut header = 0;
    let mut found = 0;
    for slice in input.peek(offset + 3)? {
        for byte in slice.get(skip.min(slice.len())..).unwrap_or_default() {
            header |= u32::from(*byte) << (8 * found);
            found += 1;
        }
        skip = skip.saturating_sub(slice.len());
    }
    Ok((found == 3).then_some(header))
}

fn gather(slices: &[Slice]) -> Vec<u8> {
    slices.iter().flat_map(|slice| slice.iter().copied()).collect()
}

fn skip(input: &mut Input, mut len: u64) -> io::Result<()> {
    while len > 0 {
        let here = input.fill_buf()?.len();
        if here == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a skippable frame is cut"));
        }
        let step = (here as u64).min(len);
        input.consume(step as usize);
        len -= step;
    }
    Ok(())
}

/// A decoder that stops at the end of the next frame.
pub(crate) fn decoder(input: &mut Input) -> io::Result<impl io::Read> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?.single_frame();
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_as_the_encoder_made_them() {
        for log in [10, 20, 23, 24, 27] {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(log).unwrap();
            encoder.include_contentsize(false).unwrap();
            std::io::Write::write_all(&mut encoder, &[7; 100]).unwrap();
            assert_eq!(window(&encoder.finish().unwrap(), 0), 1 << log);
        }
        let single = zstd::bulk::compress(&[7; 5000], 1).unwrap();
        assert_eq!(window(&single, content_size(&single).unwrap()), 5000);
    }
}
