//! Which memory, cores and adapters lie on which NUMA node (IPA contract §7.2).

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::roots::{Roots, names_in, read_number, read_text};

/// `None` on a machine whose kernel knows no nodes.
pub(super) fn topology(roots: &Roots) -> Option<Value> {
    let folder = roots.sys.join("devices/system/node");
    let mut nodes: Vec<u32> = names_in(&folder).iter().filter_map(|name| numbered(name, "node")).collect();
    nodes.sort_unstable();
    if nodes.is_empty() {
        return None;
    }
    let (mut ram, mut cpus) = (Vec::new(), Vec::new());
    for node in nodes {
        let folder = folder.join(format!("node{node}"));
        if let Some(kibibytes) = memory(&folder) {
            ram.push(json!({"numa_node": node, "size_kb": kibibytes}));
        }
        cpus.extend(cores(&folder, node));
    }
    Some(json!({"ram": ram, "cpus": cpus, "nics": nics(roots)}))
}

fn numbered(name: &str, prefix: &str) -> Option<u32> {
    name.strip_prefix(prefix)?.parse().ok()
}

/// `Node 0 MemTotal:       16318480 kB`
fn memory(folder: &Path) -> Option<u64> {
    let text = fs::read_to_string(folder.join("meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.split_once("MemTotal:"))?.1;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Cores by number, each with the logical processors on it. A core's number is its own on one node only.
fn cores(folder: &Path, node: u32) -> Vec<Value> {
    let mut threads: Vec<u32> = names_in(folder).iter().filter_map(|name| numbered(name, "cpu")).collect();
    threads.sort_unstable();
    let mut cores: Vec<(u64, Vec<u32>)> = Vec::new();
    for thread in threads {
        let core = read_number(&folder.join(format!("cpu{thread}/topology/core_id")));
        // A processor that is offline has no topology.
        let Some(core) = core else { continue };
        match cores.iter_mut().find(|(known, _)| *known == core) {
            Some((_, siblings)) => siblings.push(thread),
            None => cores.push((core, vec![thread])),
        }
    }
    cores
        .into_iter()
        .map(|(core, siblings)| json!({"cpu": core, "numa_node": node, "thread_siblings": siblings}))
        .collect()
}

/// Adapters that tell; -1 where the firmware does not.
fn nics(roots: &Roots) -> Vec<Value> {
    let folder = roots.sys.join("class/net");
    names_in(&folder)
        .into_iter()
        .filter_map(|name| {
            let node: i64 = read_text(&folder.join(&name).join("device/numa_node"))?.parse().ok()?;
            Some(json!({"name": name, "numa_node": node}))
        })
        .collect()
}
