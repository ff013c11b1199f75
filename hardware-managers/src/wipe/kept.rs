//! What the skip list keeps as it is, by whatever way it is reached (IPA contract §5.5): one answer for everything that
//! writes to disks.

use serde_json::Value;
use tacit_blockdev::Error;
use tacit_model::BlockDevice;

use super::arrays::KeptArray;
use super::skip::SkipList;
use super::stack::underneath;
use crate::machine::Machine;
use crate::raid;

/// Whether a hint of the list holds for the disk, for something that it is made of, or for another path to either: a
/// multipath device has no place of its own, and one of two ports has the other's name.
pub(crate) fn listed(machine: &Machine, skip: &SkipList, disk: &BlockDevice) -> bool {
    if !skip.has_hints() {
        return false;
    }
    if skip.matches(disk) {
        return true;
    }
    let below = underneath(machine.roots(), &disk.name);
    let every = machine.every_disk();
    let (named, others): (Vec<_>, Vec<_>) = every.iter().partition(|known| skip.matches(known));
    named.iter().any(|named| {
        // It may have told its serial only now.
        named.name == disk.name
            || below.contains(&named.name)
            || same_unit(named, disk)
            || others.iter().any(|other| below.contains(&other.name) && same_unit(named, other))
    })
}

/// The array that the list names and that the device is, or stands upon: md's superblock lies on the members, not on the
/// array.
///
/// # Errors
///
/// When no member of an array can be read: then its name is not known.
pub(crate) fn kept_volume(
    machine: &Machine,
    skip: &SkipList,
    device: &str,
) -> Result<Option<KeptArray>, Error> {
    if !skip.has_volumes() {
        return Ok(None);
    }
    let mut devices = underneath(machine.roots(), device);
    devices.insert(device.to_owned());
    for device in &devices {
        for (name, uuid) in raid::names(machine, device)? {
            if let Some(entry) = skip.volume_entry(&name) {
                return Ok(Some(KeptArray { entry: entry.to_owned(), uuid }));
            }
        }
    }
    Ok(None)
}

/// The machine's disks that the list does not keep. Of an array whose name is not known nobody knows whether it does.
pub(crate) fn remaining(machine: &Machine, skip: &SkipList) -> Vec<BlockDevice> {
    let mut disks = machine.disks();
    disks.retain(|disk| {
        !listed(machine, skip, disk) && matches!(kept_volume(machine, skip, &disk.name), Ok(None))
    });
    disks
}

/// A step's result with what is to be said of the skip list: an entry that nothing answers is no error, since disks come
/// and go, and may be a slip.
pub(crate) fn with_remarks(machine: &Machine, node: &Value, mut result: Value) -> Value {
    let Ok(skip) = SkipList::from_node(node) else { return result };
    let mut disks = if skip.has_hints() { machine.every_disk() } else { Vec::new() };
    if skip.has_hints() {
        disks.extend(machine.disks());
    }
    let volumes = if skip.has_volumes() { raid::all_names(machine) } else { Vec::new() };
    let remarks = skip.unanswered(&disks, &volumes);
    if !remarks.is_empty() {
        result["remarks"] = remarks.into();
    }
    result
}

/// Whether two disks are one unit, seen by two ways: world wide name, serial number and size are alike. Names that drives
/// without one make up are none.
pub(crate) fn same_unit(one: &BlockDevice, other: &BlockDevice) -> bool {
    let name = |disk: &BlockDevice| {
        let name = disk.wwn_with_extension.as_ref().or(disk.wwn.as_ref())?;
        let digits = name.trim().trim_start_matches("0x");
        let digits = digits.rsplit_once('.').map_or(digits, |(_, digits)| digits);
        is_telling(digits).then(|| name.trim().to_ascii_lowercase())
    };
    let serial = |disk: &BlockDevice| {
        disk.serial.as_deref().map(str::trim).filter(|serial| is_telling(serial)).map(str::to_owned)
    };
    one.size == other.size
        && name(one).is_some_and(|own| name(other) == Some(own))
        && serial(one) == serial(other)
}

