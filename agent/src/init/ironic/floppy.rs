//! Parameters on a virtual floppy or stick: what Ironic has to say of a boot whose command line it cannot write (IPA
//! contract §9.5).

use std::fs;
use std::io;
use std::path::Path;

use tacit_blockdev::{Access, Device};
use tacit_hardware::read_small_volume;

/// Label of a medium that Ironic makes for this.
const LABEL: &str = "ir-vfd-dev";
/// In the model of a drive that a BMC lends, in lower case.
const MODEL: &str = "virtual media";
const FILE: &str = "parameters.txt";
const LIMIT: u64 = 64 * 1024;

/// The parameters as they stand on the device `node`, whose folder in sysfs is `block`; nothing where it is something
/// else than such a medium.
///
/// # Errors
///
/// `InvalidData` for what will not become better, else those of a device that may only have come a moment ago.
pub(super) fn parameters(node: &Path, block: &Path) -> io::Result<Option<String>> {
    let model = fs::read_to_string(block.join("device/model")).unwrap_or_default();
    read(node, model.to_ascii_lowercase().contains(MODEL))
}

/// Of a FAT file system with Ironic's label, or with any where `any_label`.
fn read(device: &Path, any_label: bool) -> io::Result<Option<String>> {
    let device = Device::open(device, Access::Read).map_err(io::Error::other)?;
    let wanted = |label: &str| any_label || label.eq_ignore_ascii_case(LABEL);
    let Some(bytes) = read_small_volume(&device, FILE, LIMIT + 1, wanted)? else { return Ok(None) };
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{FILE}: {text}"));
    if bytes.len() as u64 > LIMIT {
        return Err(invalid("is too large"));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| invalid("is no text"))
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs::{File, OpenOptions};
    use std::os::unix::fs::FileExt;
    use std::path::PathBuf;
    use std::process::Command;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    pub(in super::super) fn run(program: &str, arguments: &[&str]) {
        let done = Command::new(program).args(arguments).output().unwrap();
        assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    }

    pub(in super::super) fn floppy(folder: &Path, label: &str, content: Option<&[u8]>) -> PathBuf {
        let image = folder.join("floppy");
        File::create(&image).unwrap().set_len(1440 * 1024).unwrap();
        let path = image.to_str().unwrap();
        run("/usr/sbin/mkfs.vfat", &["-n", label, path]);
        if let Some(content) = content {
            let source = folder.join("source");
            fs::write(&source, content).unwrap();
            run("mcopy", &["-i", path, source.to_str().unwrap(), "::parameters.txt"]);
        }
        image
    }

    #[test]
    fn ironics_floppy_and_no_other() {
        let work = tempfile::tempdir().unwrap();
        let text = b"ipa-agent-token=secret\nipa-debug=1\n";
        let own = floppy(work.path(), "ir-vfd-dev", Some(text));
        assert_eq!(read(&own, false).unwrap().unwrap().as_bytes(), text);
        let other = floppy(work.path(), "SOMEBODYS", Some(text));
        assert_eq!(read(&other, false).unwrap(), None);
        // The BMC's own drive may have any label.
        assert_eq!(read(&other, true).unwrap().unwrap().as_bytes(), text);
        assert_eq!(read(&floppy(work.path(), "ir-vfd-dev", None), false).unwrap(), None);
        let large = floppy(work.path(), "ir-vfd-dev", Some(&vec![b'x'; 64 * 1024 + 1]));
        assert!(read(&large, false).is_err());
        let binary = floppy(work.path(), "ir-vfd-dev", Some(b"\xff\xfe"));
        assert!(read(&binary, false).is_err());
    }

    /// The root folder's only cluster is followed by itself, and all of its entries are deleted ones.
    fn endless(folder: &Path) -> PathBuf {
        let image = folder.join("endless");
        File::create(&image).unwrap().set_len(40 << 20).unwrap();
        run("/usr/sbin/mkfs.vfat", &["-F", "32", "-s", "1", "-n", "ir-vfd-dev", image.to_str().unwrap()]);
        let file = OpenOptions::new().read(true).write(true).open(&image).unwrap();
        let number = |at: u64| {
            let mut bytes = [0; 4];
            file.read_exact_at(&mut bytes, at).unwrap();
            u64::from(u32::from_le_bytes(bytes))
        };
        let (sector, reserved, table) = (number(11) & 0xFFFF, number(14) & 0xFFFF, number(36));
        let root = number(44);
        for copy in 0..2 {
            let at = (reserved + copy * table) * sector + root * 4;
            file.write_all_at(&u32::try_from(root).unwrap().to_le_bytes(), at).unwrap();
        }
        let data = (reserved + 2 * table + root - 2) * sector;
        file.write_all_at(&vec![0xE5; sector as usize], data).unwrap();
        image
    }

    #[test]
    fn what_is_no_floppy() {
        let work = tempfile::tempdir().unwrap();
        for (name, bytes) in [("empty", Vec::new()), ("zeros", vec![0; 4096]), ("noise", vec![0xA5; 4096])] {
            let path = work.path().join(name);
            fs::write(&path, bytes).unwrap();
            assert_eq!(read(&path, true).unwrap(), None, "{name}");
        }
        let endless = endless(work.path());
        let (done, read_done) = mpsc::channel();
        std::thread::spawn(move || done.send(read(&endless, false)));
        // Without a bound on what is read it is read for ever.
        let read = read_done.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(read.unwrap_err().to_string().contains("do not come to an end"));
    }

    /// Every byte of the boot sector and of the tables' begin, one at a time, is something else.
    #[test]
    fn nothing_on_a_floppy_breaks_the_reader() {
        let work = tempfile::tempdir().unwrap();
        let image = floppy(work.path(), "ir-vfd-dev", Some(b"ipa-debug=1"));
        let file = OpenOptions::new().read(true).write(true).open(&image).unwrap();
        for at in (0..64).chain(510..520) {
            let mut right = [0];
            file.read_exact_at(&mut right, at).unwrap();
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                file.write_all_at(&[value], at).unwrap();
                if let Ok(Some(text)) = read(&image, true) {
                    assert!(text.len() <= 11, "{at}: {value}");
                }
            }
            file.write_all_at(&right, at).unwrap();
        }
    }
}
