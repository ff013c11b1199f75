//! What a `network_data` document asks for, checked and in the order in which it is done. No I/O.

use std::net::IpAddr;

use tacit_protocol::network_data::{Link, Network, NetworkData, Route};

use super::nics::parse_mac;

/// Longest name of a network device.
const NAME_LENGTH: usize = 15;
/// Milliseconds between looks at the members' links; 0 would mean never.
const DEFAULT_MIIMON: u32 = 100;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) phys: Vec<Phy>,
    pub(super) bonds: Vec<Bond>,
    pub(super) vlans: Vec<Vlan>,
    pub(super) addresses: Vec<Address>,
    pub(super) routes: Vec<PlannedRoute>,
    /// What is asked for and not done, in words.
    pub(super) refused: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Phy {
    pub(super) id: String,
    pub(super) mac: [u8; 6],
    pub(super) mtu: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bond {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) mac: Option<[u8; 6]>,
    pub(super) mtu: Option<u32>,
    pub(super) mode: String,
    pub(super) hash_policy: Option<String>,
    pub(super) miimon: u32,
    pub(super) members: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vlan {
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) tag: u16,
    pub(super) mac: Option<[u8; 6]>,
    pub(super) mtu: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) link: String,
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedRoute {
    pub(super) link: String,
    pub(super) destination: IpAddr,
    pub(super) prefix: u8,
    pub(super) gateway: IpAddr,
    /// The gateway lies in none of the link's subnets.
    pub(super) onlink: bool,
}

impl Plan {
    /// Takes what makes sense; what does not is in [`Plan::refused`].
    pub(super) fn new(data: &NetworkData) -> Self {
        let mut plan = Self::default();
        for link in &data.links {
            if let Err(reason) = plan.add_link(link) {
                plan.refused.push(format!("link {}: {reason}", link.id));
            }
        }
        plan.check_references();
        for network in &data.networks {
            if let Err(reason) = plan.add_network(network) {
                plan.refused.push(format!("network {} on link {}: {reason}", network.id, network.link));
            }
        }
        plan.raise_parents();
        plan
    }

    pub(super) fn wants_ipv6(&self) -> bool {
        self.addresses.iter().any(|address| address.address.is_ipv6())
    }

    fn knows(&self, id: &str) -> bool {
        self.phys.iter().any(|phy| phy.id == id)
            || self.bonds.iter().any(|bond| bond.id == id)
            || self.vlans.iter().any(|vlan| vlan.id == id)
    }

