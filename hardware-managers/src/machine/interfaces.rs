//! Network interfaces with hardware behind them, bonds and VLANs, from `/sys/class/net`.

use std::fs;
use std::path::Path;

use tacit_model::{Bond, NetworkInterface, Vlan};

use super::by_path::last_pci_address;
use super::infiniband::infiniband_identity;
use super::roots::{Roots, link_name, names_in, read_flag, read_number, read_text};

/// ARPHRD_INFINIBAND of `linux/if_arp.h`.
const ARPHRD_INFINIBAND: u64 = 32;

pub(super) fn list(roots: &Roots) -> Vec<NetworkInterface> {
    let folder = roots.sys.join("class/net");
    let addresses = if roots.is_real() { addresses() } else { Vec::new() };
    names_in(&folder)
        .into_iter()
        .filter_map(|name| {
            let mut interface = read(roots, &folder.join(&name), &name)?;
            for (owner, address) in &addresses {
                match address {
                    std::net::IpAddr::V4(v4) if *owner == name => {
                        interface.ipv4_address.get_or_insert(v4.to_string());
                    }
                    std::net::IpAddr::V6(v6) if *owner == name => {
                        interface.ipv6_address.get_or_insert(v6.to_string());
                    }
                    _ => {}
                }
            }
            Some(interface)
        })
        .collect()
}

/// Permanent addresses of all interfaces, each once: a VLAN shows the address of what it lies on.
pub(super) fn macs(roots: &Roots) -> Vec<String> {
    let folder = roots.sys.join("class/net");
    let mut macs: Vec<String> = Vec::new();
    for name in names_in(&folder) {
        let addresses = Basis::read(roots, &folder.join(&name), &name);
        if let Some(Basis { mac, .. }) = addresses.filter(|basis| !macs.contains(&basis.mac)) {
            macs.push(mac);
        }
    }
    macs
}

/// What decides whether an interface is shown, and under which address.
struct Basis {
    /// The permanent address where the driver tells it.
    mac: String,
    current: String,
    /// Only InfiniBand ports have one.
    client_id: Option<String>,
    bond: Option<Bond>,
    vlan: Option<Vlan>,
}

impl Basis {
    fn read(roots: &Roots, folder: &Path, name: &str) -> Option<Self> {
        let (bond, vlan) = (bond(folder), vlan(roots, folder, name));
        if bond.is_none() && vlan.is_none() && !folder.join("device").exists() {
            return None;
        }
        let current = read_text(&folder.join("address"))?.to_ascii_lowercase();
        let is_infiniband = read_number(&folder.join("type")) == Some(ARPHRD_INFINIBAND);
        let port = is_infiniband.then(|| infiniband_identity(&current)).flatten();
        let (mac, client_id) = match port {
            Some(port) => (port.mac_address, Some(port.client_id)),
            None => (permanent_mac(roots, name).unwrap_or_else(|| current.clone()), None),
        };
        // Placeholder addresses of fabric adapters; IPA hides such interfaces.
        (!mac.starts_with("fa:")).then_some(Self { mac, current, client_id, bond, vlan })
    }
}

fn read(roots: &Roots, folder: &Path, name: &str) -> Option<NetworkInterface> {
    let Basis { mac, current, client_id, bond, vlan } = Basis::read(roots, folder, name)?;
    let device = folder.join("device");
    let pci_address = fs::canonicalize(&device).ok().and_then(|path| last_pci_address(&path));
    let function = pci_address.as_ref().map(|address| roots.sys.join("bus/pci/devices").join(address));
    let numa_node = |folder: &Path| read_text(&folder.join("numa_node"))?.parse().ok();
    Some(NetworkInterface {
        name: name.to_owned(),
        ipv4_address: None,
        ipv6_address: None,
        has_carrier: read_flag(&folder.join("carrier")),
        lldp: None,
        vendor: read_text(&device.join("vendor")),
        product: read_text(&device.join("device")),
        biosdevname: onboard_name(&device).or_else(|| onboard_name(function.as_deref()?)),
        speed_mbps: max_speed_mbps(roots, name)
            // A link that is down reports -1, which is no number here.
            .or_else(|| read_number(&folder.join("speed")).filter(|&speed| speed > 0)),
        driver: link_name(&device.join("driver")),
        firmware: roots.is_real().then(|| tacit_blockdev::interface_firmware(name)).flatten(),
        current_mac: (client_id.is_none() && current != mac).then_some(current),
        client_id,
        numa_node: numa_node(&device).or_else(|| numa_node(function.as_deref()?)),
        pci_address,
        mac_address: mac,
        bond,
        vlan,
    })
}

