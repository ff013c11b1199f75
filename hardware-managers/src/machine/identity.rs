//! Facts by which a conductor recognises a machine (boot contract §E).

use super::firmware::{self, dmi_id};
use super::interfaces;
use super::roots::Roots;
use super::smbios::Smbios;

/// What this machine says of itself. None of it is a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// SMBIOS UUID in lower case; `None` when it is absent or a value that vendors ship on many machines.
    pub system_uuid: Option<String>,
    /// Serial of the system, else of the board; `None` when both are fillers.
    pub serial: Option<String>,
    /// Permanent addresses of all interfaces, lower case with colons.
    pub macs: Vec<String>,
}

/// UUIDs that firmware of different machines is known to share.
const SHARED_UUIDS: [&str; 5] = [
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "03000200-0400-0500-0006-000700080009",
    "00020003-0004-0005-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
];

/// What vendors leave in a serial that nobody filled in, lower case.
const FILLERS: [&str; 11] = [
    "to be filled by o.e.m.",
    "default string",
    "not specified",
    "not applicable",
    "n/a",
    "none",
    ".",
    "0",
    "0123456789",
    "system serial number",
    "a000000000000000",
];

pub(super) fn read(roots: &Roots) -> Identity {
    let tables = firmware::read(roots);
    let tables = tables.as_ref();
    let uuid = tables
        .and_then(Smbios::system_uuid)
        .or_else(|| dmi_id(roots, "product_uuid"))
        .map(|uuid| uuid.to_ascii_lowercase())
        .filter(|uuid| !SHARED_UUIDS.contains(&uuid.as_str()));
    let serial = tables
        .and_then(Smbios::system_serial)
        .or_else(|| dmi_id(roots, "product_serial"))
        .filter(|serial| is_telling(serial))
        .or_else(|| tables.and_then(Smbios::board_serial).or_else(|| dmi_id(roots, "board_serial")))
        .filter(|serial| is_telling(serial));
    Identity { system_uuid: uuid, serial, macs: interfaces::macs(roots) }
}

fn is_telling(serial: &str) -> bool {
    let lower = serial.to_ascii_lowercase();
    !FILLERS.contains(&lower.as_str())
}