    fn add_link(&mut self, link: &Link) -> Result<(), String> {
        if self.knows(&link.id) {
            return Err("is there twice".into());
        }
        let mac = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => parse_mac(text).map(Some).ok_or_else(|| format!("{text} is no MAC address")),
        };
        match link.kind.as_str() {
            "bond" => self.bonds.push(Bond {
                id: link.id.clone(),
                name: bond_name(&link.id, self.bonds.len()),
                mac: mac(&link.ethernet_mac_address)?,
                mtu: link.mtu,
                mode: link.bond_mode.clone().unwrap_or_else(|| "active-backup".into()),
                hash_policy: link.bond_xmit_hash_policy.clone(),
                miimon: link.bond_miimon.filter(|value| *value > 0).unwrap_or(DEFAULT_MIIMON),
                members: link.bond_links.clone(),
            }),
            "vlan" => self.vlans.push(Vlan {
                id: link.id.clone(),
                parent: link.vlan_link.clone().ok_or("has no vlan_link")?,
                tag: link
                    .vlan_id
                    .filter(|tag| (1..=4094).contains(tag))
                    .ok_or("has no vlan_id from 1 to 4094")?,
                mac: mac(&link.vlan_mac_address)?,
                mtu: link.mtu,
            }),
            _ => {
                let mac = mac(&link.ethernet_mac_address)?.ok_or("has no ethernet_mac_address")?;
                if self.phys.iter().any(|phy| phy.mac == mac) {
                    return Err("has the MAC address of another link".into());
                }
                self.phys.push(Phy { id: link.id.clone(), mac, mtu: link.mtu });
            }
        }
        Ok(())
    }

    /// Bonds are made of physical links, VLANs lie on physical links or bonds.
    fn check_references(&mut self) {
        let phys: Vec<&str> = self.phys.iter().map(|phy| phy.id.as_str()).collect();
        let mut refused = Vec::new();
        self.bonds.retain(|bond| {
            let missing = bond.members.iter().find(|member| !phys.contains(&member.as_str()));
            match missing {
                Some(member) => refused.push(format!("bond {}: {member} is no physical link", bond.id)),
                None if bond.members.is_empty() => refused.push(format!("bond {}: has no links", bond.id)),
                None => return true,
            }
            false
        });
        let bonds: Vec<&str> = self.bonds.iter().map(|bond| bond.id.as_str()).collect();
        self.vlans.retain(|vlan| {
            let known = phys.contains(&vlan.parent.as_str()) || bonds.contains(&vlan.parent.as_str());
            if !known {
                refused.push(format!("VLAN {}: {} is no physical link or bond", vlan.id, vlan.parent));
            }
            known
        });
        self.refused.extend(refused);
    }

    fn add_network(&mut self, network: &Network) -> Result<(), String> {
        if !self.knows(&network.link) {
            return Err("there is no such link".into());
        }
        let wants_v6 = match network.kind.as_str() {
            "ipv4" => false,
            "ipv6" => true,
            other => return Err(format!("{other} is not done by this agent: give a static address")),
        };
        let text = network.ip_address.as_deref().ok_or("has no ip_address")?;
        let (address, length) = text.split_once('/').map_or((text, None), |(ip, length)| (ip, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| format!("{text} is no address"))?;
        if address.is_ipv6() != wants_v6 {
            return Err(format!("{text} is not {}", network.kind));
        }
        let prefix = match (length, network.netmask.as_deref()) {
            (Some(length), _) => length.parse().ok().filter(|length| *length <= bits(address)),
            (None, Some(mask)) => prefix_of(mask, address),
            (None, None) => None,
        }
        .ok_or("has no netmask that makes sense")?;
        self.addresses.push(Address { link: network.link.clone(), address, prefix });
        for route in &network.routes {
            match self.plan_route(network, route) {
                Ok(route) => self.routes.push(route),
                Err(reason) => self.refused.push(format!("route to {}: {reason}", route.network)),
            }
        }
        Ok(())
    }

    fn plan_route(&self, network: &Network, route: &Route) -> Result<PlannedRoute, String> {
        let parse = |text: &str| text.parse::<IpAddr>().map_err(|_| format!("{text} is no address"));
        let (destination, gateway) = (parse(&route.network)?, parse(&route.gateway)?);
        if destination.is_ipv6() != gateway.is_ipv6() {
            return Err(format!("{gateway} is of another family"));
        }
        let prefix = prefix_of(&route.netmask, destination).ok_or("has no netmask that makes sense")?;
        let onlink = !self.addresses.iter().any(|address| {
            address.link == network.link && same_subnet(address.address, gateway, address.prefix)
        });
        Ok(PlannedRoute { link: network.link.clone(), destination, prefix, gateway, onlink })
    }

    /// A VLAN's packets have to fit its parent, and a bond's its members.
    fn raise_parents(&mut self) {
        fn raise(mtu: &mut Option<u32>, wanted: Option<u32>) {
            if let Some(wanted) = wanted {
                *mtu = Some(mtu.unwrap_or(1500).max(wanted));
            }
        }
        for vlan in &self.vlans {
            if let Some(phy) = self.phys.iter_mut().find(|phy| phy.id == vlan.parent) {
                raise(&mut phy.mtu, vlan.mtu);
            }
            if let Some(bond) = self.bonds.iter_mut().find(|bond| bond.id == vlan.parent) {
                raise(&mut bond.mtu, vlan.mtu);
            }
        }
        for bond in &self.bonds {
            for phy in self.phys.iter_mut().filter(|phy| bond.members.contains(&phy.id)) {
                raise(&mut phy.mtu, bond.mtu);
            }
        }
    }
}

