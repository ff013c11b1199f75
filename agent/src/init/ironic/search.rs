//! Waits for what Ironic may have put into this machine: its boot medium, and parameters on a virtual floppy. Either may
//! come first, and a drive that a BMC lends comes when its driver has found it.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::super::console::say;
use super::floppy;
use super::medium::{self, Medium, removable};
use super::settings::value;
use crate::ipa::Options;

const PAUSE: Duration = Duration::from_millis(100);

/// Where devices are looked for.
pub(super) struct Devices {
    /// `/sys/block`.
    pub(super) blocks: PathBuf,
    /// `/dev`.
    pub(super) nodes: PathBuf,
}

/// What there was.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) medium: Option<Medium>,
    /// Content of `parameters.txt`.
    pub(super) parameters: Option<String>,
}

impl Found {
    /// Whether nothing else is to be expected. The token is somewhere, and some ramdisks' only carrier of it is the
    /// floppy; a medium of Ironic's is somewhere if the command line names its publisher, or if there is no address yet.
    fn is_all(&self, line: &str) -> bool {
        let floppy = self.parameters.as_deref().unwrap_or_default();
        let addressed = [line, floppy].into_iter().any(|text| value(text, "ip").is_some());
        let no_medium = self.parameters.is_some() && addressed && publisher(line).is_none();
        let has_token = self.parameters.is_some() || self.has_token(line);
        (self.medium.is_some() || no_medium) && has_token
    }

    /// On the command line, or in the medium's files.
    fn has_token(&self, line: &str) -> bool {
        let mut options = Options::default();
        options.add_parameters(line);
        for file in self.medium.iter().flat_map(|medium| &medium.config_files) {
            options.add_file(&String::from_utf8_lossy(file));
        }
        options.token().is_some()
    }
}

/// Who made the medium; some boot loaders leave an empty value.
fn publisher(line: &str) -> Option<&str> {
    value(line, "ir_pub_id").filter(|publisher| !publisher.is_empty())
}

/// Waits, at most `limit`: drivers load meanwhile. `line` is the kernel's command line.
pub(super) fn search(devices: &Devices, line: &str, limit: Duration) -> Found {
    search_with(devices, line, limit, || std::thread::sleep(PAUSE))
}

fn search_with(devices: &Devices, line: &str, limit: Duration, mut pause: impl FnMut()) -> Found {
    let begun = Instant::now();
    let mut found = Found::default();
    let mut refused = BTreeSet::new();
    loop {
        let last = begun.elapsed() >= limit;
        let names = removable(&devices.blocks);
        for name in &names {
            let node = devices.nodes.join(name);
            if found.medium.is_none() {
                found.medium = told(name, last, medium::open(&node, publisher(line)));
                if found.medium.is_some() {
                    say(format!("Ironic's medium is in {name}"));
                }
            }
            if found.parameters.is_none() && !refused.contains(name) {
                let read = floppy::parameters(&node, &devices.blocks.join(name));
                // It is damaged on the next look, too.
                let damaged = read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidData);
                if damaged {
                    refused.insert(name.clone());
                }
                found.parameters = told(name, last || damaged, read);
                if found.parameters.is_some() {
                    say(format!("parameters are on {name}"));
                }
            }
        }
        if found.is_all(line) {
            return found;
        }
        if last {
            if found.medium.is_none() {
                say(format!("Ironic's medium is in none of: {}", names.join(", ")));
            }
            return found;
        }
        pause();
    }
}

