//! Which modules a ramdisk carries, by the kind of machines it is for.

/// The kind of machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Virtual machines: virtio and the emulated controllers.
    Virtual,
    /// Servers: network cards, disk controllers and platform devices of nearly every fleet, and the common rest.
    Server,
    /// As `server`, with md loaded at once: what software RAID needs besides mdadm (`--program sbin/mdadm`).
    Raid,
    /// As `server`, as the `deploy_kernel` and `deploy_ramdisk` of stock Ironic: drivers for the medium that Ironic makes,
    /// and an agent that does the part of Ironic's own.
    Ironic,
}

const VIRTUAL: &[&str] = &[
    "ahci",
    "efivarfs",
    "nvme",
    "sd_mod",
    "sg",
    "virtio_blk",
    "virtio_net",
    "virtio_pci",
    "virtio_rng",
    "virtio_scsi",
];

/// Optical and USB drivers are not needed to read the node's configuration (the EFI stub hands it over), but disks
/// and keyboards at USB are reached by them.
const SERVER: &[&str] = &[
    // network
    "atlantic",
    "bnx2x",
    "bnxt_en",
    "bonding",
    "8021q",
    "e1000e",
    "ena",
    "enic",
    "gve",
    "i40e",
    "iavf",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mana",
    "mlx5_core",
    "qede",
    "r8169",
    "tg3",
    "vmxnet3",
    // disks
    "ata_piix",
    "hpsa",
    "megaraid_sas",
    "mpi3mr",
    "mpt3sas",
    "smartpqi",
    "vmd",
    "ehci_pci",
    "xhci_pci",
    "uas",
    "usb_storage",
    "usbhid",
    "hid_generic",
    "vmw_pvscsi",
    // software RAID and mapping
    "md_mod",
    "raid0",
    "raid1",
    "raid10",
    "raid456",
    "dm_mod",
    "dm_multipath",
    // platform
    "acpi_ipmi",
    "ast",
    "hpwdt",
    "iTCO_wdt",
    "ipmi_devintf",
    "ipmi_si",
    "ipmi_ssif",
    "ipmi_watchdog",
    "mgag200",
    "qemu_fw_cfg",
    "sp5100_tco",
    "tpm_crb",
    "tpm_tis",
    "wdat_wdt",
    // file systems and persistent memory
    "btrfs",
    "ext4",
    "isofs",
    "libnvdimm",
    "nd_pmem",
    "nfit",
    "nls_ascii",
    "nls_cp437",
    "vfat",
    "xfs",
];

/// The drives in which Ironic's medium appears; its file system is read without the kernel's help.
const IRONIC: &[&str] = &["sr_mod"];

/// Modules that no device asks for by a modalias, in the order of loading.
const ALWAYS: &[&str] = &["efivarfs", "sg", "ipmi_devintf"];
/// The kernel would ask a user's program for these when an array is made.
const ALWAYS_RAID: &[&str] =
    &["efivarfs", "sg", "ipmi_devintf", "md_mod", "raid0", "raid1", "raid10", "raid456"];

impl Profile {
    /// Names of the modules, without their dependencies, sorted.
    pub fn modules(self) -> Vec<&'static str> {
        let mut names = VIRTUAL.to_vec();
        if self != Self::Virtual {
            names.extend(SERVER);
        }
        if self == Self::Ironic {
            names.extend(IRONIC);
        }
        names.sort_unstable();
        names
    }

    /// Names of the modules that the ramdisk loads at once, in this order, without their dependencies.
    pub fn always(self) -> &'static [&'static str] {
        if self == Self::Raid { ALWAYS_RAID } else { ALWAYS }
    }

    /// As written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Virtual => "virtual",
            Self::Server => "server",
            Self::Raid => "raid",
            Self::Ironic => "ironic",
        }
    }
}
