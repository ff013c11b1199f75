//! What the node did on its link, read from a packet capture: the proof of silence.

mod flows;
mod pcap;

pub use flows::{Start, Summary, answers, parse_mac, summarise};
pub use pcap::PcapError;
