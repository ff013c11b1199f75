//! Where the kernel's trees are mounted, and the small reads that every reader of them needs.

use std::fs;
use std::path::{Path, PathBuf};

/// Mount points of the trees that are read. Tests give a fixture tree in their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    pub sys: PathBuf,
    pub proc: PathBuf,
    pub dev: PathBuf,
    pub efivars: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            sys: "/sys".into(),
            proc: "/proc".into(),
            dev: "/dev".into(),
            efivars: "/sys/firmware/efi/efivars".into(),
        }
    }
}

impl Roots {
    /// All four trees below one folder: `sys`, `proc`, `dev` and `sys/firmware/efi/efivars`.
    pub fn below(folder: &Path) -> Self {
        Self {
            sys: folder.join("sys"),
            proc: folder.join("proc"),
            dev: folder.join("dev"),
            efivars: folder.join("sys/firmware/efi/efivars"),
        }
    }

    /// Whether these are the running kernel's own trees, so that system calls tell about the same machine.
    pub(crate) fn is_real(&self) -> bool {
        *self == Self::default()
    }

    /// The path to open for a device name such as `/dev/sda`.
    pub(crate) fn device_node(&self, name: &Path) -> PathBuf {
        match name.strip_prefix("/dev") {
            Ok(rest) => self.dev.join(rest),
            Err(_) => name.to_path_buf(),
        }
    }
}

/// Text of an attribute without surrounding white space and NULs; `None` when it is absent, unreadable or empty.
pub(crate) fn read_text(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// Decimal attribute.
pub(crate) fn read_number(path: &Path) -> Option<u64> {
    read_text(path)?.parse().ok()
}

/// Whether the attribute says 1.
pub(crate) fn read_flag(path: &Path) -> bool {
    read_text(path).as_deref() == Some("1")
}

/// Last component of what a symbolic link points at.
pub(crate) fn link_name(path: &Path) -> Option<String> {
    Some(fs::read_link(path).ok()?.file_name()?.to_string_lossy().into_owned())
}

/// Names in a folder, sorted; empty when it is absent.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
    names.sort();
    names
}
