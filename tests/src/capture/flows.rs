//! Who spoke first: every frame of the node is an answer, an allowed exception, or a conversation that it started.
//!
//! An answer belongs to a flow whose first packet came from the other end; a TCP SYN without ACK never is one. The only
//! exceptions are ARP and IPv6 neighbour discovery (solicitation and advertisement of neighbours): nobody can answer
//! without them. Whatever is not understood counts as started.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::SystemTime;

use super::pcap::{PcapError, frames};

/// A conversation that the node started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub at: SystemTime,
    /// `TCP SYN to 10.99.0.1:80`.
    pub what: String,
}

/// What the node did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Frames that the node sent.
    pub frames: u64,
    pub arp: u64,
    pub neighbour_discovery: u64,
    pub started: Vec<Start>,
    /// Frames that the node sent when it did not count: its firmware, the deployed system.
    pub elsewhere: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frames, arp, neighbour_discovery, started, elsewhere } = self;
        write!(
            f,
            "capture: {frames} frames from the node, {} conversations started by the node \
             (ARP {arp}, neighbour discovery {neighbour_discovery}; \
             {elsewhere} frames of firmware and deployed system not counted)",
            started.len()
        )?;
        started.iter().take(20).try_for_each(|start| write!(f, "\n  started: {}", start.what))
    }
}

/// `52:54:00:99:00:02` as bytes.
pub fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
    bytes?.try_into().ok()
}

/// Reads a capture of the node's link and judges the moments that count; what was said at others only tells who spoke
/// first.
pub fn summarise(
    file: &[u8],
    node: [u8; 6],
    counts: impl Fn(SystemTime) -> bool,
) -> Result<Summary, PcapError> {
    let mut summary = Summary::default();
    let mut invited: HashSet<Flow> = HashSet::new();
    for frame in frames(file)? {
        let bytes = frame.bytes;
        let from_node = bytes.get(6..12) == Some(&node);
        if from_node && !counts(frame.at) {
            summary.elsewhere += 1;
            continue;
        }
        if from_node {
            summary.frames += 1;
        }
        match (from_node, understand(bytes)) {
            (true, Packet::Arp) => summary.arp += 1,
            (true, Packet::NeighbourDiscovery) => summary.neighbour_discovery += 1,
            (true, Packet::Flow { flow, opens, what }) if opens || !invited.contains(&flow.reversed()) => {
                summary.started.push(Start { at: frame.at, what: format!("{what} to {}", flow.to_text()) });
            }
            (true, Packet::Flow { .. })
            | (false, Packet::Arp | Packet::NeighbourDiscovery | Packet::Other(_)) => {}
            (true, Packet::Other(what)) => summary.started.push(Start { at: frame.at, what }),
            (false, Packet::Flow { flow, .. }) => {
                invited.insert(flow);
            }
        }
    }
    Ok(summary)
}

/// The times of all TCP segments that the node sent from `port`, except refusals.
pub fn answers(file: &[u8], node: [u8; 6], port: u16) -> Result<Vec<SystemTime>, PcapError> {
    let from_port = |bytes: &[u8]| match understand(bytes) {
        Packet::Flow { flow, .. } => flow.protocol == 6 && flow.from.1 == port && !is_reset(bytes),
        _ => false,
    };
    let all = frames(file)?.into_iter().filter(|frame| frame.bytes.get(6..12) == Some(&node));
    Ok(all.filter(|frame| from_port(frame.bytes)).map(|frame| frame.at).collect())
}

/// Whether an IPv4 TCP segment refuses or breaks off.
fn is_reset(frame: &[u8]) -> bool {
    let header = usize::from(frame.get(14).copied().unwrap_or_default() & 0x0f) * 4;
    frame.get(14 + header + 13).is_some_and(|flags| flags & 0x04 != 0)
}

/// One direction of a conversation. Ports are 0 for ICMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Flow {
    protocol: u8,
    from: (IpAddr, u16),
    to: (IpAddr, u16),
}

impl Flow {
    fn reversed(self) -> Self {
        Self { from: self.to, to: self.from, ..self }
    }

    fn to_text(self) -> String {
        match self.to {
            (address, 0) => address.to_string(),
            (address, port) => std::net::SocketAddr::new(address, port).to_string(),
        }
    }
}

enum Packet {
    Arp,
    NeighbourDiscovery,
    /// `opens`: can only be the first packet of a conversation.
    Flow {
        flow: Flow,
        opens: bool,
        what: &'static str,
    },
    Other(String),
}

