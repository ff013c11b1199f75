//! The EFI system partition of a disk.

use tacit_blockdev::{Device, Error};

use super::device_path::guid_text;
use super::load_option::{HardDrive, Signature};
use crate::partitions::{Partition, PartitionKind, read_signature, read_valid, scan};

/// C12A7328-F81F-11D2-BA4B-00A0C93EC93B in the byte order of the disk.
const ESP_TYPE: [u8; 16] =
    [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
const ESP_MBR: u8 = 0xef;

/// A partition that firmware may start a loader from.
#[derive(Clone, Debug)]
pub(super) struct SystemPartition {
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) drive: HardDrive,
}

/// What a disk's table says.
#[derive(Debug)]
pub(super) enum Table {
    /// A sound GPT with these system partitions, in table order.
    Gpt(Vec<SystemPartition>),
    /// An MBR.
    Mbr(Vec<SystemPartition>),
    None,
}

/// Looks for system partitions; `wanted` is a unique partition GUID that makes any GPT partition one.
pub(super) fn find(device: &Device, wanted: Option<&str>) -> Result<Table, Error> {
    if let Some(partitions) = read_valid(device)? {
        let systems = partitions.iter().filter_map(|part| match part.kind {
            PartitionKind::Gpt { type_guid, unique_guid } => {
                let is_it = match wanted {
                    Some(wanted) => {
                        guid_text(&unique_guid).is_some_and(|guid| guid.eq_ignore_ascii_case(wanted))
                    }
                    None => type_guid == ESP_TYPE,
                };
                is_it.then(|| system_partition(part, Signature::Gpt(unique_guid)))
            }
            PartitionKind::Mbr { .. } | PartitionKind::Slice { .. } => None,
        });
        return Ok(Table::Gpt(systems.collect()));
    }
    let Some(signature) = read_signature(device)? else { return Ok(Table::None) };
    let systems = scan(device)?
        .partitions
        .iter()
        .filter(|part| part.kind == PartitionKind::Mbr { type_byte: ESP_MBR })
        .map(|part| system_partition(part, Signature::Mbr(signature)))
        .collect();
    Ok(Table::Mbr(systems))
}

/// A partition of a GPT as firmware would name it.
pub(super) fn of_partition(part: &Partition) -> Option<SystemPartition> {
    match part.kind {
        PartitionKind::Gpt { unique_guid, .. } => Some(system_partition(part, Signature::Gpt(unique_guid))),
        _ => None,
    }
}

fn system_partition(part: &Partition, signature: Signature) -> SystemPartition {
    let drive =
        HardDrive { partition: part.number, start_lba: part.start_lba, sectors: part.sectors, signature };
    SystemPartition { start: part.start, length: part.length, drive }
}
