//! Lets the rescue user in: through a program of the ramdisk, or by the file that IPA's ramdisks wait for.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tacit_protocol::ramdisk::RESCUE_PROGRAM;

/// A program that makes a user is done in moments.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);
/// Longest hash of crypt(3) is far shorter.
const LONGEST_HASH: usize = 512;

/// Where a rescue user is made.
#[derive(Clone, Debug)]
pub struct RescuePaths {
    /// Started with the hashed password and a line feed on its standard input, where it is there.
    pub program: PathBuf,
    /// Folder that the ramdisk watches for `ipa-rescue-password`.
    pub folder: PathBuf,
    /// Made when a user was let in: an agent that finds it serves no more.
    pub marker: PathBuf,
}

impl RescuePaths {
    /// The usual paths below another root.
    pub fn below(root: &Path) -> Self {
        let below = |path: PathBuf| root.join(path.strip_prefix("/").unwrap_or(&path));
        let Self { program, folder, marker } = Self::default();
        Self { program: below(program), folder: below(folder), marker: below(marker) }
    }
}

impl Default for RescuePaths {
    fn default() -> Self {
        Self {
            program: RESCUE_PROGRAM.into(),
            folder: "/etc/ipa-rescue-config".into(),
            marker: "/etc/.rescued".into(),
        }
    }
}

/// Why nobody was let in.
#[derive(Debug, thiserror::Error)]
pub enum RescueError {
    #[error("an empty password would let anybody in")]
    Empty,
    #[error(
        "the password came in plain text: send its crypt(3) hash, as Ironic does with \
         rescue_password_hash_algorithm, and hashed=true"
    )]
    Plain,
    #[error("the hashed password is none of crypt(3)")]
    Hash,
    #[error("this ramdisk has no rescue user: neither {program} nor {folder} is there")]
    None { program: PathBuf, folder: PathBuf },
    #[error("{path} failed: {how}")]
    Program { path: PathBuf, how: String },
    #[error("{path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Puts the password in place.
///
/// # Errors
///
/// [`RescueError`]: then nobody was let in.
pub(super) fn admit(paths: &RescuePaths, password: &str, hashed: bool) -> Result<(), RescueError> {
    if password.is_empty() {
        return Err(RescueError::Empty);
    }
    if !hashed {
        return Err(RescueError::Plain);
    }
    // The file becomes an argument of useradd and a line of /etc/shadow.
    let plain = |character: char| character.is_ascii_graphic() && !matches!(character, ':' | '*' | '!');
    if password.len() > LONGEST_HASH || !password.starts_with('$') || !password.chars().all(plain) {
        return Err(RescueError::Hash);
    }
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| RescueError::File { path, source }
    };
    if paths.program.exists() {
        run(&paths.program, password)?;
    } else if paths.folder.is_dir() {
        let file = paths.folder.join("ipa-rescue-password");
        write(&file, password).map_err(io(&file))?;
    } else {
        let (program, folder) = (paths.program.clone(), paths.folder.clone());
        return Err(RescueError::None { program, folder });
    }
    if let Err(error) = fs::write(&paths.marker, "") {
        tracing::warn!("{}: {error}", paths.marker.display());
    }
    Ok(())
}

fn write(path: &Path, hash: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(hash.as_bytes())?;
    file.sync_all()
}

fn run(path: &Path, hash: &str) -> Result<(), RescueError> {
    let failed = |how: String| RescueError::Program { path: path.to_owned(), how };
    let mut child = Command::new(path)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut input) = child.stdin.take()
        && let Err(error) = writeln!(input, "{hash}")
    {
        // Its exit status tells whether it mattered.
        tracing::warn!("{}: does not read the password: {error}", path.display());
    }
    match wait(&mut child) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(failed(status.to_string())),
        Ok(None) => Err(failed(format!("not done after {} s", PATIENCE.as_secs()))),
        Err(error) => Err(failed(error.to_string())),
    }
}

fn wait(child: &mut Child) -> io::Result<Option<std::process::ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$5$saltsalt$kVjDZ6mDt7Zzo4uUVmE0aBrBKDW5xUxQmTPLy0Ys8o1";

    fn paths(root: &Path) -> RescuePaths {
        RescuePaths {
            program: root.join("rescue"),
            folder: root.join("ipa-rescue-config"),
            marker: root.join(".rescued"),
        }
    }

    #[test]
    fn ipas_ramdisks_get_their_file() {
        let root = tempfile::tempdir().unwrap();
        let paths = paths(root.path());
        assert!(matches!(admit(&paths, HASH, true), Err(RescueError::None { .. })));
        fs::create_dir(&paths.folder).unwrap();
        admit(&paths, HASH, true).unwrap();
        let file = paths.folder.join("ipa-rescue-password");
        assert_eq!(fs::read_to_string(&file).unwrap(), HASH);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(paths.marker.exists());
    }

    #[test]
    fn what_is_no_hash_lets_nobody_in() {
        let root = tempfile::tempdir().unwrap();
        let paths = paths(root.path());
        fs::create_dir(&paths.folder).unwrap();
        assert!(matches!(admit(&paths, "", true), Err(RescueError::Empty)));
        assert!(matches!(admit(&paths, "secret", false), Err(RescueError::Plain)));
        for wrong in ["secret", "$6$a:0:0", "$6$a b", "$6$a\nroot", "$6$*", "$5$\u{e4}"] {
            assert!(matches!(admit(&paths, wrong, true), Err(RescueError::Hash)), "{wrong:?}");
        }
        assert!(!paths.folder.join("ipa-rescue-password").exists() && !paths.marker.exists());
    }

    #[test]
    fn a_program_of_the_ramdisk_comes_first_and_its_failure_counts() {
        let root = tempfile::tempdir().unwrap();
        let paths = paths(root.path());
        fs::create_dir(&paths.folder).unwrap();
        let program = |text: &str| {
            fs::write(&paths.program, text).unwrap();
            fs::set_permissions(&paths.program, fs::Permissions::from_mode(0o755)).unwrap();
        };
        program(&format!("#!/bin/sh\ncat > {}/got\n", root.path().display()));
        admit(&paths, HASH, true).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("got")).unwrap(), format!("{HASH}\n"));
        assert!(!paths.folder.join("ipa-rescue-password").exists());
        fs::remove_file(&paths.marker).unwrap();
        program("#!/bin/sh\nexit 3\n");
        assert!(matches!(admit(&paths, HASH, true), Err(RescueError::Program { .. })));
        assert!(!paths.marker.exists());
    }
}