/// Whether it is more than one character over and over: zeros, or the `f` of memory that was never written.
fn is_telling(text: &str) -> bool {
    text.chars().any(|c| !text.starts_with(c))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::machine::Roots;

    fn put(root: &Path, path: &str, content: &str) {
        let path = root.join("sys/block").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn disk(root: &Path, name: &str, upon: &[&str]) {
        put(root, &format!("{name}/size"), "8192\n");
        for below in upon {
            let slaves = root.join("sys/block").join(name).join("slaves");
            let holders = root.join("sys/block").join(below).join("holders");
            fs::create_dir_all(&slaves).unwrap();
            fs::create_dir_all(&holders).unwrap();
            symlink(root.join("sys/block").join(below), slaves.join(below)).unwrap();
            symlink(root.join("sys/block").join(name), holders.join(name)).unwrap();
        }
    }

    fn kept(root: &Path, only: Option<&str>, hint: &Value, name: &str) -> bool {
        let machine = Machine::new(Roots::below(root), only.map(|only| vec![only.into()]));
        let skip = SkipList::from_node(&json!({"properties": {"skip_block_devices": [hint]}})).unwrap();
        let disk = machine.disks().into_iter().find(|disk| disk.name == name).unwrap();
        listed(&machine, &skip, &disk)
    }

    #[test]
    fn a_hint_for_one_path_holds_for_the_unit() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["sda", "sdb", "sdc", "sdd"] {
            disk(root, name, &[]);
        }
        disk(root, "dm-0", &["sda", "sdb"]);
        put(root, "dm-0/dm/uuid", "mpath-3600\n");
        disk(root, "md0", &["sdc"]);
        put(root, "md0/md/level", "raid1\n");
        for path in ["/dev/sda", "/dev/sdb"] {
            assert!(kept(root, None, &json!({ "name": path }), "/dev/dm-0"), "{path}");
        }
        assert!(kept(root, None, &json!({"name": "/dev/sdc"}), "/dev/md0"));
        assert!(kept(root, Some("/dev/md0"), &json!({"name": "/dev/sdc"}), "/dev/md0"));
        for other in ["/dev/dm-0", "/dev/md0", "/dev/sdc"] {
            assert!(!kept(root, None, &json!({"name": "/dev/sdd"}), other), "{other}");
        }
    }

    #[test]
    fn entries_that_nothing_answers_are_told() {
        let folder = tempfile::tempdir().unwrap();
        disk(folder.path(), "sda", &[]);
        let machine = Machine::new(Roots::below(folder.path()), None);
        let list = json!([{"name": "/dev/sda"}, {"serial": "gone"}, {"volume_name": "data"}]);
        let node = json!({"properties": {"skip_block_devices": list}});
        let remarks = with_remarks(&machine, &node, json!({}))["remarks"].to_string();
        assert!(remarks.contains("gone") && remarks.contains("called data"), "{remarks}");
        assert!(!remarks.contains("sda"), "{remarks}");
        assert_eq!(with_remarks(&machine, &json!({}), json!({})), json!({}));
    }

    #[test]
    fn the_other_port_of_a_listed_disk_is_listed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (name, wwn, serial) in [
            ("sda", "naa.5000c500a1b2c3d4", "Z1"),
            ("sdb", "naa.5000c500a1b2c3d4", "Z1"),
            ("sdc", "naa.5000c500a1b2c3d4", "Z2"),
            ("sdd", "naa.0000000000000000", "Z3"),
            ("sde", "naa.0000000000000000", "Z3"),
        ] {
            disk(root, name, &[]);
            put(root, &format!("{name}/device/wwid"), &format!("{wwn}\n"));
            put(root, &format!("{name}/device/serial"), &format!("{serial}\n"));
        }
        disk(root, "md0", &["sdb"]);
        put(root, "md0/md/level", "raid1\n");
        let by = |name: &str, of: &str| kept(root, None, &json!({ "name": name }), of);
        assert!(by("/dev/sda", "/dev/sdb") && by("/dev/sdb", "/dev/sda"));
        assert!(by("/dev/sda", "/dev/md0"));
        assert!(!by("/dev/sda", "/dev/sdc"), "another disk with the same name");
        assert!(!by("/dev/sdd", "/dev/sde"), "a name that says nothing");
    }
}
