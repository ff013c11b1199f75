//! What of the machine vouches for what it starts: TPM and Secure Boot.

use std::fs;

use tacit_model::Tpm;

use super::roots::{Roots, names_in, read_text};

/// GUID of the variables that UEFI itself defines (UEFI 2.10, 3.3).
const GLOBAL_VARIABLE: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// The first TPM that the kernel drives, from `/sys/class/tpm`.
pub(super) fn tpm(roots: &Roots) -> Option<Tpm> {
    let class = roots.sys.join("class/tpm");
    let name = names_in(&class).into_iter().find(|name| name.starts_with("tpm"))?;
    let folder = class.join(name);
    let names = names_in(&folder);
    let version = match read_text(&folder.join("tpm_version_major")).as_deref() {
        Some("2") => Some("2.0"),
        Some("1") => Some("1.2"),
        // Kernels before 5.6 do not say; only 1.2 has these attributes.
        _ if names.iter().any(|name| name == "pcrs") || folder.join("device/pcrs").exists() => Some("1.2"),
        _ => None,
    };
    Some(Tpm {
        version: version.map(str::to_owned),
        pcr_banks: names.iter().filter_map(|name| name.strip_prefix("pcr-")).map(str::to_owned).collect(),
    })
}

/// `SecureBoot` of the firmware; `None` without UEFI variables.
pub(super) fn secure_boot(roots: &Roots) -> Option<bool> {
    flag(roots, "SecureBoot")
}

/// `SetupMode` of the firmware.
pub(super) fn setup_mode(roots: &Roots) -> Option<bool> {
    flag(roots, "SetupMode")
}

/// A variable of one byte. The kernel puts four bytes of attributes before it.
fn flag(roots: &Roots, name: &str) -> Option<bool> {
    match fs::read(roots.efivars.join(format!("{name}-{GLOBAL_VARIABLE}"))).ok()?.as_slice() {
        [_, _, _, _, 0] => Some(false),
        [_, _, _, _, 1] => Some(true),
        _ => None,
    }
}
