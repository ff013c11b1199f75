//! Links that are up only so that something can be heard on them.

use std::fs;
use std::path::PathBuf;

use super::netlink::Netlink;
use super::nics::{self, Nic};

/// `IFF_UP` of `linux/if.h`.
const UP: u32 = 1;

/// Runs something while every network device with hardware is up, and takes those down again that were down. None of
/// them gets an address, and IPv6 is switched off on them first: they say nothing.
pub(crate) fn with_links_up<T>(run: impl FnOnce() -> T) -> T {
    let mut netlink = match Netlink::open() {
        Ok(netlink) => netlink,
        Err(error) => {
            tracing::warn!("links stay as they are: {error}");
            return run();
        }
    };
    let raised: Vec<(Nic, Option<String>)> = nics::list()
        .into_iter()
        .filter(is_down)
        .filter_map(|nic| {
            // Without IPv6 in the kernel there is nothing to switch off; otherwise no switch, no link.
            let before = match silence(&nic, "1") {
                Ok(before) => before,
                Err(error) => {
                    tracing::warn!("{} stays down: IPv6 cannot be switched off: {error}", nic.name);
                    return None;
                }
            };
            match netlink.up(nic.index) {
                Ok(()) => Some((nic, before)),
                Err(error) => {
                    tracing::warn!("{} stays down: {error}", nic.name);
                    None
                }
            }
        })
        .collect();
    let result = run();
    for (nic, before) in raised {
        if let Err(error) = netlink.down(nic.index) {
            tracing::warn!("{} stays up: {error}", nic.name);
            continue;
        }
        if let Some(Err(error)) = before.map(|before| silence(&nic, &before)) {
            tracing::warn!("{}: IPv6 stays off: {error}", nic.name);
        }
    }
    result
}

fn is_down(nic: &Nic) -> bool {
    let text = fs::read_to_string(format!("/sys/class/net/{}/flags", nic.name)).unwrap_or_default();
    let flags = text.trim().strip_prefix("0x").and_then(|hex| u32::from_str_radix(hex, 16).ok());
    flags.is_some_and(|flags| flags & UP == 0)
}

/// Writes the switch and returns what it was; `None` in a kernel without IPv6.
fn silence(nic: &Nic, value: &str) -> std::io::Result<Option<String>> {
    let switch = PathBuf::from("/proc/sys/net/ipv6/conf").join(&nic.name).join("disable_ipv6");
    let before = match fs::read_to_string(&switch) {
        Ok(before) => before.trim().to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    fs::write(&switch, value)?;
    Ok(Some(before))
}
