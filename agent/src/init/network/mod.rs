//! The network from `network_data` (boot contract §F): matched by MAC address, set by netlink, silent.

mod bring_up;
mod listening;
mod lockdown;
mod netlink;
mod nics;
mod plan;
mod silence;

pub(super) use bring_up::bring_up;
pub(crate) use listening::with_links_up;
pub(crate) use lockdown::all_links_down;
pub(super) use nics::{only_card, parse_mac};
