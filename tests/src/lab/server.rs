//! The virtual server: UEFI firmware, two emulated CPUs, an empty disk, one network card, a clock that forgets.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::libvirt::Libvirt;
use super::network::TAP;
use super::{NODE_ADDRESS, NODE_MAC};

/// What the firmware's tables say; the conductor recognises the machine by it.
pub(super) const SYSTEM_UUID: &str = "7ac17000-2222-4333-8444-555555555501";
pub(super) const SYSTEM_SERIAL: &str = "TACITLAB0001";

/// What its clock reads at every start: 2000-01-01, as when its battery is dead.
const CLOCK: u32 = 946_684_800;

/// A defined domain; its BMC is a [`super::Bmc`].
#[derive(Debug)]
pub struct VirtualServer {
    pub name: &'static str,
    pub uuid: &'static str,
    pub mac: &'static str,
    pub address: &'static str,
    /// Backing file of its one disk.
    pub disk: PathBuf,
    /// What its serial port printed.
    pub serial_file: PathBuf,
}

impl VirtualServer {
    pub(super) fn define(libvirt: &Libvirt, files: &Path, disk_bytes: u64, memory_mib: u32) -> Result<Self> {
        let disk = files.join("disk.raw");
        fs::File::create(&disk)
            .and_then(|file| file.set_len(disk_bytes))
            .context("making the server's disk")?;
        let serial_file = files.join("serial.log");
        fs::write(&serial_file, "").context("making the serial port's log")?;
        let server = Self {
            name: "server1",
            uuid: SYSTEM_UUID,
            mac: NODE_MAC,
            address: NODE_ADDRESS,
            disk,
            serial_file,
        };
        let xml = files.join("server.xml");
        fs::write(&xml, server.domain(&files.join("nvram.fd"), memory_mib)).context("writing the domain")?;
        libvirt.define(&xml)?;
        Ok(server)
    }

    /// Static addressing for the ramdisk, as an operator would give it.
    pub fn network_data(&self) -> Value {
        json!({
            "links": [{"id": "nic0", "type": "phy", "ethernet_mac_address": self.mac, "mtu": 1500}],
            "networks": [{
                "id": "provisioning", "link": "nic0", "network_id": "provisioning", "type": "ipv4",
                "ip_address": self.address, "netmask": "255.255.255.0", "routes": []
            }],
            "services": []
        })
    }

    fn domain(&self, nvram: &Path, memory_mib: u32) -> String {
        let Self { name, uuid, mac, .. } = self;
        let (nvram, disk, serial) = (nvram.display(), self.disk.display(), self.serial_file.display());
        format!(
            "<domain type='qemu'>
  <name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>{memory_mib}</memory><vcpu>2</vcpu>
  <sysinfo type='smbios'><system>
    <entry name='manufacturer'>Tacit</entry><entry name='product'>Virtual server</entry>
    <entry name='serial'>{SYSTEM_SERIAL}</entry><entry name='uuid'>{uuid}</entry>
  </system></sysinfo>
  <os><type arch='x86_64' machine='q35'>hvm</type>
    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
    <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>{nvram}</nvram><smbios mode='sysinfo'/></os>
  <features><acpi/></features><cpu mode='maximum'/><clock offset='absolute' start='{CLOCK}'/>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='sata' index='0'/>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='unsafe' discard='unmap'/><source file='{disk}'/>
      <target dev='vda' bus='virtio'/><serial>TACITDISK0</serial><boot order='1'/></disk>
    <interface type='ethernet'><mac address='{mac}'/><target dev='{TAP}' managed='no'/><model type='virtio'/></interface>
    <serial type='file'><source path='{serial}' append='on'/><target port='0'/></serial>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <video><model type='none'/></video><memballoon model='none'/>
  </devices>
</domain>
"
        )
    }
}
