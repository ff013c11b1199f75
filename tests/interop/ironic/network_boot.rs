//! What a site has for machines that boot by network: DHCP for the firmware, iPXE by TFTP. Ironic writes the rest.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use tacit_tests::lab::{HOST_ADDRESS, Lab, Port, Process};

use super::stock;

/// The loader as Debian has it, for firmware that brings none.
const LOADER: &str = "/usr/lib/ipxe/snponly.efi";

/// Answers the server's firmware as long as it lives.
pub(crate) struct NetworkBoot {
    _dnsmasq: Process,
}

impl NetworkBoot {
    /// From now on the node may ask for an address, a loader, and what Ironic serves.
    pub(crate) fn start(lab: &Lab) -> Result<Self> {
        let folder = lab.files().join("network-boot");
        fs::create_dir_all(&folder).context("making the loader's folder")?;
        fs::copy(LOADER, folder.join("ipxe.efi")).context("copying iPXE")?;
        for port in [Port::Udp(67), Port::Udp(69), Port::Tcp(stock::WWW_PORT)] {
            lab.network().let_the_node_reach(port)?;
        }
        let mut command = lab.network().command("dnsmasq");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--port=0",
            "--user=root",
            "--pid-file",
        ]);
        command.args(["--log-facility=-", "--log-dhcp", "--leasefile-ro", "--bind-interfaces"]);
        command.arg(format!("--listen-address={HOST_ADDRESS}"));
        command.arg(format!("--dhcp-range={HOST_ADDRESS},static,255.255.255.0"));
        command.arg(format!("--dhcp-host={},{}", lab.server.mac, lab.server.address));
        command.args(["--dhcp-match=set:ipxe,175", "--dhcp-boot=tag:!ipxe,ipxe.efi", "--enable-tftp"]);
        command.arg(format!("--dhcp-boot=tag:ipxe,{}/boot.ipxe", stock::www_url()));
        command.arg("--tftp-root").arg(&folder);
        let log = folder.join("dnsmasq.log");
        let mut dnsmasq = lab.spawn("dnsmasq", command, &log)?;
        dnsmasq.wait_until(Duration::from_secs(10), || {
            fs::read_to_string(&log).is_ok_and(|log| log.contains("TFTP root is"))
        })?;
        Ok(Self { _dnsmasq: dnsmasq })
    }
}