/// Errors are told when they are the `last` word: a drive may only just have come, or be empty.
fn told<T>(name: &str, last: bool, read: io::Result<Option<T>>) -> Option<T> {
    read.unwrap_or_else(|error| {
        if last {
            say(format!("{name}: {error}"));
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::floppy::tests::{floppy as floppy_with, run};
    use super::*;

    const NEVER: Duration = Duration::from_secs(3600);

    fn machine(root: &Path) -> Devices {
        let devices = Devices { blocks: root.join("block"), nodes: root.join("dev") };
        fs::create_dir_all(&devices.blocks).unwrap();
        fs::create_dir_all(&devices.nodes).unwrap();
        devices
    }

    /// A drive that can be taken out, in which there is `image`.
    fn insert(devices: &Devices, name: &str, image: &Path) {
        let block = devices.blocks.join(name);
        fs::create_dir_all(block.join("device")).unwrap();
        fs::copy(image, devices.nodes.join(name)).unwrap();
        fs::write(block.join("device/type"), "5\n").unwrap();
    }

    fn floppy(root: &Path, text: &str) -> PathBuf {
        floppy_with(root, "ir-vfd-dev", Some(text.as_bytes()))
    }

    fn disc(root: &Path, config: Option<&str>) -> PathBuf {
        let (image, tree) = (root.join("disc"), root.join("tree"));
        let folder = tree.join("etc/ironic-python-agent");
        fs::create_dir_all(&folder).unwrap();
        if let Some(text) = config {
            fs::write(folder.join("ironic.conf"), text).unwrap();
        }
        let (image_path, tree) = (image.to_str().unwrap(), tree.to_str().unwrap());
        run("xorrisofs", &["-quiet", "-r", "-V", "config-2", "-publisher", "one", "-o", image_path, tree]);
        image
    }

    #[test]
    fn a_floppy_that_comes_after_the_medium_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let (disc, floppy) = (disc(root.path(), None), floppy(root.path(), "ipa-agent-token=secret"));
        let devices = machine(root.path());
        insert(&devices, "sr0", &disc);
        let mut rounds = 0;
        let found = search_with(&devices, "ir_pub_id=one ipa-agent-token=", NEVER, || {
            rounds += 1;
            if rounds == 3 {
                insert(&devices, "sr1", &floppy);
            }
        });
        assert_eq!((rounds, found.parameters.as_deref()), (3, Some("ipa-agent-token=secret")));
        assert!(found.medium.is_some());
    }

    #[test]
    fn who_has_the_token_waits_for_no_floppy() {
        let root = tempfile::tempdir().unwrap();
        let devices = machine(root.path());
        insert(&devices, "sr0", &disc(root.path(), None));
        let impatient = || panic!("waits");
        let found = search_with(&devices, "ir_pub_id=one ipa-agent-token=x", NEVER, impatient);
        assert!(found.medium.is_some() && found.parameters.is_none());
        // One that is there counts all the same.
        insert(&devices, "sr1", &floppy(root.path(), "ipa-debug=1"));
        let found = search_with(&devices, "ir_pub_id=one ipa-agent-token=x", NEVER, impatient);
        assert!(found.medium.is_some() && found.parameters.is_some());
        let root = tempfile::tempdir().unwrap();
        let devices = machine(root.path());
        insert(&devices, "sr0", &disc(root.path(), Some("[DEFAULT]\nagent_token = x\n")));
        assert!(search_with(&devices, "ir_pub_id=one", NEVER, impatient).medium.is_some());
    }

    #[test]
    fn a_ramdisk_that_somebody_else_made_needs_no_medium() {
        let root = tempfile::tempdir().unwrap();
        let devices = machine(root.path());
        insert(&devices, "sda", &floppy(root.path(), "ipa-agent-token=x"));
        let found = search_with(&devices, "ip=192.0.2.7:::24", NEVER, || panic!("waits"));
        assert!(found.medium.is_none() && found.parameters.is_some());
        // Where it has no address, or Ironic made the medium, that is waited for.
        for line in ["quiet", "ip=192.0.2.7:::24 ir_pub_id=one"] {
            let mut waited = false;
            let disc = disc(root.path(), None);
            let found = search_with(&devices, line, NEVER, || {
                waited = true;
                insert(&devices, "sr0", &disc);
            });
            assert!(waited && found.medium.is_some() && found.parameters.is_some(), "{line}");
            fs::remove_dir_all(devices.blocks.join("sr0")).unwrap();
        }
    }

    #[test]
    fn nothing_is_waited_for_without_end() {
        let root = tempfile::tempdir().unwrap();
        let devices = machine(root.path());
        let mut rounds = 0;
        let found = search_with(&devices, "ir_pub_id=one", Duration::from_millis(1), || rounds += 1);
        assert!(found.medium.is_none() && found.parameters.is_none() && rounds > 0);
    }
}
