//! From the kernel's hand-over to a serving agent.

use std::fs;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tacit_protocol::medium::{CREDENTIAL_PATH, NodeConfig, RegionError};
use tacit_protocol::ramdisk::{MODULE_MANIFEST_PATH, ModuleManifest};

use super::console::say;
use super::modules::Loader;
use super::{coldplug, mounts, network, supervise, uevents};
use crate::clock::raise_to;

/// Never returns. `process_start` is the uptime at which this process began, in seconds.
pub(crate) fn run(process_start: f64) -> ! {
    mounts::mount_first();
    use_console();
    say(concat!("tacit-agent ", env!("CARGO_PKG_VERSION")));
    let loader = load_modules();
    mounts::mount_efi_variables();
    let Some(config) = read_config(Path::new(CREDENTIAL_PATH)) else { supervise::idle() };
    match raise_to(config.made_at) {
        Ok(true) => say("the clock was behind; set to when the medium was made"),
        Ok(false) => {}
        Err(error) => say(format!("the clock is behind and cannot be set: {error}")),
    }
    say(format!("node {}", config.node_uuid));
    load_link_kinds(&loader, &config);
    network::bring_up(config.network_data.as_ref());
    drop(config);
    supervise::supervise(CREDENTIAL_PATH, process_start)
}

/// A ramdisk without `/dev/console` starts its first process with closed descriptors; children need them open.
fn use_console() {
    let Ok(console) = OpenOptions::new().read(true).write(true).open("/dev/console") else { return };
    for replaced in [
        nix::unistd::dup2_stdin(&console),
        nix::unistd::dup2_stdout(&console),
        nix::unistd::dup2_stderr(&console),
    ] {
        if let Err(error) = replaced {
            say(format!("the console cannot be used: {error}"));
        }
    }
}

/// Makers of bonds and VLANs are no devices: nothing but the plan asks for their modules.
fn load_link_kinds(loader: &Mutex<Loader>, config: &NodeConfig) {
    let links = config.network_data.iter().flat_map(|data| &data.links);
    for link in links {
        let module = match link.kind.as_str() {
            "bond" => "bonding",
            "vlan" => "8021q",
            _ => continue,
        };
        loader.lock().unwrap_or_else(PoisonError::into_inner).load_named(module);
    }
}

fn load_modules() -> Arc<Mutex<Loader>> {
    let manifest: ModuleManifest = match fs::read(MODULE_MANIFEST_PATH)
        .map_err(|error| error.to_string())
        .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()))
    {
        Ok(manifest) => manifest,
        Err(error) => {
            say(format!("{MODULE_MANIFEST_PATH}: {error}; only what the kernel has built in will work"));
            ModuleManifest::default()
        }
    };
    let listener = uevents::listen();
    let loader = Arc::new(Mutex::new(Loader::new(manifest)));
    {
        let mut loader = loader.lock().unwrap_or_else(PoisonError::into_inner);
        loader.load_always();
        coldplug::coldplug(&mut loader);
    }
    match listener {
        Ok(socket) => uevents::watch(socket, loader.clone()),
        Err(error) => say(format!("does not hear of new devices: {error}")),
    }
    loader
}

/// The node's configuration, or a word to who watches why there is none.
fn read_config(path: &Path) -> Option<NodeConfig> {
    let reason = match fs::read(path) {
        Ok(bytes) => match NodeConfig::from_region(&bytes) {
            Ok(config) => return Some(config),
            Err(RegionError::NotConfigured) => {
                "this medium was made for no node: boot the node's own medium, which the conductor makes"
                    .to_owned()
            }
            Err(error) => format!("the node's configuration cannot be used: {error}"),
        },
        Err(error) => format!("there is no node configuration at {}: {error}", path.display()),
    };
    say(reason);
    say("nothing to serve; this machine stays silent until it is switched off");
    None
}
