//! Why building or reading an image failed.

use std::io;
use std::path::{Path, PathBuf};

use crate::elf::ElfError;
use crate::media::MediaError;
use crate::pe::PeError;

/// Kind, where and source of a failure; the source tells what `Display` does not.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is not a usable Debian package: {reason}", path.display())]
    Package { path: PathBuf, reason: String },
    #[error("{} holds no {wanted}: is it a kernel package (linux-image-VERSION-amd64)?", path.display())]
    NotKernel { path: PathBuf, wanted: &'static str },
    #[error("kernel {} cannot be started by UEFI", path.display())]
    KernelImage { path: PathBuf, source: PeError },
    #[error("kernel module {module} is damaged")]
    Module { module: String, source: ElfError },
    #[error("kernel module {module} is neither in {} nor built into its kernel (wanted by {wanted_by})", package.display())]
    ModuleAbsent { module: String, package: PathBuf, wanted_by: String },
    #[error("{name} is in none of the packages (wanted by {wanted_by})")]
    ProgramAbsent { name: String, wanted_by: String },
    #[error("agent {} cannot be the ramdisk's first process", path.display())]
    Agent { path: PathBuf, source: ElfError },
    #[error(
        "EFI stub {} does not exist; the Debian package systemd-boot-efi holds it (install it, or give the .deb itself)",
        .0.display()
    )]
    StubMissing(PathBuf),
    #[error("EFI stub {} cannot take the kernel", path.display())]
    Stub { path: PathBuf, source: PeError },
    #[error("kernel command line takes {0} bytes; stock x86 kernels silently cut it at 2047")]
    CommandLine(usize),
    #[error(
        "the EFI file system takes {size} bytes; an El Torito entry cannot describe {limit} or more, and firmware would \
         lose its end: choose fewer modules or a smaller kernel"
    )]
    EspTooLarge { size: u64, limit: u64 },
    #[error("program {program} is not installed; the Debian package {package} holds it")]
    ToolMissing { program: &'static str, package: &'static str },
    #[error("program {program} failed ({status}): {message}")]
    Tool { program: &'static str, status: std::process::ExitStatus, message: String },
    #[error("{} is neither an ISO, an EFI program nor a folder made by `tacit-image build`", .0.display())]
    UnknownKind(PathBuf),
    #[error("{} is not valid: {reason}", path.display())]
    Invalid { path: PathBuf, reason: String },
    #[error("{} is not valid JSON for this purpose", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[cfg(feature = "disks")]
    #[error(transparent)]
    DiskImage(#[from] crate::disk_image::DiskImageError),
    #[error(transparent)]
    Media(#[from] MediaError),
}

impl ImageError {
    /// For `map_err`: names what was tried on which file.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}
