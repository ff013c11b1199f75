//! Chooses modules: those wanted, all that they need, and which of them are loaded at once.

use std::collections::{BTreeMap, BTreeSet};

use tacit_protocol::ramdisk::{Module, ModuleManifest};

use crate::elf::ModuleInfo;
use crate::error::ImageError;
use crate::kernel::KernelPackage;

/// The chosen modules and what became of the other wanted ones.
#[derive(Debug)]
pub struct Selection {
    /// What the agent is told.
    pub manifest: ModuleManifest,
    /// Uncompressed `.ko` by path in the ramdisk.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Wanted, and inside the kernel already.
    pub builtin: Vec<String>,
    /// Wanted if possible, and neither in the package nor inside the kernel.
    pub absent: Vec<String>,
}

/// What to choose from a package.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// Taken when the package has them, listed as absent otherwise.
    pub profile: Vec<&'a str>,
    /// Taken, or an error.
    pub required: Vec<&'a str>,
    /// Loaded at once, if they are among the chosen.
    pub always: &'a [&'a str],
}

/// Chooses `wanted` and everything that it depends on.
///
/// Soft dependencies are followed where the package has them: a hard-wired example is `libcrc32c`, which does not load
/// when no implementation of the algorithm `crc32c` is there, and which says so only softly.
///
/// # Errors
/// [`ImageError::ModuleAbsent`] when a required module or a hard dependency is missing.
pub fn select(package: &KernelPackage, wanted: &Wanted<'_>) -> Result<Selection, ImageError> {
    let mut builtin = BTreeSet::new();
    let mut absent = BTreeSet::new();
    let mut chosen = Closure { package, modules: BTreeMap::new() };

    for (name, required) in
        wanted.profile.iter().map(|name| (name, false)).chain(wanted.required.iter().map(|name| (name, true)))
    {
        let name = crate::elf::module_name(name);
        if package.has(&name) {
            chosen.add(&name)?;
        } else if package.is_builtin(&name) {
            builtin.insert(name);
        } else if required {
            return Err(absent_module(package, &name, "the caller"));
        } else {
            absent.insert(name);
        }
    }

    let mut manifest = ModuleManifest { kernel: package.version.clone(), ..ModuleManifest::default() };
    let mut files = BTreeMap::new();
    let depends: BTreeMap<String, Vec<String>> = chosen
        .modules
        .keys()
        .map(|name| Ok((name.clone(), chosen.depends(name)?)))
        .collect::<Result<_, ImageError>>()?;
    for (name, (bytes, info)) in chosen.modules {
        let below = package.module_path(&name).expect("chosen modules are in the package");
        let path = format!("/lib/modules/{}/{below}", package.version);
        files.insert(path.clone(), bytes);
        manifest.modules.push(Module { path, depends: depends[&name].clone(), aliases: info.aliases, name });
    }
    for name in wanted.always {
        order(name, &depends, &mut manifest.always);
    }
    Ok(Selection {
        manifest,
        files,
        builtin: builtin.into_iter().collect(),
        absent: absent.into_iter().collect(),
    })
}

struct Closure<'a> {
    package: &'a KernelPackage,
    modules: BTreeMap<String, (Vec<u8>, ModuleInfo)>,
}

impl Closure<'_> {
    fn add(&mut self, name: &str) -> Result<(), ImageError> {
        let mut open = vec![name.to_owned()];
        while let Some(name) = open.pop() {
            if self.modules.contains_key(&name) {
                continue;
            }
            let (bytes, mut info) = self.package.module(&name)?;
            for depends in &info.depends {
                if self.package.has(depends) {
                    open.push(depends.clone());
                } else if !self.package.is_builtin(depends) {
                    return Err(absent_module(self.package, depends, &name));
                }
            }
            info.soft_before = self.resolve_soft(&info.soft_before)?;
            info.soft_after = self.resolve_soft(&info.soft_after)?;
            open.extend(info.soft_before.iter().chain(&info.soft_after).cloned());
            self.modules.insert(name, (bytes, info));
        }
        Ok(())
    }

    /// Module names for names of modules or algorithms; what the package does not have is left out.
    fn resolve_soft(&self, names: &[String]) -> Result<Vec<String>, ImageError> {
        let mut resolved = Vec::new();
        for name in names {
            if self.package.has(name) {
                resolved.push(name.clone());
            } else if !self.package.is_builtin(name)
                && let Some(module) = self.package.crypto_by_alias(name)?
            {
                resolved.push(module);
            }
        }
        Ok(resolved)
    }

    /// Modules to load before this one: the hard dependencies that are files, and the soft ones that do not lead back.
    fn depends(&self, name: &str) -> Result<Vec<String>, ImageError> {
        let (_, info) = &self.modules[name];
        let mut depends: Vec<String> =
            info.depends.iter().filter(|name| self.modules.contains_key(*name)).cloned().collect();
        for soft in &info.soft_before {
            if !depends.contains(soft) && !self.reaches(soft, name) {
                depends.push(soft.clone());
            }
        }
        Ok(depends)
    }

    fn reaches(&self, from: &str, to: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![from.to_owned()];
        while let Some(name) = open.pop() {
            if name == to {
                return true;
            }
            if seen.insert(name.clone())
                && let Some((_, info)) = self.modules.get(&name)
            {
                open.extend(info.depends.iter().chain(&info.soft_before).cloned());
            }
        }
        false
    }
}

/// Appends `name` after all that it depends on.
fn order(name: &str, depends: &BTreeMap<String, Vec<String>>, ordered: &mut Vec<String>) {
    let Some(before) = depends.get(name) else { return };
    for name in before {
        order(name, depends, ordered);
    }
    if !ordered.iter().any(|done| done == name) {
        ordered.push(name.to_owned());
    }
}

fn absent_module(package: &KernelPackage, module: &str, wanted_by: &str) -> ImageError {
    ImageError::ModuleAbsent {
        module: module.to_owned(),
        package: package.path().to_owned(),
        wanted_by: wanted_by.to_owned(),
    }
}
