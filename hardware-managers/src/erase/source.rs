//! How disks are reached: the machine's own, or those that tests play.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tacit_blockdev::{Access, Device, Drive, Error, HeldBy, Holder, holders};
use tacit_model::BlockDevice;

use super::findings::{Companion, Findings};
use super::recheck::Scope;
use crate::chain::chain;
use crate::drives::{Clock, DriveKind, SystemClock};
use crate::machine::{Machine, is_virtual_medium, read_flag, read_number};
use crate::wipe::{ParameterLabel, SkipList, kept_volume, listed, reserved, survey};

/// Where work is noted that a drive does on its own: it outlives this process, but not the boot.
const NOTES: &str = "/run/tacit/erase";

/// sysfs counts in these, whatever the sectors of a disk are.
const SECTOR: u64 = 512;
/// What tables and superblocks beside an array take at most, in bytes.
const TABLES: u64 = 16 << 20;
/// What md keeps free on a member before its data, at most, and no more than a thousandth of it.
const HEADROOM: u64 = 128 << 20;

/// Work that goes on in a drive, and by which noise its marks were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) method: String,
    pub(crate) noise: u64,
    pub(crate) size: u64,
    /// RFC 3339.
    pub(crate) started: String,
}

/// Gives access to disks.
pub(crate) trait DriveSource: Send + Sync {
    /// # Errors
    ///
    /// As [`Device::open`].
    fn open(&self, disk: &BlockDevice, access: Access) -> Result<Arc<dyn Drive>, Error>;

    fn kind(&self, disk: &BlockDevice) -> DriveKind;

    /// By which drives are waited for.
    fn clock(&self) -> &dyn Clock;

    /// What the guards find in a run over the devices of this scope.
    fn findings(&self, disk: &BlockDevice, scope: &Scope) -> Findings;

    /// Has the kernel look again at what is on the disk.
    ///
    /// # Errors
    ///
    /// As [`Device::reread_partition_table`].
    fn rescan(&self, disk: &BlockDevice) -> Result<(), Error>;

    /// Notes work that outlives this process; without a note it is done again.
    fn note(&self, disk: &BlockDevice, note: Option<&Note>);

    /// What an earlier process noted.
    fn noted(&self, disk: &BlockDevice) -> Option<Note>;
}

/// The disks of a machine.
pub(crate) struct MachineDrives {
    machine: Machine,
    clock: SystemClock,
}

impl MachineDrives {
    pub(crate) fn new(machine: &Machine) -> Self {
        Self { machine: machine.clone(), clock: SystemClock::new() }
    }

    fn node(&self, disk: &BlockDevice) -> PathBuf {
        self.machine.device_node(&disk.name)
    }

    /// The disk's folder in sysfs.
    fn folder(&self, name: &str) -> PathBuf {
        let kernel_name = name.trim_start_matches("/dev/").replace('/', "!");
        self.machine.roots().sys.join("block").join(kernel_name)
    }

    /// Other namespaces of an NVMe subsystem, whatever the allow-list hides, and the name of what must not be worked on
    /// by two names at the same time.
    fn subsystem(&self, disk: &BlockDevice) -> (String, Vec<Companion>) {
        let own = disk.name.trim_start_matches("/dev/").to_owned();
        if DriveKind::of(&own) != DriveKind::Nvme {
            return (unit(disk).unwrap_or(own), Vec::new());
        }
        let key = |name: &str| {
            let folder = self.folder(name);
            fs::read_to_string(folder.join("device/subsysnqn")).map_or_else(
                // Without it, what the kernel numbers alike.
                |_| name.rsplit_once('n').map_or(name, |(controller, _)| controller).to_owned(),
                |nqn| nqn.trim().to_owned(),
            )
        };
        let lane = key(&own);
        let names: BTreeMap<String, Companion> = fs::read_dir(self.machine.roots().sys.join("block"))
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .filter(|other| other.starts_with("nvme") && *other != own)
            .filter(|other| !read_flag(&self.folder(other).join("hidden")))
            .map(|other| (key(&other), other))
            .filter(|(subsystem, _)| *subsystem == lane)
            .map(|(_, other)| {
                let number = fs::read_to_string(self.folder(&other).join("nsid")).ok();
                let namespace = number.and_then(|number| number.trim().parse().ok());
                let name = format!("/dev/{other}");
                (other, Companion { name, namespace })
            })
            .collect();
        (lane, names.into_values().collect())
    }

