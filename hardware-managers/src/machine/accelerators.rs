//! Graphics adapters, processing accelerators and co-processors among the PCI functions.

use tacit_model::Accelerator;

use super::pci::PciFunction;

/// Class and subclass, in words (PCI Code and ID Assignment 1.16, 1.4 to 1.19). The longer prefix comes first.
const KINDS: [(&str, &str); 6] = [
    ("0300", "VGA controller"),
    ("0301", "XGA controller"),
    ("0302", "3D controller"),
    ("03", "display controller"),
    ("0b40", "co-processor"),
    ("12", "processing accelerator"),
];

/// Makers of what is found in such slots; for all others the id has to do.
const VENDORS: &[(&str, &str)] = &[
    ("1002", "AMD"),
    ("1022", "AMD"),
    ("102b", "Matrox"),
    ("10de", "NVIDIA"),
    ("10ee", "AMD Xilinx"),
    ("1172", "Intel Altera"),
    ("1234", "Bochs or QEMU"),
    ("15ad", "VMware"),
    ("177d", "Marvell"),
    ("1a03", "ASPEED"),
    ("1ac1", "Google"),
    ("1af4", "Red Hat virtio"),
    ("1b36", "Red Hat QEMU"),
    ("1d0f", "Amazon"),
    ("1da3", "Intel Habana"),
    ("1e52", "Tenstorrent"),
    ("5853", "Xen"),
    ("8086", "Intel"),
];

/// What operators order by name. Whoever needs more has the id.
const PRODUCTS: &[(&str, &str, &str)] = &[
    ("1002", "7408", "Instinct MI250X"),
    ("1002", "740c", "Instinct MI250X/MI250"),
    ("1002", "740f", "Instinct MI210"),
    ("1002", "738c", "Instinct MI100"),
    ("1002", "74a0", "Instinct MI300A"),
    ("1002", "74a1", "Instinct MI300X"),
    ("1002", "74a5", "Instinct MI325X"),
    ("102b", "0536", "MGA G200eW3"),
    ("102b", "0538", "MGA G200eH3"),
    ("10de", "1db4", "Tesla V100 PCIe 16GB"),
    ("10de", "1db5", "Tesla V100 SXM2 32GB"),
    ("10de", "1db6", "Tesla V100 PCIe 32GB"),
    ("10de", "1eb8", "T4"),
    ("10de", "20b0", "A100 SXM4 40GB"),
    ("10de", "20b2", "A100 SXM4 80GB"),
    ("10de", "20b5", "A100 PCIe 80GB"),
    ("10de", "20b7", "A30"),
    ("10de", "20f1", "A100 PCIe 40GB"),
    ("10de", "2235", "A40"),
    ("10de", "2236", "A10"),
    ("10de", "25b6", "A2 / A16"),
    ("10de", "26b5", "L40"),
    ("10de", "26b9", "L40S"),
    ("10de", "27b8", "L4"),
    ("10de", "2321", "H100 NVL"),
    ("10de", "2330", "H100 SXM5 80GB"),
    ("10de", "2331", "H100 PCIe"),
    ("10de", "2335", "H200 SXM 141GB"),
    ("10de", "2342", "GH200 120GB / 480GB"),
    ("10de", "2901", "B200"),
    ("1a03", "2000", "ASPEED Graphics Family"),
    ("1da3", "1020", "Gaudi2"),
    ("1da3", "1060", "Gaudi3"),
    ("8086", "56c0", "Data Center GPU Flex 170"),
];

/// Those of the functions that compute.
pub(super) fn among(functions: &[PciFunction]) -> Vec<Accelerator> {
    functions.iter().filter_map(accelerator).collect()
}

fn accelerator(function: &PciFunction) -> Option<Accelerator> {
    let (_, kind) = KINDS.iter().find(|(class, _)| function.class.starts_with(class))?;
    let prefixed = |id: String| format!("0x{id}");
    let (subsystem_vendor, subsystem_product) = function.subsystem();
    Some(Accelerator {
        pci_address: function.address.clone(),
        class: function.class.clone(),
        kind: (*kind).to_owned(),
        vendor: prefixed(function.vendor.clone()),
        product: prefixed(function.device.clone()),
        subsystem_vendor: subsystem_vendor.map(prefixed),
        subsystem_product: subsystem_product.map(prefixed),
        vendor_name: VENDORS
            .iter()
            .find(|(id, _)| *id == function.vendor)
            .map(|(_, name)| (*name).to_owned()),
        product_name: PRODUCTS
            .iter()
            .find(|(vendor, device, _)| (*vendor, *device) == (&function.vendor, &function.device))
            .map(|(.., name)| (*name).to_owned()),
        driver: function.driver(),
        numa_node: function.numa_node(),
        link: function.link(),
    })
}
