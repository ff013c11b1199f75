//! What the kernel command line and the medium say, put together.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tacit_protocol::network_data::NetworkData;

use super::super::console::say;
use super::super::network;
use super::search::{Devices, Found, search};
use super::{address, medium};

/// How long drivers and the BMC may take until the medium can be read.
const MEDIUM_WAIT: Duration = Duration::from_secs(30);
/// How long a network card may take to appear where the command line names none.
const CARD_WAIT: Duration = Duration::from_secs(30);

/// Copies of the medium's configuration files.
const KEPT_FILES: &str = "/run/tacit-ironic";

/// What this boot is configured with.
#[derive(Debug, Default)]
pub(in crate::init) struct Settings {
    pub(in crate::init) network_data: Option<NetworkData>,
    /// A floor for the clock, Unix time in seconds.
    pub(in crate::init) made_at: Option<i64>,
    /// Parameters of the medium, over those of the command line.
    pub(in crate::init) parameters: Option<PathBuf>,
    /// IPA's configuration files, in the order in which they are read.
    pub(in crate::init) config_files: Vec<PathBuf>,
}

/// Reads the command line, then the medium and the floppy if the machine was booted from one; waits for drivers.
pub(in crate::init) fn settings() -> Settings {
    let line = fs::read("/proc/cmdline").unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    // Without the word of the command line, what claims to be a medium may be a disk's content that somebody left.
    let from_media = value(&line, "boot_method") == Some("vmedia");
    let Found { medium, parameters } = if from_media {
        search(&Devices { blocks: "/sys/block".into(), nodes: "/dev".into() }, &line, MEDIUM_WAIT)
    } else {
        Found::default()
    };
    let from_medium = medium.unwrap_or_default();
    let network_data = from_medium
        .network_data
        .or_else(|| from_parameters(&format!("{line} {}", parameters.as_deref().unwrap_or_default())));
    let parameters = keep_parameters(parameters.as_deref());
    let config_files =
        medium::keep(&from_medium.config_files, Path::new(KEPT_FILES)).unwrap_or_else(|error| {
            say(format!("the medium's configuration files cannot be kept: {error}"));
            Vec::new()
        });
    Settings { network_data, made_at: from_medium.made_at, parameters, config_files }
}

fn keep_parameters(text: Option<&str>) -> Option<PathBuf> {
    let folder = Path::new(KEPT_FILES).join("parameters");
    match medium::keep(&[text?.as_bytes().to_vec()], &folder) {
        Ok(paths) => paths.into_iter().next(),
        Err(error) => {
            say(format!("the medium's parameters cannot be kept: {error}"));
            None
        }
    }
}

/// Of the command line, and over it of the floppy.
fn from_parameters(line: &str) -> Option<NetworkData> {
    let wish = value(line, "ip")?;
    let named = value(line, "BOOTIF").and_then(address::boot_mac);
    let Some(mac) = named.or_else(|| network::only_card(CARD_WAIT)) else {
        say("ip= is given, but there are several network cards, and BOOTIF names none of them");
        return None;
    };
    address::network_data(wish, &mac).map_err(say).ok()
}

/// The last value of a parameter, as the kernel has it.
pub(super) fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_whitespace().rev().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts_and_names_are_whole() {
        let line = "quiet ip=a ir_pub_id=one BOOTIF=x ip=b zip=c ipa=d boot_method=vmedia --\n";
        assert_eq!(value(line, "ip"), Some("b"));
        assert_eq!(value(line, "ir_pub_id"), Some("one"));
        assert_eq!(value(line, "boot_method"), Some("vmedia"));
        assert_eq!(value(line, "quiet"), None);
        assert_eq!(value(line, "pub_id"), None);
    }
}
