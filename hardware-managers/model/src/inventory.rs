//! The inventory, in the field names and units of ironic-python-agent's `list_hardware_info`, which Ironic's API
//! stores and its clients read. Strings are `null` where the machine does not tell.

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
}
