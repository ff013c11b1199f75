//! A fixture tree of a server of any size, with what sysfs has for each of its parts.

use crate::tree::Tree;

const GIB: u64 = 1 << 30;

/// `disks` disks, half of them NVMe and half of them SATA with two partitions each, `nics` ports of an adapter, and a
/// processor of 64 threads.
pub(crate) fn server(disks: usize, nics: usize) -> Tree {
    let tree = Tree::new();
    for at in 0..disks {
        if at % 2 == 0 { nvme(&tree, at / 2) } else { sata(&tree, at / 2) }
    }
    for at in 0..nics {
        port(&tree, at);
    }
    let cpu = |n: usize| {
        format!(
            "processor\t: {n}\nmodel name\t: Fast CPU\ncpu MHz\t\t: 2000.125\nphysical id\t: {}\nflags\t\t: fpu sse sse2 avx\n\n",
            n / 32
        )
    };
    tree.write("proc/cpuinfo", (0..64).map(cpu).collect::<String>());
    tree.write("proc/meminfo", "MemTotal:       263856456 kB\n");
    tree.write("proc/cmdline", "quiet\n");
    tree.write("proc/self/mountinfo", "22 1 0:21 / /proc rw - proc proc rw\n");
    tree.write("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n");
    tree
}

fn function(tree: &Tree, address: &str, class: &str) -> String {
    let device = format!("pci0000:00/{address}");
    for (name, value) in
        [("vendor", "0x8086\n"), ("device", "0x1521\n"), ("class", class), ("numa_node", "0\n")]
    {
        tree.write(&format!("sys/devices/{device}/{name}"), value);
    }
    tree.link(&format!("sys/bus/pci/devices/{address}"), &format!("sys/devices/{device}"));
    device
}

fn nvme(tree: &Tree, at: usize) {
    let device = function(tree, &format!("0000:{:02x}:00.0", 0x20 + at), "0x010802\n");
    let controller = format!("{device}/nvme/nvme{at}");
    let name = format!("nvme{at}n1");
    let attributes = [
        ("nsid", "1\n"),
        ("wwid", "eui.0025385b\n"),
        ("dev", "259:0\n"),
        ("ro", "0\n"),
        ("removable", "0\n"),
    ];
    tree.block(&name, &format!("{controller}/{name}"), 960 * GIB, &attributes);
    for (attribute, value) in [("model", "ACME Fast\n"), ("serial", "N1\n"), ("firmware_rev", "2.0\n")] {
        tree.write(&format!("sys/devices/{controller}/{attribute}"), value);
    }
    tree.link(&format!("sys/devices/{controller}/{name}/device"), &format!("sys/devices/{controller}"));
}

fn sata(tree: &Tree, at: usize) {
    let port = at + 1;
    let scsi = format!("pci0000:00/0000:00:1f.2/ata{port}/host{at}/target{at}:0:0/{at}:0:0:0");
    let name = format!("sd{}", char::from(b'a' + u8::try_from(at).unwrap()));
    let (first, second) = (format!("{name}1"), format!("{name}2"));
    let numbers: Vec<(String, String)> = [&first, &second]
        .iter()
        .flat_map(|part| {
            [(format!("{part}/dev"), "8:1\n".to_owned()), (format!("{part}/partition"), "1\n".to_owned())]
        })
        .collect();
    let mut attributes =
        vec![("dev", "8:0\n"), ("ro", "0\n"), ("removable", "0\n"), ("queue/discard_max_bytes", "0\n")];
    attributes.extend(numbers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    tree.block(&name, &format!("{scsi}/block/{name}"), 4000 * GIB, &attributes);
    for (attribute, value) in [("vendor", "ATA\n"), ("model", "Slow\n"), ("rev", "1A01\n")] {
        tree.write(&format!("sys/devices/{scsi}/{attribute}"), value);
    }
    tree.write(&format!("sys/devices/{scsi}/vpd_pg80"), b"\0\x80\0\x04S123");
    tree.write(
        &format!("sys/devices/{scsi}/vpd_pg83"),
        [0, 0x83, 0, 12, 1, 3, 0, 8, 0x50, 0, 0xc5, 0, 1, 2, 3, 4],
    );
    tree.write(&format!("sys/devices/{scsi}/vpd_pg89"), {
        let mut page = vec![b' '; 572];
        page[..4].copy_from_slice(&[0, 0x89, 2, 0x38]);
        page
    });
    tree.write(
        &format!("sys/devices/pci0000:00/0000:00:1f.2/ata{port}/ata_port/ata{port}/port_no"),
        format!("{port}\n"),
    );
    tree.link(&format!("sys/devices/{scsi}/block/{name}/device"), &format!("sys/devices/{scsi}"));
}

fn port(tree: &Tree, at: usize) {
    let device = function(tree, &format!("0000:{:02x}:00.0", 0x80 + at), "0x020000\n");
    tree.link(&format!("sys/devices/{device}/driver"), "sys/bus/pci/drivers/ice");
    let folder = format!("sys/class/net/eth{at}");
    tree.link(&format!("{folder}/device"), &format!("sys/devices/{device}"));
    for (name, value) in [
        ("address", format!("52:54:00:00:00:{at:02x}\n")),
        ("type", "1\n".into()),
        ("carrier", "1\n".into()),
        ("speed", "25000\n".into()),
    ] {
        tree.write(&format!("{folder}/{name}"), value);
    }
}
