//! Nothing reaches the machine and nothing leaves it any more.

use super::netlink::Netlink;
use super::nics;

/// Takes every network device with hardware down. What stays up is said in the log.
pub(crate) fn all_links_down() {
    let mut netlink = match Netlink::open() {
        Ok(netlink) => netlink,
        Err(error) => {
            tracing::error!("the network stays up: {error}");
            return;
        }
    };
    for nic in nics::list() {
        if let Err(error) = netlink.down(nic.index) {
            tracing::error!("{} stays up: {error}", nic.name);
        }
    }
}