    /// Looks at what is on the disk.
    fn look(&self, disk: &BlockDevice, skip: &SkipList, found: &mut Findings) -> Result<(), Error> {
        let device = Device::open(&self.node(disk), Access::Read)?;
        found.size = device.size_bytes();
        found.read_only |= device.is_block_device() && device.is_read_only();
        found.discards |= !device.is_block_device();
        if found.size == 0 {
            return Ok(());
        }
        let survey = survey(&device, skip)?;
        found.kept_volume = survey.kept_volume;
        found.virtual_medium |= survey.parameter_label.is_lent(disk);
        found.parameter_label = survey.parameter_label;
        found.shared = survey.shared;
        found.raid_member = survey.raid_member.map(str::to_owned);
        Ok(())
    }

    /// What of a disk is not erased when the arrays are that these parts of it belong to, in words.
    fn beside_arrays(&self, path: &Path, folder: &Path, parts: &[Holder]) -> Vec<String> {
        let mut reasons = Vec::new();
        for Holder { device, by } in parts {
            let HeldBy::Device(by) = by else { continue };
            let (Some(part), Some(array)) = (device.file_name(), by.file_name()) else { continue };
            let state = self.machine.roots().sys.join("block").join(array).join("md");
            let state = state.join(format!("dev-{}", part.to_string_lossy())).join("state");
            // Spares keep what they held before, and journals what passed through them.
            if let Ok(state) = fs::read_to_string(state)
                && (!state.contains("in_sync") || state.contains("journal"))
            {
                reasons.push(format!(
                    "{} is part of {} as {}, which erasing that does not reach",
                    device.display(),
                    by.display(),
                    state.trim()
                ));
            }
        }
        if parts.is_empty() {
            return reasons;
        }
        reasons.extend(self.beyond_arrays(path, folder, parts));
        if parts.iter().any(|part| part.device == path) {
            return reasons;
        }
        let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        for entry in entries.filter(|entry| entry.path().join("partition").exists()) {
            let partition = Path::new("/dev").join(entry.file_name());
            if !parts.iter().any(|part| part.device == partition) {
                reasons.push(format!(
                    "{} lies beside parts of arrays and is not erased with them: delete the arrays first \
                     (delete_configuration)",
                    partition.display()
                ));
            }
        }
        reasons
    }

    /// Whether more of a disk lies in no array than tables, superblocks and the room that md keeps free.
    fn beyond_arrays(&self, path: &Path, folder: &Path, parts: &[Holder]) -> Option<String> {
        let reached: Option<u64> = parts.iter().map(|part| self.reached(part)).sum();
        let (Some(reached), Some(sectors)) = (reached, read_number(&folder.join("size"))) else {
            return Some(format!(
                "the kernel does not tell how much of {} the arrays reach that it is a part of",
                path.display()
            ));
        };
        let size = sectors.saturating_mul(SECTOR);
        let room = (TABLES + (size / 1024).min(HEADROOM)).saturating_mul(parts.len() as u64);
        let beyond = size.saturating_sub(reached);
        (beyond > room).then(|| {
            format!(
                "{beyond} of the {size} bytes of {} lie in no array and are not erased with them: delete the arrays \
                 first (delete_configuration)",
                path.display()
            )
        })
    }

    /// Bytes of a part that are erased with the device that it is a part of.
    fn reached(&self, part: &Holder) -> Option<u64> {
        let HeldBy::Device(by) = &part.by else { return Some(0) };
        let folder = self.folder(&by.to_string_lossy());
        let md = folder.join("md");
        if !md.exists() {
            return read_number(&folder.join("size"))?.checked_mul(SECTOR);
        }
        // KiB. Without redundancy members need not be alike: then it is 0, and all of each is used.
        let kibibytes = match read_number(&md.join("component_size"))? {
            0 => read_number(&md.join(format!("dev-{}/size", part.device.file_name()?.to_string_lossy())))?,
            common => common,
        };
        kibibytes.checked_mul(1024)
    }

