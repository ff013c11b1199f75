//! The machine's Ethernet devices.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::start::DEVICES_READY;

/// A network device with hardware behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nic {
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) current_mac: [u8; 6],
    pub(super) permanent_mac: Option<[u8; 6]>,
}

const PAUSE: Duration = Duration::from_millis(50);

pub(super) fn list() -> Vec<Nic> {
    let Ok(entries) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.path().join("device").exists())
        .filter_map(|entry| read(&entry.path()))
        .collect()
}

fn read(path: &Path) -> Option<Nic> {
    let text = |name: &str| fs::read_to_string(path.join(name)).ok().map(|text| text.trim().to_owned());
    let name = path.file_name()?.to_str()?.to_owned();
    Some(Nic {
        index: text("ifindex")?.parse().ok()?,
        current_mac: parse_mac(&text("address")?)?,
        permanent_mac: tacit_blockdev::interface_permanent_mac(&name),
        name,
    })
}

/// Index of a device by name.
pub(super) fn index_of(name: &str) -> Option<u32> {
    fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?.trim().parse().ok()
}

/// The device with this address: the permanent one decides, the current one where no permanent one does.
pub(super) fn find(nics: &[Nic], mac: [u8; 6]) -> Option<&Nic> {
    nics.iter()
        .find(|nic| nic.permanent_mac == Some(mac))
        .or_else(|| nics.iter().find(|nic| nic.current_mac == mac))
}

/// Waits until all of `macs` are there, at most `limit`: drivers and firmware take their time. Returns what is there
/// by then.
pub(super) fn wait_for(macs: &[[u8; 6]], limit: Duration) -> Vec<Nic> {
    let begun = Instant::now();
    loop {
        let nics = list();
        if macs.iter().all(|mac| find(&nics, *mac).is_some()) || begun.elapsed() >= limit {
            return nics;
        }
        std::thread::sleep(PAUSE);
    }
}

/// The address of the network card, if there is one and no other. Waits for the drivers of all devices, at most `limit`.
pub(in crate::init) fn only_card(limit: Duration) -> Option<String> {
    let begun = Instant::now();
    while !Path::new(DEVICES_READY).exists() && begun.elapsed() < limit {
        std::thread::sleep(PAUSE);
    }
    let [card] = &list()[..] else { return None };
    Some(card.permanent_mac.unwrap_or(card.current_mac).map(|byte| format!("{byte:02x}")).join(":"))
}

/// `52:54:00:12:34:56`, also with dashes and in any case.
pub(in crate::init) fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let bytes: Vec<u8> = parts
        .iter()
        .filter(|part| part.len() == 2)
        .map(|part| u8::from_str_radix(part, 16))
        .collect::<Result<_, _>>()
        .ok()?;
    if parts.len() == 6 { bytes.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs() {
        assert_eq!(parse_mac("52:54:00:AB:cd:01"), Some([0x52, 0x54, 0, 0xab, 0xcd, 1]));
        assert_eq!(parse_mac("52-54-00-ab-cd-01"), Some([0x52, 0x54, 0, 0xab, 0xcd, 1]));
        for bad in ["", "52:54:00:ab:cd", "52:54:00:ab:cd:01:02", "g2:54:00:ab:cd:01", "5254:00:ab:cd:01"] {
            assert_eq!(parse_mac(bad), None, "{bad}");
        }
    }

    #[test]
    fn permanent_before_current() {
        let nic = |index, current: u8, permanent: Option<u8>| Nic {
            name: format!("eth{index}"),
            index,
            current_mac: [current; 6],
            permanent_mac: permanent.map(|byte| [byte; 6]),
        };
        let nics = [nic(1, 7, Some(8)), nic(2, 9, Some(7)), nic(3, 5, None)];
        assert_eq!(find(&nics, [7; 6]).unwrap().index, 2);
        assert_eq!(find(&nics, [5; 6]).unwrap().index, 3);
        assert_eq!(find(&nics, [1; 6]), None);
    }
}
