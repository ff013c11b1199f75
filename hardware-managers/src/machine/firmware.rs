//! Vendor, firmware and memory, from SMBIOS, or from the kernel's own reading of it where the raw tables are absent.

use std::fs;

use tacit_model::{Firmware, Memory, SystemVendorInfo};

use super::roots::{Roots, read_text};
use super::smbios::Smbios;

/// The raw tables; `None` when the kernel exports none or the reader lacks the right.
pub(super) fn read(roots: &Roots) -> Option<Smbios> {
    let folder = roots.sys.join("firmware/dmi/tables");
    let entry_point = fs::read(folder.join("smbios_entry_point")).ok()?;
    let table = fs::read(folder.join("DMI")).ok()?;
    Smbios::parse(&entry_point, &table)
}

/// An attribute of `/sys/class/dmi/id`.
pub(super) fn dmi_id(roots: &Roots, name: &str) -> Option<String> {
    read_text(&roots.sys.join("class/dmi/id").join(name))
}

pub(super) fn system_vendor(roots: &Roots, tables: Option<&Smbios>) -> SystemVendorInfo {
    let either = |from_table: fn(&Smbios) -> Option<String>, name| {
        tables.and_then(from_table).or_else(|| dmi_id(roots, name))
    };
    SystemVendorInfo {
        product_name: either(Smbios::product_name, "product_name"),
        serial_number: either(Smbios::system_serial, "product_serial"),
        manufacturer: either(Smbios::manufacturer, "sys_vendor"),
        firmware: Firmware {
            vendor: either(Smbios::bios_vendor, "bios_vendor"),
            version: either(Smbios::bios_version, "bios_version"),
            build_date: either(Smbios::bios_date, "bios_date"),
        },
    }
}

pub(super) fn memory(roots: &Roots, tables: Option<&Smbios>) -> Memory {
    let total = fs::read_to_string(roots.proc.join("meminfo")).ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    });
    Memory { total, physical_mb: tables.and_then(Smbios::memory_mib) }
}
