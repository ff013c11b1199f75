//! Which nodes of Ironic are led that the configuration does not name, and where.
//!
//! Two nodes must never be led at one address: what Ironic asks for the one would be done to the machine of the other.

use std::collections::HashMap;
use std::net::SocketAddr;

use uuid::Uuid;

use super::config::parse_address;
use super::ironic::WaitingNode;

/// A node that has a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LedNode {
    pub(super) key: String,
    /// Unknown until the first lookup, where the configuration names it by its network addresses.
    pub(super) uuid: Option<Uuid>,
    pub(super) address: SocketAddr,
    pub(super) discovered: bool,
    /// Ironic leads an agent there now.
    pub(super) busy: bool,
}

/// What is to be done for a node that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Find {
    /// Lead it there, when those with these keys are not led any more.
    Lead { uuid: Uuid, address: SocketAddr, instead: Vec<String> },
    /// It cannot be led, and why.
    Refused { uuid: Uuid, why: String },
}

/// Compares the nodes that wait with those that are led. `field` is where a node says its address.
pub(super) fn discover(waiting: &[WaitingNode], field: &str, led: &[LedNode]) -> Vec<Find> {
    let by_uuid: HashMap<Uuid, &LedNode> =
        led.iter().filter_map(|node| node.uuid.map(|uuid| (uuid, node))).collect();
    let by_address: HashMap<SocketAddr, &LedNode> = led.iter().map(|node| (node.address, node)).collect();
    let mut finds = Vec::new();
    let mut said: HashMap<Uuid, SocketAddr> = HashMap::new();
    let mut claims: HashMap<SocketAddr, usize> = HashMap::new();
    for node in waiting {
        // The configuration knows better.
        if by_uuid.get(&node.uuid).is_some_and(|led| !led.discovered) {
            continue;
        }
        let Some(text) = &node.address else { continue };
        match parse_address(text) {
            Some(address) => {
                *claims.entry(address).or_default() += 1;
                said.insert(node.uuid, address);
            }
            None => {
                let why = format!("{field} is no IP address, with or without a port: {text:?}");
                finds.push(Find::Refused { uuid: node.uuid, why });
            }
        }
    }
    let moves = |node: &LedNode| {
        let now = node.uuid.and_then(|uuid| said.get(&uuid));
        now.is_some_and(|now| *now != node.address)
    };
    for (&uuid, &address) in &said {
        let own = by_uuid.get(&uuid);
        if own.is_some_and(|own| own.address == address) {
            continue;
        }
        if claims[&address] > 1 {
            let why = format!("{address} is the address of another node, too, that waits");
            finds.push(Find::Refused { uuid, why });
            continue;
        }
        let holder = by_address.get(&address);
        if let Some(holder) = holder.filter(|held| !held.discovered || held.busy && !moves(held)) {
            finds.push(Find::Refused { uuid, why: format!("{address} is the address of {}", holder.key) });
            continue;
        }
        let instead = own.into_iter().chain(holder).map(|node| node.key.clone()).collect();
        finds.push(Find::Lead { uuid, address, instead });
    }
    finds
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "192.0.2.1";
    const TWO: &str = "192.0.2.2";

    fn at(text: &str) -> SocketAddr {
        parse_address(text).unwrap()
    }

    fn waiting(nodes: &[(u128, &str)]) -> Vec<WaitingNode> {
        let node = |&(uuid, address): &(u128, &str)| WaitingNode {
            uuid: Uuid::from_u128(uuid),
            state: "clean wait".to_owned(),
            address: Some(address.to_owned()),
        };
        nodes.iter().map(node).collect()
    }

    fn led(uuid: u128, address: &str) -> LedNode {
        let uuid = Uuid::from_u128(uuid);
        let (key, address) = (uuid.to_string(), at(address));
        LedNode { key, uuid: Some(uuid), address, discovered: true, busy: false }
    }

    /// Nodes that are to be led, and the keys of those that are not any more.
    fn found(nodes: &[(u128, &str)], led: &[LedNode]) -> Vec<(u128, SocketAddr, Vec<String>)> {
        let finds = discover(&waiting(nodes), "extra/ip", led);
        let lead = |find: Find| match find {
            Find::Lead { uuid, address, instead } => Some((uuid.as_u128(), address, instead)),
            Find::Refused { .. } => None,
        };
        let mut found: Vec<_> = finds.into_iter().filter_map(lead).collect();
        found.sort();
        found
    }

    fn refused(nodes: &[(u128, &str)], led: &[LedNode]) -> String {
        let finds = discover(&waiting(nodes), "extra/ip", led);
        let why = |find: Find| match find {
            Find::Refused { why, .. } => why,
            lead @ Find::Lead { .. } => panic!("{lead:?}"),
        };
        finds.into_iter().map(why).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_node_is_led_once_and_where_it_says() {
        assert_eq!(found(&[(1, ONE), (2, TWO)], &[]), [(1, at(ONE), vec![]), (2, at(TWO), vec![])]);
        assert!(discover(&waiting(&[(1, ONE)]), "extra/ip", &[led(1, ONE)]).is_empty());
        let own = led(1, ONE);
        assert_eq!(found(&[(1, TWO)], std::slice::from_ref(&own)), [(1, at(TWO), vec![own.key])]);
        assert!(refused(&[(1, "node.example")], &[]).contains("extra/ip is no IP address"));
    }

    #[test]
    fn an_address_is_never_two_nodes() {
        assert_eq!(refused(&[(1, ONE), (2, ONE)], &[]).matches("another node, too").count(), 2);
        // With and without the port, it is the same.
        assert!(refused(&[(1, ONE), (2, "192.0.2.1:9999")], &[led(1, ONE)]).contains("another node, too"));
        let driven = LedNode { busy: true, ..led(1, ONE) };
        assert!(refused(&[(2, ONE)], &[driven]).contains("is the address of"));
    }

    #[test]
    fn a_machine_that_was_given_another_node_changes_its_leader() {
        let before = led(1, ONE);
        assert_eq!(found(&[(2, ONE)], std::slice::from_ref(&before)), [(2, at(ONE), vec![before.key])]);
        let (one, two) = (LedNode { busy: true, ..led(1, ONE) }, led(2, TWO));
        let swapped = found(&[(1, TWO), (2, ONE)], &[one.clone(), two.clone()]);
        let both = |first: &LedNode, second: &LedNode| vec![first.key.clone(), second.key.clone()];
        assert_eq!(swapped, [(1, at(TWO), both(&one, &two)), (2, at(ONE), both(&two, &one))]);
    }

    #[test]
    fn what_the_configuration_names_is_its_own() {
        let named = LedNode { discovered: false, ..led(1, ONE) };
        assert!(discover(&waiting(&[(1, TWO)]), "extra/ip", std::slice::from_ref(&named)).is_empty());
        assert!(refused(&[(2, ONE)], std::slice::from_ref(&named)).contains("is the address of"));
        // By its network addresses, and not looked up yet.
        let by_mac = LedNode { uuid: None, key: "52-54-00-aa-00-01".to_owned(), ..named };
        assert!(refused(&[(1, ONE)], &[by_mac]).contains("is the address of 52-54-00-aa-00-01"));
    }
}
