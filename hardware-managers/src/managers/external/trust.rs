//! Which files may be started.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::fault::Fault;

/// Write permission of group and others, and the bit by which a folder lets everybody touch only what is his own.
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;
const EXECUTE: u32 = 0o111;

/// The path without symbolic links of a program that nobody but root could have put there or changed: neither the file
/// nor any folder on the way to it belongs to or may be written by anybody else.
pub(super) fn check(program: &Path) -> Result<PathBuf, Fault> {
    let real = real(program)?;
    check_owned(&real, false)?;
    let metadata =
        fs::metadata(&real).map_err(|error| untrusted(&real, &format!("cannot be read: {error}")))?;
    if !metadata.is_file() {
        return Err(untrusted(&real, "is no file"));
    }
    if metadata.mode() & EXECUTE == 0 {
        return Err(untrusted(&real, "is not executable"));
    }
    for folder in real.parent().into_iter().chain(program.parent()) {
        check_folder(folder)?;
    }
    Ok(real)
}

/// The same for a folder that holds programs.
pub(super) fn check_folder(folder: &Path) -> Result<(), Fault> {
    let real = real(folder)?;
    check_owned(&real, false)?;
    // Above the folder itself, the sticky bit keeps others from replacing what is root's.
    real.ancestors().skip(1).try_for_each(|above| check_owned(above, true))
}

fn check_owned(path: &Path, may_be_sticky: bool) -> Result<(), Fault> {
    let metadata =
        fs::symlink_metadata(path).map_err(|error| untrusted(path, &format!("cannot be read: {error}")))?;
    // Whoever runs us could start anything as well.
    if metadata.uid() != 0 && metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(untrusted(path, "does not belong to root"));
    }
    let sticky = may_be_sticky && metadata.is_dir() && metadata.mode() & STICKY != 0;
    if metadata.mode() & OTHERS_WRITE != 0 && !sticky {
        return Err(untrusted(path, "may be written by others than root"));
    }
    Ok(())
}

fn real(path: &Path) -> Result<PathBuf, Fault> {
    fs::canonicalize(path).map_err(|error| untrusted(path, &format!("cannot be found: {error}")))
}

fn untrusted(path: &Path, problem: &str) -> Fault {
    Fault::Untrusted(format!("{} {problem}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn with_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn problem(path: &Path) -> String {
        check(path).unwrap_err().to_string()
    }

    #[test]
    fn only_what_nobody_else_could_change() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("managers");
        fs::create_dir(&folder).unwrap();
        let program = folder.join("program");
        fs::write(&program, "#!/bin/sh\n").unwrap();
        with_mode(&program, 0o755);
        assert_eq!(check(&program).unwrap(), fs::canonicalize(&program).unwrap());

        for (path, mode, normal, expected) in [
            (&program, 0o775, 0o755, "may be written by others"),
            (&program, 0o757, 0o755, "may be written by others"),
            (&program, 0o644, 0o755, "is not executable"),
            (&folder, 0o777, 0o755, "may be written by others"),
            (&folder, 0o1777, 0o755, "may be written by others"),
        ] {
            with_mode(path, mode);
            assert!(problem(&program).contains(expected), "{mode:o}: {}", problem(&program));
            with_mode(path, normal);
            assert!(check(&program).is_ok());
        }
        with_mode(top.path(), 0o777);
        assert!(problem(&program).contains("may be written by others"));
        with_mode(top.path(), 0o1777);
        assert!(check(&program).is_ok());

        // A link leads to what is checked, and what it leads to decides.
        let link = folder.join("link");
        let elsewhere = top.path().join("elsewhere");
        fs::copy(&program, &elsewhere).unwrap();
        symlink(&elsewhere, &link).unwrap();
        assert!(problem(&link).contains("may be written by others"));
        assert!(problem(&folder).contains("is no file"));
        assert!(problem(&folder.join("none")).contains("cannot be found"));
    }
}
