//! The kernel's block devices and who is built upon whom, from sysfs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::machine::{Roots, names_in, read_number, read_text};

/// What a block device is made by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::wipe) enum Kind {
    /// A disk, or whatever the kernel shows as one.
    Disk,
    Partition {
        disk: String,
        /// Bytes from the start of the disk.
        start: u64,
    },
    /// Software RAID.
    Array,
    /// Device-mapper, with the name that its creator gave it (`vg-lv`, `mpatha`, a LUKS mapping).
    Mapped {
        name: String,
        /// `LVM-…`, `CRYPT-…`, `mpath-…`
        uuid: String,
    },
    Bcache,
    Loop,
}

/// One block device.
#[derive(Clone, Debug)]
pub(in crate::wipe) struct Block {
    /// The kernel's name; `!` stands for a slash.
    pub(in crate::wipe) name: String,
    pub(in crate::wipe) number: (u64, u64),
    pub(in crate::wipe) kind: Kind,
    /// Its folder in sysfs.
    pub(in crate::wipe) folder: PathBuf,
    /// Devices that are built upon this one.
    holders: Vec<String>,
    /// Devices that this one is built upon.
    slaves: Vec<String>,
}

impl Block {
    /// As people and other programs name it.
    pub(in crate::wipe) fn node(&self) -> String {
        node(&self.name)
    }
}

fn node(name: &str) -> String {
    format!("/dev/{}", name.replace('!', "/"))
}

/// All block devices at one moment.
#[derive(Clone, Debug, Default)]
pub(in crate::wipe) struct BlockGraph {
    blocks: BTreeMap<String, Block>,
}

impl BlockGraph {
    pub(in crate::wipe) fn read(roots: &Roots) -> Self {
        let mut graph = Self::default();
        for name in names_in(&roots.sys.join("block")) {
            let link = roots.sys.join("block").join(&name);
            let folder = fs::canonicalize(&link).unwrap_or(link);
            for part in names_in(&folder) {
                let inner = folder.join(&part);
                if inner.join("partition").exists() {
                    // sysfs counts in units of 512 bytes whatever the sector size is.
                    let start = read_number(&inner.join("start")).unwrap_or_default().saturating_mul(512);
                    graph.add(part, inner, Kind::Partition { disk: name.clone(), start });
                }
            }
            let kind = kind_of(&name, &folder);
            graph.add(name, folder, kind);
        }
        graph
    }

    fn add(&mut self, name: String, folder: PathBuf, kind: Kind) {
        let number = read_text(&folder.join("dev"))
            .and_then(|text| {
                let (major, minor) = text.split_once(':')?;
                Some((major.parse().ok()?, minor.parse().ok()?))
            })
            .unwrap_or_default();
        let block = Block {
            number,
            kind,
            holders: names_in(&folder.join("holders")),
            slaves: names_in(&folder.join("slaves")),
            name: name.clone(),
            folder,
        };
        self.blocks.insert(name, block);
    }

    /// A device by its node, `/dev/sda`, or by its kernel name.
    pub(in crate::wipe) fn get(&self, device: &str) -> Option<&Block> {
        self.blocks.get(&device.trim_start_matches("/dev/").replace('/', "!"))
    }

    /// All arrays of md's.
    pub(in crate::wipe) fn arrays(&self) -> impl Iterator<Item = &Block> {
        self.blocks.values().filter(|block| block.kind == Kind::Array)
    }

    /// The device itself and its partitions, the partitions first.
    pub(in crate::wipe) fn family<'a>(&'a self, block: &'a Block) -> Vec<&'a Block> {
        let is_part =
            |other: &&Block| matches!(&other.kind, Kind::Partition { disk, .. } if *disk == block.name);
        let mut family: Vec<&Block> = self.blocks.values().filter(is_part).collect();
        family.push(block);
        family
    }

