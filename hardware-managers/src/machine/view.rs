//! A machine as its hardware managers see it.

use std::path::{Path, PathBuf};

use tacit_model::{BlockDevice, BootInfo, Inventory};

use super::identity::Identity;
use super::roots::{Roots, read_text};
use super::{cpu, disks, firmware, identity, interfaces};

/// The machine: where its trees are, and which of its disks may be seen and touched.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    roots: Roots,
    only_disks: Option<Vec<PathBuf>>,
}

impl Machine {
    /// With `only_disks`, no other disk exists for anything in this crate; loop devices and plain files are disks
    /// only when they are in it.
    pub fn new(roots: Roots, only_disks: Option<Vec<PathBuf>>) -> Self {
        Self { roots, only_disks }
    }

    /// Where this machine's trees are.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// The path to open for a disk named as in [`Machine::disks`].
    pub fn device_node(&self, name: impl AsRef<Path>) -> PathBuf {
        self.roots.device_node(name.as_ref())
    }

    /// Everything that is known without outside programs (IPA contract §7.1).
    pub fn inventory(&self) -> Inventory {
        let tables = firmware::read(&self.roots);
        Inventory {
            interfaces: interfaces::list(&self.roots),
            cpu: cpu::read(&self.roots, tables.as_ref()),
            disks: self.disks(),
            memory: firmware::memory(&self.roots, tables.as_ref()),
            bmc_address: None,
            bmc_v6address: None,
            bmc_mac: None,
            system_vendor: firmware::system_vendor(&self.roots, tables.as_ref()),
            boot: BootInfo {
                current_boot_mode: if self.is_uefi() { "uefi" } else { "bios" }.to_owned(),
                pxe_interface: self.kernel_parameter("BOOTIF"),
            },
            hostname: read_text(&self.roots.proc.join("sys/kernel/hostname")).unwrap_or_default(),
        }
    }

    /// Disks in name order (IPA contract §6, "which devices are listed").
    pub fn disks(&self) -> Vec<BlockDevice> {
        disks::list(&self.roots, self.only_disks.as_deref())
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
    fn kernel_parameter(&self, name: &str) -> Option<String> {
        let line = read_text(&self.roots.proc.join("cmdline"))?;
        let value = line.split_ascii_whitespace().rev().find_map(|word| {
            let (key, value) = word.split_once('=')?;
            (key == name).then(|| value.trim_matches('"').to_owned())
        })?;
        (!value.is_empty()).then_some(value)
    }
}