    /// Where the note of a disk is. Only the running machine's disks have any.
    fn note_path(&self, disk: &BlockDevice) -> Option<PathBuf> {
        if !self.machine.roots().is_real() {
            return None;
        }
        Some(Path::new(NOTES).join(note_name(disk)?))
    }
}

/// By the drive and by its name: the namespaces of a drive have one serial number, and marks of their own.
fn note_name(disk: &BlockDevice) -> Option<String> {
    let serial = disk.serial.as_deref().or(disk.wwn.as_deref())?;
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(64).collect()
    };
    Some(format!("{}-{}.json", plain(serial), plain(disk.name.trim_start_matches("/dev/"))))
}

/// By what a disk that has two names is known, one for each path: its world wide name, else what its maker counts by. Two
/// disks that have it in common wait for each other, no more.
fn unit(disk: &BlockDevice) -> Option<String> {
    let wwn = disk.wwn.as_deref().filter(|wwn| wwn.chars().any(|c| !matches!(c, '0' | 'x')));
    let serial =
        || Some(format!("{} {}", disk.vendor.as_deref().unwrap_or_default(), disk.serial.as_deref()?));
    wwn.map(str::to_owned).or_else(serial)
}

/// An array or a multipath device: what is written to it is written to its parts. A cache is none.
fn is_array(device: &Path) -> bool {
    let name = device.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("md") || name.starts_with("dm-")
}

impl DriveSource for MachineDrives {
    fn open(&self, disk: &BlockDevice, access: Access) -> Result<Arc<dyn Drive>, Error> {
        Ok(Arc::new(Device::open(&self.node(disk), access)?))
    }

    fn kind(&self, disk: &BlockDevice) -> DriveKind {
        // Among device-mapper devices only multipath ones are listed; the kernel hands SCSI commands to a path.
        if disk.name.starts_with("/dev/dm-") { DriveKind::Scsi } else { DriveKind::of(&disk.name) }
    }

    fn clock(&self) -> &dyn Clock {
        &self.clock
    }

    fn findings(&self, disk: &BlockDevice, scope: &Scope) -> Findings {
        let Scope { skip, erased, disks } = scope;
        let (path, folder) = (self.node(disk), self.folder(&disk.name));
        let (lane, companions) = self.subsystem(disk);
        let mut found = Findings {
            allowed: disks.iter().any(|known| known.name == disk.name),
            size: disk.size,
            read_only: read_flag(&folder.join("ro")),
            skip_listed: listed(&self.machine, skip, disk),
            kept_volume: None,
            virtual_medium: is_virtual_medium(&folder),
            parameter_label: ParameterLabel::Absent,
            held: Vec::new(),
            member_of: None,
            raid_member: None,
            shared: None,
            unreadable: None,
            discards: fs::read_to_string(folder.join("queue/discard_max_bytes"))
                .is_ok_and(|bytes| bytes.trim().parse::<u64>().is_ok_and(|bytes| bytes > 0)),
            siblings: companions
                .iter()
                .map(|companion| companion.name.clone())
                .filter(|name| !erased.contains(name))
                .collect(),
            companions,
            lane,
        };
        if let Err(error) = self.look(disk, skip, &mut found) {
            found.unreadable = Some(chain(&error));
        }
        match kept_volume(&self.machine, skip, &disk.name) {
            Ok(kept) => found.kept_volume = found.kept_volume.or(kept),
            Err(error) => {
                found.unreadable.get_or_insert(chain(&error));
            }
        }
        match holders(&path) {
            Ok(holders) => {
                let (parts, others): (Vec<_>, Vec<_>) = holders.into_iter().partition(|holder| {
                    matches!(&holder.by, HeldBy::Device(by)
                        if is_array(by) && erased.iter().any(|name| Path::new(name) == by))
                });
                found.held.extend(others.iter().map(ToString::to_string));
                found.held.extend(self.beside_arrays(&path, &folder, &parts));
                let array = parts.iter().find_map(|holder| match &holder.by {
                    HeldBy::Device(by) => Some(by.display().to_string()),
                    _ => None,
                });
                found.member_of = array.filter(|_| found.held.is_empty());
            }
            Err(error) => found.held.push(format!("it is not known who uses it: {}", chain(&error))),
        }
        if disk.name.starts_with("/dev/dm-")
            && let Some(others) = reserved(&self.machine, &disk.name, true)
        {
            // One path may have been asked, and another one be the one that is reserved.
            found.held.push(others);
        }
        if found.member_of.is_some() || !found.held.is_empty() {
            // An array that runs is told about above.
            found.raid_member = None;
        }
        found
    }

