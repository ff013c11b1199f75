//! From the kernel's hand-over to a serving agent.

use std::ffi::OsStr;
use std::fs;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tacit_protocol::medium::{CREDENTIAL_PATH, NodeConfig, RegionError};
use tacit_protocol::network_data::NetworkData;
use tacit_protocol::ramdisk::{BRIDGE_CA_PATH, IRONIC_PATH, ModuleManifest};

use super::console::say;
use super::modules::{Loader, read_manifest};
use super::{coldplug, ironic, mounts, network, supervise, uevents};
use crate::clock::raise_to;

/// Made when the drivers of all devices that were there are loaded.
pub(super) const DEVICES_READY: &str = "/run/tacit-devices-ready";

/// Never returns. `process_start` is the uptime at which this process began, in seconds.
pub(crate) fn run(process_start: f64) -> ! {
    mounts::mount_first();
    use_console();
    say(concat!("tacit-agent ", env!("CARGO_PKG_VERSION")));
    let loader = load_network_cards();
    // A ramdisk for Ironic that was booted from a medium of ours, after all, has a node's configuration.
    if Path::new(IRONIC_PATH).exists() && !Path::new(CREDENTIAL_PATH).exists() {
        start_for_ironic(&loader, process_start);
    }
    let Some(config) = read_config(Path::new(CREDENTIAL_PATH)) else { supervise::idle() };
    raise_clock(config.made_at);
    say(format!("node {}", config.node_uuid));
    load_link_kinds(&loader, config.network_data.as_ref());
    load_the_rest(&loader);
    network::bring_up(config.network_data.as_ref());
    drop(config);
    supervise::supervise(&["serve", "--config", CREDENTIAL_PATH].map(OsStr::new), process_start)
}

/// Never returns. All drivers first: Ironic's medium is read by them.
fn start_for_ironic(loader: &Arc<Mutex<Loader>>, process_start: f64) -> ! {
    load_the_rest(loader);
    let settings = ironic::settings();
    let built_after = fs::read_to_string(IRONIC_PATH).ok().and_then(|text| text.trim().parse().ok());
    if let Some(earliest) = settings.made_at.max(built_after) {
        raise_clock(earliest);
    }
    load_link_kinds(loader, settings.network_data.as_ref());
    network::bring_up(settings.network_data.as_ref());
    let mut arguments =
        vec![OsStr::new("serve"), "--ipa".as_ref(), "--kernel-parameters".as_ref(), "/proc/cmdline".as_ref()];
    if let Some(file) = &settings.parameters {
        arguments.extend([OsStr::new("--kernel-parameters"), file.as_os_str()]);
    }
    if Path::new(BRIDGE_CA_PATH).exists() {
        arguments.extend([OsStr::new("--bridge-ca"), BRIDGE_CA_PATH.as_ref()]);
    }
    for file in &settings.config_files {
        arguments.extend([OsStr::new("--config-file"), file.as_os_str()]);
    }
    supervise::supervise(&arguments, process_start)
}

fn raise_clock(earliest: i64) {
    match raise_to(earliest) {
        Ok(true) => say("the clock was behind; set to when what was booted was made"),
        Ok(false) => {}
        Err(error) => say(format!("the clock is behind and cannot be set: {error}")),
    }
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
fn load_link_kinds(loader: &Mutex<Loader>, network_data: Option<&NetworkData>) {
    let links = network_data.iter().flat_map(|data| &data.links);
    for link in links {
        let module = match link.kind.as_str() {
            "bond" => "bonding",
            "vlan" => "8021q",
            _ => continue,
        };
        loader.lock().unwrap_or_else(PoisonError::into_inner).load_named(module);
    }
}

fn load_network_cards() -> Arc<Mutex<Loader>> {
    let manifest = read_manifest().unwrap_or_else(|error| {
        say(format!("{error}; only what the kernel has built in will work"));
        ModuleManifest::default()
    });
    let mut loader = Loader::new(manifest);
    coldplug::coldplug_network(&mut loader);
    Arc::new(Mutex::new(loader))
}

/// Loads what every machine needs and the drivers of all other devices while the network comes up and the agent begins to serve, then those of
/// devices that come later. Commands wait for [`DEVICES_READY`].
fn load_the_rest(loader: &Arc<Mutex<Loader>>) {
    let work = {
        let loader = loader.clone();
        move || {
            let listener = uevents::listen();
            {
                let mut loader = loader.lock().unwrap_or_else(PoisonError::into_inner);
                loader.load_always();
                mounts::mount_efi_variables();
                coldplug::coldplug(&mut loader);
                mounts::mount_debug_files();
            }
            if let Err(error) = fs::write(DEVICES_READY, "") {
                say(format!("{DEVICES_READY}: {error}; commands wait in vain"));
            }
            match listener {
                Ok(socket) => uevents::watch(&socket, &loader),
                Err(error) => say(format!("does not hear of new devices: {error}")),
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("devices".into()).spawn(work) {
        say(format!("no thread to load drivers on: {error}"));
    }
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
