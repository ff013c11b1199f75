//! Sessions on disk, and who may work with them.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::session::Session;

/// Larger than any session: what lies there is not one.
const LARGEST: u64 = 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error("{path}: cannot be used")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path}: is not a session of this bridge")]
    Damaged {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    /// The list of nodes was read again meanwhile.
    #[error("the node has another leader now")]
    Retired,
}

/// The folder of all sessions: one small file per node.
#[derive(Clone, Debug)]
pub(super) struct Keep {
    directory: PathBuf,
}

/// The right to lead one node. Ends with its holder, however that ends.
#[derive(Debug)]
pub(super) struct Lease {
    _file: File,
}

impl Keep {
    pub(super) fn open(state_dir: &Path) -> Result<Self, KeepError> {
        let directory = state_dir.join("nodes");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|source| KeepError::Io { path: directory.clone(), source })?;
        Ok(Self { directory })
    }

    /// Whether all that lies there can be read; nothing is made.
    pub(super) fn check(state_dir: &Path) -> Result<(), KeepError> {
        let keep = Self { directory: state_dir.join("nodes") };
        keep.keys()?.iter().try_for_each(|key| keep.load(key).map(drop))
    }

    /// The nodes of which there is a session, the one that was written last first.
    pub(super) fn keys(&self) -> Result<Vec<String>, KeepError> {
        let fail = |source| KeepError::Io { path: self.directory.clone(), source };
        let entries = match std::fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(fail)?,
        };
        let mut keys = Vec::new();
        for entry in entries {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            if let Some(key) = name.to_str().and_then(|name| name.strip_suffix(".json")) {
                let written = entry.metadata().and_then(|found| found.modified()).map_err(fail)?;
                keys.push((written, key.to_owned()));
            }
        }
        keys.sort();
        Ok(keys.into_iter().rev().map(|(_, key)| key).collect())
    }

    /// Takes the lease of a node; `None` while another bridge has it.
    pub(super) fn lease(&self, key: &str) -> Result<Option<Lease>, KeepError> {
        let path = self.directory.join(format!("{key}.lock"));
        let fail = |source| KeepError::Io { path: path.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lease { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(fail(source)),
        }
    }

    /// What an earlier bridge, or this one before, left of a node.
    pub(super) fn load(&self, key: &str) -> Result<Option<Session>, KeepError> {
        let path = self.path(key);
        let bytes = match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(found) if found.len() > LARGEST => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
            _ => std::fs::read(&path),
        };
        let bytes = bytes.map_err(|source| KeepError::Io { path: path.clone(), source })?;
        serde_json::from_slice(&bytes).map(Some).map_err(|source| KeepError::Damaged { path, source })
    }

    /// Replaces a node's session as a whole, or removes it. When this returns, the disk has it.
    pub(super) fn save(&self, key: &str, session: Option<&Session>) -> Result<(), KeepError> {
        let path = self.path(key);
        let fail = |source| KeepError::Io { path: path.clone(), source };
        match session {
            Some(session) => {
                let bytes = serde_json::to_vec(session)
                    .map_err(|source| KeepError::Damaged { path: path.clone(), source })?;
                // What could not be read again would hold up its node for ever.
                if bytes.len() as u64 > LARGEST {
                    return Err(fail(io::ErrorKind::FileTooLarge.into()));
                }
                let draft = self.directory.join(format!("{key}.new"));
                write(&draft, &bytes).and_then(|()| std::fs::rename(&draft, &path)).map_err(fail)?;
            }
            None => match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
                _ => {}
            },
        }
        File::open(&self.directory).and_then(|directory| directory.sync_all()).map_err(fail)
    }

    fn path(&self, key: &str) -> PathBuf {
        self.directory.join(format!("{key}.json"))
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::session::tests::session;
    use super::*;

    #[test]
    fn sessions_survive_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let keep = Keep::open(directory.path()).unwrap();
        assert!(keep.load("a").unwrap().is_none());
        let session = session();
        keep.save("a", Some(&session)).unwrap();
        assert!(keep.load("a").unwrap().as_ref() == Some(&session));
        let path = directory.path().join("nodes/a.json");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // A draft that a killed bridge left behind is nobody's session.
        std::fs::write(directory.path().join("nodes/a.new"), b"{").unwrap();
        assert!(keep.load("a").unwrap().is_some());
        std::fs::write(&path, b"{\"node\": 1}").unwrap();
        assert!(matches!(keep.load("a"), Err(KeepError::Damaged { .. })));
        assert!(matches!(Keep::check(directory.path()), Err(KeepError::Damaged { .. })));
        Keep::check(&directory.path().join("not there")).unwrap();
        keep.save("a", Some(&session)).unwrap();
        let mut huge = session.clone();
        huge.life.boot_id = "x".repeat(2 << 20);
        assert!(matches!(keep.save("a", Some(&huge)), Err(KeepError::Io { .. })));
        assert!(keep.load("a").unwrap().as_ref() == Some(&session));
        File::create(&path).unwrap().set_len(LARGEST + 1).unwrap();
        assert!(matches!(keep.load("a"), Err(KeepError::Io { .. })));
        keep.save("a", None).unwrap();
        keep.save("a", None).unwrap();
        assert!(keep.load("a").unwrap().is_none());
    }

    #[test]
    fn one_bridge_at_a_time_and_the_next_when_it_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let one = Keep::open(directory.path()).unwrap();
        let two = Keep::open(directory.path()).unwrap();
        let held = one.lease("a").unwrap();
        assert!(held.is_some());
        assert!(two.lease("a").unwrap().is_none());
        assert!(two.lease("b").unwrap().is_some());
        drop(held);
        assert!(two.lease("a").unwrap().is_some());
    }
}
