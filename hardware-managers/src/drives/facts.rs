//! What is known of a drive before anything is done to it.

use std::error::Error as _;

use super::error::DriveError;

/// How the kernel reaches a drive, and what answers there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DriveKind {
    Nvme,
    /// A SCSI disk, or whatever the kernel shows as one; [`identify`](super::identify) finds an ATA drive behind it.
    Scsi,
    /// An ATA drive behind a SCSI / ATA translation.
    Ata,
    /// No commands of its own: virtio, a loop device, an array.
    #[default]
    Plain,
}

impl DriveKind {
    /// By the name of the device node, with or without `/dev/`.
    pub(crate) fn of(name: &str) -> Self {
        let name = name.trim_start_matches("/dev/");
        if name.starts_with("nvme") {
            Self::Nvme
        } else if name.starts_with("sd") {
            Self::Scsi
        } else {
            Self::Plain
        }
    }
}

/// A way to erase that belongs to the drive's own protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EraseMethod {
    NvmeSanitizeCrypto,
    NvmeSanitizeBlock,
    NvmeSanitizeOverwrite,
    NvmeFormatCrypto,
    NvmeFormatUser,
    AtaSanitizeCrypto,
    AtaSanitizeBlock,
    AtaSanitizeOverwrite,
    AtaSecurityErase {
        enhanced: bool,
    },
    ScsiSanitizeCrypto,
    ScsiSanitizeBlock,
    ScsiSanitizeOverwrite,
    /// Revert to the state of manufacture with the PSID of the label.
    OpalPsid,
    /// Zeros that the drive writes by itself (WRITE SAME): an overwrite without the transfer.
    ScsiWriteSame,
    /// Unmap, trim or deallocate everything.
    Unmap {
        /// The drive promises that what was unmapped reads as zeros.
        zeroes_guaranteed: bool,
    },
}

impl EraseMethod {
    /// Whether it is a sanitize operation, the only command that a drive takes when another one has failed.
    pub(crate) fn is_sanitize(self) -> bool {
        matches!(
            self,
            Self::NvmeSanitizeCrypto
                | Self::NvmeSanitizeBlock
                | Self::NvmeSanitizeOverwrite
                | Self::AtaSanitizeCrypto
                | Self::AtaSanitizeBlock
                | Self::AtaSanitizeOverwrite
                | Self::ScsiSanitizeCrypto
                | Self::ScsiSanitizeBlock
                | Self::ScsiSanitizeOverwrite
        )
    }

    /// As in a proof.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NvmeSanitizeCrypto => "nvme-sanitize-crypto",
            Self::NvmeSanitizeBlock => "nvme-sanitize-block",
            Self::NvmeSanitizeOverwrite => "nvme-sanitize-overwrite",
            Self::NvmeFormatCrypto => "nvme-format-crypto",
            Self::NvmeFormatUser => "nvme-format-user",
            Self::AtaSanitizeCrypto => "ata-sanitize-crypto",
            Self::AtaSanitizeBlock => "ata-sanitize-block",
            Self::AtaSanitizeOverwrite => "ata-sanitize-overwrite",
            Self::AtaSecurityErase { enhanced: false } => "ata-security-erase",
            Self::AtaSecurityErase { enhanced: true } => "ata-security-erase-enhanced",
            Self::ScsiSanitizeCrypto => "scsi-sanitize-crypto",
            Self::ScsiSanitizeBlock => "scsi-sanitize-block",
            Self::ScsiSanitizeOverwrite => "scsi-sanitize-overwrite",
            Self::OpalPsid => "opal-revert-psid",
            Self::ScsiWriteSame => "scsi-write-same",
            Self::Unmap { .. } => "unmap",
        }
    }
}

/// A method that the drive supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EraseCapability {
    pub(crate) method: EraseMethod,
    /// What the drive says that it takes.
    pub(crate) estimated_seconds: Option<u64>,
    /// Why it cannot be used now (frozen, locked, in failure mode), and what an operator can do about it.
    pub(crate) unusable: Option<String>,
}

impl EraseCapability {
    pub(crate) fn usable(method: EraseMethod) -> Self {
        Self { method, estimated_seconds: None, unusable: None }
    }
}

/// Sizes as the drive itself tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) bytes: u64,
    /// Bytes.
    pub(crate) logical_sector: u32,
    /// Bytes.
    pub(crate) physical_sector: u32,
}

/// The ATA Security feature set (ACS-5, 4.18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SecurityState {
    pub(crate) supported: bool,
    /// A user password is set.
    pub(crate) enabled: bool,
    pub(crate) locked: bool,
    /// No change until the next power cycle.
    pub(crate) frozen: bool,
    /// Too many wrong passwords since power-on.
    pub(crate) expired: bool,
    pub(crate) enhanced_erase: bool,
}

