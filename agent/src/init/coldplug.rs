//! Devices that are there already.

use std::fs;
use std::path::Path;

use super::modules::Loader;

/// Loads modules for all devices, again and again until nothing new comes: a loaded bus shows new devices.
pub(super) fn coldplug(loader: &mut Loader) {
    while walk(Path::new("/sys/devices"), &mut |device| loader.load_for(device)) {}
}

/// The same for network cards alone: the sooner they work, the sooner the agent answers.
pub(super) fn coldplug_network(loader: &mut Loader) {
    while walk(Path::new("/sys/devices"), &mut |device| is_network(device) && loader.load_for(device)) {}
}

/// PCI base class 02, and the virtio device that appears behind such a card.
fn is_network(alias: &str) -> bool {
    (alias.starts_with("pci:") && alias.contains("bc02")) || alias.starts_with("virtio:d00000001v")
}

/// Calls `load` for each device below `directory`; tells whether any call said that it loaded something.
fn walk(directory: &Path, load: &mut dyn FnMut(&str) -> bool) -> bool {
    let Ok(entries) = fs::read_dir(directory) else { return false };
    let mut loaded = false;
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            loaded |= walk(&entry.path(), load);
        } else if entry.file_name() == "modalias"
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            loaded |= load(text.trim());
        }
    }
    loaded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_cards_come_first() {
        assert!(is_network("pci:v00008086d00001572sv00001028sd00001F99bc02sc00i00"));
        assert!(is_network("virtio:d00000001v00001AF4"));
        assert!(!is_network("pci:v00001000d00000097sv00001028sd00001F45bc01sc07i00"));
        assert!(!is_network("virtio:d00000002v00001AF4"));
    }

    #[test]
    fn finds_every_device() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("pci0000:00/0000:00:01.0/virtio0");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("modalias"), "virtio:d00000002v00001AF4\n").unwrap();
        fs::write(root.path().join("pci0000:00/0000:00:01.0/modalias"), "pci:v1\n").unwrap();
        let mut seen = Vec::new();
        let again = walk(root.path(), &mut |device| {
            seen.push(device.to_owned());
            device.starts_with("virtio")
        });
        seen.sort();
        assert_eq!(seen, ["pci:v1", "virtio:d00000002v00001AF4"]);
        assert!(again);
    }
}