    /// Everything that is built upon the device or its partitions, directly or not, in the order in which it can be
    /// taken down: each before what it stands on.
    pub(in crate::wipe) fn above<'a>(&'a self, block: &'a Block) -> Vec<&'a Block> {
        let mut order = Vec::new();
        self.climb(block, &mut BTreeSet::new(), &mut order);
        order
    }

    fn climb<'a>(&'a self, block: &'a Block, seen: &mut BTreeSet<&'a str>, order: &mut Vec<&'a Block>) {
        for member in self.family(block) {
            for holder in member.holders.iter().filter_map(|name| self.blocks.get(name)) {
                // Nothing is built upon itself; a tree that says so must not send this in circles.
                if seen.insert(&holder.name) {
                    self.climb(holder, seen, order);
                    order.push(holder);
                }
            }
        }
    }

    /// What the device is directly built upon.
    pub(in crate::wipe) fn slaves<'a>(&'a self, block: &'a Block) -> impl Iterator<Item = &'a Block> {
        block.slaves.iter().filter_map(|name| self.blocks.get(name))
    }

    /// Everything that the device is made of, directly or not, with the disks of partitions; not itself.
    pub(in crate::wipe) fn below<'a>(&'a self, block: &'a Block) -> BTreeSet<&'a str> {
        let (mut found, mut left): (BTreeSet<&str>, Vec<&Block>) = Default::default();
        left.extend(self.slaves(block));
        while let Some(block) = left.pop() {
            if !found.insert(&block.name) {
                continue;
            }
            match &block.kind {
                Kind::Partition { disk, .. } => left.extend(self.blocks.get(disk)),
                _ => left.extend(self.slaves(block)),
            }
        }
        found.remove(block.name.as_str());
        found
    }

    /// Of what the given device is made in the end: of devices that stand on no other, and of those that `is_ground` is
    /// asked for and names. An erased multipath device is the disk, and not its paths.
    pub(in crate::wipe) fn ground<'a>(
        &'a self,
        block: &'a Block,
        is_ground: &dyn Fn(&str) -> bool,
    ) -> BTreeSet<&'a str> {
        let (mut found, mut seen, mut left) = (BTreeSet::new(), BTreeSet::new(), vec![block]);
        while let Some(next) = left.pop() {
            if !seen.insert(&next.name) {
                continue;
            }
            let ends = next.slaves.is_empty() || (next.name != block.name && is_ground(&next.name));
            match &next.kind {
                Kind::Partition { disk, .. } => left.extend(self.blocks.get(disk)),
                _ if ends => {
                    found.insert(next.name.as_str());
                }
                _ => left.extend(self.slaves(next)),
            }
        }
        found
    }

    /// Loop devices whose backing file is one of these devices.
    pub(in crate::wipe) fn loops_on<'a>(&'a self, block: &Block) -> impl Iterator<Item = &'a Block> {
        let node = block.node();
        let is_loop = |other: &&Block| other.kind == Kind::Loop;
        self.blocks
            .values()
            .filter(is_loop)
            .filter(move |other| read_text(&other.folder.join("loop/backing_file")).as_ref() == Some(&node))
    }
}

/// Names of the devices that a device is made of, as people write them; empty for what is made of no other.
pub(crate) fn underneath(roots: &Roots, device: &str) -> BTreeSet<String> {
    let graph = BlockGraph::read(roots);
    graph.get(device).map(|block| graph.below(block).into_iter().map(node).collect()).unwrap_or_default()
}

fn kind_of(name: &str, folder: &std::path::Path) -> Kind {
    let is = |sub: &str| folder.join(sub).is_dir();
    if name.starts_with("dm-") || is("dm") {
        let text = |file: &str| read_text(&folder.join("dm").join(file)).unwrap_or_default();
        Kind::Mapped { name: text("name"), uuid: text("uuid") }
    } else if name.starts_with("md") && is("md") {
        Kind::Array
    } else if name.starts_with("bcache") {
        Kind::Bcache
    } else if is("loop") {
        Kind::Loop
    } else {
        Kind::Disk
    }
}
