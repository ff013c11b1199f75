//! Files of a mounted tenant file system. The kernel resolves every path within it: links lead to its own root, and
//! nothing leads out (openat2(2), `RESOLVE_IN_ROOT`).

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, unlinkat};

use super::request::FileRequest;

/// Name under which a file is written before it takes its own.
const TEMPORARY: &str = ".tacit-inject.partial";
/// A kernel may answer that a rename was in the way; it is asked again so often.
const ATTEMPTS: u32 = 16;

/// The root of a mounted file system.
pub(super) struct Tree {
    root: OwnedFd,
}

impl Tree {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        Ok(Self { root: File::open(root)?.into() })
    }

    /// Whether this name in the root is a folder, or a link to one within the file system.
    pub(super) fn has_folder(&self, name: &str) -> bool {
        self.folder(name).is_ok()
    }

    fn folder(&self, path: &str) -> io::Result<OwnedFd> {
        self.resolve(path, OFlag::O_PATH | OFlag::O_DIRECTORY)
    }

    fn resolve(&self, path: &str, flags: OFlag) -> io::Result<OwnedFd> {
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(
            ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS | ResolveFlag::RESOLVE_NO_XDEV,
        );
        for _ in 0..ATTEMPTS {
            match openat2(&self.root, path, how) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                other => return Ok(other?),
            }
        }
        Err(Errno::EAGAIN.into())
    }

    /// The folder of a file; its missing parts are made.
    fn make_folder(&self, request: &FileRequest) -> io::Result<OwnedFd> {
        let (_, names) = request.path.split_last().expect("a path has a name");
        let mut path = ".".to_owned();
        let mut folder = self.folder(&path)?;
        for name in names {
            path = format!("{path}/{name}");
            folder = match self.folder(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    mkdirat(&folder, name.as_str(), Mode::S_IRWXU)?;
                    // Not by mkdir's own mode, from which the umask would be taken.
                    self.own(&folder, name, request.folder_mode, request)?;
                    self.folder(&path)?
                }
                other => other?,
            };
        }
        Ok(folder)
    }

    fn own(&self, folder: &OwnedFd, name: &str, mode: u32, request: &FileRequest) -> io::Result<()> {
        let (owner, group) = (request.owner.map(Uid::from_raw), request.group.map(Gid::from_raw));
        if owner.is_some() || group.is_some() {
            fchownat(folder, name, owner, group, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        }
        // After the owner, whose change takes set-id bits away.
        Ok(fchmodat(folder, name, Mode::from_bits_truncate(mode), FchmodatFlags::FollowSymlink)?)
    }

    /// Writes a file beside its place and puts it there in one step. A link in its place is replaced, not followed.
    pub(super) fn write(&self, request: &FileRequest, content: &[u8]) -> io::Result<()> {
        let folder = self.make_folder(request)?;
        let name = request.path.last().expect("a path has a name").as_str();
        let before = match fstatat(&folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) => Some(found),
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error.into()),
        };
        let kind = |found: &FileStat| SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits());
        if before.as_ref().is_some_and(|found| kind(found) == SFlag::S_IFDIR) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let regular = before.filter(|found| kind(found) == SFlag::S_IFREG);
        // What is not asked for stays as it was.
        let mode = request.mode.or(regular.map(|found| found.st_mode & 0o7777)).unwrap_or(0o644);
        let request = FileRequest {
            owner: request.owner.or(regular.map(|found| found.st_uid)),
            group: request.group.or(regular.map(|found| found.st_gid)),
            ..request.clone()
        };
        match unlinkat(&folder, TEMPORARY, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut file = File::from(openat(&folder, TEMPORARY, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
        let written = file
            .write_all(content)
            .and_then(|()| self.own(&folder, TEMPORARY, mode, &request))
            .and_then(|()| file.sync_all())
            .and_then(|()| Ok(renameat(&folder, TEMPORARY, &folder, name)?));
        if let Err(error) = written {
            if let Err(also) = unlinkat(&folder, TEMPORARY, UnlinkatFlags::NoRemoveDir) {
                tracing::warn!("{TEMPORARY} was left behind: {also}");
            }
            return Err(error);
        }
        Ok(())
    }

    /// Removes a file or a link; one that is not there is as good as removed. `false` when it was not.
    pub(super) fn delete(&self, request: &FileRequest) -> io::Result<bool> {
        let (name, folders) = request.path.split_last().expect("a path has a name");
        let folder = match self.folder(&format!("./{}", folders.join("/"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        match unlinkat(&folder, name.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What is wrong with a file that was written, in words.
    pub(super) fn differs(&self, request: &FileRequest, content: &[u8]) -> io::Result<Option<String>> {
        let mut file =
            File::from(self.resolve(&request.path.join("/"), OFlag::O_RDONLY | OFlag::O_NOFOLLOW)?);
        let metadata = file.metadata()?;
        if metadata.len() != content.len() as u64 {
            return Ok(Some(format!("it has {} bytes, not {}", metadata.len(), content.len())));
        }
        let mut found = Vec::new();
        Read::by_ref(&mut file).take(content.len() as u64 + 1).read_to_end(&mut found)?;
        if found != content {
            return Ok(Some("its content is another one".to_owned()));
        }
        let mode = metadata.permissions().mode() & 0o7777;
        if let Some(wanted) = request.mode.filter(|wanted| *wanted != mode) {
            return Ok(Some(format!("its mode is {mode:o}, not {wanted:o}")));
        }
        let owned = request.owner.is_none_or(|owner| owner == metadata.uid())
            && request.group.is_none_or(|group| group == metadata.gid());
        Ok((!owned).then(|| format!("it belongs to {}:{}", metadata.uid(), metadata.gid())))
    }

    /// Whether nothing of this name is there, be it a link to nowhere.
    pub(super) fn is_gone(&self, request: &FileRequest) -> io::Result<bool> {
        match self.resolve(&request.path.join("/"), OFlag::O_PATH | OFlag::O_NOFOLLOW) {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Waits until the file system is on stable storage.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(nix::unistd::syncfs(self.root.as_fd())?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::request::Action;
    use super::*;

    fn request(path: &str) -> FileRequest {
        FileRequest {
            path: path.trim_start_matches('/').split('/').map(str::to_owned).collect(),
            partition: None,
            action: Action::Delete,
            mode: None,
            folder_mode: 0o750,
            owner: None,
            group: None,
        }
    }

    fn tree() -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        let tree = Tree::open(&folder.path().join("root")).unwrap();
        (folder, tree)
    }

    #[test]
    fn files_and_their_folders_are_made() {
        let (folder, tree) = tree();
        let mut file = request("/etc/a/b/file");
        file.mode = Some(0o640);
        tree.write(&file, b"one").unwrap();
        assert_eq!(tree.differs(&file, b"one").unwrap(), None);
        assert!(tree.differs(&file, b"two").unwrap().unwrap().contains("content"));
        let made = folder.path().join("root/etc/a");
        assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o7777, 0o750);
        // A second one keeps the mode that nobody speaks of.
        file.mode = None;
        tree.write(&file, b"three").unwrap();
        let mode = fs::metadata(folder.path().join("root/etc/a/b/file")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
        assert_eq!(
            fs::read_dir(folder.path().join("root/etc/a/b")).unwrap().count(),
            1,
            "something was left behind"
        );
        assert!(tree.delete(&file).unwrap() && !tree.delete(&file).unwrap());
        assert!(tree.is_gone(&file).unwrap());
        assert!(tree.write(&request("/etc/a"), b"x").is_err(), "a folder was replaced");
    }

    #[test]
    fn links_of_the_tenant_do_not_lead_out() {
        let (folder, tree) = tree();
        let (inside, outside) = (folder.path().join("root"), folder.path().join("outside"));
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "safe").unwrap();
        // By absolute path, by `..`, by a link to a link, and as the file itself.
        symlink(&outside, inside.join("absolute")).unwrap();
        symlink("../outside", inside.join("relative")).unwrap();
        symlink("relative", inside.join("twice")).unwrap();
        symlink("../outside/file", inside.join("file")).unwrap();
        for path in ["/absolute/file", "/relative/file", "/twice/file", "/absolute/new", "/relative/deep/new"]
        {
            assert!(tree.write(&request(path), b"evil").is_err(), "{path}");
        }
        tree.write(&request("/file"), b"plain").unwrap();
        assert_eq!(fs::read_to_string(inside.join("file")).unwrap(), "plain");
        assert!(!fs::symlink_metadata(inside.join("file")).unwrap().is_symlink());
        assert!(!tree.delete(&request("/relative/file")).unwrap());
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "safe");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    }

    #[test]
    fn links_within_the_file_system_are_followed_from_its_own_root() {
        let (folder, tree) = tree();
        let inside = folder.path().join("root");
        fs::create_dir_all(inside.join("usr/etc")).unwrap();
        symlink("/usr/etc", inside.join("etc")).unwrap();
        tree.write(&request("/etc/motd"), b"hello").unwrap();
        assert_eq!(fs::read_to_string(inside.join("usr/etc/motd")).unwrap(), "hello");
        assert!(tree.has_folder("etc") && !tree.has_folder("var"));
    }
}
