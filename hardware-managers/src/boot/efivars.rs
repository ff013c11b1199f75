//! Firmware variables through efivarfs (boot contract §G.1).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::BootEntryError;

/// `EFI_GLOBAL_VARIABLE`.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Begins the names under which the kernel keeps records of its crashes (efi-pstore).
const CRASH_DUMP: &str = "dump-type0-";
/// Non-volatile, boot service and run-time access.
const ATTRIBUTES: u32 = 7;

/// Number and data of a `Boot####` variable.
type BootVariable = (u16, Option<Vec<u8>>);

/// The global variables of the firmware.
pub(super) struct EfiVars {
    folder: PathBuf,
}

impl EfiVars {
    /// `None` when nothing is mounted there.
    pub(super) fn open(folder: &Path) -> Option<Self> {
        let mut entries = fs::read_dir(folder).ok()?;
        // Firmware always has variables, so an empty folder is a mount point without its mount.
        entries.next().map(|_| Self { folder: folder.to_path_buf() })
    }

    /// Data without the attributes; `None` when there is no such variable.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, BootEntryError> {
        match fs::read(self.path(name)) {
            // Four bytes of attributes come first; a shorter file holds no data.
            Ok(bytes) => Ok(bytes.get(4..).map(<[u8]>::to_vec)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed("read", name, source)),
        }
    }

    /// Numbers of all `Boot####` variables, ascending, with their data; `None` for one that cannot be read, which
    /// firmware with a damaged memory has.
    pub(super) fn boot_entries(&self) -> Result<Vec<BootVariable>, BootEntryError> {
        let listing = fs::read_dir(&self.folder).map_err(|source| failed("list", "Boot####", source))?;
        let mut entries = Vec::new();
        for entry in listing {
            let entry = entry.map_err(|source| failed("list", "Boot####", source))?;
            let name = entry.file_name();
            let Some(number) = name.to_str().and_then(boot_number) else { continue };
            let data = match fs::read(entry.path()) {
                Ok(bytes) => Some(bytes.get(4..).unwrap_or_default().to_vec()),
                Err(error) => {
                    tracing::warn!("Boot{number:04X} cannot be read and is left as it is: {error}");
                    None
                }
            };
            entries.push((number, data));
        }
        entries.sort_unstable_by_key(|(number, _)| *number);
        Ok(entries)
    }

    /// Creates or replaces a variable, in the one write that the kernel turns into one firmware call.
    pub(super) fn write(&self, name: &str, data: &[u8]) -> Result<(), BootEntryError> {
        let path = self.path(name);
        let content = [&ATTRIBUTES.to_le_bytes(), data].concat();
        let outcome = if path.exists() {
            self.unlock(name);
            OpenOptions::new().write(true).open(&path).and_then(|file| write_once(file, &content))
        } else {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&path)
                .and_then(|file| write_once(file, &content))
        };
        outcome.map_err(|source| match source.raw_os_error() {
            Some(nix::libc::ENOSPC) => BootEntryError::Full { variable: name.to_owned(), source },
            _ => failed("write", name, source),
        })
    }

    /// Removes what the kernel stored of its own crashes, which is what fills the memory of firmware most often; the
    /// names of what went.
    pub(super) fn remove_crash_dumps(&self) -> Result<Vec<String>, BootEntryError> {
        let listing = fs::read_dir(&self.folder).map_err(|source| failed("list", CRASH_DUMP, source))?;
        let mut removed = Vec::new();
        for entry in listing {
            let entry = entry.map_err(|source| failed("list", CRASH_DUMP, source))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(CRASH_DUMP) {
                fs::remove_file(entry.path()).map_err(|source| failed("remove", &name, source))?;
                removed.push(name);
            }
        }
        Ok(removed)
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), BootEntryError> {
        self.unlock(name);
        fs::remove_file(self.path(name)).map_err(|source| failed("remove", name, source))
    }

    /// The kernel marks variables that it does not know as harmless immutable. Boot entries are known, so a file
    /// system without the flag is no obstacle; the write itself tells.
    fn unlock(&self, name: &str) {
        if let Err(error) = tacit_blockdev::set_immutable(&self.path(name), false) {
            tracing::debug!(variable = name, %error, "the immutable flag was not cleared");
        }
    }

    /// The variable's file, whatever the case of a boot entry's digits.
    fn path(&self, name: &str) -> PathBuf {
        let exact = self.folder.join(format!("{name}-{GLOBAL}"));
        if exact.exists() || !name.starts_with("Boot") {
            return exact;
        }
        let wanted = boot_number(&format!("{name}-{GLOBAL}"));
        let other = fs::read_dir(&self.folder).ok().and_then(|entries| {
            entries.flatten().find(|entry| {
                let found = entry.file_name().to_str().and_then(boot_number);
                found.is_some() && found == wanted
            })
        });
        other.map_or(exact, |entry| entry.path())
    }
}

fn failed(action: &'static str, variable: &str, source: io::Error) -> BootEntryError {
    BootEntryError::Variable { action, variable: variable.to_owned(), source }
}

fn write_once(mut file: File, content: &[u8]) -> io::Result<()> {
    loop {
        match file.write(content) {
            Ok(written) if written == content.len() => break,
            Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // efivarfs replaces a variable as a whole; a plain folder in its place keeps what lay behind.
    if file.metadata()?.len() > content.len() as u64 {
        file.set_len(content.len() as u64)?;
    }
    Ok(())
}

/// Number of a `Boot####-<global>` file.
fn boot_number(file_name: &str) -> Option<u16> {
    let (name, vendor) = file_name.split_once('-')?;
    let digits = name.strip_prefix("Boot").filter(|digits| digits.len() == 4)?;
    if !vendor.eq_ignore_ascii_case(GLOBAL) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u16::from_str_radix(digits, 16).ok()
}
