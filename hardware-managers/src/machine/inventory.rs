//! The whole inventory, put together.

use tacit_model::{BootInfo, Inventory};

use super::roots::read_text;
use super::view::Machine;
use super::{bmc, cpu, firmware, interfaces, trust};

/// As the kernel and the firmware tell it, before hardware managers add what they know.
pub(super) fn assemble(machine: &Machine) -> Inventory {
    let roots = machine.roots();
    std::thread::scope(|scope| {
        // The only part that waits for somebody.
        let controller = scope.spawn(|| bmc::read(roots));
        let tables = firmware::read(roots);
        let is_uefi = machine.is_uefi();
        let mut inventory = Inventory {
            interfaces: interfaces::list(roots),
            cpu: cpu::read(roots, tables.as_ref()),
            disks: machine.disks(),
            memory: firmware::memory(roots, tables.as_ref()),
            bmc_address: None,
            bmc_v6address: None,
            bmc_mac: None,
            system_vendor: firmware::system_vendor(roots, tables.as_ref()),
            boot: BootInfo {
                current_boot_mode: if is_uefi { "uefi" } else { "bios" }.to_owned(),
                pxe_interface: machine.kernel_parameter("BOOTIF"),
                secure_boot: is_uefi.then(|| trust::secure_boot(roots)).flatten(),
                setup_mode: is_uefi.then(|| trust::setup_mode(roots)).flatten(),
            },
            hostname: read_text(&roots.proc.join("sys/kernel/hostname")).unwrap_or_default(),
            accelerators: machine.accelerators(),
            tpm: trust::tpm(roots),
        };
        match controller.join() {
            Ok(bmc) => {
                inventory.bmc_address = bmc.address;
                inventory.bmc_v6address = bmc.v6address;
                inventory.bmc_mac = bmc.mac;
            }
            Err(_) => {
                tracing::error!("asking the management controller failed; the inventory goes on without it")
            }
        }
        inventory
    })
}
