//! What goes into the new partitions besides the image.

use std::ops::Range;

use crate::partition::Partition;
use crate::partitioned::request::EphemeralFormat;
use crate::partitioned::window::Window;
use crate::partitioned::{
    Fat, Layout, LayoutError, MadePartition, PartitionRole, efi_files, ext4, identity, swap,
};
use crate::place::random_guid;
use crate::veil::{Veil, is_zero};

/// Old content is looked for by its signature, at either end of a partition. In bytes.
const SIGNATURES: u64 = 1 << 20;
const ESP_LABEL: [u8; 11] = *b"efi-part   ";
const EPHEMERAL_LABEL: &str = "ephemeral0";

/// The partitions around a partition image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionsMade {
    /// In the order of the disk.
    pub partitions: Vec<MadePartition>,
    /// UUID of the root file system; PARTUUID where the file system's is not known.
    pub root_uuid: String,
    /// `ext2`, `ext3`, `ext4`, `xfs` or `btrfs`.
    pub root_file_system: Option<&'static str>,
    /// Volume id of the EFI system partition, as `lsblk` shows it.
    pub esp_uuid: Option<String>,
    /// Files that were copied from the image's `/boot/efi/EFI` to the EFI system partition.
    pub esp_files: u32,
    /// Why there are none, if the image could not be looked into.
    pub esp_files_missing: Option<String>,
}

impl Layout {
    /// Fills all partitions but the root partition and a kept ephemeral partition: wipes what was there, makes the
    /// file systems and the swap area, puts the config drive in its place. Nothing is revealed.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]; the partitions are in an unknown state then.
    pub(crate) fn furnish(&self, veil: &Veil<'_>, config_drive: Option<&[u8]>) -> Result<(), LayoutError> {
        for part in &self.parts {
            let (role, range) = (part.role, &part.bytes);
            if role == PartitionRole::Root || role == PartitionRole::Ephemeral && self.preserve_ephemeral {
                continue;
            }
            let len = range.end - range.start;
            let edge = SIGNATURES.min(len);
            veil.zero(range.start, edge)?;
            veil.zero(range.end - edge, edge)?;
            match role {
                PartitionRole::Esp => self.make_fat(veil, part, ESP_LABEL, true)?,
                PartitionRole::Swap => veil.write(range.start, &swap::header(len, uuid()?))?,
                PartitionRole::Ephemeral => match self.ephemeral {
                    EphemeralFormat::Ext4 => ext4::format(veil, range, EPHEMERAL_LABEL, uuid()?)?,
                    EphemeralFormat::Vfat => self.make_fat(veil, part, *b"ephemeral0 ", false)?,
                },
                PartitionRole::ConfigDrive => {
                    let drive = config_drive.filter(|drive| drive.len() as u64 <= len);
                    let drive = drive.ok_or(LayoutError::Internal("the config drive changed its size"))?;
                    veil.zero(range.start, len)?;
                    for (offset, piece) in (range.start..).step_by(1 << 20).zip(drive.chunks(1 << 20)) {
                        veil.write(offset, piece)?;
                    }
                }
                PartitionRole::BiosBoot | PartitionRole::Root => {}
            }
        }
        Ok(())
    }

    /// Once the image of so many bytes is in the root partition and verified: wipes the signatures of what was behind
    /// it, gives the EFI system partition the image's own files, and tells what is on the disk.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]. An image without EFI files, or with a file system that cannot be looked into, is none.
    pub(crate) fn finish(&self, veil: &Veil<'_>, image: u64) -> Result<PartitionsMade, LayoutError> {
        let root = self.root();
        wipe_end(veil, &root, image)?;
        let identity = identity::file_system(veil, &root)?;
        let (mut esp_uuid, mut esp_files, mut esp_files_missing) = (None, 0, None);
        if let Some(esp) = self.part(PartitionRole::Esp) {
            let mut id = [0; 4];
            veil.read(esp.bytes.start + 67, &mut id)?;
            esp_uuid = Some(format!("{:02X}{:02X}-{:02X}{:02X}", id[3], id[2], id[1], id[0]));
            if identity.as_ref().is_some_and(|(name, _)| name.starts_with("ext")) {
                match efi_files::copy(veil, &root, &esp.bytes)? {
                    efi_files::Outcome::Copied(files) => esp_files = files,
                    efi_files::Outcome::Unreadable(why) => esp_files_missing = Some(why),
                }
            } else {
                let name = identity.as_ref().map_or("no known", |(name, _)| name);
                esp_files_missing =
                    Some(format!("the image holds {name} file system, which is not looked into"));
            }
        }
        let (root_file_system, uuid) = identity.unzip();
        let last = self.parts.last().expect("the root partition is always there, and the last");
        Ok(PartitionsMade {
            partitions: self.parts.clone(),
            root_uuid: uuid.unwrap_or_else(|| self.partuuid(&last.partition)),
            root_file_system,
            esp_uuid,
            esp_files,
            esp_files_missing,
        })
    }

    /// As Linux and `lsblk` name a partition.
    fn partuuid(&self, partition: &Partition) -> String {
        let signature = self.table.mbr.as_ref().map_or(0, |mbr| mbr.signature());
        partition.guid.clone().unwrap_or_else(|| format!("{signature:08x}-{:02x}", partition.number))
    }

    fn make_fat(
        &self,
        veil: &Veil<'_>,
        part: &MadePartition,
        label: [u8; 11],
        fat32: bool,
    ) -> Result<(), LayoutError> {
        let uuid = uuid()?;
        let volume_id = u32::from_le_bytes([uuid[0], uuid[1], uuid[2], uuid[3]]);
        let bytes = part.bytes.end - part.bytes.start;
        let fat = Fat { bytes, sector: self.sector, label, volume_id, fat32, small: None };
        let mut window = Window::new(veil, part.bytes.clone());
        fat.format(&mut window)
            .and_then(|()| window.store_all())
            .map_err(|source| LayoutError::FileSystem { role: part.role, source })
    }
}

/// Makes the end of the root partition zero, as far as the image does not reach.
fn wipe_end(veil: &Veil<'_>, root: &Range<u64>, image: u64) -> Result<(), LayoutError> {
    let start = root.end.saturating_sub(SIGNATURES).max(root.start.saturating_add(image));
    if start < root.end {
        let mut present = vec![0; (root.end - start) as usize];
        veil.read(start, &mut present)?;
        if !is_zero(&present) {
            veil.zero(start, root.end - start)?;
        }
    }
    Ok(())
}

/// Random, as its text has it: not in the order of a GPT.
fn uuid() -> Result<[u8; 16], LayoutError> {
    let mut uuid = random_guid().map_err(|_| LayoutError::Random)?;
    uuid.swap(6, 7);
    Ok(uuid)
}
