//! Orders to the kernel over rtnetlink. Nothing is read back but the acknowledgement, so that attributes which newer
//! kernels add are of no concern.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    BondLacpRate, BondMode, BondXmitHashPolicy, InfoBond, InfoData, InfoKind, InfoVlan, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::plan::{Address, Bond, PlannedRoute};

/// A connection to the kernel's network configuration.
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

const BUFFER: usize = 64 * 1024;

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    fn order(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        loop {
            let mut answer = Vec::with_capacity(BUFFER);
            self.socket.recv(&mut answer, 0)?;
            let packet = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            if packet.header.sequence_number != self.sequence {
                continue;
            }
            return match packet.payload {
                NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
                _ => Ok(()),
            };
        }
    }

    /// Changes an existing link.
    fn change_link(
        &mut self,
        index: u32,
        up: Option<bool>,
        attributes: Vec<LinkAttribute>,
    ) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        if let Some(up) = up {
            message.header.change_mask = LinkFlags::Up;
            message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        }
        message.attributes = attributes;
        self.order(RouteNetlinkMessage::SetLink(message), 0)
    }

    pub(super) fn up(&mut self, index: u32) -> io::Result<()> {
        self.change_link(index, Some(true), Vec::new())
    }

    pub(super) fn down(&mut self, index: u32) -> io::Result<()> {
        self.change_link(index, Some(false), Vec::new())
    }

    pub(super) fn set_mtu(&mut self, index: u32, mtu: u32) -> io::Result<()> {
        self.change_link(index, None, vec![LinkAttribute::Mtu(mtu)])
    }

    /// Makes `member` a part of the bond `bond`; the member has to be down.
    pub(super) fn enslave(&mut self, member: u32, bond: u32) -> io::Result<()> {
        self.change_link(member, None, vec![LinkAttribute::Controller(bond)])
    }

    pub(super) fn add_bond(&mut self, bond: &Bond) -> io::Result<()> {
        let mode = bond_mode(&bond.mode).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("unknown mode {}", bond.mode))
        })?;
        let mut data = vec![InfoBond::Mode(mode), InfoBond::MiiMon(bond.miimon)];
        if mode == BondMode::Ieee8023Ad {
            data.push(InfoBond::AdLacpRate(BondLacpRate::Fast));
        }
        if let Some(policy) = bond.hash_policy.as_deref().and_then(hash_policy) {
            data.push(InfoBond::XmitHashPolicy(policy));
        }
        self.add_link(&bond.name, bond.mac, Vec::new(), InfoKind::Bond, InfoData::Bond(data))
    }

    pub(super) fn add_vlan(
        &mut self,
        name: &str,
        parent: u32,
        tag: u16,
        mac: Option<[u8; 6]>,
    ) -> io::Result<()> {
        let data = InfoData::Vlan(vec![InfoVlan::Id(tag)]);
        self.add_link(name, mac, vec![LinkAttribute::Link(parent)], InfoKind::Vlan, data)
    }

    fn add_link(
        &mut self,
        name: &str,
        mac: Option<[u8; 6]>,
        more: Vec<LinkAttribute>,
        kind: InfoKind,
        data: InfoData,
    ) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        message.attributes.extend(more);
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)]));
        self.order(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    pub(super) fn add_address(&mut self, index: u32, address: &Address) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = address.prefix;
        match address.address {
            IpAddr::V4(ip) => {
                message.header.family = AddressFamily::Inet;
                message.attributes.push(AddressAttribute::Local(ip.into()));
                if address.prefix < 31 {
                    let broadcast = ip.to_bits() | (u32::MAX >> address.prefix);
                    message.attributes.push(AddressAttribute::Broadcast(broadcast.into()));
                }
            }
            IpAddr::V6(_) => {
                message.header.family = AddressFamily::Inet6;
                // The operator chose it for this machine: no probe, usable at once.
                message.header.flags = AddressHeaderFlags::Nodad;
            }
        }
        message.attributes.push(AddressAttribute::Address(address.address));
        self.order(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
    }

    pub(super) fn add_route(&mut self, index: u32, route: &PlannedRoute) -> io::Result<()> {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: if route.destination.is_ipv6() {
                AddressFamily::Inet6
            } else {
                AddressFamily::Inet
            },
            destination_prefix_length: route.prefix,
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: RouteProtocol::Static,
            scope: RouteScope::Universe,
            kind: RouteType::Unicast,
            flags: if route.onlink { RouteFlags::Onlink } else { RouteFlags::empty() },
            ..RouteHeader::default()
        };
        if route.prefix > 0 {
            message.attributes.push(RouteAttribute::Destination(route.destination.into()));
        }
        message.attributes.push(RouteAttribute::Gateway(route.gateway.into()));
        message.attributes.push(RouteAttribute::Oif(index));
        self.order(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
    }
}

fn bond_mode(name: &str) -> Option<BondMode> {
    Some(match name {
        "balance-rr" => BondMode::BalanceRr,
        "active-backup" => BondMode::ActiveBackup,
        "balance-xor" => BondMode::BalanceXor,
        "broadcast" => BondMode::Broadcast,
        "802.3ad" => BondMode::Ieee8023Ad,
        "balance-tlb" => BondMode::BalanceTlb,
        "balance-alb" => BondMode::BalanceAlb,
        _ => return None,
    })
}

fn hash_policy(name: &str) -> Option<BondXmitHashPolicy> {
    Some(match name {
        "layer2" => BondXmitHashPolicy::Layer2,
        "layer3+4" => BondXmitHashPolicy::Layer34,
        "layer2+3" => BondXmitHashPolicy::Layer23,
        "encap2+3" => BondXmitHashPolicy::Encap23,
        "encap3+4" => BondXmitHashPolicy::Encap34,
        "vlan+srcmac" => BondXmitHashPolicy::VlanSrcMac,
        _ => return None,
    })
}
