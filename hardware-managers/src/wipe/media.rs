//! Virtual media: what a BMC shows as a disk is no disk of the machine.

use std::path::Path;

use tacit_blockdev::{Device, Error};

use crate::machine::{read_flag, read_text};

/// Labels of the floppy image by which BMCs of old hand over parameters, as FAT stores them.
const LABELS: [&[u8; 11]; 1] = [b"IR-VFD-DEV "];

/// What BMCs call the disks that they play, in lower case; as SCSI vendor or in front of a model.
const VENDORS: [&str; 10] =
    ["ami", "idrac", "ilo", "aten", "avocent", "openbmc", "peppercon", "insyde", "virtual", "imm"];

/// In a model's name, in lower case.
const MODELS: [&str; 4] = ["virtual", "vmedia", "vfloppy", "lcdrive"];

/// USB vendors that make nothing but BMCs and their like.
const USB_VENDORS: [&str; 5] = ["046b", "0624", "0557", "0b1f", "14dd"];

/// Whether the FAT label in the boot sector is that of a parameter medium.
pub(super) fn is_parameter_medium(device: &Device) -> Result<bool, Error> {
    let mut sector = [0; 512];
    if device.size_bytes() < 512 {
        return Ok(false);
    }
    device.read_at(0, &mut sector)?;
    let labels = [0x2b, 0x47].map(|at| &sector[at..at + 11]);
    Ok(LABELS.iter().any(|known| labels.iter().any(|label| label.eq_ignore_ascii_case(*known))))
}

/// Whether a disk, by its folder in sysfs, hangs on USB and is played by a BMC.
pub(super) fn is_played_by_bmc(folder: &Path) -> bool {
    let device = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    if !device.components().any(|part| part.as_os_str().to_string_lossy().starts_with("usb")) {
        return false;
    }
    let text =
        |name: &str| read_text(&folder.join("device").join(name)).unwrap_or_default().to_ascii_lowercase();
    let (vendor, model) = (text("vendor"), text("model"));
    let named =
        VENDORS.iter().any(|known| vendor == *known) || MODELS.iter().any(|known| model.contains(known));
    // The interface's folder lies in that of the device, which has the numbers.
    let maker = device.ancestors().find_map(|folder| read_text(&folder.join("idVendor")));
    let made = maker.is_some_and(|id| USB_VENDORS.contains(&id.to_ascii_lowercase().as_str()));
    named || (made && read_flag(&folder.join("removable")))
}
