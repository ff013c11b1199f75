//! A folder that looks like `/sys`, `/proc` and `/dev` of a machine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tacit_hardware::{Machine, Roots};

pub(crate) struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let tree = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["sys/block", "sys/class/net", "proc", "dev"] {
            fs::create_dir_all(tree.path(folder)).unwrap();
        }
        tree
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::below(self.folder.path())
    }

    pub(crate) fn machine(&self) -> Machine {
        Machine::new(self.roots(), None)
    }

    pub(crate) fn write(&self, relative: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// A link whose target is given from the tree's top.
    pub(crate) fn link(&self, relative: &str, target: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::create_dir_all(self.path(target)).unwrap();
        symlink(self.path(target), path).unwrap();
    }

    /// A block device at its place below `sys/devices`, with attributes relative to its own folder.
    pub(crate) fn block(&self, name: &str, device: &str, size: u64, attributes: &[(&str, &str)]) {
        let folder = format!("sys/devices/{device}");
        self.write(&format!("{folder}/size"), format!("{}\n", size / 512));
        self.write(&format!("{folder}/queue/rotational"), "0\n");
        self.write(&format!("{folder}/queue/logical_block_size"), "512\n");
        self.write(&format!("{folder}/queue/physical_block_size"), "4096\n");
        for (attribute, value) in attributes {
            self.write(&format!("{folder}/{attribute}"), value);
        }
        self.link(&format!("sys/block/{name}"), &folder);
    }

    /// A virtio disk with a file of zeros as its node; the path of that file.
    pub(crate) fn disk(&self, name: &str, size: u64) -> PathBuf {
        self.block(name, &format!("pci0000:00/0000:00:0a.0/virtio9/block/{name}"), size, &[]);
        let node = self.path(&format!("dev/{name}"));
        fs::File::create(&node).unwrap().set_len(size).unwrap();
        node
    }
}

/// A machine that has only this file as its disk.
pub(crate) fn machine_of(tree: &Tree, disk: &Path) -> Machine {
    Machine::new(tree.roots(), Some(vec![disk.to_path_buf()]))
}
