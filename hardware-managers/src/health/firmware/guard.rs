//! What of a drive must not be changed: firmware is that of all its namespaces, and of every machine that uses them.

use std::iter;

use tacit_model::BlockDevice;

use crate::erase::{DriveSource as _, MachineDrives, Scope};
use crate::machine::Machine;
use crate::wipe::{SkipList, reserved};

/// Why the firmware of the drive stays, of which the disk is a namespace: a line for each namespace that is kept out of
/// use, that somebody uses, or that other machines may use.
pub(super) fn obstacles(machine: &Machine, skip: &SkipList, disk: &BlockDevice) -> Vec<String> {
    let drives = MachineDrives::new(machine);
    let mut shown = machine.disks();
    shown.extend(machine.disks_without_size());
    // Nothing is taken apart for this: an array on it is a user as any other.
    let scope = Scope { skip: skip.clone(), erased: Vec::new(), disks: shown };
    let beside = drives.findings(disk, &scope).companions.into_iter().map(|companion| companion.name);
    iter::once(disk.name.clone())
        .chain(beside)
        .flat_map(|name| {
            let reasons = match scope.disks.iter().find(|known| known.name == name) {
                Some(known) => against(machine, &drives, &scope, known),
                None => vec!["not among the disks that this agent may touch".to_owned()],
            };
            reasons.into_iter().map(move |reason| format!("{name}, which is a part of it, is {reason}"))
        })
        .collect()
}

fn against(machine: &Machine, drives: &MachineDrives, scope: &Scope, disk: &BlockDevice) -> Vec<String> {
    let found = drives.findings(disk, scope);
    let mut reasons = Vec::new();
    if found.skip_listed {
        reasons.push("named by skip_block_devices".to_owned());
    }
    if found.kept_volume.is_some() {
        reasons.push("a member of an array that skip_block_devices names".to_owned());
    }
    reasons.extend(found.held.into_iter().map(|user| format!("in use: {user}")));
    reasons.extend(reserved(machine, &disk.name, true).map(|others| format!("shared: {others}")));
    reasons
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use serde_json::{Value, json};

    use super::*;
    use crate::machine::Roots;

    /// Two namespaces of one subsystem, by two controllers, and a drive of its own.
    fn tree() -> tempfile::TempDir {
        let top = tempfile::tempdir().unwrap();
        for (name, subsystem) in [("nvme0n1", "nqn.a"), ("nvme1n2", "nqn.a"), ("nvme2n1", "nqn.b")] {
            let folder = top.path().join("sys/block").join(name);
            fs::create_dir_all(folder.join("device")).unwrap();
            fs::write(folder.join("size"), "8192\n").unwrap();
            fs::write(folder.join("device/subsysnqn"), subsystem).unwrap();
            fs::create_dir_all(top.path().join("dev")).unwrap();
            fs::File::create(top.path().join("dev").join(name)).unwrap().set_len(4 << 20).unwrap();
        }
        top
    }

    fn reasons(top: &tempfile::TempDir, only: Option<Vec<PathBuf>>, skipped: &Value) -> Vec<String> {
        let machine = Machine::new(Roots::below(top.path()), only);
        let skip = SkipList::from_node(&json!({"properties": {"skip_block_devices": skipped}})).unwrap();
        let disk = machine.disks().into_iter().find(|disk| disk.name == "/dev/nvme0n1").unwrap();
        obstacles(&machine, &skip, &disk)
    }

    #[test]
    fn a_namespace_that_is_kept_out_keeps_its_drive_out() {
        let top = tree();
        assert_eq!(reasons(&top, None, &json!([])), [""; 0]);
        let other = json!([{"name": "/dev/nvme2n1"}]);
        assert_eq!(reasons(&top, None, &other), [""; 0], "another drive");
        let found = reasons(&top, None, &json!([{"name": "/dev/nvme1n2"}]));
        assert_eq!(found, ["/dev/nvme1n2, which is a part of it, is named by skip_block_devices"]);
        let found = reasons(&top, Some(vec!["/dev/nvme0n1".into()]), &json!([]));
        assert_eq!(
            found,
            ["/dev/nvme1n2, which is a part of it, is not among the disks that this agent may touch"]
        );
    }
}
