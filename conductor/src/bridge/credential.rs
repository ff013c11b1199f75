//! Where a secret lies.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A file of root's that the bridge's own user cannot read: with systemd it is handed over as a credential of the same
/// name (`LoadCredential=`). Anywhere else, the file itself.
pub(super) fn find(path: &Path) -> PathBuf {
    find_in(std::env::var_os("CREDENTIALS_DIRECTORY"), path)
}

fn find_in(directory: Option<OsString>, path: &Path) -> PathBuf {
    let handed = directory.zip(path.file_name()).map(|(directory, name)| PathBuf::from(directory).join(name));
    handed.filter(|handed| handed.exists()).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_hands_over_comes_first() {
        let directory = tempfile::tempdir().unwrap();
        let handed = directory.path().join("key");
        std::fs::write(&handed, "").unwrap();
        let credentials = || Some(directory.path().into());
        assert_eq!(find_in(credentials(), Path::new("/etc/credstore/key")), handed);
        assert_eq!(find_in(credentials(), Path::new("/etc/other")), Path::new("/etc/other"));
        assert_eq!(find_in(None, Path::new("/etc/credstore/key")), Path::new("/etc/credstore/key"));
    }
}
