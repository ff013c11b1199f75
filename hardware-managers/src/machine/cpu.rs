//! Processors, from `/proc/cpuinfo`, cpufreq and SMBIOS type 4.

use std::collections::BTreeSet;
use std::fs;

use tacit_model::Cpu;

use super::roots::{Roots, read_number};
use super::smbios::Smbios;

pub(super) fn read(roots: &Roots, tables: Option<&Smbios>) -> Cpu {
    let text = fs::read_to_string(roots.proc.join("cpuinfo")).unwrap_or_default();
    let values = |wanted: &'static str| {
        text.lines().filter_map(move |line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == wanted).then(|| value.trim())
        })
    };
    let first = |wanted| values(wanted).find(|value| !value.is_empty());

    let sockets: BTreeSet<&str> = values("physical id").collect();
    let socket_count = match sockets.len() {
        0 => tables.map(Smbios::populated_sockets).filter(|&count| count > 0),
        count => u32::try_from(count).ok(),
    };
    // The cpufreq figure is the maximum in kHz; cpuinfo's is that of the moment, and better than nothing.
    let frequency = read_number(&roots.sys.join("devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"))
        .map(|khz| format!("{}.{:04}", khz / 1000, khz % 1000 * 10))
        .or_else(|| first("cpu MHz").map(str::to_owned))
        .or_else(|| tables?.max_speed_mhz().map(|mhz| mhz.to_string()));
    Cpu {
        model_name: first("model name")
            .map(str::to_owned)
            .or_else(|| tables?.processor_version().map(str::to_owned)),
        frequency,
        count: u32::try_from(values("processor").count()).unwrap_or(u32::MAX),
        architecture: std::env::consts::ARCH.to_owned(),
        flags: first("flags")
            .or_else(|| first("Features"))
            .map(|flags| flags.split_ascii_whitespace().map(str::to_owned).collect())
            .unwrap_or_default(),
        socket_count,
    }
}
