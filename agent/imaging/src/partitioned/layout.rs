use std::ops::Range;

use crate::gpt::Gpt;
use crate::mbr::Mbr;
use crate::partition::{Partition, TableKind};
use crate::partitioned::request::EphemeralFormat;
use crate::partitioned::{Firmware, LayoutError, PartitionRequest, PartitionRole, ext4, fat, kept};
use crate::place::{LINUX_DATA, NAME, random_guid};
use crate::table::Table;
use crate::target::Target;

const MIB: u64 = 1 << 20;
const ESP_MIB: u64 = 550;
const BIOS_BOOT_MIB: u64 = 1;
/// C12A7328-F81F-11D2-BA4B-00A0C93EC93B, as it lies on a disk.
const ESP_TYPE: [u8; 16] =
    [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
/// 21686148-6449-6E6F-744E-656564454649.
const BIOS_BOOT_TYPE: [u8; 16] = *b"Hah!IdontNeedEFI";
/// 0657FD6D-A4AB-43C4-84E5-0933C84B4F4F.
const SWAP_TYPE: [u8; 16] =
    [0x6d, 0xfd, 0x57, 0x06, 0xab, 0xa4, 0xc4, 0x43, 0x84, 0xe5, 0x09, 0x33, 0xc8, 0x4b, 0x4f, 0x4f];

/// A partition of a [`Layout`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadePartition {
    pub role: PartitionRole,
    pub partition: Partition,
    /// Bytes of the disk.
    pub bytes: Range<u64>,
}

/// A partition table that is going to be, and what goes into its partitions.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(super) table: Table,
    pub(super) parts: Vec<MadePartition>,
    pub(super) ephemeral: EphemeralFormat,
    pub(super) preserve_ephemeral: bool,
    pub(super) sector: u32,
}

impl Layout {
    /// Puts the partitions in IPA's order, each at a multiple of a MiB: what firmware needs, ephemeral, swap, config
    /// drive, root. Writes nothing; reads the disk only when the ephemeral partition shall be kept.
    ///
    /// # Errors
    ///
    /// [`LayoutError`], also when the partitions do not fit, or what shall be kept is not where it must be.
    pub(crate) fn plan(
        request: &PartitionRequest,
        config_drive: Option<u64>,
        target: &dyn Target,
    ) -> Result<Self, LayoutError> {
        let sector = target.logical_sector();
        let disk_blocks = target.size_bytes() / u64::from(sector);
        let format = request.ephemeral_format.as_deref();
        let ephemeral = EphemeralFormat::parse(format)
            .ok_or_else(|| LayoutError::UnknownFormat { format: format.unwrap_or_default().to_owned() })?;
        let ranges = ranges(&wanted(request, config_drive)?)?;
        let mut table = match request.label {
            TableKind::Gpt => {
                let guid = random_guid().map_err(|_| LayoutError::Random)?;
                let gpt =
                    Gpt::empty(sector, disk_blocks, guid).map_err(|source| LayoutError::Table { source })?;
                Table { mbr: Some(Mbr::protective(disk_blocks)), gpt: Some(gpt) }
            }
            TableKind::Dos => Table { mbr: Some(Mbr::empty(random_signature()?)), gpt: None },
        };
        let room = table.gpt.as_ref().map_or(disk_blocks, |gpt| gpt.last_usable() + 1) * u64::from(sector);
        let needed = ranges.last().map_or(0, |(_, range)| range.end);
        if needed > room {
            return Err(LayoutError::DoesNotFit { needed, room });
        }
        if table.gpt.is_none() && ranges.len() > 4 {
            return Err(LayoutError::TooManyForMbr { count: ranges.len() });
        }
        let ephemeral_range = ranges.iter().find(|(role, _)| *role == PartitionRole::Ephemeral);
        let kept = ephemeral_range.filter(|_| request.preserve_ephemeral).map(|(_, range)| range.clone());
        let preserve_ephemeral = kept.is_some();
        let kept_guid = match kept {
            Some(range) => kept::find(&range, target)?,
            None => None,
        };
        if !preserve_ephemeral && request.ephemeral_mib > 0 {
            check_ephemeral(ephemeral, request.ephemeral_mib, sector)?;
        }
        let mut parts = Vec::new();
        for (role, bytes) in ranges {
            let guid = kept_guid.filter(|_| role == PartitionRole::Ephemeral);
            let partition = add(&mut table, role, &bytes, guid, sector)?;
            parts.push(MadePartition { role, partition, bytes });
        }
        Ok(Self { table, parts, ephemeral, preserve_ephemeral, sector })
    }

