//! Kernel modules by name and by alias, dependencies first.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::Path;

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use tacit_protocol::ramdisk::{MODULE_MANIFEST_PATH, Module, ModuleManifest};

use super::console::say;
use super::modalias;

/// Loads modules of a manifest, each once.
#[derive(Debug, Default)]
pub(super) struct Loader {
    modules: HashMap<String, Module>,
    /// Aliases and the modules behind them, by what stands before the first colon.
    aliases: HashMap<String, Vec<(String, String)>>,
    always: Vec<String>,
    tried: HashSet<String>,
    seen: HashSet<String>,
}

/// What modules this ramdisk has.
///
/// # Errors
///
/// In words, with the path.
pub(super) fn read_manifest() -> Result<ModuleManifest, String> {
    let failed = |error: String| format!("{MODULE_MANIFEST_PATH}: {error}");
    let bytes = fs::read(MODULE_MANIFEST_PATH).map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))
}

impl Loader {
    pub(super) fn new(manifest: ModuleManifest) -> Self {
        let mut aliases: HashMap<String, Vec<(String, String)>> = HashMap::new();
        for module in &manifest.modules {
            for alias in &module.aliases {
                let pair = (alias.clone(), module.name.clone());
                aliases.entry(bus(alias).to_owned()).or_default().push(pair);
            }
        }
        Self {
            modules: manifest.modules.into_iter().map(|module| (module.name.clone(), module)).collect(),
            aliases,
            always: manifest.always,
            ..Self::default()
        }
    }

    /// Loads what every machine needs.
    pub(super) fn load_always(&mut self) {
        for name in self.always.clone() {
            self.load(&name);
        }
    }

    /// Loads a module that no device asks for by alias, unless the kernel has it already.
    pub(super) fn load_named(&mut self, name: &str) {
        if !Path::new("/sys/module").join(name).exists() {
            self.load(name);
        }
    }

    /// Loads what a device asks for; tells whether anything new was loaded.
    pub(super) fn load_for(&mut self, device: &str) -> bool {
        if !self.seen.insert(device.to_owned()) {
            return false;
        }
        let wanted: Vec<String> = self
            .aliases
            .get(bus(device))
            .into_iter()
            .flatten()
            .filter(|(pattern, _)| modalias::matches(pattern, device))
            .map(|(_, name)| name.clone())
            .collect();
        // Several modules may fit, and all are wanted.
        let mut loaded = false;
        for name in &wanted {
            loaded |= self.load(name);
        }
        loaded
    }

    /// Loads a module behind its dependencies; tells whether it was loaded now.
    fn load(&mut self, name: &str) -> bool {
        if !self.tried.insert(name.to_owned()) {
            return false;
        }
        let Some(module) = self.modules.get(name).cloned() else {
            say(format!("module {name} is wanted but not in this ramdisk"));
            return false;
        };
        for dependency in &module.depends {
            self.load(dependency);
        }
        let loaded = File::open(&module.path).map_err(|error| error.to_string()).and_then(|file| {
            match finit_module(&file, c"", ModuleInitFlags::empty()) {
                Ok(()) | Err(Errno::EEXIST) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        });
        match loaded {
            Ok(()) => true,
            Err(error) => {
                say(format!("module {name} cannot be loaded: {error}"));
                false
            }
        }
    }
}

fn bus(alias: &str) -> &str {
    alias.split_once(':').map_or(alias, |(bus, _)| bus)
}
