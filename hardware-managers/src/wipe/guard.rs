//! File systems that other machines may have mounted are never erased by accident (IPA contract §5.4).

use super::plan::Plan;
use crate::partitions::PartitionKind;

/// GPT types of cluster file systems in the byte order of the disk.
const SHARED_TYPES: [(&str, [u8; 16]); 2] = [
    // AA31E02A-400F-11DB-9590-000C2911D1B8
    (
        "a VMFS partition",
        [0x2a, 0xe0, 0x31, 0xaa, 0x0f, 0x40, 0xdb, 0x11, 0x95, 0x90, 0x00, 0x0c, 0x29, 0x11, 0xd1, 0xb8],
    ),
    // 37AFFC90-EF7D-4E96-91C3-2D7AE055B174
    (
        "a GPFS partition",
        [0x90, 0xfc, 0xaf, 0x37, 0x7d, 0xef, 0x96, 0x4e, 0x91, 0xc3, 0x2d, 0x7a, 0xe0, 0x55, 0xb1, 0x74],
    ),
];

/// MBR type of VMFS.
const VMFS_MBR: u8 = 0xfb;

/// What of this kind is on the disk, in words.
pub(super) fn protected_content(plan: &Plan) -> Option<String> {
    let by_type = plan.partitions.iter().find_map(|part| {
        let content = match part.kind {
            PartitionKind::Gpt { type_guid, .. } => {
                SHARED_TYPES.iter().find(|(_, shared)| *shared == type_guid).map(|(content, _)| *content)?
            }
            PartitionKind::Mbr { type_byte: VMFS_MBR } => "a VMFS partition",
            PartitionKind::Mbr { .. } => return None,
        };
        Some(format!("{content} (number {})", part.number))
    });
    by_type.or_else(|| {
        plan.regions.iter().find_map(|(region, found)| {
            let hit = found.iter().find(|hit| hit.shared)?;
            Some(format!("{} ({}, offset {})", hit.name, region.name, hit.offset))
        })
    })
}
