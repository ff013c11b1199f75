//! Carries a plan out, in the order of boot contract §F.3.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use tacit_protocol::network_data::NetworkData;

use super::super::console::say;
use super::netlink::Netlink;
use super::nics::{self, Nic};
use super::plan::Plan;
use super::silence::keep_silent;

/// How long a named device may take to appear.
const NIC_WAIT: Duration = Duration::from_secs(30);
/// The loopback device is the first of every kernel.
const LOOPBACK: u32 = 1;

/// Configures the network as `data` says. What does not work is said on the console; the rest is done all the same.
pub(in crate::init) fn bring_up(data: Option<&NetworkData>) {
    let plan = data.map(Plan::new).unwrap_or_default();
    keep_silent(plan.wants_ipv6());
    let mut netlink = match Netlink::open() {
        Ok(netlink) => netlink,
        Err(error) => {
            say(format!("no network: {error}"));
            return;
        }
    };
    told("loopback", netlink.up(LOOPBACK));
    if data.is_none() {
        say("the medium carries no network_data, and this agent does no DHCP: nobody will find it");
    }
    for reason in &plan.refused {
        say(format!("network_data: {reason}"));
    }
    let macs: Vec<[u8; 6]> = plan.phys.iter().map(|phy| phy.mac).collect();
    let nics = nics::wait_for(&macs, NIC_WAIT);
    let mut indexes = HashMap::new();
    phys(&plan, &nics, &mut netlink, &mut indexes);
    bonds(&plan, &mut netlink, &mut indexes);
    vlans(&plan, &mut netlink, &mut indexes);
    for address in &plan.addresses {
        let Some(index) = indexes.get(&address.link) else { continue };
        if told(&format!("address {}", address.address), netlink.add_address(*index, address)) {
            say(format!("address {}/{} on {}", address.address, address.prefix, address.link));
        }
    }
    for route in &plan.routes {
        let Some(index) = indexes.get(&route.link) else { continue };
        told(&format!("route to {}/{}", route.destination, route.prefix), netlink.add_route(*index, route));
    }
}

fn phys(plan: &Plan, nics: &[Nic], netlink: &mut Netlink, indexes: &mut HashMap<String, u32>) {
    for phy in &plan.phys {
        let Some(nic) = nics::find(nics, phy.mac) else {
            let there: Vec<String> =
                nics.iter().map(|nic| format!("{} {}", nic.name, mac_text(nic))).collect();
            let wanted: Vec<String> = phy.mac.iter().map(|byte| format!("{byte:02x}")).collect();
            say(format!(
                "no network device has the address {}; there are: {}",
                wanted.join(":"),
                there.join(", ")
            ));
            continue;
        };
        indexes.insert(phy.id.clone(), nic.index);
        if let Some(mtu) = phy.mtu {
            told(&format!("{}: MTU {mtu}", nic.name), netlink.set_mtu(nic.index, mtu));
        }
        let member = plan.bonds.iter().any(|bond| bond.members.contains(&phy.id));
        if !member {
            told(&format!("{}: up", nic.name), netlink.up(nic.index));
        }
    }
}

fn bonds(plan: &Plan, netlink: &mut Netlink, indexes: &mut HashMap<String, u32>) {
    for bond in &plan.bonds {
        if !told(&format!("bond {}", bond.name), netlink.add_bond(bond)) {
            continue;
        }
        let Some(index) = nics::index_of(&bond.name) else {
            say(format!("bond {} is not there after it was made", bond.name));
            continue;
        };
        for member in bond.members.iter().filter_map(|member| indexes.get(member)) {
            told(&format!("{}: member {member} down", bond.name), netlink.down(*member));
            told(&format!("{}: member {member}", bond.name), netlink.enslave(*member, index));
        }
        if let Some(mtu) = bond.mtu {
            told(&format!("{}: MTU {mtu}", bond.name), netlink.set_mtu(index, mtu));
        }
        told(&format!("{}: up", bond.name), netlink.up(index));
        indexes.insert(bond.id.clone(), index);
    }
}

fn vlans(plan: &Plan, netlink: &mut Netlink, indexes: &mut HashMap<String, u32>) {
    for vlan in &plan.vlans {
        let Some(parent) = indexes.get(&vlan.parent).copied() else { continue };
        let name = format!("vlan{parent}.{}", vlan.tag);
        if !told(&format!("VLAN {}", vlan.tag), netlink.add_vlan(&name, parent, vlan.tag, vlan.mac)) {
            continue;
        }
        let Some(index) = nics::index_of(&name) else {
            say(format!("VLAN {name} is not there after it was made"));
            continue;
        };
        if let Some(mtu) = vlan.mtu {
            told(&format!("{name}: MTU {mtu}"), netlink.set_mtu(index, mtu));
        }
        told(&format!("{name}: up"), netlink.up(index));
        indexes.insert(vlan.id.clone(), index);
    }
}

fn mac_text(nic: &Nic) -> String {
    let mac = nic.permanent_mac.unwrap_or(nic.current_mac);
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Whether it worked; says so on the console if it did not.
fn told(what: &str, result: io::Result<()>) -> bool {
    if let Err(error) = &result {
        say(format!("{what}: {error}"));
    }
    result.is_ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::plan::{Address, PlannedRoute};
    use super::*;

    const INSIDE: &str = "TACIT_TEST_INSIDE_NETWORK_NAMESPACE";

    /// Runs this very test again in a network namespace with a pair of virtual devices.
    #[test]
    fn the_kernel_takes_our_orders() {
        if std::env::var_os(INSIDE).is_some() {
            inside();
            return;
        }
        let script = "mount -t sysfs sysfs /sys && ip link add left type veth peer name right && exec \"$@\"";
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net", "--mount", "sh", "-c", script, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "init::network::bring_up::tests::the_kernel_takes_our_orders", "--nocapture"])
            .env(INSIDE, "yes")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn inside() {
        let mut netlink = Netlink::open().unwrap();
        let index = nics::index_of("left").unwrap();
        netlink.up(LOOPBACK).unwrap();
        netlink.set_mtu(index, 1400).unwrap();
        netlink.up(index).unwrap();
        netlink.up(nics::index_of("right").unwrap()).unwrap();
        for (address, prefix, gateway, onlink) in [
            ("192.0.2.20", 24, "192.0.2.1", false),
            ("2001:db8::20", 64, "2001:db8::1", false),
            ("198.51.100.9", 32, "203.0.113.1", true),
        ] {
            let address = Address { link: "l".into(), address: address.parse().unwrap(), prefix };
            netlink.add_address(index, &address).unwrap();
            // A second time changes nothing and is no error.
            netlink.add_address(index, &address).unwrap();
            let (destination, prefix) = if onlink {
                ("10.0.0.0", 8)
            } else if prefix == 24 {
                ("0.0.0.0", 0)
            } else {
                ("::", 0)
            };
            let route = PlannedRoute {
                link: "l".into(),
                destination: destination.parse().unwrap(),
                prefix,
                gateway: gateway.parse().unwrap(),
                onlink,
            };
            netlink.add_route(index, &route).unwrap();
        }
        assert_eq!(std::fs::read_to_string("/proc/net/route").unwrap().lines().count(), 4);
        assert!(netlink.up(4711).is_err());
        assert!(netlink.set_mtu(index, 1).is_err());
    }
}
