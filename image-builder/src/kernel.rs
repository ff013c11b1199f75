//! A distribution's kernel package: its kernel, its modules, and what is built into the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::elf::{self, ModuleInfo};
use crate::error::ImageError;
use crate::package;

/// An opened package. Modules lie in an unnamed temporary file, as they were in the package, until they are asked for.
#[derive(Debug)]
pub struct KernelPackage {
    path: PathBuf,
    /// `6.1.0-44-cloud-amd64`.
    pub version: String,
    /// The bootable kernel.
    pub vmlinuz: Vec<u8>,
    builtin: BTreeSet<String>,
    modules: BTreeMap<String, Stored>,
    spool: File,
}

#[derive(Debug)]
struct Stored {
    /// Below `/lib/modules/VERSION`, with the ending `.ko`.
    path: String,
    packing: Packing,
    offset: u64,
    size: u64,
}

#[derive(Clone, Copy, Debug)]
enum Packing {
    None,
    Xz,
    Zstd,
    Gzip,
}

impl KernelPackage {
    /// Reads the package once, start to end.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let spool = tempfile::tempfile().map_err(ImageError::io("make a temporary file for", path))?;
        let mut vmlinuz: Option<(String, Vec<u8>)> = None;
        let mut builtin = BTreeSet::new();
        let mut modules = BTreeMap::new();
        let mut end = 0;

        package::for_each_file(path, |name, contents| {
            if let Some(version) = name.strip_prefix("boot/vmlinuz-") {
                vmlinuz = Some((version.to_owned(), read_all(path, contents)?));
            } else if let Some((_version, below)) =
                name.strip_prefix("lib/modules/").and_then(|rest| rest.split_once('/'))
            {
                if below == "modules.builtin" {
                    let text = read_all(path, contents)?;
                    builtin.extend(
                        String::from_utf8_lossy(&text)
                            .lines()
                            .filter_map(split_module)
                            .map(|(name, ..)| name),
                    );
                } else if let Some((name, ko, packing)) = split_module(below) {
                    let size = io::copy(contents, &mut &spool).map_err(ImageError::io("unpack", path))?;
                    modules.insert(name, Stored { path: ko, packing, offset: end, size });
                    end += size;
                }
            }
            Ok(())
        })?;

        let (version, vmlinuz) = vmlinuz
            .ok_or(ImageError::NotKernel { path: path.to_owned(), wanted: "file /boot/vmlinuz-VERSION" })?;
        if modules.is_empty() {
            return Err(ImageError::NotKernel { path: path.to_owned(), wanted: "kernel module" });
        }
        (&spool).flush().map_err(ImageError::io("unpack", path))?;
        Ok(Self { path: path.to_owned(), version, vmlinuz, builtin, modules, spool })
    }

    /// File that this was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the package has this module as a file.
    pub fn has(&self, name: &str) -> bool {
        self.modules.contains_key(name)
    }

    /// Whether the kernel has this module inside.
    pub fn is_builtin(&self, name: &str) -> bool {
        self.builtin.contains(name)
    }

    /// Where the module lies below `/lib/modules/VERSION`, uncompressed.
    pub fn module_path(&self, name: &str) -> Option<&str> {
        self.modules.get(name).map(|stored| stored.path.as_str())
    }

    /// The module's uncompressed `.ko` and what it says about itself.
    pub fn module(&self, name: &str) -> Result<(Vec<u8>, ModuleInfo), ImageError> {
        let stored = self.modules.get(name).ok_or_else(|| ImageError::ModuleAbsent {
            module: name.to_owned(),
            package: self.path.clone(),
            wanted_by: "the builder".into(),
        })?;
        let bytes = self.unpack(stored).map_err(ImageError::io("unpack a module of", &self.path))?;
        let info = ModuleInfo::from_ko(&bytes)
            .map_err(|source| ImageError::Module { module: name.to_owned(), source })?;
        Ok((bytes, info))
    }

    fn unpack(&self, stored: &Stored) -> io::Result<Vec<u8>> {
        let size = usize::try_from(stored.size).map_err(io::Error::other)?;
        let mut packed = vec![0; size];
        self.spool.read_exact_at(&mut packed, stored.offset)?;
        let mut bytes = Vec::new();
        match stored.packing {
            Packing::None => return Ok(packed),
            Packing::Xz => liblzma::read::XzDecoder::new(&packed[..]).read_to_end(&mut bytes)?,
            Packing::Zstd => zstd::stream::read::Decoder::new(&packed[..])?.read_to_end(&mut bytes)?,
            Packing::Gzip => flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut bytes)?,
        };
        Ok(bytes)
    }

    /// Looks a crypto algorithm's alias (`crc32c`) up: soft dependencies name these, not modules.
    ///
    /// The implementation without special CPU instructions is preferred, because it loads everywhere.
    pub fn crypto_by_alias(&self, alias: &str) -> Result<Option<String>, ImageError> {
        let mut found = None;
        for (name, stored) in &self.modules {
            if !stored.path.starts_with("kernel/crypto/") {
                continue;
            }
            let (_, info) = self.module(name)?;
            if info.aliases.iter().any(|own| elf::module_name(own) == alias) {
                if name.ends_with("_generic") {
                    return Ok(Some(name.clone()));
                }
                found.get_or_insert_with(|| name.clone());
            }
        }
        Ok(found)
    }
}

/// `kernel/fs/x-y.ko.xz` → (`x_y`, `kernel/fs/x-y.ko`, xz).
fn split_module(path: &str) -> Option<(String, String, Packing)> {
    let path = path.trim();
    let (base, packing) = if let Some(base) = path.strip_suffix(".xz") {
        (base, Packing::Xz)
    } else if let Some(base) = path.strip_suffix(".zst") {
        (base, Packing::Zstd)
    } else if let Some(base) = path.strip_suffix(".gz") {
        (base, Packing::Gzip)
    } else {
        (path, Packing::None)
    };
    let file = base.rsplit('/').next().unwrap_or(base);
    let name = elf::module_name(file.strip_suffix(".ko")?);
    Some((name, base.to_owned(), packing))
}

fn read_all(package: &Path, contents: &mut dyn Read) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    contents.read_to_end(&mut bytes).map_err(ImageError::io("unpack", package))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_files_are_told_from_others() {
        let (name, path, packing) = split_module("kernel/drivers/nvme/host/nvme-core.ko.xz").unwrap();
        assert_eq!((name.as_str(), path.as_str()), ("nvme_core", "kernel/drivers/nvme/host/nvme-core.ko"));
        assert!(matches!(packing, Packing::Xz));
        assert!(split_module("modules.order").is_none());
        assert!(split_module("build.xz").is_none());
    }
}
