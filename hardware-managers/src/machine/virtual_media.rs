//! Disks that a management controller plays over USB: they are none of the machine's.

use std::path::Path;

use super::roots::{read_flag, read_text};

/// The makers of controllers as SCSI vendor, in lower case.
const VENDORS: [&str; 10] =
    ["ami", "idrac", "ilo", "aten", "avocent", "openbmc", "peppercon", "insyde", "virtual", "imm"];

/// Within the vendor or the model, in lower case: AMI, Dell, HPE, Lenovo and Supermicro; Cisco; the gadget of OpenBMC;
/// Dell's own small drives.
const WORDS: [&str; 8] =
    ["virtual", "vmedia", "vfloppy", "vkvm", "file-stor gadget", "openbmc", "lcdrive", "oemdrv"];

/// USB vendors that make nothing but controllers and their like.
const USB_VENDORS: [&str; 5] = ["046b", "0624", "0557", "0b1f", "14dd"];

/// Whether a disk, by its folder below `/sys/block`, is one. Disks of virtual machines call themselves virtual as well;
/// they are no USB devices.
pub(crate) fn is_virtual_medium(folder: &Path) -> bool {
    let device = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    if !device.components().any(|part| part.as_os_str().to_string_lossy().starts_with("usb")) {
        return false;
    }
    let text =
        |name: &str| read_text(&folder.join("device").join(name)).unwrap_or_default().to_ascii_lowercase();
    let (vendor, model) = (text("vendor"), text("model"));
    let named = VENDORS.contains(&vendor.as_str())
        || WORDS.iter().any(|word| vendor.contains(word) || model.contains(word));
    // The interface's folder lies in that of the device, which has the numbers.
    let maker = device.ancestors().find_map(|folder| read_text(&folder.join("idVendor")));
    let made = maker.is_some_and(|id| USB_VENDORS.contains(&id.to_ascii_lowercase().as_str()));
    named || (made && read_flag(&folder.join("removable")))
}
