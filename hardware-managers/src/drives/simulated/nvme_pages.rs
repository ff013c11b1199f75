//! What a simulated NVMe controller answers to Identify and Get Log Page.

use super::nvme_traits::{NvmeHealth, NvmeIdentity};

pub(super) fn controller(identity: &NvmeIdentity, firmware: &str) -> [u8; 4096] {
    let mut data = [0; 4096];
    data[0..2].copy_from_slice(&0x1234u16.to_le_bytes());
    put_text(&mut data[4..24], &identity.serial);
    put_text(&mut data[24..64], &identity.model);
    put_text(&mut data[64..72], firmware);
    data[77] = identity.largest_transfer;
    data[256..258].copy_from_slice(&identity.optional_admin.to_le_bytes());
    data[260] = identity.firmware_updates;
    data[270] = 5;
    data[319] = identity.firmware_granularity;
    data[328..332].copy_from_slice(&identity.sanitize.to_le_bytes());
    data[520] = 1 << 2;
    data[524] = identity.format;
    data
}

pub(super) fn namespace(identity: &NvmeIdentity, blocks: u64, block_bytes: u32) -> [u8; 4096] {
    let mut data = [0; 4096];
    data[..8].copy_from_slice(&blocks.to_le_bytes());
    // Format 1: format 0 is the one that a careless format would leave.
    data[25..27].copy_from_slice(&[1, 1]);
    data[29] = identity.protection;
    (data[30], data[31]) = if identity.keys.is_some() { (1, 0xff) } else { (0, 0) };
    data[33] = 1;
    data[104..120].fill(0xab);
    data[130] = 9;
    data[132..134].copy_from_slice(&identity.metadata_bytes.to_le_bytes());
    data[134] = block_bytes.trailing_zeros() as u8;
    data
}

/// Reservation Report, in the extended form.
pub(super) fn reservations(keys: &[u64]) -> [u8; 4096] {
    let mut data = [0; 4096];
    data[5..7].copy_from_slice(&(keys.len() as u16).to_le_bytes());
    for (place, key) in keys.iter().enumerate() {
        data[64 + 64 * place + 8..64 + 64 * place + 16].copy_from_slice(&key.to_le_bytes());
    }
    data
}

pub(super) fn namespaces(identity: &NvmeIdentity) -> [u8; 4096] {
    let mut data = [0; 4096];
    for (place, number) in identity.namespaces.iter().enumerate() {
        data[4 * place..4 * place + 4].copy_from_slice(&number.to_le_bytes());
    }
    data
}

pub(super) fn health(health: &NvmeHealth) -> [u8; 512] {
    let mut data = [0; 512];
    data[0] = health.critical_warning;
    data[1..3].copy_from_slice(&310u16.to_le_bytes());
    data[3..6].copy_from_slice(&[health.spare_percent, health.spare_threshold, health.percentage_used]);
    data[160..176].copy_from_slice(&health.media_errors.to_le_bytes());
    data
}

pub(super) fn slots(active: u8, next: u8, firmware: &[String]) -> [u8; 512] {
    let mut data = [0; 512];
    data[0] = active | next << 4;
    for (slot, revision) in firmware.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
        put_text(&mut data[8 + 8 * slot..16 + 8 * slot], revision);
    }
    data
}

/// How a sanitize operation stands.
pub(super) struct SanitizeStatus {
    pub(super) part: u16,
    /// SOS.
    pub(super) outcome: u16,
    pub(super) erased: bool,
    pub(super) command: u32,
    pub(super) verifying: bool,
}

pub(super) fn sanitize(identity: &NvmeIdentity, status: &SanitizeStatus) -> [u8; 512] {
    let mut data = [0; 512];
    let word = status.outcome | if status.erased { 1 << 8 } else { 0 };
    data[..2].copy_from_slice(&status.part.to_le_bytes());
    data[2..4].copy_from_slice(&word.to_le_bytes());
    data[4..8].copy_from_slice(&status.command.to_le_bytes());
    for (place, seconds) in identity.estimates.iter().enumerate() {
        data[8 + 4 * place..12 + 4 * place].copy_from_slice(&seconds.to_le_bytes());
    }
    data[36] = if status.verifying { 5 } else { 0 };
    data
}

fn put_text(field: &mut [u8], text: &str) {
    field.fill(b' ');
    field[..text.len()].copy_from_slice(text.as_bytes());
}
