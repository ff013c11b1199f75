//! The unified kernel image (UAPI group's UKI specification): EFI stub, kernel, ramdisk and command line in one program.

use std::path::{Path, PathBuf};

use crate::error::ImageError;
use crate::package;
use crate::pe::{self, NewSection, PeError};

/// Where Debian's package systemd-boot-efi installs the stub.
pub const DEFAULT_STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/// Its path inside the package, as [`package::for_each_file`] names it.
const STUB_IN_PACKAGE: &str = "lib/systemd/boot/efi/linuxx64.efi.stub";

/// systemd's EFI stub.
#[derive(Debug)]
pub struct Stub {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// What a UKI is made of.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    pub kernel: &'a [u8],
    /// File that the kernel came from, for errors.
    pub kernel_path: &'a Path,
    /// `uname -r` of the kernel.
    pub version: &'a str,
    pub initramfs: &'a [u8],
    pub command_line: &'a str,
    pub os_release: &'a str,
}

impl Stub {
    /// Reads the stub, or takes it out of its Debian package.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let mut bytes = match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ImageError::StubMissing(path.to_owned()));
            }
            read => read.map_err(ImageError::io("read", path))?,
        };
        if bytes.starts_with(package::AR_MAGIC) {
            bytes.clear();
            package::for_each_file(path, |name, contents| {
                if name == STUB_IN_PACKAGE {
                    contents.read_to_end(&mut bytes).map_err(ImageError::io("unpack", path))?;
                }
                Ok(())
            })?;
            if bytes.is_empty() {
                let reason = format!("it holds no /usr/{STUB_IN_PACKAGE}; systemd-boot-efi for amd64 does");
                return Err(ImageError::Package { path: path.to_owned(), reason });
            }
        }
        Ok(Self { path: path.to_owned(), bytes })
    }

    /// The UKI.
    pub fn build(&self, parts: &Parts<'_>) -> Result<Vec<u8>, ImageError> {
        let kernel_image =
            |source: PeError| ImageError::KernelImage { path: parts.kernel_path.to_owned(), source };
        let section = |name, data| NewSection { name, data, memory: 0 };
        let sections = [
            section(".osrel", parts.os_release.as_bytes()),
            section(".cmdline", parts.command_line.as_bytes()),
            section(".uname", parts.version.as_bytes()),
            // Newer stubs start the kernel where it lies, so it gets the memory that it asks for.
            NewSection {
                name: ".linux",
                data: parts.kernel,
                memory: pe::size_of_image(parts.kernel).map_err(kernel_image)?,
            },
            section(".initrd", parts.initramfs),
        ];
        pe::append_sections(&self.bytes, &sections)
            .map_err(|source| ImageError::Stub { path: self.path.clone(), source })
    }
}
