//! The inventory, in the field names and units of ironic-python-agent's `list_hardware_info`, which Ironic's API
//! stores and its clients read. Strings are `null` where the machine does not tell. What that agent does not know
//! stands in further fields, which its clients pass over.

use serde::{Deserialize, Serialize};

/// Everything that is known about a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    pub interfaces: Vec<NetworkInterface>,
    pub cpu: Cpu,
    pub disks: Vec<BlockDevice>,
    pub memory: Memory,
    pub bmc_address: Option<String>,
    pub bmc_v6address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bmc_mac: Option<String>,
    pub system_vendor: SystemVendorInfo,
    pub boot: BootInfo,
    pub hostname: String,
    /// Graphics adapters and other processors beside the CPU. Beyond ironic-python-agent, as `tpm`.
    #[serde(default)]
    pub accelerators: Vec<Accelerator>,
    #[serde(default)]
    pub tpm: Option<Tpm>,
}

/// A network interface with hardware behind it, a bond or a VLAN.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkInterface {
    pub name: String,
    /// Permanent address where the driver tells it, else the current one; lower case with colons.
    pub mac_address: String,
    pub ipv4_address: Option<String>,
    pub ipv6_address: Option<String>,
    pub has_carrier: bool,
    pub lldp: Option<Vec<(u8, String)>>,
    /// PCI vendor id as `0x` and four hexadecimal digits.
    pub vendor: Option<String>,
    /// PCI device id as `0x` and four hexadecimal digits.
    pub product: Option<String>,
    pub client_id: Option<String>,
    pub biosdevname: Option<String>,
    pub speed_mbps: Option<u64>,
    pub pci_address: Option<String>,
    pub driver: Option<String>,
    /// Version as the driver tells it. Beyond ironic-python-agent, as everything below.
    #[serde(default)]
    pub firmware: Option<String>,
    /// The address in use, where it is not the permanent one.
    #[serde(default)]
    pub current_mac: Option<String>,
    #[serde(default)]
    pub numa_node: Option<u32>,
    #[serde(default)]
    pub bond: Option<Bond>,
    #[serde(default)]
    pub vlan: Option<Vlan>,
}

/// What a bond is made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bond {
    /// `802.3ad`, `active-backup`, …
    pub mode: String,
    pub members: Vec<String>,
}

/// What a VLAN interface stands for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Vlan {
    pub id: u16,
    /// The interface that carries it.
    pub parent: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    pub model_name: Option<String>,
    /// MHz as decimal text, the maximum where it is known.
    pub frequency: Option<String>,
    /// Logical processors.
    pub count: u32,
    /// `x86_64` or `aarch64`.
    pub architecture: String,
    pub flags: Vec<String>,
    pub socket_count: Option<u32>,
}

/// A disk. IPA calls the object BlockDevice and gives these fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// Device node, `/dev/sda`.
    pub name: String,
    pub model: Option<String>,
    /// Bytes.
    pub size: u64,
    pub rotational: bool,
    pub wwn: Option<String>,
    pub serial: Option<String>,
    pub vendor: Option<String>,
    pub wwn_with_extension: Option<String>,
    pub wwn_vendor_extension: Option<String>,
    /// SCSI `host:channel:target:lun`.
    pub hctl: Option<String>,
    /// `/dev/disk/by-path/…` as udev would name it.
    pub by_path: Option<String>,
    /// Logical sector size in bytes (IPA's name says sectors).
    pub logical_sectors: Option<u32>,
    /// Physical sector size in bytes.
    pub physical_sectors: Option<u32>,
    /// Transport: `sata`, `nvme`, `sas`, `usb`, `virtio`, …
    pub tran: Option<String>,
    /// Revision of the firmware. Beyond ironic-python-agent, as everything below.
    #[serde(default)]
    pub firmware: Option<String>,
    #[serde(default)]
    pub removable: bool,
    #[serde(default)]
    pub read_only: bool,
    /// Most bytes that one discard takes; 0 where the disk does not discard.
    #[serde(default)]
    pub discard_max_bytes: Option<u64>,
    /// `thin`, `resource` or `full`, as a SCSI disk says (SBC-5, 6.6.9).
    #[serde(default)]
    pub provisioning: Option<String>,
    #[serde(default)]
    pub numa_node: Option<u32>,
    /// Why a system should not be put on it, one sentence each; empty for a disk that may have one.
    #[serde(default)]
    pub ineligible: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Bytes that the kernel sees.
    pub total: Option<u64>,
    /// MiB installed, from SMBIOS type 17.
    pub physical_mb: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SystemVendorInfo {
    pub product_name: Option<String>,
    pub serial_number: Option<String>,
    pub manufacturer: Option<String>,
    pub firmware: Firmware,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Firmware {
    pub vendor: Option<String>,
    pub version: Option<String>,
    pub build_date: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BootInfo {
    /// `uefi` or `bios`.
    pub current_boot_mode: String,
    /// The kernel parameter `BOOTIF` as it was given.
    pub pxe_interface: Option<String>,
    /// Whether the firmware checks what it starts; `null` without UEFI. Beyond ironic-python-agent, as `setup_mode`.
    #[serde(default)]
    pub secure_boot: Option<bool>,
    /// Whether anybody may put in the key that all others hang on (UEFI 2.10, 32.3).
    #[serde(default)]
    pub setup_mode: Option<bool>,
}

/// A PCI function that computes: display controllers, processing accelerators, co-processors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Accelerator {
    pub pci_address: String,
    /// Six hexadecimal digits: base class, subclass, programming interface.
    pub class: String,
    /// The class in words.
    pub kind: String,
    /// PCI vendor id as `0x` and four hexadecimal digits, as all ids here.
    pub vendor: String,
    pub product: String,
    pub subsystem_vendor: Option<String>,
    pub subsystem_product: Option<String>,
    pub vendor_name: Option<String>,
    pub product_name: Option<String>,
    pub driver: Option<String>,
    pub numa_node: Option<u32>,
    pub link: Option<PciLink>,
}

/// A PCI Express link: what it runs at, and what it could.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PciLink {
    /// Gigatransfers per second, as decimal text: `16.0`.
    pub speed_gts: Option<String>,
    pub max_speed_gts: Option<String>,
    /// Lanes.
    pub width: Option<u32>,
    pub max_width: Option<u32>,
}

/// A Trusted Platform Module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tpm {
    /// `1.2` or `2.0`.
    pub version: Option<String>,
    /// Banks of platform configuration registers: `sha1`, `sha256`, …
    pub pcr_banks: Vec<String>,
}
