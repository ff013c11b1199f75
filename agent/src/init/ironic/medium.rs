//! The boot medium that Ironic made: found by the publisher that the kernel command line names, on nothing but a device
//! that can be taken out (IPA contract §9.5): what lies on a disk must not configure the agent.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tacit_protocol::network_data::NetworkData;

use super::super::console::say;
use super::iso9660::Iso;

/// Labels of Ironic's media, in lower case: with and without configuration.
const LABELS: [&str; 2] = ["config-2", "vmedia_boot_iso"];
const NETWORK_DATA: &str = "openstack/latest/network_data.json";
/// Where Ironic and operators put configuration files for IPA (IPA contract §9.5), in the order in which IPA reads them.
const CONFIG_FOLDERS: [&str; 2] = ["etc/ironic-python-agent", "etc/ironic-python-agent.d"];
const FILE_LIMIT: u32 = 1 << 20;
/// Of configuration files, all of them together.
const CONFIG_FILES: usize = 32;
const CONFIG_BYTES: usize = 1 << 20;

/// Disks at USB are virtual media up to this size.
const USB_LIMIT_BYTES: u64 = 4 << 30;
const SECTOR_BYTES: u64 = 512;
/// SCSI's number for CD-ROM drives.
const SCSI_ROM: &str = "5";

/// What the medium says.
#[derive(Debug, Default)]
pub(super) struct Medium {
    pub(super) network_data: Option<NetworkData>,
    /// Unix time in seconds.
    pub(super) made_at: Option<i64>,
    /// IPA's configuration files; none of a medium whose maker nobody named.
    pub(super) config_files: Vec<Vec<u8>>,
}

/// Reads the medium in `device`. `publisher` is `ir_pub_id`; without it any medium with Ironic's label will do for the
/// network's configuration, which is no secret and gives nobody a right.
///
/// # Errors
///
/// When it cannot be read, or is damaged.
pub(super) fn open(device: &Path, publisher: Option<&str>) -> io::Result<Option<Medium>> {
    let Some(mut iso) = Iso::open(File::open(device)?)? else { return Ok(None) };
    let label = iso.label.to_ascii_lowercase();
    // Some makers of media write the publisher in capitals.
    let other = publisher.is_some_and(|id| !id.eq_ignore_ascii_case(&iso.publisher));
    if !LABELS.contains(&label.as_str()) || other {
        return Ok(None);
    }
    let network_data = match iso.read(NETWORK_DATA, FILE_LIMIT)? {
        Some(bytes) => Some(serde_json::from_slice(&bytes)?),
        None => None,
    };
    let config_files = if publisher.is_some() { config_files(&mut iso)? } else { Vec::new() };
    Ok(Some(Medium { network_data, made_at: iso.made_at, config_files }))
}

