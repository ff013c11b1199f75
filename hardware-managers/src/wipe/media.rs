//! Media by which BMCs hand parameters over: what a BMC shows as a disk is no disk of the machine.

use tacit_blockdev::{Device, Error};
use tacit_model::BlockDevice;

use crate::boot::read_small_volume;

/// Label of the floppy image by which BMCs of old hand over parameters, as FAT stores it.
const LABEL: &[u8; 11] = b"IR-VFD-DEV ";
/// Most bytes of such a medium: the images have 1440 KiB. No disk of a machine is that small.
const LARGEST: u64 = 16 << 20;

/// What the boot sector of a disk says of such a medium. Whoever was root on the machine can have written that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ParameterLabel {
    #[default]
    Absent,
    /// The label is there, and neither size nor file system are those of such a medium.
    Pretended,
    /// A file system of this label, no larger than such a medium may be.
    Real,
}

impl ParameterLabel {
    /// Whether it is a medium that a BMC lends: those come over USB, or can be taken out. The disk is told by hardware.
    pub(crate) fn is_lent(self, disk: &BlockDevice) -> bool {
        self == Self::Real && (disk.removable || disk.tran.as_deref() == Some("usb"))
    }

    /// What there is to say of a disk that is erased in spite of it.
    pub(crate) fn remark(self) -> Option<&'static str> {
        (self != Self::Absent).then_some(
            "the first sector has the label of a medium with parameters, which this is not: erased like any other",
        )
    }
}

/// Reads it.
pub(super) fn parameter_label(device: &Device) -> Result<ParameterLabel, Error> {
    let mut sector = [0; 512];
    if device.size_bytes() < 512 {
        return Ok(ParameterLabel::Absent);
    }
    device.read_at(0, &mut sector)?;
    if ![0x2b, 0x47].into_iter().any(|at| sector[at..at + 11].eq_ignore_ascii_case(LABEL)) {
        return Ok(ParameterLabel::Absent);
    }
    let is_small = device.size_bytes() <= LARGEST;
    Ok(if is_small && is_volume(device) { ParameterLabel::Real } else { ParameterLabel::Pretended })
}

/// Whether a file system that can be read has the label. What is damaged is none.
fn is_volume(device: &Device) -> bool {
    let mut named = false;
    let looked = read_small_volume(device, "", 0, |label| {
        named = label.as_bytes().eq_ignore_ascii_case(LABEL.trim_ascii_end());
        false
    });
    looked.is_ok() && named
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::os::unix::fs::FileExt;

    use fatfs::{FormatVolumeOptions, format_volume};
    use tacit_blockdev::Access;

    use super::*;

    #[test]
    fn a_label_alone_exempts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let label = |size: u64, formatted: bool| {
            let file =
                OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
            file.set_len(size).unwrap();
            if formatted {
                format_volume(&file, FormatVolumeOptions::new().volume_label(*LABEL)).unwrap();
            } else {
                file.write_all_at(LABEL, 0x2b).unwrap();
            }
            parameter_label(&Device::open(&path, Access::Read).unwrap()).unwrap()
        };
        let floppy = 1440 * 1024;
        assert_eq!(label(floppy, true), ParameterLabel::Real);
        for (size, formatted) in [(floppy, false), (4 << 30, false), (LARGEST + 512, true)] {
            assert_eq!(label(size, formatted), ParameterLabel::Pretended, "{size} {formatted}");
        }
        File::create(&path).unwrap().set_len(floppy).unwrap();
        let device = Device::open(&path, Access::Read).unwrap();
        assert_eq!(parameter_label(&device).unwrap(), ParameterLabel::Absent);

        let disk = |removable, tran: &str| BlockDevice {
            removable,
            tran: Some(tran.to_owned()),
            ..BlockDevice::default()
        };
        assert!(
            ParameterLabel::Real.is_lent(&disk(false, "usb"))
                && ParameterLabel::Real.is_lent(&disk(true, "sata"))
        );
        // A disk may have been told to show no more than its first megabytes.
        assert!(!ParameterLabel::Real.is_lent(&disk(false, "sata")));
        assert!(!ParameterLabel::Pretended.is_lent(&disk(true, "usb")));
        assert!(ParameterLabel::Real.remark().is_some() && ParameterLabel::Absent.remark().is_none());
    }
}