fn understand(frame: &[u8]) -> Packet {
    let Some(kind) = u16_at(frame, 12) else { return Packet::Other("a frame without a type".into()) };
    let packet = frame.get(14..).unwrap_or_default();
    match kind {
        0x0806 => Packet::Arp,
        0x0800 => ipv4(packet).unwrap_or_else(|| Packet::Other("an IPv4 packet that makes no sense".into())),
        0x86dd => ipv6(packet).unwrap_or_else(|| Packet::Other("an IPv6 packet that makes no sense".into())),
        other => Packet::Other(format!("a frame of type {other:#06x}")),
    }
}

fn ipv4(packet: &[u8]) -> Option<Packet> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let address = |at: usize| -> Option<IpAddr> {
        let bytes: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(bytes).into())
    };
    // Later fragments have no ports; the first one was judged.
    let fragment_offset = u16_at(packet, 6)? & 0x1fff;
    let payload = packet.get(header..)?;
    let (from, to, protocol) = (address(12)?, address(16)?, *packet.get(9)?);
    if fragment_offset > 0 {
        return Some(Packet::Other(format!("a fragment to {to}")));
    }
    transport(protocol, from, to, payload)
}

fn ipv6(packet: &[u8]) -> Option<Packet> {
    let address = |at: usize| -> Option<IpAddr> {
        let bytes: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
        Some(Ipv6Addr::from(bytes).into())
    };
    let (from, to) = (address(8)?, address(24)?);
    let mut next = *packet.get(6)?;
    let mut payload = packet.get(40..)?;
    // Hop-by-hop, routing and destination options come before what matters (RFC 8200 §4.1).
    while matches!(next, 0 | 43 | 60) {
        let length = (usize::from(*payload.get(1)?) + 1) * 8;
        next = *payload.first()?;
        payload = payload.get(length..)?;
    }
    if next == 58 {
        return Some(match payload.first()? {
            135 | 136 => Packet::NeighbourDiscovery,
            129 => Packet::Flow {
                flow: Flow { protocol: 58, from: (from, 0), to: (to, 0) },
                opens: false,
                what: "ICMPv6 answer",
            },
            128 => Packet::Flow {
                flow: Flow { protocol: 58, from: (from, 0), to: (to, 0) },
                opens: true,
                what: "ping",
            },
            other => Packet::Other(format!("ICMPv6 type {other} to {to}")),
        });
    }
    transport(next, from, to, payload)
}