/// What the drive promises about blocks that were unmapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Provisioning {
    pub(crate) unmap: bool,
    /// Unmapped blocks read as zeros (LBPRZ, RZAT, DLFEAT), not just as the same bytes each time.
    pub(crate) reads_zeroes: bool,
}

/// Persistent reservations on a logical unit (SPC-6, 5.14).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reservations {
    /// The drive has no such thing, or did not say.
    #[default]
    Unknown,
    None,
    /// Initiators that registered a key: somebody shares this drive.
    Registered {
        keys: Vec<u64>,
        holder: Option<u64>,
    },
}

/// What a TCG storage device says in level 0 discovery (TCG Storage Core, 3.3.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcgState {
    pub(crate) opal: bool,
    /// The drive protects by password and encrypts nothing: a revert erases nothing.
    pub(crate) pyrite: bool,
    pub(crate) locking_enabled: bool,
    pub(crate) locked: bool,
    pub(crate) media_encryption: bool,
    /// A shadow boot record hides the beginning of the disk.
    pub(crate) mbr_shadowed: bool,
}

/// Whether the drive thinks that it is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum DriveHealth {
    #[default]
    Unknown,
    Good,
    /// It predicts its failure, or reports one.
    Failing(String),
}

/// Everything that a drive tells of itself. What it did not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DriveFacts {
    /// Ata where an ATA drive was found behind a SCSI disk.
    pub(crate) kind: DriveKind,
    pub(crate) vendor: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) serial: Option<String>,
    /// Revision of the firmware.
    pub(crate) firmware: Option<String>,
    /// As sysfs and udev write it: `0x…` for NAA, `eui.…`, `nvme.…`.
    pub(crate) wwn: Option<String>,
    pub(crate) rotational: Option<bool>,
    /// Revolutions per minute.
    pub(crate) rotation_rpm: Option<u16>,
    pub(crate) capacity: Option<Capacity>,
    /// Bytes behind the last address that the kernel knows: what the drive keeps back (ATA: host protected area,
    /// accessible max address), and what it shows and the kernel does not see.
    pub(crate) hidden_bytes: Option<u64>,
    /// Bytes behind even those, which a device configuration overlay hides from all commands but its own.
    pub(crate) overlaid_bytes: Option<u64>,
    /// Numbers of namespaces of an NVMe drive besides this one. The survey leaves those that this machine does not see:
    /// they are attached to other controllers or to none.
    pub(crate) unseen_namespaces: Vec<u32>,
    /// The drive can hide sectors or namespaces, and did not say whether it does.
    pub(crate) may_hide: bool,
    pub(crate) erase: Vec<EraseCapability>,
    /// `None` where the drive is no ATA drive.
    pub(crate) security: Option<SecurityState>,
    pub(crate) provisioning: Provisioning,
    pub(crate) reservations: Reservations,
    pub(crate) tcg: Option<TcgState>,
    /// A sanitize operation that is under way, begun by whomever: how much of 65 536 is done. It cannot be stopped,
    /// and until its end the drive neither reads nor writes.
    pub(crate) sanitizing: Option<u64>,
    /// Whether one is under way was asked, and not answered.
    pub(crate) sanitize_unknown: bool,
    /// The last sanitize operation failed, and the drive gives no access to its content.
    pub(crate) sanitize_failed: bool,
    pub(crate) health: DriveHealth,
    /// Questions that the drive did not answer, one line each.
    pub(crate) unanswered: Vec<String>,
    /// Those among them on which it depends whether the drive may be erased, and how, and to which there was silence:
    /// a refusal is an answer.
    pub(crate) silent: Vec<String>,
}

impl DriveFacts {
    /// Nothing can be read or written before somebody unlocks it, or a revert opens it.
    pub(crate) fn is_tcg_locked(&self) -> bool {
        self.tcg.is_some_and(|tcg| tcg.locked)
    }

    /// An answer, or a gap and a line that says why.
    pub(super) fn note<T>(&mut self, what: &str, answer: Result<T, DriveError>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                self.unanswered.push(format!("{what}: {error}{cause}"));
                None
            }
        }
    }

    /// As [`note`](Self::note), for what the guards have to know.
    pub(super) fn note_guard<T>(&mut self, what: &str, answer: Result<T, DriveError>) -> Option<T> {
        let silent = answer.as_ref().is_err_and(DriveError::is_silence);
        let known = self.note(what, answer);
        if silent {
            self.silent.extend(self.unanswered.last().cloned());
        }
        known
    }

    /// The drive's capability for a method, usable or not. Of `Unmap`, whatever it guarantees.
    pub(crate) fn capability(&self, method: EraseMethod) -> Option<&EraseCapability> {
        self.erase.iter().find(|known| match (known.method, method) {
            (EraseMethod::Unmap { .. }, EraseMethod::Unmap { .. }) => true,
            (known, wanted) => known == wanted,
        })
    }
}
