//! The classic pcap file format: a 24-byte header, then records (draft-ietf-opsawg-pcap).

use std::time::{Duration, SystemTime};

/// Why a capture could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PcapError {
    #[error("not a pcap file: magic number {0:#010x}")]
    Magic(u32),
    #[error("the file ends within its header")]
    NoHeader,
    #[error("link type {0} is not Ethernet")]
    LinkType(u32),
}

/// A captured frame, perhaps cut short.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub at: SystemTime,
    pub bytes: &'a [u8],
}

/// All whole records of a file. A last record that is still being written is left out.
pub(super) fn frames(file: &[u8]) -> Result<Vec<Frame<'_>>, PcapError> {
    let word = |at: usize| -> Option<[u8; 4]> { file.get(at..at + 4)?.try_into().ok() };
    let magic = word(0).ok_or(PcapError::NoHeader)?;
    let (big_endian, nanoseconds) = match u32::from_le_bytes(magic) {
        0xa1b2_c3d4 => (false, false),
        0xa1b2_3c4d => (false, true),
        0xd4c3_b2a1 => (true, false),
        0x4d3c_b2a1 => (true, true),
        other => return Err(PcapError::Magic(other)),
    };
    let number =
        |at: usize| word(at).map(|b| if big_endian { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) });
    let link_type = number(20).ok_or(PcapError::NoHeader)? & 0xffff;
    if link_type != 1 {
        return Err(PcapError::LinkType(link_type));
    }
    let mut all = Vec::new();
    let mut position = 24;
    while let (Some(seconds), Some(fraction), Some(length)) =
        (number(position), number(position + 4), number(position + 8))
    {
        let start = position + 16;
        let Some(bytes) = file.get(start..start.saturating_add(length as usize)) else { break };
        let nanos = if nanoseconds { u64::from(fraction) } else { u64::from(fraction) * 1000 };
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.into()) + Duration::from_nanos(nanos);
        all.push(Frame { at, bytes });
        position = start + length as usize;
    }
    Ok(all)
}
