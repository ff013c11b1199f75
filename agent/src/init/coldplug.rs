//! Devices that are there already.

use std::fs;
use std::path::Path;

use super::modules::Loader;

/// Loads modules for all devices, again and again until nothing new comes: a loaded bus shows new devices.
pub(super) fn coldplug(loader: &mut Loader) {
    while walk(Path::new("/sys/devices"), &mut |device| loader.load_for(device)) {}
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