fn bond_name(id: &str, number: usize) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    if !id.is_empty() && id.len() <= NAME_LENGTH && id.chars().all(plain) && id != "." && id != ".." {
        id.to_owned()
    } else {
        format!("bond{number}")
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv6() { 128 } else { 32 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        // In the highest bits, so that masks of both families work alike.
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Length of a netmask in `255.255.255.0`, `ffff:ffff::` or `24` form; masks with holes are refused.
fn prefix_of(mask: &str, family: IpAddr) -> Option<u8> {
    if let Ok(length) = mask.parse::<u8>() {
        return (length <= bits(family)).then_some(length);
    }
    let mask: IpAddr = mask.parse().ok()?;
    if mask.is_ipv6() != family.is_ipv6() {
        return None;
    }
    let mask = number(mask);
    let length = mask.leading_ones();
    (mask.count_ones() == length).then(|| u8::try_from(length).expect("at most 128"))
}

fn same_subnet(a: IpAddr, b: IpAddr, prefix: u8) -> bool {
    let shift = 128 - u32::from(prefix);
    a.is_ipv6() == b.is_ipv6()
        && (number(a).checked_shr(shift).unwrap_or(0) == number(b).checked_shr(shift).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(json: serde_json::Value) -> Plan {
        Plan::new(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn a_bond_with_a_vlan() {
        let plan = plan(serde_json::json!({
            "links": [
                {"id": "p0", "type": "phy", "ethernet_mac_address": "a0:36:9f:2c:e8:80"},
                {"id": "p1", "type": "vif", "ethernet_mac_address": "A0-36-9F-2C-E8-81", "mtu": 1500},
                {"id": "b0", "type": "bond", "bond_links": ["p0", "p1"], "bond_mode": "802.3ad",
                 "bond_miimon": 0, "ethernet_mac_address": "a0:36:9f:2c:e8:80"},
                {"id": "v101", "type": "vlan", "vlan_link": "b0", "vlan_id": 101, "mtu": 9000,
                 "vlan_mac_address": "a0:36:9f:2c:e8:80"},
            ],
            "networks": [
                {"id": "n0", "network_id": "x", "type": "ipv4", "link": "v101", "ip_address": "192.0.2.20",
                 "netmask": "255.255.255.0",
                 "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.1"},
                            {"network": "10.0.0.0", "netmask": "255.0.0.0", "gateway": "198.51.100.1"}]},
                {"id": "n1", "network_id": "y", "type": "ipv6", "link": "v101", "ip_address": "2001:db8::20",
                 "netmask": "ffff:ffff:ffff:ffff::"},
            ],
            "services": [],
        }));
        assert_eq!(plan.refused, Vec::<String>::new());
        assert_eq!((plan.bonds[0].name.as_str(), plan.bonds[0].miimon), ("b0", 100));
        assert_eq!(plan.bonds[0].mtu, Some(9000));
        assert!(plan.phys.iter().all(|phy| phy.mtu == Some(9000)));
        assert_eq!(plan.addresses[0].prefix, 24);
        assert_eq!(plan.addresses[1].prefix, 64);
        assert!(!plan.routes[0].onlink);
        assert_eq!(plan.routes[0].prefix, 0);
        assert!(plan.routes[1].onlink);
        assert!(plan.wants_ipv6());
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        let plan = plan(serde_json::json!({
            "links": [
                {"id": "p0", "type": "phy", "ethernet_mac_address": "a0:36:9f:2c:e8:80"},
                {"id": "p1", "type": "phy", "ethernet_mac_address": "a0:36:9f:2c:e8:80"},
                {"id": "b0", "type": "bond", "bond_links": ["p9"], "bond_mode": "802.3ad"},
                {"id": "v1", "type": "vlan", "vlan_link": "b0", "vlan_id": 1},
                {"id": "v2", "type": "vlan", "vlan_link": "p0", "vlan_id": 5000},
            ],
            "networks": [
                {"type": "ipv4_dhcp", "link": "p0"},
                {"type": "ipv4", "link": "p0"},
                {"type": "ipv4", "link": "p7", "ip_address": "192.0.2.1", "netmask": "255.255.255.0"},
                {"type": "ipv4", "link": "p0", "ip_address": "192.0.2.1", "netmask": "255.0.255.0"},
                {"type": "ipv4", "link": "p0", "ip_address": "2001:db8::1/64"},
            ],
        }));
        assert_eq!(plan.refused.len(), 9, "{:#?}", plan.refused);
        assert_eq!(plan.phys.len(), 1);
        assert!(plan.bonds.is_empty() && plan.vlans.is_empty() && plan.addresses.is_empty());
    }
}