fn config_files(iso: &mut Iso<File>) -> io::Result<Vec<Vec<u8>>> {
    let mut paths = Vec::new();
    for folder in CONFIG_FOLDERS {
        let names = iso.names(folder)?.into_iter().filter(|name| name.ends_with(".conf"));
        paths.extend(names.map(|name| format!("{folder}/{name}")));
    }
    if paths.len() > CONFIG_FILES {
        say(format!(
            "of {} configuration files on the medium the first {CONFIG_FILES} are read",
            paths.len()
        ));
    }
    let mut files = Vec::new();
    let mut left = CONFIG_BYTES;
    for path in paths.iter().take(CONFIG_FILES) {
        let file = match iso.read(path, FILE_LIMIT) {
            Ok(Some(file)) => file,
            Ok(None) => continue,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                say(format!("{error}; it is left out"));
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(after) = left.checked_sub(file.len()) else {
            say(format!("{path} and the files after it are left out: together they are too large"));
            break;
        };
        left = after;
        files.push(file);
    }
    Ok(files)
}

/// Writes the files below `folder`, under names of ours, readable by root alone.
pub(super) fn keep(files: &[Vec<u8>], folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    let keep = |(number, bytes): (usize, &Vec<u8>)| {
        let path = folder.join(format!("{number:02}.conf"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(bytes)?;
        Ok(path)
    };
    files.iter().enumerate().map(keep).collect()
}

/// Names of whole devices below `blocks` that are a CD-ROM drive, or a small disk at USB.
pub(super) fn removable(blocks: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(blocks) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| is_removable(&entry.path()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn is_removable(block: &Path) -> bool {
    let text = |name: &str| fs::read_to_string(block.join(name)).unwrap_or_default().trim().to_owned();
    if text("device/type") == SCSI_ROM {
        return true;
    }
    let at_usb = fs::canonicalize(block.join("device")).is_ok_and(|path| {
        path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("usb"))
    });
    let small = text("size").parse::<u64>().is_ok_and(|sectors| sectors < USB_LIMIT_BYTES / SECTOR_BYTES);
    at_usb && small
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_what_can_be_taken_out() {
        let root = tempfile::tempdir().unwrap();
        let blocks = root.path().join("block");
        for (name, bus, kind, sectors) in [
            ("sr0", "pci0/ata3/host2/target2:0:0/2:0:0:0", "5", "66632"),
            ("sda", "pci0/ata1/host0/target0:0:0/0:0:0:0", "0", "66632"),
            ("sdb", "pci0/usb1/1-1/host4/target4:0:0/4:0:0:0", "0", "66632"),
            ("sdc", "pci0/usb1/1-2/host5/target5:0:0/5:0:0:0", "0", "8388608"),
            ("vda", "pci0/virtio1", "", "66632"),
        ] {
            let device = root.path().join("devices").join(bus);
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("type"), format!("{kind}\n")).unwrap();
            fs::create_dir_all(blocks.join(name)).unwrap();
            fs::write(blocks.join(name).join("size"), format!("{sectors}\n")).unwrap();
            symlink(&device, blocks.join(name).join("device")).unwrap();
        }
        assert_eq!(removable(&blocks), ["sdb", "sr0"]);
    }

    #[test]
    fn another_publisher_is_another_medium() {
        let work = tempfile::tempdir().unwrap();
        let tree = work.path().join("tree");
        fs::create_dir_all(tree.join("openstack/latest")).unwrap();
        fs::write(tree.join(NETWORK_DATA), r#"{"links": [{"id": "a", "type": "phy"}]}"#).unwrap();
        let image = work.path().join("medium.iso");
        let make = |label: &str| {
            let mut make = std::process::Command::new("xorrisofs");
            make.args(["-quiet", "-r", "-V", label, "-publisher", "one", "-o"]).arg(&image).arg(&tree);
            assert!(make.status().unwrap().success());
        };
        for (folder, name, text) in [
            ("etc/ironic-python-agent.d", "z.conf", "second"),
            ("etc/ironic-python-agent", "ironic.conf", "first"),
            ("etc/ironic-python-agent", "ironic.crt", "no"),
        ] {
            fs::create_dir_all(tree.join(folder)).unwrap();
            fs::write(tree.join(folder).join(name), text).unwrap();
        }
        make("config-2");
        let files = open(&image, Some("one")).unwrap().unwrap().config_files;
        assert_eq!(files, [b"first".to_vec(), b"second".to_vec()]);
        let kept = keep(&files, &work.path().join("kept")).unwrap();
        assert_eq!(kept.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), files);
        for publisher in [Some("one"), None] {
            let medium = open(&image, publisher).unwrap().unwrap();
            assert_eq!(medium.network_data.unwrap().links[0].id, "a");
            // Whose maker nobody named configures the network and nothing else: there may be a token in the files.
            assert_eq!(medium.config_files.is_empty(), publisher.is_none());
        }
        assert!(open(&image, Some("two")).unwrap().is_none());
        make("VMEDIA_BOOT_ISO");
        assert!(open(&image, Some("one")).unwrap().is_some());
        make("INSTALLER");
        assert!(open(&image, Some("one")).unwrap().is_none());
        fs::write(tree.join(NETWORK_DATA), "no json").unwrap();
        make("config-2");
        assert!(open(&image, Some("one")).is_err());
    }

    #[test]
    fn configuration_files_are_few_and_small() {
        let work = tempfile::tempdir().unwrap();
        let folder = work.path().join("tree/etc/ironic-python-agent.d");
        fs::create_dir_all(&folder).unwrap();
        let image = work.path().join("medium.iso");
        let sizes = |image: &Path| -> Vec<usize> {
            let mut make = std::process::Command::new("xorrisofs");
            make.args(["-quiet", "-r", "-V", "config-2", "-publisher", "one", "-o"]);
            assert!(make.arg(image).arg(work.path().join("tree")).status().unwrap().success());
            open(image, Some("one")).unwrap().unwrap().config_files.iter().map(Vec::len).collect()
        };
        for number in 0..CONFIG_FILES + 5 {
            fs::write(folder.join(format!("{number:03}.conf")), vec![b'#'; number + 1]).unwrap();
        }
        assert_eq!(sizes(&image), (1..=CONFIG_FILES).collect::<Vec<_>>());
        for number in 0..3 {
            fs::write(folder.join(format!("{number:03}.conf")), vec![b'#'; CONFIG_BYTES / 2]).unwrap();
        }
        assert_eq!(sizes(&image), [CONFIG_BYTES / 2; 2]);
    }
}
