//! A machine as its hardware managers see it.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tacit_model::{Accelerator, BlockDevice, Inventory, NetworkInterface};

use super::identity::Identity;
use super::roots::{Roots, read_text};
use super::shown::Shown;
use super::volumes::RootVolumes;
use super::{accelerators, disks, eligibility, identity, interfaces, inventory, pci};
use crate::hints::{RootChoice, RootDeviceError, Volumes, root_device_of};
use crate::managers::DeviceKind;
use crate::raid;
use crate::wipe::{SkipList, contents, forbidden, guards_shared};

/// The machine: where its trees are, and which of its disks may be seen and touched.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    roots: Roots,
    only_disks: Option<Vec<PathBuf>>,
    shown: Shown,
    volumes: RootVolumes,
}

impl Machine {
    /// With `only_disks`, no other disk exists for anything in this crate; loop devices and plain files are disks
    /// only when they are in it.
    pub fn new(roots: Roots, only_disks: Option<Vec<PathBuf>>) -> Self {
        Self { roots, only_disks, ..Self::default() }
    }

    /// From now on, devices and inventory are what these managers make of them.
    pub(crate) fn show_through(&self, managers: std::sync::Weak<crate::managers::Loader>) {
        self.shown.through(managers);
    }

    /// What is left of a list of devices when the hardware managers were asked (IPA contract §4.2).
    pub(crate) fn filter<T>(&self, kind: DeviceKind, found: Vec<T>) -> Vec<T>
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        self.shown.filter(kind, found)
    }

    /// Where this machine's trees are.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// The path to open for a disk named as in [`Machine::disks`].
    pub fn device_node(&self, name: impl AsRef<Path>) -> PathBuf {
        self.roots.device_node(name.as_ref())
    }

    /// Everything that is known without outside programs (IPA contract §7.1). Waits for the management controller, three
    /// seconds at most; a healthy one answers in milliseconds.
    pub fn inventory(&self) -> Inventory {
        self.shown.improve(inventory::assemble(self))
    }

    /// Network interfaces with hardware behind them, bonds and VLANs, without those that hardware managers hide.
    pub(crate) fn interfaces(&self) -> Vec<NetworkInterface> {
        self.filter(DeviceKind::Interface, interfaces::list(&self.roots))
    }

    /// Graphics adapters and what else computes.
    pub(crate) fn accelerators(&self) -> Vec<Accelerator> {
        accelerators::among(&pci::list(&self.roots))
    }

    /// Remembers, for this boot, that an array was made as the volume of the system, or as one that is not
    /// (`is_root_volume`, IPA contract §5.6). All clones of this machine know it. `device` is named as in
    /// [`Machine::disks`].
    pub fn set_root_volume(&self, device: &str, is_root: bool) {
        self.volumes.mark(device, is_root);
    }

    /// Arrays were taken apart: nothing is known of root volumes any more.
    pub fn forget_root_volumes(&self) {
        self.volumes.forget();
    }

    /// The disk that the system of a node goes on, and why (IPA contract §6): the array that was made for it in this boot,
    /// else by the hints of the instance or the node, else the smallest that is eligible. What the skip list keeps and
    /// arrays made for data, with the disks that they lie on, are never chosen; members of arrays only by hints that
    /// name one disk. Arrays that the node's configuration has are started before.
    ///
    /// # Errors
    ///
    /// [`RootDeviceError`].
    pub fn choose_root_device(&self, node: &Value) -> Result<RootChoice, RootDeviceError> {
        raid::start_configured(self, node);
        let others = self.volumes.others();
        let others = others.iter().flat_map(|volume| eligibility::kept_for_data(&self.roots, volume));
        root_device_of(self, node, Volumes { root: self.volumes.root(), others: others.collect() })
    }

    /// [`Machine::choose_root_device`] without the reason.
    ///
    /// # Errors
    ///
    /// [`RootDeviceError`].
    pub fn root_device(&self, node: &Value) -> Result<BlockDevice, RootDeviceError> {
        self.choose_root_device(node).map(|choice| choice.disk)
    }

    /// Why a system must not be written to a device, whoever chose it, in words: a file system that other machines may use,
    /// where the operator has not said otherwise, a unit that they have registered with, or a medium that the
    /// management controller plays.
    pub fn forbidden(&self, node: &Value, device: &str) -> Option<String> {
        match SkipList::from_node(node) {
            Ok(skip) => forbidden(self, &skip, guards_shared(node), device),
            Err(error) => Some(error.to_string()),
        }
    }

    /// What is on a device, in words, for people who have to decide whether it may go. Nothing where it cannot be read.
    pub fn contents(&self, device: &str) -> Vec<String> {
        contents(&self.device_node(device)).unwrap_or_default()
    }

    /// Disks in name order (IPA contract §6, "which devices are listed"), without those that hardware managers hide.
    pub fn disks(&self) -> Vec<BlockDevice> {
        let found = disks::list(&self.roots, self.only_disks.as_deref());
        self.shown.disks(found, self.only_disks.is_some())
    }

    /// All disks that the kernel has, also those that an allow-list or a hardware manager hides and the paths of multipath
    /// devices: to be looked at, never to be written to.
    pub(crate) fn every_disk(&self) -> Vec<BlockDevice> {
        disks::everything(&self.roots)
    }

    /// Whether there is a list of disks at all: one that cannot be read is not an empty one.
    ///
    /// # Errors
    ///
    /// That of reading `/sys/block`.
    pub(crate) fn check_disk_list(&self) -> std::io::Result<()> {
        if self.only_disks.is_some() {
            return Ok(());
        }
        std::fs::read_dir(self.roots.sys.join("block")).map(drop)
    }

    /// Disks that are there and report no size, as drives do that have failed. Slots without a medium are none.
    pub(crate) fn disks_without_size(&self) -> Vec<BlockDevice> {
        // A manager that tells the list of disks would tell all of it again.
        self.filter(DeviceKind::Disk, disks::without_size(&self.roots, self.only_disks.as_deref()))
    }

    /// Facts by which a conductor recognises this machine (boot contract §E).
    pub fn identity(&self) -> Identity {
        identity::read(&self.roots)
    }

    /// Whether firmware of this boot is UEFI.
    pub fn is_uefi(&self) -> bool {
        self.roots.sys.join("firmware/efi").exists()
    }

    /// Value of a parameter on the kernel's command line; the last one wins, as in the kernel.
    pub(crate) fn kernel_parameter(&self, name: &str) -> Option<String> {
        let line = read_text(&self.roots.proc.join("cmdline"))?;
        let value = line.split_ascii_whitespace().rev().find_map(|word| {
            let (key, value) = word.split_once('=')?;
            (key == name).then(|| value.trim_matches('"').to_owned())
        })?;
        (!value.is_empty()).then_some(value)
    }
}
