//! Media by which BMCs hand parameters over: what a BMC shows as a disk is no disk of the machine.

use tacit_blockdev::{Device, Error};

/// Labels of the floppy image by which BMCs of old hand over parameters, as FAT stores them.
const LABELS: [&[u8; 11]; 1] = [b"IR-VFD-DEV "];

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
