//! Numbers at fixed places of an answer. Behind its end is nothing, never a panic.

pub(super) fn be_u16(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(array(data, at)?))
}

pub(super) fn be_u32(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(array(data, at)?))
}

pub(super) fn be_u64(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(array(data, at)?))
}

fn array<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Text of a fixed field: printable ASCII, without the padding. `None` where nothing is left.
pub(super) fn text(field: &[u8]) -> Option<String> {
    let printable: String =
        field.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { ' ' }).collect();
    let text = printable.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
