//! A file system for the time of a step.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::tree::Tree;

/// A file system that systems are installed on.
struct Type {
    name: &'static str,
    /// Against what the superblock asks the kernel to do about damage: ext4 obeys `errors=panic` in one.
    damage: &'static str,
    /// Without it even a read-only mount writes, because it replays the journal of a system that was not shut down.
    untouched: &'static str,
}

/// The first that mounts is it; ext2 and ext3 are ext4, too. XFS and btrfs keep no such wish about damage: they shut
/// themselves down.
const TYPES: [Type; 4] = [
    Type { name: "ext4", damage: "errors=remount-ro", untouched: "noload" },
    Type { name: "xfs", damage: "", untouched: "norecovery" },
    Type { name: "btrfs", damage: "", untouched: "rescue=nologreplay" },
    Type { name: "vfat", damage: "errors=remount-ro", untouched: "" },
];
/// Where a ramdisk keeps what lasts until it ends.
const FOLDERS: [&str; 2] = ["/run", "/tmp"];

/// Unmounted when it is dropped, whatever happened in between.
pub(super) struct Mounted {
    at: PathBuf,
    tree: Option<Tree>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Read,
    Write,
}

impl Mounted {
    /// # Errors
    ///
    /// What the kernel said about each type of file system; a type that it does not have is passed over.
    pub(super) fn new(node: &Path, intent: Intent) -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let base = FOLDERS.iter().map(Path::new).find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let at = base.join(format!("tacit-inject-{}-{number}", std::process::id()));
        fs::create_dir(&at)?;
        let mut mounted = Self { at, tree: None };
        let mut flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        if intent == Intent::Read {
            flags |= MsFlags::MS_RDONLY;
        }
        let mut reasons = Vec::new();
        for Type { name: kind, damage, untouched } in TYPES {
            let options = match intent {
                Intent::Read => format!("{damage},{untouched}"),
                Intent::Write => damage.to_owned(),
            };
            // Empty ones are passed over by the kernel.
            match mount(Some(node), &mounted.at, Some(kind), flags, Some(options.as_str())) {
                Ok(()) => {
                    // From here on dropping has something to unmount.
                    mounted.tree = Some(Tree::open(&mounted.at)?);
                    return Ok(mounted);
                }
                Err(Errno::ENODEV) => reasons.push(format!("the kernel has no {kind}")),
                Err(error) => reasons.push(format!("as {kind}: {error}")),
            }
        }
        Err(io::Error::other(reasons.join(", ")))
    }

    pub(super) fn tree(&self) -> &Tree {
        self.tree.as_ref().expect("a mounted file system has a tree")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The root's descriptor would keep it busy.
        if self.tree.take().is_some()
            && let Err(error) = umount2(&self.at, MntFlags::empty())
        {
            tracing::warn!("{} is unmounted when nobody uses it any more: {error}", self.at.display());
            if let Err(error) = umount2(&self.at, MntFlags::MNT_DETACH) {
                tracing::error!("{} stays mounted: {error}", self.at.display());
            }
        }
        if let Err(error) = fs::remove_dir(&self.at) {
            tracing::warn!("{} was left behind: {error}", self.at.display());
        }
    }
}
