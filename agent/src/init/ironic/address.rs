//! The kernel's `ip=` as a network configuration: what a network boot without a medium can give.

use std::net::{IpAddr, Ipv6Addr};

use tacit_protocol::network_data::{Link, Network, NetworkData, Route};

const LINK: &str = "ip";

/// `ip=ADDRESS:SERVER:GATEWAY:NETMASK:HOST:DEVICE:METHOD` on the network card with the address `mac`. IPv6 addresses stand
/// in brackets, and a netmask may be the length of a prefix.
///
/// # Errors
///
/// In words, when the address or the netmask is none.
pub(super) fn network_data(text: &str, mac: &str) -> Result<NetworkData, String> {
    let fields = fields(text);
    let field = |number: usize| fields.get(number).copied().filter(|field| !field.is_empty());
    let address = field(0).ok_or("ip= names no address, and this agent does no DHCP")?;
    let address: IpAddr =
        address.parse().map_err(|_| format!("ip={address}: is no address, and this agent does no DHCP"))?;
    let netmask = field(3).ok_or("ip= has no netmask")?;
    let (kind, all) = if address.is_ipv6() {
        ("ipv6", Ipv6Addr::UNSPECIFIED.into())
    } else {
        ("ipv4", IpAddr::from([0; 4]))
    };
    let routes = field(2).map(|gateway| Route {
        network: all.to_string(),
        netmask: "0".into(),
        gateway: gateway.to_owned(),
    });
    Ok(NetworkData {
        links: vec![Link {
            id: LINK.into(),
            kind: "phy".into(),
            ethernet_mac_address: Some(mac.to_owned()),
            ..Link::default()
        }],
        networks: vec![Network {
            link: LINK.into(),
            kind: kind.into(),
            ip_address: Some(address.to_string()),
            netmask: Some(netmask.to_owned()),
            routes: routes.into_iter().collect(),
            ..Network::default()
        }],
        services: Vec::new(),
    })
}

/// Split at colons that are not in brackets, which are taken off.
fn fields(text: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let (mut depth, mut begun) = (0_u32, 0);
    for (at, character) in text.char_indices() {
        match character {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => {
                fields.push(&text[begun..at]);
                begun = at + 1;
            }
            _ => {}
        }
    }
    fields.push(&text[begun..]);
    fields.into_iter().map(|field| field.trim_start_matches('[').trim_end_matches(']')).collect()
}

/// PXELINUX's `BOOTIF=01-52-54-00-99-00-02`: the kind of the hardware, then the address.
pub(super) fn boot_mac(text: &str) -> Option<String> {
    let mac = if text.len() == 20 { text.strip_prefix("01-")? } else { text };
    super::super::network::parse_mac(mac).map(|mac| mac.map(|byte| format!("{byte:02x}")).join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_way_to_write_an_address() {
        let data =
            network_data("192.0.2.7::192.0.2.1:255.255.255.0:node:eth0:none", "52:54:00:99:00:02").unwrap();
        assert_eq!(data.links[0].ethernet_mac_address.as_deref(), Some("52:54:00:99:00:02"));
        let network = &data.networks[0];
        assert_eq!((network.kind.as_str(), network.ip_address.as_deref()), ("ipv4", Some("192.0.2.7")));
        assert_eq!(network.netmask.as_deref(), Some("255.255.255.0"));
        assert_eq!(
            (network.routes[0].gateway.as_str(), network.routes[0].network.as_str()),
            ("192.0.2.1", "0.0.0.0")
        );
        let data = network_data("[2001:db8::7]::[2001:db8::1]:64::eth0:off", "m").unwrap();
        assert_eq!(
            (data.networks[0].kind.as_str(), data.networks[0].netmask.as_deref()),
            ("ipv6", Some("64"))
        );
        assert_eq!(data.networks[0].routes[0].gateway, "2001:db8::1");
        assert!(network_data("192.0.2.7:::24", "m").unwrap().networks[0].routes.is_empty());
        for bad in ["", "dhcp", "eth0:dhcp", "192.0.2.7", ":::255.255.255.0", "[", "192.0.2.7::]:"] {
            assert!(network_data(bad, "m").is_err(), "{bad}");
        }
    }

    #[test]
    fn the_boot_loaders_way_to_write_a_network_card() {
        assert_eq!(boot_mac("01-52-54-00-99-00-0A").as_deref(), Some("52:54:00:99:00:0a"));
        assert_eq!(boot_mac("52:54:00:99:00:02").as_deref(), Some("52:54:00:99:00:02"));
        for bad in ["", "01-52", "20-52-54-00-99-00-0a", "01-52-54-00-99-00-0ä"] {
            assert_eq!(boot_mac(bad), None, "{bad}");
        }
    }
}
