/// Size of a page of swap, and of its header, in bytes.
pub(super) const PAGE: u64 = 4096;
const LABEL: &[u8] = b"swap1";

/// The first page of a swap area (version 1) of so many bytes, as Linux's `union swap_header` describes it.
pub(super) fn header(bytes: u64, uuid: [u8; 16]) -> Vec<u8> {
    let mut page = vec![0; PAGE as usize];
    let last = u32::try_from((bytes / PAGE).saturating_sub(1)).unwrap_or(u32::MAX);
    page[1024..1028].copy_from_slice(&1_u32.to_le_bytes());
    page[1028..1032].copy_from_slice(&last.to_le_bytes());
    page[1036..1052].copy_from_slice(&uuid);
    page[1052..1052 + LABEL.len()].copy_from_slice(LABEL);
    page[4086..].copy_from_slice(b"SWAPSPACE2");
    page
}
