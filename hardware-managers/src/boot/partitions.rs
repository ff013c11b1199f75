//! Which partitions the machine has at all: an entry for any other starts nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use tacit_blockdev::{Access, Device, Error};
use tacit_model::BlockDevice;

use crate::ask::ask_all;
use crate::machine::Machine;
use crate::partitions::{PartitionKind, scan};

/// For how long a disk may be silent. Nothing is wrong with a deployment when another disk is.
const SILENCE: Duration = Duration::from_secs(30);

/// Unique GUIDs of all partitions of all disks, also of those that an allow-list hides. `None` when one disk did not
/// tell, or when the list is not of the machine that `disk` is in: what is not known is not gone.
pub(super) fn partitions(machine: &Machine, disk: &str) -> Option<BTreeSet<[u8; 16]>> {
    let every = machine.every_disk();
    if !every.iter().any(|known| known.name == disk) || !machine.disks_without_size().is_empty() {
        return None;
    }
    let asked = machine.clone();
    let answers = ask_all(&every, SILENCE, &|| false, move |disk| guids(&asked, disk))?;
    let mut all = BTreeSet::new();
    for (disk, answer) in every.iter().zip(answers) {
        let problem = match answer {
            Ok(Ok(found)) => {
                all.extend(found);
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(silence) => silence,
        };
        tracing::info!("boot entries of former systems stay, because {} is not known: {problem}", disk.name);
        return None;
    }
    Some(all)
}

fn guids(machine: &Machine, disk: &BlockDevice) -> Result<BTreeSet<[u8; 16]>, Error> {
    let device = Device::open(&machine.device_node(&disk.name), Access::Read)?;
    let guid = |kind: PartitionKind| match kind {
        PartitionKind::Gpt { unique_guid, .. } => Some(unique_guid),
        PartitionKind::Mbr { .. } | PartitionKind::Slice { .. } => None,
    };
    Ok(scan(&device)?.partitions.into_iter().filter_map(|part| guid(part.kind)).collect())
}
