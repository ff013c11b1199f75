//! How disks are reached: the machine's own, or those that tests play.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tacit_blockdev::{Access, Device, Drive, Error, HeldBy, holders};
use tacit_model::BlockDevice;

use super::findings::Findings;
use crate::chain::chain;
use crate::drives::{Clock, DriveKind, SystemClock};
use crate::machine::{Machine, read_flag};
use crate::wipe::{SkipList, survey};

/// Where work is noted that a drive does on its own: it outlives this process, but not the boot.
const NOTES: &str = "/run/tacit/erase";

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

    /// What the guards find. `erased` names all devices that are to be erased in this run.
    fn findings(&self, disk: &BlockDevice, skip: &SkipList, erased: &[String]) -> Findings;

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

    /// Other namespaces of an NVMe subsystem by device name, whatever the allow-list hides, and its own name.
    fn subsystem(&self, name: &str) -> (String, Vec<String>) {
        let own = name.trim_start_matches("/dev/").to_owned();
        if DriveKind::of(name) != DriveKind::Nvme {
            return (own, Vec::new());
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
        let names: BTreeMap<String, String> = fs::read_dir(self.machine.roots().sys.join("block"))
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .filter(|other| other.starts_with("nvme") && *other != own)
            .filter(|other| !read_flag(&self.folder(other).join("hidden")))
            .map(|other| (key(&other), other))
            .filter(|(subsystem, _)| *subsystem == lane)
            .map(|(_, other)| (other.clone(), format!("/dev/{other}")))
            .collect();
        (lane, names.into_values().collect())
    }

    /// Looks at what is on the disk.
    fn look(&self, path: &Path, skip: &SkipList, found: &mut Findings) -> Result<(), Error> {
        let device = Device::open(path, Access::Read)?;
        found.size = device.size_bytes();
        found.read_only |= device.is_block_device() && device.is_read_only();
        found.discards |= !device.is_block_device();
        if found.size == 0 {
            return Ok(());
        }
        let survey = survey(&device, skip)?;
        found.kept_volume = survey.kept_volume;
        found.virtual_medium = survey.parameter_medium;
        found.shared = survey.shared;
        found.raid_member = survey.raid_member.map(str::to_owned);
        Ok(())
    }

    /// Where the note of a disk is. Only the running machine's disks have any.
    fn note_path(&self, disk: &BlockDevice) -> Option<PathBuf> {
        if !self.machine.roots().is_real() {
            return None;
        }
        let serial = disk.serial.as_deref().or(disk.wwn.as_deref())?;
        let name: String =
            serial.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(128).collect();
        Some(Path::new(NOTES).join(format!("{name}.json")))
    }
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

    fn findings(&self, disk: &BlockDevice, skip: &SkipList, erased: &[String]) -> Findings {
        let (path, folder) = (self.node(disk), self.folder(&disk.name));
        let (lane, others) = self.subsystem(&disk.name);
        let has_companions = !others.is_empty();
        let mut found = Findings {
            allowed: self.machine.disks().iter().any(|known| known.name == disk.name),
            size: disk.size,
            read_only: read_flag(&folder.join("ro")),
            skip_listed: skip.matches(disk),
            kept_volume: false,
            virtual_medium: false,
            held: Vec::new(),
            member_of: None,
            raid_member: None,
            shared: None,
            unreadable: None,
            discards: fs::read_to_string(folder.join("queue/discard_max_bytes"))
                .is_ok_and(|bytes| bytes.trim().parse::<u64>().is_ok_and(|bytes| bytes > 0)),
            has_companions,
            siblings: others.into_iter().filter(|name| !erased.contains(name)).collect(),
            lane,
        };
        if let Err(error) = self.look(&path, skip, &mut found) {
            found.unreadable = Some(chain(&error));
        }
        match holders(&path) {
            Ok(holders) => {
                for holder in holders {
                    match &holder.by {
                        HeldBy::Device(by) if erased.iter().any(|name| Path::new(name) == by) => {
                            found.member_of = Some(by.display().to_string());
                        }
                        _ => found.held.push(holder.to_string()),
                    }
                }
            }
            Err(error) => found.held.push(format!("it is not known who uses it: {}", chain(&error))),
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
