//! How long the inventory takes: of this machine, and of fixture trees of growing machines. Prints; judges nothing.

#![expect(clippy::unwrap_used, reason = "a bench that cannot measure stops")]
#![expect(dead_code, reason = "the tree has more than this bench needs")]

use std::time::{Duration, Instant};

use tacit_hardware::{Machine, Roots};

#[path = "../tests/hardware/server.rs"]
mod server;
#[path = "../tests/hardware/tree.rs"]
mod tree;

const TIMES: usize = 25;

/// Fastest and median of several inventories.
fn measure(machine: &Machine) -> (Duration, Duration) {
    let mut taken: Vec<Duration> = (0..TIMES)
        .map(|_| {
            let begin = Instant::now();
            std::hint::black_box(machine.inventory());
            begin.elapsed()
        })
        .collect();
    taken.sort();
    (taken[0], taken[TIMES / 2])
}

fn show(name: &str, machine: &Machine) {
    let (fastest, median) = measure(machine);
    let inventory = machine.inventory();
    println!(
        "{name:28} {:3} disks {:3} NICs   fastest {:7.2} ms   median {:7.2} ms",
        inventory.disks.len(),
        inventory.interfaces.len(),
        fastest.as_secs_f64() * 1e3,
        median.as_secs_f64() * 1e3
    );
}

fn main() {
    show("this machine", &Machine::new(Roots::default(), None));
    for (disks, nics) in [(1, 1), (6, 2), (12, 4), (24, 8), (48, 16)] {
        let tree = server::server(disks, nics);
        show("fixture", &tree.machine());
    }
}