    fn rescan(&self, disk: &BlockDevice) -> Result<(), Error> {
        Device::open(&self.node(disk), Access::Read)?.reread_partition_table()
    }

    fn note(&self, disk: &BlockDevice, note: Option<&Note>) {
        let Some(path) = self.note_path(disk) else { return };
        let outcome = match note {
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            Some(note) => fs::create_dir_all(NOTES)
                .and_then(|()| fs::write(&path, serde_json::to_vec(note).map_err(std::io::Error::other)?)),
        };
        if let Err(error) = outcome {
            // What is not noted is erased once more after a restart.
            tracing::warn!(device = %disk.name, %error, "cannot note what goes on in the drive");
        }
    }

    fn noted(&self, disk: &BlockDevice) -> Option<Note> {
        let note: Note = serde_json::from_slice(&fs::read(self.note_path(disk)?).ok()?).ok()?;
        (note.size == disk.size).then_some(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Roots;

    #[test]
    fn an_array_is_kept_by_the_name_that_its_members_have() {
        let tree = tempfile::tempdir().unwrap();
        let put = |path: &str, content: &[u8]| {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        let size = 4 << 20;
        let mut member = vec![0; size];
        member[4096..4100].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
        member[4100] = 1;
        member[4128..4137].copy_from_slice(b"host:data");
        for name in ["vda", "vdb", "md1"] {
            put(&format!("sys/block/{name}/size"), (size / 512).to_string().as_bytes());
            put(&format!("dev/{name}"), if name == "md1" { &[0; 4 << 20] } else { &member });
        }
        for (file, content) in [("level", "raid1"), ("array_state", "clean"), ("metadata_version", "1.2")] {
            put(&format!("sys/block/md1/md/{file}"), content.as_bytes());
        }
        for disk in ["vda", "vdb"] {
            put(&format!("sys/block/md1/md/dev-{disk}/state"), b"in_sync");
        }
        let drives = MachineDrives::new(&Machine::new(Roots::below(tree.path()), None));
        let array = BlockDevice { name: "/dev/md1".into(), size: size as u64, ..BlockDevice::default() };
        let found = |volume: &str| {
            let entry = serde_json::json!({ "volume_name": volume });
            let node = serde_json::json!({"properties": {"skip_block_devices": [entry]}});
            let skip = SkipList::from_node(&node).unwrap();
            let (erased, disks) = (vec![array.name.clone()], vec![array.clone()]);
            drives.findings(&array, &Scope { skip, erased, disks })
        };
        assert_eq!(found("data").kept_volume.map(|kept| kept.entry).as_deref(), Some("data"));
        assert_eq!(found("root").kept_volume, None);
        for disk in ["vda", "vdb"] {
            fs::remove_file(tree.path().join("dev").join(disk)).unwrap();
        }
        assert!(found("data").unreadable.is_some(), "a name that is not known");
    }

    #[test]
    fn namespaces_of_one_drive_have_notes_of_their_own() {
        let named = |name: &str| {
            note_name(&BlockDevice {
                name: name.to_owned(),
                serial: Some("S1".to_owned()),
                ..BlockDevice::default()
            })
        };
        assert_eq!(named("/dev/nvme0n1").as_deref(), Some("S1-nvme0n1.json"));
        assert_ne!(named("/dev/nvme0n1"), named("/dev/nvme0n2"));
        assert_eq!(note_name(&BlockDevice::default()), None);
    }

    #[test]
    fn what_lies_beside_an_array_or_waits_in_it_is_not_erased_through_it() {
        let tree = tempfile::tempdir().unwrap();
        let drives = MachineDrives::new(&Machine::new(Roots::below(tree.path()), None));
        let put = |path: &str, content: &str| {
            let path = tree.path().join("sys/block").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        put("sda/sda1/partition", "1\n");
        put("sda/sda2/partition", "2\n");
        put("sda/size", &(4_u64 << 21).to_string());
        // A half of it in KiB, for each of its partitions.
        put("md0/md/component_size", &(2_u64 << 20).to_string());
        put("md0/md/dev-sda1/state", "in_sync\n");
        let part = |device: &str| Holder { device: device.into(), by: HeldBy::Device("/dev/md0".into()) };
        let beside =
            |parts: &[Holder]| drives.beside_arrays(Path::new("/dev/sda"), &drives.folder("sda"), parts);
        let reasons = beside(&[part("/dev/sda1")]);
        assert_eq!(reasons.len(), 2, "{reasons:?}");
        assert!(reasons[1].starts_with("/dev/sda2 lies beside"), "{reasons:?}");
        put("md0/md/dev-sda2/state", "in_sync,write_mostly\n");
        assert_eq!(beside(&[part("/dev/sda1"), part("/dev/sda2")]), [""; 0]);
        put("md0/md/dev-sda2/state", "spare\n");
        let reasons = beside(&[part("/dev/sda1"), part("/dev/sda2")]);
        assert!(reasons[0].contains("/dev/sda2 is part of /dev/md0 as spare"), "{reasons:?}");
    }

    #[test]
    fn what_an_array_leaves_of_a_disk_is_not_erased_through_it() {
        let tree = tempfile::tempdir().unwrap();
        let drives = MachineDrives::new(&Machine::new(Roots::below(tree.path()), None));
        let put = |path: &str, content: u64| {
            let path = tree.path().join("sys/block").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{content}\n")).unwrap();
        };
        let beyond = |part: &str, by: &str| {
            let part = Holder { device: part.into(), by: HeldBy::Device(by.into()) };
            drives.beside_arrays(Path::new("/dev/sda"), &drives.folder("sda"), &[part])
        };
        const GIB: u64 = 1 << 20;
        put("sda/size", 2000 * GIB * 2);
        // No word on how much: none.
        fs::create_dir_all(tree.path().join("sys/block/md0/md")).unwrap();
        assert!(beyond("/dev/sda", "/dev/md0")[0].starts_with("the kernel does not tell"));
        // As mdadm makes one on the whole disk, with 128 MiB of headroom; a smaller member; a size that was given.
        put("md0/md/component_size", 2000 * GIB - 129 * 1024);
        assert_eq!(beyond("/dev/sda", "/dev/md0"), [""; 0]);
        for size in [1000 * GIB, 10 * GIB, 2000 * GIB - 200 * 1024] {
            put("md0/md/component_size", size);
            let reasons = beyond("/dev/sda", "/dev/md0");
            assert!(reasons[0].contains("lie in no array"), "{reasons:?}");
        }
        // A partition of 100 GiB, and nothing in the rest.
        put("md0/md/component_size", 100 * GIB - 129 * 1024);
        put("sda/sda1/partition", 1);
        assert!(beyond("/dev/sda1", "/dev/md0")[0].contains("lie in no array"));
        // Each member is used as far as it goes; a multipath device is all of its path.
        put("md0/md/component_size", 0);
        put("md0/md/dev-sda/size", 2000 * GIB - 1024);
        assert_eq!(beyond("/dev/sda", "/dev/md0"), [""; 0]);
        put("dm-0/size", 2000 * GIB * 2);
        assert_eq!(beyond("/dev/sda", "/dev/dm-0"), [""; 0]);
    }

    #[test]
    fn two_names_of_one_disk_wait_for_each_other() {
        let disk = |wwn: Option<&str>, serial: Option<&str>| BlockDevice {
            name: "/dev/sda".to_owned(),
            vendor: Some("ACME".to_owned()),
            wwn: wwn.map(str::to_owned),
            serial: serial.map(str::to_owned),
            ..BlockDevice::default()
        };
        assert_eq!(unit(&disk(Some("0x5000c500"), Some("Z1"))).as_deref(), Some("0x5000c500"));
        for nothing in [None, Some("0x0000000000000000")] {
            assert_eq!(unit(&disk(nothing, Some("Z1"))).as_deref(), Some("ACME Z1"));
        }
        assert_eq!(unit(&disk(None, None)), None);
    }

    #[test]
    fn what_a_cache_takes_part_in_is_not_erased_through_it() {
        assert!(is_array(Path::new("/dev/md127")) && is_array(Path::new("/dev/dm-3")));
        assert!(!is_array(Path::new("/dev/bcache0")) && !is_array(Path::new("/dev/drbd1")));
    }
}