fn transport(protocol: u8, from: IpAddr, to: IpAddr, payload: &[u8]) -> Option<Packet> {
    let flow = |ports: bool| -> Option<Flow> {
        let port = |at| if ports { u16_at(payload, at) } else { Some(0) };
        Some(Flow { protocol, from: (from, port(0)?), to: (to, port(2)?) })
    };
    Some(match protocol {
        6 => {
            let opens = payload.get(13)? & 0x12 == 0x02;
            Packet::Flow { flow: flow(true)?, opens, what: if opens { "TCP SYN" } else { "TCP" } }
        }
        17 => Packet::Flow { flow: flow(true)?, opens: false, what: "UDP" },
        1 => {
            let opens = *payload.first()? == 8;
            Packet::Flow { flow: flow(false)?, opens, what: if opens { "ping" } else { "ICMP" } }
        }
        other => Packet::Other(format!("IP protocol {other} to {to}")),
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: [u8; 6] = [0x52, 0x54, 0, 0x99, 0, 2];
    const HOST: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const NODE_IP: [u8; 4] = [10, 99, 0, 2];
    const HOST_IP: [u8; 4] = [10, 99, 0, 1];

    fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1] {
            file.extend(word.to_le_bytes());
        }
        for (second, frame) in frames.iter().enumerate() {
            let length = u32::try_from(frame.len()).unwrap();
            for word in [u32::try_from(second).unwrap(), 0, length, length] {
                file.extend(word.to_le_bytes());
            }
            file.extend(frame);
        }
        file
    }

    fn frame(from: [u8; 6], kind: u16, packet: &[u8]) -> Vec<u8> {
        [&[0xff; 6][..], &from, &kind.to_be_bytes(), packet].concat()
    }

    /// An IPv4 packet from the node or to it, its payload beginning with two ports.
    fn ip(from_node: bool, protocol: u8, node_port: u16, host_port: u16, rest: &[u8]) -> Vec<u8> {
        let (mac, from, to) = if from_node { (NODE, NODE_IP, HOST_IP) } else { (HOST, HOST_IP, NODE_IP) };
        let (first, second) = if from_node { (node_port, host_port) } else { (host_port, node_port) };
        let header = [&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, protocol, 0, 0][..], &from, &to].concat();
        frame(mac, 0x0800, &[&header[..], &first.to_be_bytes(), &second.to_be_bytes(), rest].concat())
    }

    fn tcp(from_node: bool, flags: u8) -> Vec<u8> {
        ip(from_node, 6, 9999, 40000, &[0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0])
    }

    fn icmpv6(kind: u8, hop_by_hop: bool) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 32, if hop_by_hop { 0 } else { 58 }, 255];
        packet.extend([0xfe; 16]);
        packet.extend([0xff; 16]);
        if hop_by_hop {
            packet.extend([58, 0, 5, 2, 0, 0, 1, 0]);
        }
        packet.extend([kind, 0, 0, 0]);
        frame(NODE, 0x86dd, &packet)
    }

    fn summary(frames: &[Vec<u8>]) -> Summary {
        summarise(&pcap(frames), NODE, |_| true).unwrap()
    }

    #[test]
    fn answering_on_a_dialled_connection_starts_nothing() {
        let told =
            summary(&[tcp(false, 0x02), tcp(true, 0x12), tcp(false, 0x10), tcp(true, 0x18), tcp(true, 0x14)]);
        assert_eq!((told.frames, told.started.len()), (3, 0), "{told}");
    }

    #[test]
    fn refusals_are_no_answers() {
        let file = pcap(&[tcp(false, 0x02), tcp(true, 0x14), tcp(false, 0x02), tcp(true, 0x12)]);
        let third = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(3);
        assert_eq!(answers(&file, NODE, 9999).unwrap(), [third]);
        assert_eq!(answers(&file, NODE, 22).unwrap(), []);
    }

    #[test]
    fn a_syn_is_a_start_even_where_the_other_end_spoke_before() {
        let told = summary(&[tcp(false, 0x02), tcp(true, 0x14), tcp(true, 0x02)]);
        assert_eq!(told.started.len(), 1);
        assert_eq!(told.started[0].what, "TCP SYN to 10.99.0.1:40000");
    }

    #[test]
    fn a_segment_of_a_connection_that_nobody_dialled_is_a_start() {
        assert_eq!(summary(&[tcp(true, 0x10)]).started.len(), 1);
    }

    #[test]
    fn udp_counts_unless_it_answers() {
        let ask = ip(true, 17, 68, 67, &[0, 8, 0, 0]);
        let query = ip(false, 17, 68, 67, &[0, 8, 0, 0]);
        assert_eq!(summary(std::slice::from_ref(&ask)).started[0].what, "UDP to 10.99.0.1:67");
        assert_eq!(summary(&[query, ask]).started.len(), 0);
    }

    #[test]
    fn arp_and_neighbour_discovery_are_counted_apart() {
        let told = summary(&[frame(NODE, 0x0806, &[0; 28]), icmpv6(135, false), icmpv6(136, false)]);
        assert_eq!((told.arp, told.neighbour_discovery, told.started.len()), (1, 2, 0));
        assert!(
            told.to_string().contains("0 conversations started by the node (ARP 1, neighbour discovery 2;")
        );
    }

    #[test]
    fn router_solicitation_multicast_reports_and_the_unknown_are_starts() {
        let told = summary(&[
            icmpv6(133, false),
            icmpv6(143, true),
            frame(NODE, 0x88cc, &[0; 20]),
            frame(NODE, 0x0800, &[]),
        ]);
        assert_eq!(told.started.len(), 4, "{told}");
        assert!(told.started[1].what.starts_with("ICMPv6 type 143"));
    }

    #[test]
    fn what_others_send_is_not_the_nodes() {
        assert_eq!(summary(&[tcp(false, 0x02), frame(HOST, 0x0806, &[0; 28])]), Summary::default());
    }

    #[test]
    fn a_record_still_being_written_is_left_out_and_a_moment_cuts() {
        let file = pcap(&[tcp(true, 0x02), tcp(true, 0x02)]);
        assert_eq!(summarise(&file[..file.len() - 1], NODE, |_| true).unwrap().frames, 1);
        let first = summarise(&file, NODE, |at| at <= SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!((first.frames, first.started.len(), first.elsewhere), (1, 1, 1));
        let none = summarise(b"not a capture, this is", NODE, |_| true);
        assert_eq!(none, Err(PcapError::Magic(0x2074_6f6e)));
    }
}
