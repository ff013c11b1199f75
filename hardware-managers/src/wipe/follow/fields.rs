//! Numbers in a block, in either byte order; 0 where the block ends before them.

fn take<const N: usize>(block: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    if let Some(found) = block.get(at..).and_then(|rest| rest.get(..N)) {
        bytes.copy_from_slice(found);
    }
    bytes
}

pub(super) fn le16(block: &[u8], at: usize) -> u64 {
    u16::from_le_bytes(take(block, at)).into()
}

pub(super) fn le32(block: &[u8], at: usize) -> u64 {
    u32::from_le_bytes(take(block, at)).into()
}

pub(super) fn le64(block: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(take(block, at))
}

pub(super) fn be32(block: &[u8], at: usize) -> u64 {
    u32::from_be_bytes(take(block, at)).into()
}

pub(super) fn be64(block: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(take(block, at))
}
