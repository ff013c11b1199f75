//! Parameters on a virtual floppy or stick: what Ironic has to say of a boot whose command line it cannot write (IPA
//! contract §9.5).

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use fatfs::{FileSystem, FsOptions};

use super::super::console::say;
use super::medium::removable;

/// Label of a medium that Ironic makes for this, in lower case.
const LABEL: &str = "ir-vfd-dev";
/// In the model of a drive that a BMC lends, in lower case.
const MODEL: &str = "virtual media";
const FILE: &str = "parameters.txt";
const LIMIT: u64 = 64 * 1024;

/// The parameters as they stand there, from a device that can be taken out; nothing where there is no such medium.
pub(super) fn parameters() -> Option<String> {
    let blocks = Path::new("/sys/block");
    removable(blocks).into_iter().find_map(|name| {
        let model = fs::read_to_string(blocks.join(&name).join("device/model")).unwrap_or_default();
        let lent = model.to_ascii_lowercase().contains(MODEL);
        match read(&Path::new("/dev").join(&name), lent) {
            Ok(Some(text)) => {
                say(format!("parameters are on {name}"));
                Some(text)
            }
            Ok(None) => None,
            Err(error) => {
                say(format!("{name}: {FILE}: {error}"));
                None
            }
        }
    })
}

/// Of a FAT file system with Ironic's label, or with any where `any_label`.
fn read(device: &Path, any_label: bool) -> io::Result<Option<String>> {
    // Of a medium that is something else, this is an error, too.
    let Ok(system) = FileSystem::new(File::open(device)?, FsOptions::new()) else { return Ok(None) };
    let in_root = system.read_volume_label_from_root_dir()?;
    let label = in_root.unwrap_or_else(|| system.volume_label());
    if !any_label && label.trim().to_ascii_lowercase() != LABEL {
        return Ok(None);
    }
    let root = system.root_dir();
    let file = match root.open_file(FILE) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    if file.take(LIMIT + 1).read_to_string(&mut text)? as u64 > LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "is too large"));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;

    fn run(program: &str, arguments: &[&str]) {
        let done = Command::new(program).args(arguments).output().unwrap();
        assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn floppy(folder: &Path, label: &str, content: Option<&[u8]>) -> PathBuf {
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

    #[test]
    fn what_is_no_floppy() {
        let work = tempfile::tempdir().unwrap();
        for (name, bytes) in [("empty", Vec::new()), ("zeros", vec![0; 4096]), ("noise", vec![0xA5; 4096])] {
            let path = work.path().join(name);
            fs::write(&path, bytes).unwrap();
            assert_eq!(read(&path, true).unwrap(), None, "{name}");
        }
    }
}
