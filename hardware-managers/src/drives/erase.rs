use tacit_blockdev::Drive;

use super::clock::Wait;
use super::discard::discard_all;
use super::error::DriveError;
use super::facts::{DriveKind, EraseMethod};
use super::sanitize::{Overwrite, Sanitize};
use super::{ata, nvme, opal, scsi};

/// What a method needs besides the drive.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EraseOptions<'a> {
    /// How an overwriting sanitize is done.
    pub(crate) overwrite: Overwrite,
    /// 32 characters of the drive's label, for [`EraseMethod::OpalPsid`].
    pub(crate) psid: Option<&'a str>,
    /// Numbers of the other namespaces of an NVMe drive that are erased in the same run.
    pub(crate) others: &'a [u32],
}

/// Has a drive erase itself, waits for its end, and returns what the drive reported, a line each. What is on the
/// medium afterwards is for the caller to read.
///
/// # Errors
///
/// [`DriveError`]; after one that is [`DriveError::still_working`] nothing else may be tried.
pub(crate) fn erase(
    drive: &dyn Drive,
    kind: DriveKind,
    method: EraseMethod,
    options: &EraseOptions<'_>,
    wait: &Wait<'_>,
) -> Result<Vec<String>, DriveError> {
    match method {
        EraseMethod::NvmeSanitizeCrypto
        | EraseMethod::NvmeSanitizeBlock
        | EraseMethod::NvmeSanitizeOverwrite
        | EraseMethod::NvmeFormatCrypto
        | EraseMethod::NvmeFormatUser => nvme::erase(drive, method, options.overwrite, options.others, wait),
        EraseMethod::AtaSanitizeCrypto => ata::sanitize(drive, Sanitize::Crypto, wait),
        EraseMethod::AtaSanitizeBlock => ata::sanitize(drive, Sanitize::Block, wait),
        EraseMethod::AtaSanitizeOverwrite => {
            ata::sanitize(drive, Sanitize::Overwrite(options.overwrite), wait)
        }
        EraseMethod::AtaSecurityErase { enhanced } => ata::erase(drive, enhanced, wait),
        EraseMethod::ScsiSanitizeCrypto => scsi::sanitize(drive, Sanitize::Crypto, wait),
        EraseMethod::ScsiSanitizeBlock => scsi::sanitize(drive, Sanitize::Block, wait),
        EraseMethod::ScsiSanitizeOverwrite => {
            scsi::sanitize(drive, Sanitize::Overwrite(options.overwrite), wait)
        }
        EraseMethod::ScsiWriteSame => scsi::write_same(drive, wait),
        EraseMethod::OpalPsid => {
            let psid = options.psid.ok_or_else(|| DriveError::Unusable {
                reason: "the PSID of the drive's label was not given".to_owned(),
            })?;
            if kind == DriveKind::Nvme {
                nvme::alone(drive, "a revert by PSID", options.others)?;
            }
            opal::revert(drive, kind, psid, wait)
        }
        EraseMethod::Unmap { .. } => match kind {
            DriveKind::Ata => ata::trim(drive, wait),
            DriveKind::Scsi => scsi::unmap(drive, wait),
            DriveKind::Nvme => {
                let bytes = discard_all(drive, "deallocate", wait)?;
                Ok(vec![format!("{bytes} bytes were deallocated")])
            }
            DriveKind::Plain => Err(DriveError::Unsupported { what: "unmap" }),
        },
    }
}

/// Brings a drive into a state in which it can be read and written, as far as that destroys nothing: waits for a
/// sanitize operation that is under way, and removes a password that is known to be left behind by erasing. Returns
/// what was done, a line each. To be called before anything is written to the drive, and never for a mere plan.
///
/// # Errors
///
/// [`DriveError`].
pub(crate) fn settle(drive: &dyn Drive, kind: DriveKind, wait: &Wait<'_>) -> Result<Vec<String>, DriveError> {
    match kind {
        DriveKind::Ata => ata::settle(drive, wait),
        DriveKind::Scsi => Ok(scsi::settle(drive, wait)?.into_iter().collect()),
        // A sanitize operation is joined by the one that follows.
        DriveKind::Nvme | DriveKind::Plain => Ok(Vec::new()),
    }
}
