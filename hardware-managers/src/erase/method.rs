//! The ways to erase a device, and what each is worth.

use tacit_model::EraseStandard;

use super::policy::Verify;
use crate::drives::EraseMethod;

/// One way to erase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// A command of the drive's own protocol.
    Drive(EraseMethod),
    /// Every addressable sector is written, by the host.
    Overwrite,
    /// Everything is discarded and must then read as zeros.
    Discard,
}

impl Method {
    /// Best first: methods that reach what the host cannot address, the quick ones before the slow ones; then those
    /// that only reach what it can.
    pub(crate) const ALL: [Self; 19] = [
        Self::Drive(EraseMethod::NvmeSanitizeCrypto),
        Self::Drive(EraseMethod::NvmeSanitizeBlock),
        Self::Drive(EraseMethod::AtaSanitizeCrypto),
        Self::Drive(EraseMethod::AtaSanitizeBlock),
        Self::Drive(EraseMethod::ScsiSanitizeCrypto),
        Self::Drive(EraseMethod::ScsiSanitizeBlock),
        Self::Drive(EraseMethod::OpalPsid),
        Self::Drive(EraseMethod::NvmeFormatCrypto),
        Self::Drive(EraseMethod::NvmeSanitizeOverwrite),
        Self::Drive(EraseMethod::AtaSanitizeOverwrite),
        Self::Drive(EraseMethod::ScsiSanitizeOverwrite),
        Self::Drive(EraseMethod::AtaSecurityErase { enhanced: true }),
        Self::Drive(EraseMethod::NvmeFormatUser),
        Self::Drive(EraseMethod::AtaSecurityErase { enhanced: false }),
        Self::Discard,
        Self::Overwrite,
        Self::Drive(EraseMethod::ScsiWriteSame),
        Self::Drive(EraseMethod::Unmap { zeroes_guaranteed: true }),
        Self::Drive(EraseMethod::Unmap { zeroes_guaranteed: false }),
    ];

    /// As in plans, proofs and arguments.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Drive(EraseMethod::Unmap { zeroes_guaranteed: false }) => "unmap-unguaranteed",
            Self::Drive(method) => method.name(),
            Self::Overwrite => "overwrite",
            Self::Discard => "verified-discard",
        }
    }

    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// What it reaches when it succeeds and is proven (NIST SP 800-88r2, 3.1, which leaves the choice per medium to
    /// IEEE 2883; the table of `docs/erase.md`). `rotational` where the medium is known.
    pub(crate) fn standard(self, rotational: Option<bool>, verify: Verify) -> EraseStandard {
        let Self::Drive(method) = self else {
            return match (self, verify) {
                // A sample of zeros says nothing of the rest, and a drive may ignore parts of a discard.
                (Self::Discard, Verify::Sample) => EraseStandard::None,
                _ => EraseStandard::Clear,
            };
        };
        match method {
            EraseMethod::NvmeSanitizeCrypto
            | EraseMethod::NvmeSanitizeBlock
            | EraseMethod::NvmeSanitizeOverwrite
            | EraseMethod::NvmeFormatCrypto
            | EraseMethod::AtaSanitizeCrypto
            | EraseMethod::AtaSanitizeBlock
            | EraseMethod::AtaSanitizeOverwrite
            | EraseMethod::ScsiSanitizeCrypto
            | EraseMethod::ScsiSanitizeBlock
            | EraseMethod::ScsiSanitizeOverwrite
            | EraseMethod::OpalPsid => EraseStandard::Purge,
            // It reaches reallocated sectors of magnetic disks; of flash it promises no more than the plain one.
            EraseMethod::AtaSecurityErase { enhanced: true } if rotational == Some(true) => {
                EraseStandard::Purge
            }
            EraseMethod::AtaSecurityErase { .. }
            | EraseMethod::NvmeFormatUser
            | EraseMethod::ScsiWriteSame => EraseStandard::Clear,
            EraseMethod::Unmap { .. } => EraseStandard::None,
        }
    }

    /// Whether it empties all of a controller or subsystem, other namespaces included.
    pub(crate) fn reaches_siblings(self) -> bool {
        matches!(
            self,
            Self::Drive(
                EraseMethod::NvmeSanitizeCrypto
                    | EraseMethod::NvmeSanitizeBlock
                    | EraseMethod::NvmeSanitizeOverwrite
                    | EraseMethod::NvmeFormatCrypto
                    | EraseMethod::NvmeFormatUser
                    | EraseMethod::OpalPsid
            )
        )
    }

    /// Whether it is used without being named: the others promise less than overwriting does, or the same with less
    /// to show for it.
    pub(crate) fn is_offered(self) -> bool {
        !matches!(self, Self::Drive(EraseMethod::ScsiWriteSame | EraseMethod::Unmap { .. }))
    }
}