    /// Belongs on the disk when all else is there and verified.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn part(&self, role: PartitionRole) -> Option<&MadePartition> {
        self.parts.iter().find(|part| part.role == role)
    }

    /// The bytes of the disk that the image goes to.
    pub(crate) fn root(&self) -> Range<u64> {
        self.parts.last().expect("the root partition is always there, and the last").bytes.clone()
    }

    pub(crate) fn config_drive(&self) -> Option<Partition> {
        self.part(PartitionRole::ConfigDrive).map(|part| part.partition.clone())
    }

    /// # Errors
    ///
    /// [`LayoutError::ImageTooLarge`] when so many bytes are more than the root partition has.
    pub(crate) fn check_image(&self, image: u64) -> Result<(), LayoutError> {
        let root = self.root();
        let root = root.end - root.start;
        if image > root { Err(LayoutError::ImageTooLarge { image, root }) } else { Ok(()) }
    }
}

/// What is made, in order, with sizes in MiB.
fn wanted(
    request: &PartitionRequest,
    config_drive: Option<u64>,
) -> Result<Vec<(PartitionRole, u64)>, LayoutError> {
    if request.root_mib == 0 {
        return Err(LayoutError::NoRoot);
    }
    let firmware = match (request.firmware, request.label) {
        (Firmware::Uefi, _) => (PartitionRole::Esp, ESP_MIB),
        (Firmware::Bios, TableKind::Gpt) => (PartitionRole::BiosBoot, BIOS_BOOT_MIB),
        (Firmware::Bios, TableKind::Dos) => (PartitionRole::BiosBoot, 0),
    };
    let mut wanted = vec![
        firmware,
        (PartitionRole::Ephemeral, request.ephemeral_mib),
        (PartitionRole::Swap, request.swap_mib),
        (PartitionRole::ConfigDrive, config_drive.unwrap_or(0).div_ceil(MIB)),
        (PartitionRole::Root, request.root_mib),
    ];
    wanted.retain(|(_, mib)| *mib > 0);
    Ok(wanted)
}

fn ranges(wanted: &[(PartitionRole, u64)]) -> Result<Vec<(PartitionRole, Range<u64>)>, LayoutError> {
    let mut start = MIB;
    wanted
        .iter()
        .map(|&(role, mib)| {
            let end = mib.checked_mul(MIB).and_then(|bytes| start.checked_add(bytes));
            let end = end.ok_or(LayoutError::Overflow)?;
            let range = start..end;
            start = end;
            Ok((role, range))
        })
        .collect()
}

fn add(
    table: &mut Table,
    role: PartitionRole,
    bytes: &Range<u64>,
    guid: Option<[u8; 16]>,
    sector: u32,
) -> Result<Partition, LayoutError> {
    let sector = u64::from(sector);
    let (start, size) = (bytes.start / sector, (bytes.end - bytes.start) / sector);
    let (type_guid, type_byte, name) = match role {
        PartitionRole::Esp => (ESP_TYPE, 0xef, "EFI system"),
        PartitionRole::BiosBoot => (BIOS_BOOT_TYPE, 0x83, "BIOS boot"),
        PartitionRole::Ephemeral => (LINUX_DATA, 0x83, "ephemeral"),
        PartitionRole::Swap => (SWAP_TYPE, 0x82, "swap"),
        PartitionRole::ConfigDrive => (LINUX_DATA, 0x83, NAME),
        PartitionRole::Root => (LINUX_DATA, 0x83, "root"),
    };
    let added = match table {
        Table { gpt: Some(gpt), .. } => {
            let guid = match guid {
                Some(guid) => guid,
                None => random_guid().map_err(|_| LayoutError::Random)?,
            };
            gpt.add(type_guid, guid, name, start, size)
        }
        Table { mbr: Some(mbr), .. } => {
            // Linux numbers blocks by the first block and the count, so the end may lie beyond; other systems differ.
            let end = u32::try_from(start + size - 1);
            let (Ok(start), Ok(size), Ok(_)) = (u32::try_from(start), u32::try_from(size), end) else {
                return Err(LayoutError::BeyondMbr { role });
            };
            mbr.add_typed(type_byte, role == PartitionRole::Root, start, size)
        }
        Table { .. } => None,
    };
    added.ok_or(LayoutError::Internal("a new partition table has no free entry"))
}

fn check_ephemeral(format: EphemeralFormat, mib: u64, sector: u32) -> Result<(), LayoutError> {
    let bytes = mib * MIB;
    let (fits, format) = match format {
        EphemeralFormat::Ext4 => (ext4::fits(bytes), "ext4"),
        EphemeralFormat::Vfat => (fat::fits(bytes, sector), "vfat"),
    };
    if fits { Ok(()) } else { Err(LayoutError::EphemeralSize { format, mib }) }
}

fn random_signature() -> Result<u32, LayoutError> {
    let guid = random_guid().map_err(|_| LayoutError::Random)?;
    Ok(u32::from_le_bytes([guid[0], guid[1], guid[2], guid[3]]).max(1))
}
