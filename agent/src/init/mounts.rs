//! The file systems that the kernel offers.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use super::console::say;

struct Mount {
    kind: &'static str,
    target: &'static str,
    flags: MsFlags,
    data: Option<&'static str>,
}

const QUIET: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC);

const FIRST: &[Mount] = &[
    Mount { kind: "proc", target: "/proc", flags: QUIET.union(MsFlags::MS_NODEV), data: None },
    Mount { kind: "sysfs", target: "/sys", flags: QUIET.union(MsFlags::MS_NODEV), data: None },
    Mount { kind: "devtmpfs", target: "/dev", flags: QUIET, data: Some("mode=0755") },
    Mount {
        kind: "tmpfs",
        target: "/run",
        flags: QUIET.union(MsFlags::MS_NODEV),
        data: Some("mode=0755,size=64m"),
    },
    Mount {
        kind: "tmpfs",
        target: "/tmp",
        flags: QUIET.union(MsFlags::MS_NODEV),
        data: Some("mode=1777,size=64m"),
    },
];

const EFI_VARIABLES: Mount = Mount {
    kind: "efivarfs",
    target: "/sys/firmware/efi/efivars",
    flags: QUIET.union(MsFlags::MS_NODEV),
    data: None,
};

/// Root's only; nobody else runs here, and nothing that runs here reads it without need.
const DEBUG: Mount = Mount {
    kind: "debugfs",
    target: "/sys/kernel/debug",
    flags: QUIET.union(MsFlags::MS_NODEV),
    data: Some("mode=0700"),
};

/// Drivers that take orders nowhere else: Intel's converged adapters are told there to leave LLDP frames to the system.
const DRIVERS_WITH_DEBUG: [&str; 1] = ["i40e"];

/// Mounts what everything else needs.
pub(super) fn mount_first() {
    for entry in FIRST {
        mount_one(entry);
    }
}

/// Mounts the firmware's variables where the firmware is UEFI; to be called when modules are loaded.
pub(super) fn mount_efi_variables() {
    if Path::new("/sys/firmware/efi").exists() {
        mount_one(&EFI_VARIABLES);
    }
}

/// Mounts the kernel's debugging files where a driver is that needs them; to be called when modules are loaded.
pub(super) fn mount_debug_files() {
    let modules = Path::new("/sys/module");
    if DRIVERS_WITH_DEBUG.iter().any(|driver| modules.join(driver).exists()) {
        mount_one(&DEBUG);
    }
}

fn mount_one(entry: &Mount) {
    // Fails in sysfs, where the directory is the kernel's own; the mount tells whether it is there.
    if let Err(error) = fs::create_dir_all(entry.target)
        && !Path::new(entry.target).exists()
    {
        say(format!("cannot make {}: {error}", entry.target));
    }
    match mount(Some(entry.kind), entry.target, Some(entry.kind), entry.flags, entry.data) {
        Ok(()) | Err(Errno::EBUSY) => {}
        Err(error) => say(format!("cannot mount {} on {}: {error}", entry.kind, entry.target)),
    }
}
