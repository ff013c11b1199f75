//! The lab's network: a namespace with one bridge and one tap for the node. There is no way out of it.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, Result};

use super::HOST_ADDRESS;
use super::process::run;
use super::record::Record;

/// Name of the bridge inside the namespace.
pub(super) const BRIDGE: &str = "lab0";
/// The host's end of the node's link.
pub(super) const TAP: &str = "node0";

/// A port of the host.
#[derive(Clone, Copy, Debug)]
pub enum Port {
    Tcp(u16),
    Udp(u16),
}

/// A network namespace.
#[derive(Clone, Debug)]
pub struct Network {
    name: String,
}

impl Network {
    pub(super) fn create(record: &Record, name: &str) -> Result<Self> {
        record.namespace(name)?;
        run(command("ip", ["netns", "add", name])).context("making the lab's network namespace")?;
        let network = Self { name: name.to_owned() };
        for line in [
            "link set lo up".to_owned(),
            format!("link add {BRIDGE} type bridge forward_delay 0"),
            format!("addr add {HOST_ADDRESS}/24 dev {BRIDGE}"),
            format!("link set {BRIDGE} up"),
            format!("tuntap add {TAP} mode tap"),
            format!("link set {TAP} master {BRIDGE}"),
            format!("link set {TAP} up"),
        ] {
            let mut ip = network.command("ip");
            ip.args(line.split(' '));
            run(ip)?;
        }
        Ok(network)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs inside the namespace and dies with the thread that starts it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "ip", "netns", "exec", &self.name]).arg(program);
        command
    }

    /// Drops and counts everything that the node starts; answers pass. Counters: [`super::LinkWatch`].
    pub(super) fn drop_what_the_node_starts(&self) -> Result<()> {
        let rules = format!(
            "table inet lab {{
               counter node_started {{ }}
               counter node_answered {{ }}
               set flows {{ type ipv4_addr . inet_proto . inet_service; flags dynamic; size 1000; }}
               chain incoming {{ type filter hook input priority 0; policy accept;
                 iifname \"{BRIDGE}\" ct state new ip protocol {{ tcp, udp }} add @flows {{ ip saddr . meta l4proto . th dport }}
                 iifname \"{BRIDGE}\" ct state new counter name node_started drop
                 iifname \"{BRIDGE}\" ct state established,related counter name node_answered accept; }}
               chain forwarded {{ type filter hook forward priority 0; policy drop; }}
             }}"
        );
        let path = std::path::Path::new("/run/tacit-lab").join(&self.name).join("rules.nft");
        std::fs::write(&path, rules).context("writing the packet filter's rules")?;
        let mut nft = self.command("nft");
        nft.arg("-f").arg(&path);
        run(nft).context("loading the packet filter's rules").map(drop)
    }

    /// From now on the node may begin conversations at this port of the host; they are not counted.
    pub fn let_the_node_reach(&self, port: Port) -> Result<()> {
        let (protocol, number) = match port {
            Port::Tcp(number) => ("tcp", number),
            Port::Udp(number) => ("udp", number),
        };
        let mut nft = self.command("nft");
        nft.args(["insert", "rule", "inet", "lab", "incoming", "iifname", BRIDGE]);
        nft.args([protocol, "dport", &number.to_string(), "accept"]);
        run(nft).context("opening a port to the node").map(drop)
    }

    /// Packets that the node started and that were dropped, by the kernel's own count.
    pub(super) fn dropped_starts(&self) -> Result<u64> {
        let mut nft = self.command("nft");
        nft.args(["-j", "list", "counter", "inet", "lab", "node_started"]);
        let answer: serde_json::Value = serde_json::from_str(&run(nft)?).context("reading nft's answer")?;
        let counters = answer["nftables"].as_array().context("nft's answer has no list")?;
        let packets = counters.iter().find_map(|entry| entry["counter"]["packets"].as_u64());
        packets.with_context(|| format!("nft's answer has no packet count: {answer}"))
    }
}

fn command<const N: usize>(program: &str, arguments: [&str; N]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}
