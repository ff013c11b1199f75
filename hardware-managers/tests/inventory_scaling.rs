//! How much the inventory reads, counted by the kernel: a test of its own process, in which nothing else reads.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]
#![expect(dead_code, reason = "the tree has more than this test needs")]

#[path = "hardware/server.rs"]
mod server;
#[path = "hardware/tree.rs"]
mod tree;

/// Read calls of this process until now (proc(5), `/proc/pid/io`).
fn reads() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap();
    text.lines().find_map(|line| line.strip_prefix("syscr: ")).unwrap().parse().unwrap()
}

fn reads_of_inventory(disks: usize, nics: usize) -> u64 {
    let tree = server::server(disks, nics);
    let machine = tree.machine();
    let before = reads();
    let inventory = machine.inventory();
    let after = reads();
    assert_eq!((inventory.disks.len(), inventory.interfaces.len()), (disks, nics));
    assert_eq!(inventory.cpu.count, 64);
    after - before
}

/// Every disk and every adapter costs the same few reads, however many there are.
#[test]
fn the_inventory_reads_in_proportion_to_the_machine() {
    let bare = reads_of_inventory(0, 0);
    let (disks, nics) = (reads_of_inventory(12, 0) - bare, reads_of_inventory(0, 4) - bare);
    let whole = reads_of_inventory(24, 8) - bare;
    assert!(whole <= 2 * disks + 2 * nics + 8, "{whole} reads, {disks} for 12 disks, {nics} for 4 adapters");
    // Two reads to a file, and about twenty files to a disk with two partitions.
    assert!(disks / 12 <= 60, "{} reads to a disk", disks / 12);
    assert!(nics / 4 <= 30, "{} reads to an adapter", nics / 4);
    assert!(bare <= 60, "{bare} reads for the machine itself");
}
