//! What the kernel would say on its own when a link comes up.

use std::fs;

use super::super::console::say;

/// Without IPv6 in the plan there is none at all: no router solicitation, no duplicate address detection, no MLD.
/// With it, addresses are the given ones only.
pub(super) fn keep_silent(ipv6_wanted: bool) {
    for scope in ["all", "default"] {
        set(scope, "accept_ra", "0");
        set(scope, "autoconf", "0");
        set(scope, "router_solicitations", "0");
        set(scope, "addr_gen_mode", "1");
        if !ipv6_wanted {
            set(scope, "disable_ipv6", "1");
        }
    }
}

fn set(scope: &str, name: &str, value: &str) {
    let path = format!("/proc/sys/net/ipv6/conf/{scope}/{name}");
    match fs::write(&path, value) {
        // A kernel without IPv6 is silent already; `all` lacks some of the names.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) if scope == "all" && error.raw_os_error() == Some(nix::errno::Errno::EINVAL as i32) => {}
        Err(error) => say(format!("{path}: {error}")),
        Ok(()) => {}
    }
}