fn bond(folder: &Path) -> Option<Bond> {
    let folder = folder.join("bonding");
    // `802.3ad 4`: the name and the number of the mode.
    let mode = read_text(&folder.join("mode"))?.split(' ').next()?.to_owned();
    let members = read_text(&folder.join("slaves")).unwrap_or_default();
    Some(Bond { mode, members: members.split_whitespace().map(str::to_owned).collect() })
}

/// As the kernel's table of VLANs tells it, else by the name.
fn vlan(roots: &Roots, folder: &Path, name: &str) -> Option<Vlan> {
    let table = read_text(&roots.proc.join("net/vlan").join(name));
    if table.is_none() && !is_vlan_name(name) {
        return None;
    }
    let told = table.as_deref().and_then(|table| {
        // `eth0.100  VID: 100  REORDER_HDR: 1 …`
        let id = table.split_once("VID:")?.1.split_whitespace().next()?.parse().ok()?;
        let parent = table.lines().find_map(|line| line.strip_prefix("Device:"))?.trim().to_owned();
        Some(Vlan { id, parent: Some(parent) })
    });
    told.or_else(|| {
        let (before, id) = name.rsplit_once('.')?;
        let lower =
            names_in(folder).into_iter().find_map(|entry| entry.strip_prefix("lower_").map(str::to_owned));
        Some(Vlan { id: id.parse().ok()?, parent: lower.or_else(|| Some(before.to_owned())) })
    })
}

/// The name that `biosdevname` gives an adapter of the main board: `em` and its number there (DSP0134 §7.42).
fn onboard_name(function: &Path) -> Option<String> {
    Some(format!("em{}", read_number(&function.join("index"))?))
}

fn max_speed_mbps(roots: &Roots, name: &str) -> Option<u64> {
    roots.is_real().then(|| tacit_blockdev::interface_max_speed_mbps(name)).flatten()
}

/// `eth0.100`: a name, a dot and a VLAN id.
fn is_vlan_name(name: &str) -> bool {
    name.rsplit_once('.')
        .and_then(|(parent, id)| Some((parent, id.parse::<u16>().ok()?)))
        .is_some_and(|(parent, id)| !parent.is_empty() && (1..4095).contains(&id))
}

fn permanent_mac(roots: &Roots, name: &str) -> Option<String> {
    if !roots.is_real() {
        return None;
    }
    let mac = tacit_blockdev::interface_permanent_mac(name)?;
    if mac == [0; 6] || mac == [0xff; 6] {
        return None;
    }
    Some(mac.map(|octet| format!("{octet:02x}")).join(":"))
}

/// Addresses of all interfaces; of IPv6 the link-local ones come last, so that a routable one is shown first.
fn addresses() -> Vec<(String, std::net::IpAddr)> {
    let Ok(found) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let mut list: Vec<(String, std::net::IpAddr)> = found
        .filter_map(|entry| {
            let address = entry.address?;
            let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
                (Some(v4), _) => std::net::IpAddr::V4(v4.ip()),
                (_, Some(v6)) => std::net::IpAddr::V6(v6.ip()),
                _ => return None,
            };
            Some((entry.interface_name, ip))
        })
        .collect();
    list.sort_by_key(|(_, ip)| matches!(ip, std::net::IpAddr::V6(v6) if v6.is_unicast_link_local()));
    list
}

#[cfg(test)]
mod tests {
    use super::is_vlan_name;

    #[test]
    fn vlan_names_end_in_an_id() {
        assert!(is_vlan_name("eth0.100"));
        assert!(is_vlan_name("bond0.4094"));
        for name in ["eth0", "eth0.", ".5", "eth0.4095", "eth0.x", "br-1.5000"] {
            assert!(!is_vlan_name(name), "{name}");
        }
    }
}
